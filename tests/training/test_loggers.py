"""What tools are told of a run, read back from what they wrote; and that no tool can change or stop one."""

import csv
import io
import json
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from msda_train.cli.train import main
from msda_train.training import gallery, gan, logger
from msda_train.training.loggers.plain import Csv
from msda_train.training.run import Run

WORDS = ("method=cutmix", "recipe.epochs=4", "seed=3")


@pytest.fixture
def interrupted(go, monkeypatch):
    """Trains in two goes, the second of which begins after `kept` epochs: of the two that were trained before
    the interrupt no later one came to the disk."""

    def run(kept, *words):
        seconds = f"checkpoint_seconds={0 if kept else 1000}"
        whole = Run.epoch
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):

            def epoch(self, index, *rest):
                if index == 2:
                    raise KeyboardInterrupt
                return whole(self, index, *rest)

            patch.setattr(Run, "epoch", epoch)
            go(*words, seconds)
        assert any(Path(each).name == "checkpoint.pt" for each in Path.cwd().rglob("*.pt")) == bool(kept)
        return go(*words, seconds)

    return run


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def _told(path):
    """The row's history as loggers get it: (epoch, name) to number."""
    row = json.loads(path.read_text())
    speed = row["data"]["train_images"]
    for epoch in row["history"]:
        yield from {**epoch, "images_per_second": speed / epoch["train_seconds"]}.items()


def _lines(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("kept", [0, 2])
def test_history_has_each_epoch_once(interrupted, kept):
    path = interrupted(kept, *WORDS)
    found = [item for line in _lines(path.with_name("history.csv")) for item in line.items()]
    told = list(_told(path))
    assert [name for name, _ in found] == [name for name, _ in told]
    assert [float(value) for _, value in found] == pytest.approx([value for _, value in told], rel=1e-5)


def test_history_grows_while_a_run_goes_on(go, monkeypatch):
    seen, whole = [], Run.epoch

    def epoch(self, index, *rest):
        file = self.folder / "history.csv"
        seen.append([line["epoch"] for line in _lines(file)] if file.exists() else None)
        return whole(self, index, *rest)

    monkeypatch.setattr(Run, "epoch", epoch)
    go(*WORDS)
    assert seen == [None, ["1"], ["1", "2"], ["1", "2", "3"]]


def test_a_gan_has_a_history_too(tmp_path, monkeypatch):
    monkeypatch.setattr(gan, "EPOCH", 50)
    words = ["task=gan", "recipe.iterations=100", "recipe.batch_size=2", "recipe.discriminator_steps=1"]
    assert main([*words, "recipe.snapshots=[10]", "threads=1", "logger=csv", "runs=runs"]) == 0
    (path,) = tmp_path.glob("runs/*/s0/row.json")
    lines, row = _lines(path.with_name("history.csv")), json.loads(path.read_text())
    assert [float(line["good"]) for line in lines] == [epoch["good"] for epoch in row["history"]]
    assert "snapshots" not in lines[0]
    assert float(lines[1]["images_per_second"]) == pytest.approx(
        100 / row["history"][1]["train_seconds"], rel=1e-5
    )
    (folder,) = tmp_path.glob("csv/*")
    assert folder.name == f"gan_ring-gan_mlp-gan_erm-{path.parent.parent.name}-s0"
    assert {file.name for file in folder.iterdir()} == {"history.csv", "row.csv"}


@pytest.fixture
def one_and_the_same(go, tmp_path):
    """Asserts that a run with these words has the row and the weights of one that tells nobody."""

    def check(*words):
        rows = [go(*WORDS, *words), go(*WORDS, f"runs={tmp_path / 'alone'}")]
        (ours, weights), (theirs, other) = (
            (json.loads(p.read_text()), torch.load(p.with_name("checkpoint.pt"), weights_only=True))
            for p in rows
        )
        for key in ("fingerprint", "config", "metrics", "data", "names"):
            assert ours[key] == theirs[key]
        assert all(torch.equal(weights["model"][k], other["model"][k]) for k in other["model"])
        return rows[0]

    return check


def test_csv(one_and_the_same, tmp_path):
    path = one_and_the_same("logger=csv")
    (folder,) = tmp_path.glob("csv/*")
    assert (folder / "history.csv").read_bytes() == path.with_name("history.csv").read_bytes()
    row = json.loads(path.read_text())
    found = {line["name"]: line["value"] for line in _lines(folder / "row.csv")}
    assert float(found["error/best"]) == row["metrics"]["error/best"]
    assert (found["method"], found["method.alpha"], found["seed"]) == ("m", "1.0", "3")
    shown = gallery.pictures(path.parent)
    assert [line["label"] for line in _lines(folder / "mixed.csv")] == [each.label for each in shown]
    assert (folder / "mixed_7.png").read_bytes() == shown[7].png


def _events(folder):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0}).Reload()


