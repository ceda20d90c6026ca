"""A run on a set that is read while it trains: resumed, with workers and without, on two processes, as rows
and probes see it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from without_times import history

from msda_train.cli.probe import main as probe
from msda_train.cli.table import main as table
from msda_train.cli.train import main
from msda_train.core.programs import child_environment
from msda_train.data import picture_files, stream_loader
from msda_train.data.reader_pool import workers_of
from msda_train.records.rows import read_row
from msda_train.training.run import ODD, Run

DIGITS = ["dataset=digits", "dataset.subset=60", "recipe.crop_padding=0"]


@pytest.fixture(scope="module")
def root(tmp_path_factory, write_imagenet):
    made = tmp_path_factory.mktemp("streamed")
    write_imagenet(made)
    (made / "train" / "n01" / "n01_3.JPEG").write_bytes(b"no picture")
    return made


@pytest.fixture
def words(root, tmp_path):
    """Two epochs of a small network on eighteen images, one of them broken."""
    data = [
        "dataset=streamed",
        "dataset.name=toy",
        f"dataset.root={root}",
        "dataset.size=16",
        "dataset.resize=20",
    ]
    data += ["dataset.unreadable=0.1", "recipe=smoke", "recipe.batch_size=5", "recipe.crop_scale=[0.1,1.0]"]
    data += ["recipe.color_jitter=0.4", "recipe.lighting=0.1", "method=cutmix"]
    return [*data, "model.width=4", "model.blocks=[1,1]", "threads=1", "precision=fp32", "seed=1"]


def train(*words):
    assert main(list(words)) == 0
    folder = next(word for word in words if word.startswith("runs=")).removeprefix("runs=")
    (path,) = Path(folder).rglob("row.json")
    return path


def test_interrupted_and_with_workers_it_is_the_same_run(words, tmp_path, monkeypatch):
    straight = train(*words, "recipe.epochs=3", "workers=0", f"runs={tmp_path / 'straight'}")
    whole, runs = Run.epoch, f"runs={tmp_path / 'resumed'}"

    def until(self, index, *rest):
        if index == 1:
            raise KeyboardInterrupt
        return whole(self, index, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "epoch", until)
        assert main([*words, "recipe.epochs=3", "workers=0", runs]) == 130
    resumed = train(*words, "recipe.epochs=3", "workers=2", runs)
    workers_of.cache_clear()
    assert history(resumed) == history(straight)
    ours, theirs = (
        torch.load(p.parent / "checkpoint.pt", weights_only=True)["model"] for p in (resumed, straight)
    )
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert resumed.parent.parent.name == straight.parent.parent.name  # workers are in no fingerprint
    assert [h["unreadable_images"] for h in history(straight)] == [1, 1, 1]
    data = read_row(resumed).data
    assert (data["unreadable_images"], data["odd_images"], data["train_images"]) == (1, 0, 18)
    assert [line.split("\t")[0] for line in (resumed.parent / ODD).read_text().splitlines()] == [
        "train/n01/n01_3.JPEG"
    ]


def test_two_processes_train_what_one_trains(words, tmp_path):
    alone = train(*words, "workers=0", f"runs={tmp_path / 'alone'}")
    both = train(*words, "workers=0", "devices=2", f"runs={tmp_path / 'both'}")
    assert both.parent.parent.name == alone.parent.parent.name
    for one, two in zip(history(alone), history(both), strict=True):
        assert two == pytest.approx(one, rel=1e-3)


def test_what_comes_after_a_run_reads_the_files_again(words, root, tmp_path, capsys):
    row = train(*words, "workers=0", f"runs={tmp_path / 'runs'}")
    assert table(["verify", str(row.parent)]) == 0
    probes = ["probes=standard", "probes.representation.k=[5]"]
    assert probe([str(row.parent), *probes]) == 0
    asked = set(json.loads(row.read_text())["probes"])
    assert asked >= {"calibration", "ood", "adversarial", "in_between", "representation", "memorisation"}
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["workers=-1"], "workers=-1: must be a whole number, at least 0"),
        (["workers=9999"], "workers=9999: at most 256"),
        (["recipe.crop_scale=[0.1,2.0]"], "recipe.crop_scale=[0.1, 2.0]: shares of the image"),
        (["recipe.crop_ratio=[1]"], "recipe.crop_ratio=[1]: two numbers above 0, the smaller first"),
        (["recipe.crop_padding=2"], "recipe.crop_padding=2: a resized crop has no frame"),
        (["recipe.color_jitter=3"], "recipe.color_jitter=3: must lie in [0, 1]"),
        (["dataset.unreadable=0"], "of 18 images cannot be decoded so far"),
        (
            ["method.pairing=nearest", "method.neighbours=2"],
            "18 images of 16 pixels a side are 0.0 GiB, too many to hold at once",
        ),
        (DIGITS, "is for streamed sets, and this one is held in memory"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line(words, tmp_path, capsys, more, message, monkeypatch):
    monkeypatch.setattr(stream_loader, "FORGIVEN", 0)
    monkeypatch.setattr(picture_files, "MOST_BYTES", 18 * 16 * 16 * 3 - 1)
    if more[0] == "dataset=digits":
        words = [word for word in words if not word.startswith("dataset")]
    assert main([*words, "workers=0", *more, f"runs={tmp_path / 'runs'}"]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("msda-train: ")]
    assert len(said) == 1
    assert message in said[0]
    assert not list(tmp_path.rglob("row.json"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")
def test_a_signal_to_everybody_still_ends_the_epoch_and_every_worker(words, tmp_path):
    """As a scheduler sends it: to the trainer and its workers at once."""
    more = [*words, "workers=1", "recipe.epochs=5000", f"runs={tmp_path / 'runs'}"]
    command = [sys.executable, "-m", "msda_train.cli.train", *more]
    environment = {**child_environment(), "OMP_NUM_THREADS": "1"}
    run = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    while not list((tmp_path / "runs").rglob("checkpoint.pt")) and run.poll() is None:
        time.sleep(0.1)
    os.killpg(run.pid, signal.SIGTERM)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 143, said
    assert "Traceback" not in said
    end = time.monotonic() + 20
    while time.monotonic() < end and _alive(run.pid):
        time.sleep(0.1)
    assert not _alive(run.pid)


def _alive(session):
    """The processes of a session that are left."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(path)
    return found
