"""Which way to train does most in the time that is left."""

import time

import pytest

from bench import ways
from bench.ways import fastest, measured

# images per second, seconds until the first
SPEEDS = {
    ("eager", 1): (100.0, 10.0),
    ("graph", 1): (150.0, 10.0),
    ("compile", 1): (200.0, 60.0),
    ("compile and graph", 1): TimeoutError("too late"),
}


@pytest.fixture
def told(monkeypatch):
    """What `fastest` says about made-up speeds, by way and trainers."""

    def speeds(more):
        known = SPEEDS | more

        def one(words, jobs, end):
            asked.append((tuple(words), jobs, end))
            names = {option: name for name, option in ways.WAYS.items()}
            option = tuple(word for word in words if word in ("graph=true", "compile=true"))
            found = known.get((names[option], jobs), OSError("exit code 1: no memory"))
            if isinstance(found, Exception):
                raise found
            return found

        monkeypatch.setattr(ways, "measured", one)
        lines, asked = [], []
        return (
            lambda **how: fastest(["word"], **({"limit": 60.0, "cores": 4, "log": lines.append} | how)),
            lines,
            asked,
        )

    return speeds


@pytest.mark.parametrize(("left", "name"), [(100, "graph"), (200, "graph"), (300, "compile")])
def test_compiling_pays_when_there_is_time(told, left, name):
    best, lines, _ = told({})
    way = best(cuda=True, left=left)
    assert (way.name, way.jobs) == (name, 1)
    assert "compile and graph, 1 at once: not measured, too late" in lines
    assert f"{name}, 3 at once: not measured, exit code 1: no memory" in lines


def test_more_trainers_must_gain(told):
    best, _, asked = told({("graph", 2): (154.0, 12.0), ("graph", 3): (190.0, 20.0)})
    way = best(cuda=True, left=120)
    assert (way.words, way.jobs) == (("graph=true",), 3)
    assert not any(word.startswith("threads=") for words, *_ in asked for word in words)
    best, _, _ = told({("graph", 2): (154.0, 12.0)})
    assert best(cuda=True, left=120).jobs == 1


def test_a_cpu_records_nothing_and_shares_its_cores(told):
    best, _, asked = told({("eager", 2): (180.0, 10.0)})
    assert best(cuda=False, left=50).jobs == 2
    assert [words for words, jobs, _ in asked if jobs == 1] == [("word",), ("word", "compile=true")]
    assert [words[-1] for words, jobs, _ in asked if jobs > 1] == ["threads=2", "threads=1"]


def test_nothing_could_be_measured(told):
    best, _, _ = told({key: OSError("exit code 2") for key in SPEEDS})
    assert best(cuda=True, left=100) is None


def test_two_real_trainers(small_run):
    rate, start = measured(["dataset=digits", *small_run, "method=mixup"], 2, time.monotonic() + 300)
    assert rate > 100  # two networks of some thousand weights
    assert start > 0
    with pytest.raises(OSError, match=r"exit code 1: .*recipe.lr"):
        measured(["dataset=digits", *small_run, "recipe.lr=-1"], 1, time.monotonic() + 300)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        measured(["dataset=digits", *small_run], 1, began + 0.2)
    assert time.monotonic() - began < 30