@pytest.mark.parametrize("kept", [0, 2])
def test_tensorboard_has_each_epoch_once(interrupted, tmp_path, kept):
    pytest.importorskip("tensorboard")
    path = interrupted(kept, *WORDS, "logger=tensorboard")
    (folder,) = tmp_path.glob("tensorboard/*")
    found = _events(folder)
    curves = {"test/error": "error", "test/nll": "nll", "train/loss": "train_loss", "train/lr": "lr"}
    history = json.loads(path.read_text())["history"]
    for tag, name in {**curves, "speed/train_seconds": "train_seconds"}.items():
        points = [(event.step, event.value) for event in found.Scalars(tag)]
        assert points == [(epoch["epoch"], pytest.approx(epoch[name])) for epoch in history], tag
    assert len(found.Scalars("speed/images_per_second")) == 4


def test_tensorboard_has_pictures_row_and_options(one_and_the_same, tmp_path):
    pytest.importorskip("tensorboard")
    path = one_and_the_same("logger=tensorboard")
    (folder,) = tmp_path.glob("tensorboard/*")
    found, shown, row = _events(folder), gallery.pictures(path.parent), json.loads(path.read_text())
    (grid,) = found.Images("mixed")
    pixels = np.asarray(Image.open(io.BytesIO(grid.encoded_image_string)))
    first = np.asarray(Image.open(io.BytesIO(shown[0].png)).convert("RGB"))
    height, width = first.shape[:2]
    assert np.array_equal(pixels[:height, :width], first)
    text = [found.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in found.Tags()["tensors"]]
    assert any(all(each.label in words for each in shown) for words in text)
    told = next(words for words in text if words.startswith("```json"))
    assert json.loads(told.strip("`json\n"))["metrics"] == row["metrics"]
    assert [(event.step, event.value) for event in found.Scalars("whole_run/error/last")] == [
        (4, pytest.approx(row["metrics"]["error/last"]))
    ]
    assert b"method.alpha" in b"".join(file.read_bytes() for file in folder.iterdir())


@pytest.mark.parametrize("kept", [0, 2])
def test_mlflow(interrupted, tmp_path, monkeypatch, kept):
    pytest.importorskip("mlflow")
    path = interrupted(kept, *WORDS, "logger=mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=str(tmp_path / "mlruns"))
    found = client.search_runs([client.get_experiment_by_name("msda-train").experiment_id])
    assert Counter(run.info.status for run in found) == (
        {"FINISHED": 1} if kept else {"FINISHED": 1, "KILLED": 1}
    )
    run = next(run for run in found if run.info.status == "FINISHED")
    row = json.loads(path.read_text())
    for tag, name in {"test/error": "error", "train/lr": "lr"}.items():
        points = [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, tag)]
        assert points == [(epoch["epoch"], epoch[name]) for epoch in row["history"]]
    assert run.data.metrics["nll/at_best"] == row["metrics"]["nll/at_best"]
    assert run.data.params["method.alpha"] == "1.0"
    place = Path(run.info.artifact_uri)
    assert json.loads((place / "row.json").read_text())["metrics"] == row["metrics"]
    shown = gallery.pictures(path.parent)
    pixels = [np.asarray(Image.open(each)) for each in (place / "mixed/0.png", io.BytesIO(shown[0].png))]
    assert np.array_equal(*pixels)


