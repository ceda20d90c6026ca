"""A published table of our own, of two configurations and four cells, that small runs can answer."""

import json
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from msda_train.comparison.compare import find_table
from msda_train.launch import child, execute
from msda_train.launch.claims import Disk
from msda_train.launch.plan import make_plan
from msda_train.records.published import load_papers

TINY = """
key: tiny
title: "A paper"
authors: Somebody
venue: Nowhere 2026
arxiv: "0000.00000"
url: https://example.org/tiny
tables:
  - id: table1
    name: Table 1
    caption: Errors
    source: made up
    metrics:
      error: {unit: percent, digits: 2, protocol: error/best}
      nll: {unit: nats, digits: 3, protocol: nll/best}
    columns:
      - dataset: CIFAR-10
        model: PreActResNet-18
        experiment: manifold_cifar10_preactresnet18
        cells:
          - {label: None, metric: error, value: 4.80, method: erm}
          - {label: None, metric: nll, value: 0.200, method: erm}
          - {label: Input, metric: error, value: 3.90, method: mixup, set: [method.alpha=1.0]}
          - {label: Quoted, metric: error, value: 9.99, method: erm, not_runnable: not theirs}
"""

SMALL = [
    "dataset=digits",
    "recipe=smoke",
    "model.width=4",
    "model.blocks=[1,1]",
    "dataset.subset=60",
    "dataset.test_subset=30",
    "recipe.batch_size=25",
    "threads=1",
    "checkpoint_seconds=0",
]

ROW = Path(__file__).parents[1] / "stored/rows/digits-preactresnet18-smoke/5c742baa714d76ce-s0.json"

# Stands for a worker: it says when each run began and ended, and leaves the row it was given.
WORKER = """
import json, os, pathlib, shutil, sys, time
for line in sys.stdin:
    job = json.loads(line)
    place, key, device, seconds, code = job["words"]
    log = open(job["log"], "a")
    diary = os.open(pathlib.Path(place, "diary"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(diary, f"begin {key} {device} {time.time()} {os.getpid()}\\n".encode())
    print("working on", key, file=log, flush=True)
    time.sleep(float(seconds))
    os.write(diary, f"end {key} {device} {time.time()} {os.getpid()}\\n".encode())
    if int(code):
        print("cannot go on", file=log, flush=True)
        sys.exit(int(code))
    name, seed = key.split("-")
    folder = pathlib.Path(place, "runs", name + "-00000000", seed)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(pathlib.Path(place, "rows", key + ".json"), folder / "row.json")
    log.close()
    print("done", flush=True)
"""


@pytest.fixture
def published(tmp_path):
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "tiny.yaml").write_text(TINY)
    return folder


@pytest.fixture(scope="session")
def arrays(tmp_path_factory):
    """One decoded-array cache for all tests, not the user's."""
    return tmp_path_factory.mktemp("planner_cache")


@pytest.fixture
def small(arrays):
    """Words of runs that take a second."""
    return [*SMALL, f"dataset.cache={arrays}"]


@pytest.fixture(scope="session")
def plan(tmp_path_factory):
    """The plan of the table for some seeds, with extra words; each is composed once."""
    folder = tmp_path_factory.mktemp("published")
    (folder / "tiny.yaml").write_text(TINY)
    _, table = find_table(load_papers(folder), "tiny/table1")

    @cache
    def composed(extra):
        return make_plan("tiny/table1", table, (0,), extra)

    return lambda *seeds, extra=SMALL: replace(composed(tuple(extra)), seeds=seeds)


def row_of(job, **changes):
    """A sound row of `job`, as a dictionary."""
    row = json.loads(ROW.read_text())
    config = json.loads(json.dumps(job.configuration.config))
    return row | {"config": config, "seed": job.seed, "fingerprint": job.fingerprint} | changes


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Workers that are only a script: `code` and `seconds` say how a run ends and when."""

    class World:
        disk = Disk(tmp_path / "runs")
        seconds, code = 0.1, 0

        def words(self, job, device):
            (tmp_path / "rows").mkdir(exist_ok=True)
            (tmp_path / "rows" / f"{job.key}.json").write_text(json.dumps(row_of(job)))
            return [str(tmp_path), job.key, str(device), str(self.seconds), str(self.code)]

        def diary(self):
            path = tmp_path / "diary"
            lines = path.read_text().splitlines() if path.exists() else []
            return [line.split() for line in lines]

        def executor(self, jobs, *, devices=(None,), at_once=1, wait=True, retry=False):
            devices = execute.Devices(devices, at_once)
            return execute.Executor(self.disk, jobs, devices, self.words, wait=wait, retry=retry)

    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    monkeypatch.setattr(
        child, "module_command", lambda module, words: [sys.executable, "-I", "-S", str(script)]
    )
    monkeypatch.setattr(execute, "WAIT_SECONDS", 0.1)
    monkeypatch.setattr(execute, "POLL_SECONDS", 0.02)
    return World()


@pytest.fixture
def make_row():
    return row_of
