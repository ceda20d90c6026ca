"""Every row of the benchmark runs, on sizes that mean nothing; no time is asserted."""

import csv
import json
from dataclasses import replace

import pytest

from bench import (
    epoch,
    exactness,
    first_step,
    growth,
    memory_child,
    mixing,
    networks,
    pipeline,
    solver,
    startup,
    steps,
    streaming,
)
from bench.__main__ import SUBJECTS, main
from bench.peers import peer
from msda_train.config.compose import compose
from msda_train.core.errors import RunFailed
from msda_train.training.step import Step

QUICK = [
    pipeline.rows,
    mixing.mixup,
    mixing.cutmix,
    mixing.park_mixing,
    mixing.from_bytes,
    mixing.library,
    epoch.rows,
    exactness.rows,
    solver.rows,
    streaming.rows,
]


@pytest.mark.parametrize("rows", QUICK, ids=lambda f: f"{f.__module__}.{f.__name__}")
def test_subject(rows, tiny):
    found = list(rows(tiny))
    assert found
    numbers = next(own for own, subject in SUBJECTS if subject is rows)
    assert {row.number for row in found} == numbers
    for row in found:
        assert (row.judged is not None and row.judged.median >= 0) or row.note
        if row.theirs is not None and row.judged is not None:
            assert row.judged.low <= row.judged.median <= row.judged.high


def test_steps(tiny):
    found = list(steps.step_rows(tiny))
    assert [row.number for row in found] == [7, 7, 7, 7, 8, 9]
    assert all(row.judged.median > 0 for row in found)


def test_published_networks(tiny):
    """On a CPU only a line that says where they are measured; what a GPU does runs on a small network."""
    assert all(row.judged is None and "--device cuda" in row.note for row in networks.rows(tiny))
    for network in networks.PUBLISHED.values():
        compose("dataset=cifar10", *network.words, f"recipe.batch_size={network.batch}")
    words = ("model=preactresnet18", "model.width=2", "model.blocks=[1,1]")
    small = networks.Published(words, 4, 10, networks.at_most(1, 1), ("eager",))
    settings = replace(tiny, network_images=8)
    (row,) = networks.measured(settings, "small", small)
    assert row.what == "small, eager"
    epoch = float(row.note.split(" s ")[0])
    assert row.judged.median == pytest.approx(epoch * 10 / 60, abs=0.01)
    assert row.reach.rate > 0


def test_cost_of_methods(tiny):
    names = ["erm", "attentive_cutmix", "attentive_cutmix, cached", "tokenmix", "transmix"]
    records = list(steps.step_costs(tiny, names))
    assert [record["method"] for record in records] == names
    assert records[0]["ratio"] == 1.0
    assert "random weights" in records[1]["note"]
    assert "method.cached=true" in records[2]["note"]
    assert [record["model"] for record in records] == ["preactresnet18"] * 3 + ["deit_s"] * 2
    assert all(record["low"] <= record["ratio"] <= record["high"] for record in records)


def test_a_method_that_cannot_be_built_costs_its_own_line_only(tiny, monkeypatch):
    monkeypatch.setattr(steps, "mixing", lambda name, *_: [f"method={name}", "method.alpha=-1"])
    records = list(steps.step_costs(tiny, ["mixup"]))
    assert records[0]["ratio"] == ""
    assert "method.alpha" in records[0]["note"]


def test_a_missing_library_is_a_dash(tiny, monkeypatch):
    monkeypatch.setattr(mixing, "peer", lambda name, *_: None if name == "timm" else peer(name, *_))
    (row,) = [row for row in mixing.mixup(tiny) if row.other == "timm"]
    assert row.judged is None
    assert row.met == "-"
    assert "pip install" in row.note


def test_growth(tiny, monkeypatch):
    needs = {4: 60.0, 8: 100.0, 16: 180.0}  # MiB by batch
    monkeypatch.setattr(growth, "_peak", lambda settings, sizes: needs[sizes[1]])
    settings = replace(tiny, memory_batches=(4, 8, 16))
    time, mixed = growth._pipeline(tiny), growth._mixing(tiny)
    assert time.judged.median > 0
    assert mixed.judged.median > 0
    row = growth._memory(settings, "batch", settings.memory_batches, (8, 4, 2), 1)
    assert row.judged.median == 1.8
    assert row.met == "strive"
    assert row.note == "4: 60 MiB, 8: 100 MiB, 16: 180 MiB"


def test_the_child_says_its_peak(capsys):
    assert memory_child.main(["8", "4", "2", "cpu"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["host_peak_mib"] >= told["imports_mib"] > 10


def test_the_first_step_is_reached(small, monkeypatch):
    monkeypatch.setattr(Step, "__call__", Step.__call__)  # put back afterwards

    class Ended(BaseException):
        """Of the whole process: nobody may catch it."""

    def end(code):
        raise Ended(code)

    monkeypatch.setattr(first_step.os, "_exit", end)
    with pytest.raises(Ended) as ended:
        first_step.main(small("method=mixup"))
    assert ended.value.args == (first_step.REACHED,)


def test_a_process_that_fails_is_no_measurement():
    with pytest.raises(RunFailed, match="exit code 0"):
        startup.Process(["platform"], 3)()


@pytest.mark.slow
def test_what_starts_processes(tiny):
    found = list(startup.rows(tiny))
    assert [row.number for row in found] == [12, 12, 12]
    assert all("CPU time" in row.note for row in found)
    assert [row.number for row in growth.rows(tiny)] == [13] * 5


def test_command(tiny, tmp_path, capsys):
    assert main(["--only", "2,3", "--out", str(tmp_path)], tiny) == 0
    told = capsys.readouterr().out
    assert told.splitlines()[0].startswith("#")
    with (tmp_path / "cpu.csv").open() as file:
        records = list(csv.DictReader(file))
    assert {r["number"] for r in records} == {"2", "3"}
    assert all(r["device_name"] and r["torch"] and r["measured"] for r in records)


@pytest.mark.parametrize("words", [["--only", "0"], ["--only", "x"], ["--device", "tpu"]])
def test_bad_words(words, tiny, tmp_path, capsys):
    assert main([*words, "--out", str(tmp_path)], tiny) == 2
    assert capsys.readouterr().err.count("\n") == 1
