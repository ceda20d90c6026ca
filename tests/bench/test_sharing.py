"""Rows 16 and 17, and the processes they start, on sizes that mean nothing."""

import io
import json
import time

import pytest

from bench import sharing, side_child, start_child
from msda_train.core.errors import RunFailed
from msda_train.training import run as training
from msda_train.training.step import Step


def test_starts(tiny, monkeypatch):
    """The first round fills caches and does not count."""
    asked = []
    answers = iter([(100.0, 90.0), (10.0, 0.5), (200.0, 150.0), (40.0, 0.4)])

    def starts(words):
        asked.append("compile=true" in words)
        return next(answers)

    monkeypatch.setattr(sharing, "_starts", starts)
    eager, compiled = sharing.start_rows(tiny)
    assert (eager.number, eager.judged.median, eager.met) == (16, 0.05, "strive")
    assert compiled.judged.median == pytest.approx(0.01)
    assert asked == [False, False, True, True]


def test_the_child_starts_two_runs(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Step, "__call__", Step.__call__)  # put back afterwards
    monkeypatch.setattr(training, "evaluate", training.evaluate)
    words = small("recipe.epochs=1", "recipe.batch_size=10")
    assert start_child.main([repr(time.time()), *words]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
    rows = [json.loads(path.read_text()) for path in tmp_path.rglob("row.json")]
    assert sorted((row["seed"], row["memory"]["earlier_runs"]) for row in rows) == [(0, 0), (1, 1)]


def test_a_run_that_fails_is_no_measurement():
    with pytest.raises(RunFailed, match=r"exit code 2: .*recipe\.lr"):
        sharing._starts(["recipe.lr=-1"])


def test_the_child_makes_steps_when_told(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("1\n2\n"))
    assert side_child.main(["cpu", "4", "model=preactresnet18", "model.width=2"]) == 0
    assert capsys.readouterr().out == "done\ndone\n"


def test_a_child_that_ends_early(tiny):
    with sharing._Trainer(["nowhere", "4"]) as trainer, pytest.raises(RunFailed, match="exit code"):
        trainer.begin(1)
        trainer.end()


@pytest.mark.slow
def test_side_by_side(tiny):
    (row,) = sharing.side_rows(tiny)
    assert row.number == 17
    assert row.judged.median > 0
