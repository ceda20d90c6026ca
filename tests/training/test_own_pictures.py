"""From a folder of pictures of many sizes to rows, as one types it; and what is refused."""

import json

import numpy as np
import pytest
from PIL import Image

from msda_train.cli.train import main
from msda_train.config.fingerprint import fingerprint
from msda_train.evaluation.finished_run import open_run


@pytest.fixture
def words(tmp_path, cache):
    """A run on twenty pictures of each of two classes, one dark and red, one light and green."""
    rng = np.random.default_rng(0)
    for name, shade in (("dark", (90, 20, 10)), ("light", (120, 230, 110))):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for k in range(20):
            wide, high = ((30, 20), (20, 25), (16, 16))[k % 3]
            pixels = np.clip(rng.normal(shade, 15, (high, wide, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{k}.png")
    data = ["dataset=own", f"dataset.root={tmp_path / 'photos'}", "dataset.size=8", "dataset.test_share=0.25"]
    data += ["dataset.crop_padding=1", f"dataset.cache={cache}"]
    run = ["recipe=smoke", "recipe.batch_size=10", "model.width=4", "model.blocks=[1,1]"]
    return [*data, *run, "threads=1", "precision=fp32", f"runs={tmp_path / 'runs'}"]


AUTO = ["dataset.mean=auto", "dataset.std=auto"]


def _rows(tmp_path):
    return [json.loads(path.read_text()) for path in sorted((tmp_path / "runs").glob("*/s0/row.json"))]


def _err(capsys):
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_numbers_are_measured_and_the_run_is_the_one_with_these_typed(words, tmp_path, capsys):
    assert main([*words, *AUTO, "method=mixup"]) == 0
    (row,) = _rows(tmp_path)
    opened = open_run(next((tmp_path / "runs").glob("*/s0")))
    x = opened.run.images.x_train
    assert x.shape == (30, 8, 8, 3)
    pixels = x.reshape(-1, 3) / 255
    mean, std = (np.round(v, 4).tolist() for v in (pixels.mean(axis=0), pixels.std(axis=0)))
    for node in ("dataset", "recipe"):
        assert row["config"][node]["mean"] == pytest.approx(mean, abs=1e-4)
        assert row["config"][node]["std"] == pytest.approx(std, abs=1e-4)
    assert row["fingerprint"] == fingerprint(row["config"])
    assert row["config"]["dataset"]["size"] == 8
    written = next((tmp_path / "runs").glob("*/s0/row.json"))
    before = written.stat().st_mtime_ns
    said = row["config"]["recipe"]
    typed = [f"dataset.{key}=[{','.join(map(str, said[key]))}]" for key in ("mean", "std")]
    for again in (AUTO, typed):
        assert main([*words, *again, "method=mixup"]) == 0
        assert "complete: mixup" in capsys.readouterr().err
    assert written.stat().st_mtime_ns == before
    assert len(_rows(tmp_path)) == 1


def test_a_subset_is_measured_by_itself_and_a_sweep_measures_each(words, tmp_path):
    assert main(["-m", *words, *AUTO, "method=erm,cutmix", "dataset.subset=null,10"]) == 0
    rows = _rows(tmp_path)
    found = {
        (row["names"]["method"], row["data"]["train_images"]): row["config"]["recipe"]["mean"] for row in rows
    }
    assert sorted(found) == [("cutmix", 10), ("cutmix", 30), ("erm", 10), ("erm", 30)]
    assert found["erm", 10] == found["cutmix", 10] != found["erm", 30] == found["cutmix", 30]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["dataset.mean=measure"], "dataset.mean=measure: unknown; type dataset.mean=auto"),
        (["dataset.mean=auto", "recipe=cutmix"], "own; type 'recipe.mean=${dataset.mean}', too"),
        (["dataset.mean=auto", "recipe.lr=-1"], "recipe.lr=-1"),
        (["model=mlp", "regulariser=stochdepth"], "regulariser: mlp has no residual blocks"),
    ],
)
def test_refused(words, more, message, capsys, tmp_path):
    shape = [word for word in words if not (word.startswith("model.") and "model=mlp" in more)]
    assert main([*shape, *more]) == 2
    assert message in _err(capsys)


def test_pictures_for_a_network_of_tables_say_which_network(words, capsys):
    assert main([*(word for word in words if not word.startswith("model.")), "model=mlp"]) == 2
    assert _err(capsys).endswith("; type model=preactresnet18")


def test_partners_at_a_depth_on_several_devices_are_refused_before_data_are_read(capsys, tmp_path):
    words = ["dataset=own", f"dataset.root={tmp_path / 'nowhere'}", "device=cpu", "threads=1"]
    far = ["method=manifold_mixup", "method.pairing=same_class"]
    assert main([*words, *far, "devices=2"]) == 2
    told = _err(capsys)
    # On a machine with one core that is what is wrong, and it is said first.
    assert "cannot be mixed at a depth on several devices" in told or "CPU core(s) here" in told
    assert main([*words, *far, "method.depths=[0]"]) == 2
    assert "no such folder" in _err(capsys)
