"""One run: what it writes, when it stops, what it refuses."""

import json

import pytest
import torch
from omegaconf import OmegaConf

from msda_train.core.errors import RunFailed, UserError
from msda_train.records.rows import read_row
from msda_train.training import checkpoint
from msda_train.training.run import Run


def test_a_row_says_what_was_done(go):
    path = go("method=mixup", "seed=1")
    row = json.loads(path.read_text())
    assert path.parent.name == "s1"
    assert path.parent.parent.name == f"{row['fingerprint']}-{row['data']['content'][:8]}"
    assert row["config"]["method"]["alpha"] == 1.0
    assert [h["epoch"] for h in row["history"]] == [1, 2]
    last = row["history"][-1]
    for metric in ("error", "top5_error", "nll"):
        values = [h[metric] for h in row["history"]]
        assert row["metrics"][f"{metric}/last"] == last[metric]
        assert row["metrics"][f"{metric}/best"] == min(values)
        assert row["metrics"][f"{metric}/median_last10"] == pytest.approx(sum(values) / 2)
    assert row["data"]["train_images"] == 60
    assert row["images_per_second"] > 0
    for key in ("torch", "python", "device_name", "precision", "commit", "dirty", "threads"):
        assert key in row["environment"]
    assert read_row(path).seed == 1


def test_two_runs_agree_and_two_seeds_differ(go, tmp_path):
    def metrics(*words):
        return json.loads(go(*words).read_text())["metrics"]

    assert metrics("seed=0") == metrics("seed=0", f"runs={tmp_path / 'again'}")
    assert metrics("seed=0") != metrics("seed=1")


def test_a_complete_row_is_not_trained_again(go, monkeypatch):
    path = go()
    before = path.read_bytes()
    monkeypatch.setattr(Run, "train", lambda *a: pytest.fail("trained again"))
    assert go() == path
    assert path.read_bytes() == before


def test_a_loss_that_is_not_finite_leaves_no_row(go, tmp_path):
    with pytest.raises(RunFailed, match=r"epoch 1: the loss is .*recipe.lr") as caught:
        go("recipe.lr=1e30", "recipe.warmup_epochs=0")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("row.json"))
    assert not list(tmp_path.rglob("checkpoint.pt"))


def test_divergence_keeps_the_last_good_checkpoint(go, monkeypatch, tmp_path):
    words = ["recipe.epochs=3"]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        whole = Run.epoch
        patch.setattr(Run, "epoch", lambda self, i, *rest: _raise() if i == 1 else whole(self, i, *rest))
        go(*words)
    (path,) = tmp_path.rglob("checkpoint.pt")
    kept = path.read_bytes()
    with monkeypatch.context() as patch, pytest.raises(RunFailed):
        nan = torch.tensor(float("nan"))
        patch.setattr("msda_train.training.step.Step.__call__", lambda self, x, y, rng: nan)
        go(*words)
    assert path.read_bytes() == kept


def _raise():
    raise KeyboardInterrupt


def test_a_damaged_row_is_told_and_kept(go):
    path = go()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=r"row\.json"):
        go()
    assert len(path.read_bytes()) == 100


@pytest.mark.parametrize("damage", ["truncate", "garbage", "empty"])
def test_a_damaged_checkpoint_is_told_and_kept(go, damage):
    path = go()
    weights = path.parent / "checkpoint.pt"
    path.unlink()
    content = {"truncate": weights.read_bytes()[:-2000], "garbage": b"x" * 5000, "empty": b""}[damage]
    weights.write_bytes(content)
    with pytest.raises(UserError, match=r"checkpoint.pt: checkpoint is damaged; move it away"):
        go()
    assert weights.read_bytes() == content


def test_a_checkpoint_of_another_configuration(go, tmp_path):
    other = go("recipe.lr=0.01", f"runs={tmp_path / 'other'}")
    path = go()
    path.unlink()
    (other.parent / "checkpoint.pt").replace(path.parent / "checkpoint.pt")
    with pytest.raises(UserError, match="checkpoint of another configuration"):
        go()


def test_a_checkpoint_holds_no_code(go, tmp_path):
    path = go()
    path.unlink()

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "pwned"), "w"))

    torch.save({"progress": Evil(), "model": {}, "optimizer": {}}, path.parent / "checkpoint.pt")
    with pytest.raises(UserError, match="checkpoint is damaged"):
        go()
    assert not (tmp_path / "pwned").exists()


def test_a_finished_checkpoint_without_a_row_writes_the_row(go):
    path = go()
    first = json.loads(path.read_text())
    path.unlink()
    again = json.loads(go().read_text())
    assert again["metrics"] == first["metrics"]
    assert len(again["sessions"]) == 1


def test_two_processes_cannot_train_the_same_run(go, tmp_path):
    path = go()
    path.unlink()
    with checkpoint.owned(path.parent), pytest.raises(UserError, match="another process"):
        go()


