"""Seeds, jobs, shares: what is decided before anything runs."""

import os

import numpy as np
import pytest

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.data.moments import measured
from msda_train.launch.claims import Disk, Failure, fits
from msda_train.launch.execute import Devices
from msda_train.launch.plan import typed
from msda_train.launch.seeds import parse_seeds
from msda_train.records.rows import read_row, write_row


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("0-4", (0, 1, 2, 3, 4)),
        ("3", (3,)),
        ("0,2,5", (0, 2, 5)),
        ("5, 0-2 ,1", (0, 1, 2, 5)),
        ("7-7", (7,)),
    ],
)
def test_seeds(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "type --seeds 0-4"),
        ("a", "type --seeds 0-4"),
        ("-1", "type --seeds 0-4"),
        ("0-", "type --seeds 0-4"),
        ("0..4", "type --seeds 0-4"),
        ("1.5", "type --seeds 0-4"),
        ("0,,1", "type --seeds 0-4"),
        ("4-0", "type --seeds 0-4"),
        ("0-999999999", "more than 1000 seeds"),
        ("99999999999", "type --seeds 0-4"),
    ],
)
def test_seeds_that_cannot_be_read(text, message):
    with pytest.raises(UserError, match=message) as error:
        parse_seeds(text)
    assert "\n" not in str(error.value)


def test_cells_of_one_configuration_are_one_run(plan):
    made = plan(0, 1)
    assert [len(each.cells) for each in made.configurations] == [2, 1]
    assert [(job.seed, job.configuration.cells[0].label) for job in made.jobs] == [
        (0, "None"),
        (0, "Input"),
        (1, "None"),
        (1, "Input"),
    ]
    assert made.not_runnable == 1
    assert made.configurations[0].title == "CIFAR-10, PreActResNet-18, None (error, nll)"


@pytest.mark.parametrize(
    ("extra", "as_published"),
    [
        ([], True),
        (["precision=fp32", "threads=1", "dataset.root=/d", "dataset.cache=/c", "device=cpu"], True),
        (["recipe.epochs=1200"], True),  # what it is anyway
        (["recipe.epochs=2"], False),
        (["dataset.subset=100"], False),
    ],
)
def test_whether_it_is_the_published_configuration(plan, extra, as_published):
    assert plan(0, extra=extra).published is as_published


def test_commands_can_be_pasted(plan):
    job = plan(3, extra=["model.blocks=[1,1]"]).jobs[1]
    words = job.words("my runs", "cuda:1", 2)
    assert typed(words) == (
        "msda-train experiment=manifold_cifar10_preactresnet18 method=mixup method.alpha=1.0 "
        "'model.blocks=[1,1]' seed=3 'runs=my runs' device=cuda:1 threads=2"
    )
    assert typed(job.words("runs")).endswith("seed=3")


def test_rows_of_other_images_do_not_count(plan, make_row, tmp_path):
    (job, _) = plan(0).jobs
    official, own = make_row(job), make_row(job)
    own["data"] = own["data"] | {"complete": False}
    own["config"]["dataset"] |= {"source": "npz", "root": "few.npz"}
    write_row(tmp_path / "a.json", official)
    write_row(tmp_path / "b.json", own)
    assert fits(read_row(tmp_path / "a.json"), job.configuration)
    assert not fits(read_row(tmp_path / "b.json"), job.configuration)
    (same, _) = plan(0, extra=["dataset.source=npz", "dataset.root=few.npz"]).jobs
    write_row(tmp_path / "c.json", make_row(same, data=own["data"]))
    assert fits(read_row(tmp_path / "c.json"), same.configuration)


def test_a_row_is_found_by_fingerprint_and_seed(plan, make_row, tmp_path):
    disk, (job, other) = Disk(tmp_path), plan(0).jobs
    assert disk.row(job) is None
    write_row(tmp_path / f"{job.fingerprint}-abcdef01" / "s0" / "row.json", make_row(job, seed=1))
    assert disk.row(job) is None  # says another seed
    path = tmp_path / f"{job.fingerprint}-abcdef02" / "s0" / "row.json"
    write_row(path, make_row(job))
    assert disk.row(job).path == path
    assert disk.row(other) is None
    path.write_text(path.read_text()[:100])
    assert disk.row(job) is None
    kept = read_row(_written(tmp_path / "kept.json", make_row(other)))
    assert Disk(tmp_path, {(other.fingerprint, 0): [kept]}).row(other) is kept


