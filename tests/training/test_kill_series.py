"""Killed again and again, and four processes at once: the rows are those of a run that was left alone.

The ordinary suite kills a few times, `slow` a hundred times; -s shows the figures. The processes come from a
fork server that has torch already, so a life costs no start-up.
"""

import errno
import fcntl
import json
import multiprocessing
import os
import random
import shlex
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from process_tree import below
from without_times import history

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for trainers in /proc")

EPOCHS = 8
TABLE = """
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
    columns:
      - dataset: CIFAR-10
        model: PreActResNet-18
        experiment: manifold_cifar10_preactresnet18
        cells:
          - {label: None, metric: error, value: 4.80, method: erm}
          - {label: Input, metric: error, value: 3.90, method: mixup}
"""
WORKER = "import sys; sys.path[:0] = {places!r}; import test_kill_series as t; t.worker({folder!r}, {locks})"
PLACES = {"history.csv", "row.json", "config.yaml", "checkpoint.pt", "gallery.json", "lock", "multirun.yaml"}


def life(folder, words, locks=True):
    """What a process does: the command line `words`, what it says into a file, its epochs into a diary."""
    os.chdir(folder)
    said = os.open(f"said.{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
    _prepare(folder, locks)
    from msda_train.cli import table as table_cli
    from msda_train.cli import train as cli
    from msda_train.launch import child

    places = [str(place) for place in Path(__file__).parents[:2]]  # of this file and of those it imports
    start = WORKER.format(places=places, folder=str(folder), locks=locks)
    child.module_command = lambda module, words: [sys.executable, "-c", start]
    code = table_cli.main(words) if words[0] == "run" else cli.main(words)
    os._exit(code)


def worker(folder, locks):
    """The planner's trainer."""
    _prepare(folder, locks)
    from msda_train.cli.worker import main

    sys.exit(main())


def _prepare(folder, locks):
    """A diary of all epochs that end, and, if so wished, a file system without locks."""
    from msda_train.training.run import Run

    whole = Run.epoch

    def epoch(run, number, *rest):
        measured = whole(run, number, *rest)
        line = f"{run.fingerprint} {run.seed} {number}\n"
        diary = os.open(Path(folder, "diary"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(diary, line.encode())
        os.close(diary)
        return measured

    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    Run.epoch = epoch
    fcntl.flock = fcntl.flock if locks else no_locks


class World:
    """One folder, and what may be typed in it."""

    def __init__(self, folder, small, server):
        self.folder, self.runs, self.server = folder, folder / "runs", server
        self.small = [*small, "checkpoint_seconds=0", f"recipe.epochs={EPOCHS}"]
        folder.mkdir()
        (folder / "published").mkdir()
        (folder / "published" / "tiny.yaml").write_text(TABLE)

    def words(self, kind, number=0):
        """The command line; `number` chooses seeds that no other has."""
        if kind == "train":
            return ["method=mixup", f"seed={number}", *self.small, f"runs={self.runs}"]
        if kind == "sweep":
            seeds = f"seed={2 * number},{2 * number + 1}"
            return ["-m", "method=erm,mixup", seeds, *self.small, f"runs={self.runs}"]
        return ["run", *self.plan(number), "--jobs", "2"]

    def plan(self, number=0):
        where = ["--published", str(self.folder / "published"), "--runs", str(self.runs)]
        seeds = ["--seeds", f"{2 * number}-{2 * number + 1}"]
        return ["tiny/table1", *where, *seeds, "dataset=digits", "recipe=smoke", *self.small]

    def start(self, words, locks=True):
        process = self.server.Process(target=life, args=(self.folder, words, locks))
        process.start()
        return process

    def finish(self, words):
        process = self.start(words)
        process.join(300)
        said = self.folder / f"said.{process.pid}"
        assert process.exitcode == 0, said.read_text()

    def rows(self):
        """What was measured, by fingerprint and seed."""
        rows = [json.loads(path.read_text()) for path in self.runs.rglob("row.json")]
        return {(row["fingerprint"], row["seed"]): (row["metrics"], history(row)) for row in rows}

    def epochs(self):
        """How often each epoch of each run has ended."""
        return Counter((self.folder / "diary").read_text().splitlines())

    def left(self):
        """Files that no run needs."""
        files = [path for path in self.runs.rglob("*") if path.is_file()]
        return [p for p in files if p.name not in PLACES and p.parent.name not in ("claims", "logs")]


@pytest.fixture(scope="module")
def server():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "msda_train.cli.train", "msda_train.evaluation.probing"])
    return context


@pytest.fixture
def world(tmp_path, small_run, server):
    return lambda name: World(tmp_path / name, small_run, server)


def _until(process, ready, seconds):
    end = time.monotonic() + seconds
    while process.is_alive() and time.monotonic() < end and not ready():
        time.sleep(0.0005)


MOMENTS = ("checkpoint", "epoch", "any", "row", "checkpoint")


def _wait(moment, world, process, draw):
    """Until the process trains and a checkpoint or a row is being written, an epoch has just ended, or for
    some time."""
    diary, began = world.folder / "diary", time.time_ns()

    def has_ended():
        return diary.exists() and diary.stat().st_mtime_ns > began

    _until(process, has_ended, 60)
    if moment == "any":
        time.sleep(draw.uniform(0, 0.3))
    elif moment == "epoch":
        began = time.time_ns()
        _until(process, has_ended, 5)
    else:
        name = f".{moment}.*.tmp"
        _until(process, lambda: any(world.runs.glob(f"*/s*/{name}")), 20)


def _kill(process, draw):
    victims = [process.pid, *below(process.pid)]
    draw.shuffle(victims)
    for victim in victims:
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
    process.join()
    return process.exitcode == -signal.SIGKILL


def _series(world, kind, kills):
    """Kills a command that often, typing it again each time; one that ends well is followed by the next.
    Returns how many command lines there were, and the figures."""
    draw, number, figures = random.Random(11), 0, Counter()
    for life_number in range(3 * kills):
        process = world.start(world.words(kind, number))
        _wait(MOMENTS[life_number % len(MOMENTS)], world, process, draw)
        if _kill(process, draw):
            figures["kills"] += 1
            for path in world.runs.rglob("*.tmp"):
                if path.stat().st_mtime > time.time() - 5:
                    figures["while " + path.name.split(".")[1] + " was written"] += 1
        else:
            assert process.exitcode == 0, (world.folder / f"said.{process.pid}").read_text()
            number += 1
        if figures["kills"] == kills:
            break
    world.finish(world.words(kind, number))
    return number + 1, figures


@pytest.mark.parametrize(
    ("kind", "kills"),
    [
        ("train", 3),
        *(pytest.param(kind, n, marks=pytest.mark.slow) for kind, n in [("train", 50), ("sweep", 35)]),
        pytest.param("plan", 15, marks=pytest.mark.slow),
    ],
)
def test_killed_and_typed_again(world, kind, kills):
    began, killed, straight = time.monotonic(), world("killed"), world("straight")
    commands, figures = _series(killed, kind, kills)
    for number in range(commands):
        straight.finish(straight.words(kind, number))
    ended = killed.epochs()
    figures |= {"runs": len(killed.rows()), "epochs": len(ended), "files left": len(killed.left())}
    figures["epochs lost that had ended"] = ended.total() - len(ended)
    print(f"\n{kind}: {dict(figures)}, {time.monotonic() - began:.0f} s")
    assert figures["kills"] == kills
    assert killed.rows() == straight.rows()
    assert set(ended) == set(straight.epochs())
    assert figures["epochs lost that had ended"] <= kills  # the one whose checkpoint was being written
    assert killed.left() == []


@pytest.mark.parametrize("locks", [True, False])
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow) for kind in ("train", "sweep", "plan", "both")]
)
def test_four_processes_train_each_cell_once(world, kind, locks, capsys):
    one = world("runs of four")
    if kind == "both":
        typed = [one.words("plan")] * 2 + _printed(one, capsys)[:2]
    else:
        typed = [one.words(kind)] * 4
    processes = [one.start(words, locks) for words in typed]
    for process in processes:
        process.join(300)
    codes = [process.exitcode for process in processes]
    said = "\n".join(path.read_text() for path in one.folder.glob("said.*"))
    assert set(codes) <= {0, 2}, said
    assert len(one.rows()) == {"train": 1}.get(kind, 4), said
    assert set(one.epochs().values()) == {1}
    assert len(one.epochs()) == EPOCHS * len(one.rows())
    assert one.left() == [] or not locks  # there the claims stay


def _printed(world, capsys):
    """The commands that the plan prints."""
    from msda_train.cli import table as table_cli

    assert table_cli.main(["plan", "--no-probe", *world.plan()]) == 0
    lines = capsys.readouterr().out.splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("msda-train ")]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.slow
def test_a_plan_that_is_stopped_has_lost_nothing(world, number, code):
    """The planner tells its trainers and waits; they end their epochs and save."""
    one, draw = world("stopped"), random.Random(3)
    words = [word.replace("checkpoint_seconds=0", "checkpoint_seconds=3600") for word in one.words("plan")]
    process = one.start(words)
    _wait("any", one, process, draw)
    os.kill(process.pid, number)
    process.join(60)
    assert process.exitcode == code, (one.folder / f"said.{process.pid}").read_text()
    logs = [path.read_text() for path in one.runs.glob("logs/*.log")]
    assert any("msda-train: stopped; the same command goes on" in log for log in logs)
    ended = one.epochs()
    assert one.left() == []
    one.finish(one.words("plan"))
    assert set(one.epochs().values()) == {1}
    assert ended < one.epochs()