def _leveldb(content):
    """The records of a log of LevelDB's: blocks of 32 KiB, parts of a checksum, a length, a kind and data; of
    kind 1 is a whole record, of 2 and 4 its first and last part. W&B puts seven bytes in front."""
    place, record = 7, b""
    while place + 7 <= len(content):
        if (left := -place % 32768) and left < 7:
            place += left
        length, kind = struct.unpack_from("<4xHB", content, place)
        record += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield record
            record = b""


def test_wandb_offline(one_and_the_same, tmp_path):
    pytest.importorskip("wandb")
    from wandb.proto import wandb_internal_pb2

    path = one_and_the_same("logger=wandb")
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    points = []
    for data in _leveldb(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        items = {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.history.item}
        points += [(items["epoch"], items["test/error"])] if "test/error" in items else []
    history = json.loads(path.read_text())["history"]
    assert points == [(epoch["epoch"], epoch["error"]) for epoch in history]


def test_a_finished_run_is_told_when_it_is_asked_for_again(go, tmp_path):
    pytest.importorskip("tensorboard")
    path = go(*WORDS)
    for _ in range(2):
        assert go(*WORDS, "logger=tensorboard") == path
    (folder,) = tmp_path.glob("tensorboard/*")
    assert [event.step for event in _events(folder).Scalars("test/error")] == [1, 2, 3, 4]


@pytest.mark.parametrize("when", ["begin", "epoch", "end", "close"])
def test_a_logger_that_fails_is_told_once_and_stops_nothing(small, monkeypatch, capfd, when):
    calls = []

    def fails(self, *_):
        calls.append(when)
        raise OSError("the disk is\nfull")

    monkeypatch.setattr(Csv, when, fails)
    assert main([*small(*WORDS), "logger=csv"]) == 0
    err = capfd.readouterr().err
    assert err.count("logger=csv: failed (OSError: the disk is full); the run goes on without it") == 1
    assert calls == [when] * (2 if when == "close" else 1)
    assert "complete: cutmix seed 3" in err


def test_a_logger_of_ones_own(small, tmp_path):
    (tmp_path / "mine.py").write_text(
        "class Mine:\n"
        "    def __init__(self, prefix): self.lines = [prefix]\n"
        "    def begin(self, about, done): self.lines.append(f'{about.options[\"seed\"]} {len(done)}')\n"
        "    def epoch(self, numbers): self.lines.append(str(numbers['epoch']))\n"
        "    def end(self, row, pictures): self.lines.append(f'{row[\"seed\"]} {len(pictures)}')\n"
        "    def close(self): __import__('pathlib').Path('told').write_text(' '.join(self.lines))\n"
    )
    assert main([*small(*WORDS), "+logger._target_=mine.Mine", "+logger.prefix=go"]) == 0
    assert (tmp_path / "told").read_text() == "go 3 0 1 2 3 4 3 8"


def test_a_logger_without_its_package_is_one_line(small, monkeypatch, capfd, tmp_path):
    monkeypatch.setattr(logger, "find_spec", lambda name: None)
    for name in ("tensorboard", "mlflow", "wandb"):
        assert main([*small(), f"logger={name}"]) == 2
        err = capfd.readouterr().err
        assert err.startswith(f"msda-train: logger={name}: needs ")
        assert err.endswith(f"type pip install 'msda-train[{name}]'\n")
        assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["logger=tensorbord"], "logger=tensorbord: unknown; did you mean 'tensorboard'?"),
        (["logger=csv", "logger.file=x"], "logger.file: no such option; did you mean 'logger.folder'?"),
        (["logger=wandb", "logger.mode=maybe"], "logger.mode=maybe: unknown; choose from: offline, online"),
        (["logger=csv", "logger.folder=3"], None),
        (["logger=null"], "logger=null: a logger has to be chosen"),
    ],
)
def test_wrong_words(small, capfd, words, line):
    code = main(small(*words))
    err = capfd.readouterr().err
    assert code == (2 if line else 0), err
    if line:
        assert err.startswith(f"msda-train: {line}")
        assert err.count("\n") == 1