def _written(path, row):
    write_row(path, row)
    return path


@pytest.mark.parametrize(
    ("names", "jobs", "running", "answer"),
    [
        ((None,), 1, [], (True, None)),
        ((None,), 1, [None], (False, None)),
        (("a", "b"), 4, [], (True, "a")),
        (("a", "b"), 4, ["a"], (True, "b")),
        (("a", "b"), 4, ["a", "a", "b"], (True, "b")),
        (("a", "b"), 4, ["a", "a", "b", "b"], (False, None)),
        (("a", "b"), 3, ["a", "b"], (True, "a")),
        (("a", "b"), 3, ["a", "a", "b"], (False, None)),
        (("a", "b", "c"), 2, ["a"], (True, "b")),
        (("a", "b", "c"), 2, ["a", "b"], (False, None)),
    ],
)
def test_shares_of_devices(names, jobs, running, answer):
    assert Devices(names, jobs).free(running) == answer


def test_own_data_are_told_apart_by_their_place_and_age(plan, make_row, tmp_path, monkeypatch):
    """Two files of one's own have one fingerprint: each run of theirs has a name, a row and a failure of its
    own, and a file that was written later than a row is not the one that the row is of."""
    monkeypatch.chdir(tmp_path)
    for name in ("one.npz", "other.npz"):
        (tmp_path / name).write_bytes(b"")
    (one, _) = plan(0, extra=["dataset.source=npz", "dataset.root=one.npz"]).jobs
    (other, _) = plan(0, extra=["dataset.source=npz", "dataset.root=other.npz"]).jobs
    assert one.fingerprint == other.fingerprint
    assert one.key != other.key
    disk = Disk(tmp_path)
    disk.record(one, Failure("msda-train", 2, ("bad",)))
    assert disk.failure(other) is None
    raw = make_row(one)
    raw["data"]["complete"] = False
    path = tmp_path / f"{one.fingerprint}-x" / "s0" / "row.json"
    write_row(path, raw)
    os.utime(tmp_path / "one.npz", (1, 1))
    assert disk.row(one) is not None
    assert disk.row(other) is None
    os.utime(tmp_path / "one.npz", (path.stat().st_mtime + 5,) * 2)
    assert disk.row(one) is None


def test_a_plan_knows_the_numbers_that_auto_measures(plan, tmp_path, cache):
    """The fingerprint of a run counts them, so that its row is found; a fact of the data is no mere place."""
    rng = np.random.default_rng(0)
    pixels = {f"x_{part}": rng.integers(0, 200, (20, 8, 8, 3), dtype=np.uint8) for part in ("train", "test")}
    labels = {f"y_{part}": np.arange(20) % 2 for part in ("train", "test")}
    np.savez(tmp_path / "own.npz", **pixels, **labels)
    own = ["dataset=own", "dataset.source=npz", f"dataset.root={tmp_path / 'own.npz'}", "dataset.size=4"]
    own += [f"dataset.cache={cache}"]
    auto = ["dataset.mean=auto", "dataset.std=auto"]
    with pytest.raises(UserError, match=r"not prepared, .* type: msda-data prepare .* dataset.size=4"):
        plan(0, extra=[*own, *auto])
    images = build("dataset", compose(*own).dataset).examples()
    found = measured(images.x_train)
    typed = [f"dataset.{key}=[{','.join(map(str, found[key]))}]" for key in ("mean", "std")]
    (one, _), (other, _) = plan(0, extra=[*own, *auto, "threads=1"]).jobs, plan(0, extra=[*own, *typed]).jobs
    assert one.fingerprint == other.fingerprint
    assert set(typed) <= set(one.words("runs"))
    assert not set(auto) & set(one.words("runs"))
    (larger, _) = plan(0, extra=[*own[:3], "dataset.size=6", *own[4:], *typed]).jobs
    assert larger.key != other.key
    assert not plan(0, extra=["dataset.mean=[0.5,0.5,0.5]"]).published