def test_what_a_killed_run_left_behind_is_swept(go):
    path = go()
    left = path.parent / ".checkpoint.ptabc.tmp"
    left.write_bytes(b"half a checkpoint")
    go()
    assert not left.exists()


def test_unwritable_runs_folder(go, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        go(f"runs={tmp_path / 'file'}")


def test_the_config_in_the_folder_is_the_config_of_the_run(go):
    path = go("method=hmix")
    stored = OmegaConf.load(path.parent / "config.yaml")
    assert stored.method.ratio == 0.5
    assert stored.seed == 0


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["seed=-1"], "seed"),
        (["seed=first"], "seed"),
        (["precision=fp16"], "precision"),
        (["compile=2"], "compile"),
        (["threads=0"], "threads"),
        (["device=gpu"], "device"),
        (["checkpoint_seconds=-1"], "checkpoint_seconds"),
        (["recipe.epochs=0"], "recipe.epochs"),
        (["recipe.epochs=many"], "recipe.epochs"),
        (["recipe.batch_size=61"], "recipe.batch_size"),
        (["recipe.batch_size=1"], "recipe.batch_size"),
        (["recipe.lr=0"], "recipe.lr"),
        (["recipe.momentum=1.5"], "recipe.momentum"),
        (["recipe.nesterov=1"], "recipe.nesterov"),
        (["recipe.momentum=0"], "recipe.nesterov"),
        (["recipe.schedule=linear"], "recipe.schedule"),
        (["recipe.drops=[100,150]"], "recipe.drops"),
        (["recipe.drops=0.5"], "recipe.drops"),
        (["recipe.criterion=bcr"], "recipe.criterion"),
        (["recipe.label_smoothing=2"], "recipe.label_smoothing"),
        (["recipe.crop_padding=-1"], "recipe.crop_padding"),
        (["recipe.mean=[0.5,0.5,0.5]"], "recipe.mean"),
        (["recipe.std=[0]"], "recipe.std"),
        (["dataset.subset=100000"], "dataset.subset"),
        (["dataset.subset=9"], "dataset.subset"),
        (["dataset.test_subset=361"], "dataset.test_subset"),
        (["method=manifold_mixup", "method.depths=[0,5]"], "method.depths"),
        (["method=mixup", "method.alpha=0"], "method.alpha"),
        (["method=mixup", "method._target_=nobody.Knows"], "method._target_"),
        (["method=mixup", "+method.strength=2"], "strength"),
        (["+sede=1"], "sede"),
    ],
)
def test_bad_input_is_one_line_that_names_the_option(go, words, option):
    with pytest.raises(UserError) as caught:
        go(*words)
    message = str(caught.value)
    assert option in message
    assert "\n" not in message


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_cuda_where_there_is_none(go, device):
    with pytest.raises(UserError, match=f"device={device}: torch sees no CUDA device here; type device=cpu"):
        go(f"device={device}")


def test_a_row_knows_its_memory(go):
    memory = json.loads(go().read_text())["memory"]
    assert 50 < memory["host_peak_mib"] < 100_000
    assert memory["device_peak_mib"] is None


def test_a_profile_leaves_a_trace_and_no_row(go, tmp_path, capfd):
    assert go("profile=true") is None
    (trace,) = tmp_path.rglob("trace.json")
    assert any("forward" in str(event.get("name")) for event in json.loads(trace.read_text())["traceEvents"])
    assert not list(tmp_path.rglob("row.json"))
    assert not list(tmp_path.rglob("checkpoint.pt"))


def test_a_network_and_images_that_do_not_fit(go):
    with pytest.raises(UserError, match="needs images of at least 32 pixels a side, these have 8"):
        go("model=vgg16_bn")
    with pytest.raises(UserError, match=r"model\.regulariser\.block=4: larger than the network's feature"):
        go("regulariser=dropblock", "model.blocks=[1,1,1]")


def test_deterministic_changes_nothing_on_the_cpu(go, tmp_path):
    """Its operations never vary anyway; and the next run of the process is free again."""
    words = ["method=manifold_mixup", "model.width=4"]
    strict = json.loads(go(*words, "deterministic=true", f"runs={tmp_path / 'a'}").read_text())
    plain = json.loads(go(*words, f"runs={tmp_path / 'b'}").read_text())
    assert [h["train_loss"] for h in strict["history"]] == [h["train_loss"] for h in plain["history"]]
    assert strict["environment"]["deterministic"]
    assert not plain["environment"]["deterministic"]
    assert strict["fingerprint"] == plain["fingerprint"]
    assert not torch.are_deterministic_algorithms_enabled()


def test_graphs_need_a_gpu(go):
    with pytest.raises(UserError, match="graph=true: CUDA graphs need a CUDA device; type graph=false"):
        go("graph=true", "device=cpu")
