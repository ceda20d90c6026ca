"""The planner's loop with trainers that are only scripts: claims, shares, failures, orphans."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from msda_train.core.files import NotWritten
from msda_train.core.signals import Stopped
from msda_train.launch import child, execute
from msda_train.records.rows import load_rows, write_row


def test_all_runs_are_done_and_done_runs_are_left_alone(world, plan, make_row):
    jobs = plan(0, 1).jobs
    done = world.disk.runs / f"{jobs[0].fingerprint}-00000000" / "s0" / "row.json"
    write_row(done, make_row(jobs[0]))
    outcome = world.executor(jobs).run()
    assert (len(outcome.done), outcome.failed, outcome.taken) == (4, [], [])
    assert sorted(line[1] for line in world.diary() if line[0] == "begin") == sorted(
        job.key for job in jobs[1:]
    )
    assert all(world.disk.row(job) for job in jobs)
    log = world.disk.log(jobs[1]).read_text()
    assert log.startswith("\n$ msda-train ")
    assert "working on" in log


def test_each_device_gets_at_most_its_share(world, plan):
    world.seconds = 0.3
    outcome = world.executor(plan(0, 1, 2).jobs, devices=("cuda:0", "cuda:1"), at_once=3).run()
    assert len(outcome.done) == 6
    now, most = {"cuda:0": 0, "cuda:1": 0}, {"cuda:0": 0, "cuda:1": 0}
    total = 0
    for what, _, device, *_ in sorted(world.diary(), key=lambda line: float(line[3])):
        now[device] += 1 if what == "begin" else -1
        most[device] = max(most[device], now[device])
        total = max(total, sum(now.values()))
    assert total == 3
    assert most == {"cuda:0": 2, "cuda:1": 1} or most == {"cuda:0": 2, "cuda:1": 2}


def test_two_planners_on_one_folder_share_the_work(world, plan):
    world.seconds = 0.2
    jobs = plan(0, 1, 2).jobs
    both = [world.executor(jobs), world.executor(jobs)]
    outcomes = [None, None]

    def work(k):
        outcomes[k] = both[k].run()

    threads = [threading.Thread(target=work, args=(k,)) for k in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    begun = [line[1] for line in world.diary() if line[0] == "begin"]
    assert sorted(begun) == sorted(job.key for job in jobs)  # each exactly once
    assert [len(outcome.done) for outcome in outcomes] == [6, 6]  # both waited for the other's


def test_failures_are_kept_and_tried_again_only_with_retry(world, plan):
    jobs = plan(0).jobs
    world.code = 1
    outcome = world.executor(jobs).run()
    assert [failure.exit_code for _, failure in outcome.failed] == [1, 1]
    failure = world.disk.failure(jobs[0])
    assert failure.last[-1] == "cannot go on"
    assert failure.command.startswith("msda-train ")
    world.code = 0
    again = world.executor(jobs).run()
    assert len(again.failed) == 2
    assert len(world.diary()) == 4  # nobody tried
    retried = world.executor(jobs, retry=True).run()
    assert (len(retried.done), retried.failed) == (2, [])
    assert world.disk.failure(jobs[0]) is None


def test_retry_tries_once(world, plan):
    world.code = 1
    jobs = plan(0).jobs
    world.executor(jobs).run()
    assert len(world.executor(jobs, retry=True).run().failed) == 2
    assert sum(line[0] == "begin" for line in world.diary()) == 4


def test_a_killed_trainer_is_no_failure_of_the_run(world, plan):
    world.seconds = 30
    (job, _) = plan(0).jobs
    executor = world.executor([job])

    def kill(executor):
        if executor.running and world.diary():
            executor.running[0].worker.process.kill()

    outcome = executor.run(kill)
    assert outcome.failed[0][1].last[-1] == "stopped by signal 9"
    assert world.disk.failure(job) is None
    world.seconds = 0.0
    assert len(world.executor([job]).run().done) == 1


@pytest.mark.parametrize(
    ("stop", "number"), [(KeyboardInterrupt(), signal.SIGINT), (Stopped(signal.SIGHUP), signal.SIGHUP)]
)
def test_an_interrupt_stops_the_trainers(world, plan, stop, number):
    world.seconds = 30
    executor = world.executor(plan(0).jobs, at_once=2)
    started = []

    def interrupt(executor):
        if len(world.diary()) == 2:
            started.extend(each.worker.process for each in executor.running)
            raise stop

    with pytest.raises(KeyboardInterrupt):
        executor.run(interrupt)
    assert [process.returncode for process in started] == [-number, -number]


def test_what_another_process_does_is_taken(world, plan):
    claimed, trained, free = plan(0, 1).jobs[:3]
    path = world.disk.runs / "claims" / claimed.key
    path.parent.mkdir(parents=True)
    lock = world.disk.runs / f"{trained.fingerprint}-00000000" / "s0" / "lock"
    lock.parent.mkdir(parents=True)
    with open(path, "w") as claim, open(lock, "w") as training:
        fcntl.flock(claim, fcntl.LOCK_EX)
        fcntl.flock(training, fcntl.LOCK_EX)
        outcome = world.executor([claimed, trained, free], wait=False).run()
        assert (outcome.taken, outcome.done) == ([claimed, trained], [free])
    assert len(world.executor([claimed, trained]).run().done) == 2


def test_a_trainer_that_finds_its_folder_taken_is_no_failure(world, plan, monkeypatch):
    (job, _) = plan(0).jobs
    code = f"import sys; print('{execute.TAKEN}; wait for it', file=sys.stderr); sys.exit(2)"
    monkeypatch.setattr(child, "module_command", lambda module, words: [sys.executable, "-S", "-c", code])
    outcome = world.executor([job], wait=False).run()
    assert (outcome.taken, outcome.failed) == ([job], [])
    assert world.disk.failure(job) is None


def test_a_full_disk_is_no_failure_of_the_run(world, plan, monkeypatch):
    """The same command tries it again once there is room, without --retry."""
    (job, _) = plan(0).jobs
    told = str(NotWritten(OSError(errno.ENOSPC, "No space left on device"), Path("checkpoint.pt")))
    code = f"import sys; print({told!r}, file=sys.stderr); sys.exit(2)"
    with monkeypatch.context() as patch:
        patch.setattr(child, "module_command", lambda module, words: [sys.executable, "-S", "-c", code])
        ((failed, failure),) = world.executor([job]).run().failed
    assert (failed, failure.last[-1]) == (job, told)
    assert world.disk.failure(job) is None
    assert len(world.executor([job]).run().done) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_trainers_die_with_their_planner(tmp_path):
    code = (
        "import sys, time\n"
        "from msda_train.launch.child import start\n"
        "child = start([sys.executable, '-S', '-c', 'import time; time.sleep(60)'], sys.stderr)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    planner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    with planner:
        child = int(planner.stdout.readline())
        while b"sleep(60)" not in _command(child):  # until it is set
            time.sleep(0.01)
        planner.kill()
    end = time.monotonic() + 10
    while _alive(child):
        assert time.monotonic() < end
        time.sleep(0.02)


def _command(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        text = file.read()
    return b"" if b"die_with_parent.py" in text else text


def _alive(pid):
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_progress_reads_the_bar_in_the_log(world, plan):
    (job, _) = plan(0).jobs
    log = world.disk.log(job)
    log.parent.mkdir(parents=True)
    log.write_text("x s0:   0%| | 0/24 [00:00<?]\rx s0:  75%|#| 18/24 [00:01<00:00, 9step/s]")
    running = execute.Running(job, None, None)
    assert world.executor([job]).fraction(running) == 0.75
    log.write_text(log.read_text() + "\n$ msda-train again\nnothing yet")
    assert world.executor([job]).fraction(running) == 0.0


def test_two_planners_retry_once_together(world, plan):
    world.code = 1
    (job, _) = plan(0).jobs
    world.executor([job]).run()
    first, second = (world.executor([job], retry=True) for _ in range(2))
    first.run()  # fails again, in the same words
    assert len(second.run().failed) == 1
    assert sum(line[0] == "begin" for line in world.diary()) == 2


def test_an_edited_failure_is_one(world, plan):
    world.code = 1
    (job, _) = plan(0).jobs
    world.executor([job]).run()
    (path,) = world.disk.runs.rglob("failure.json")
    path.write_text("{")
    ((_, failure),) = world.executor([job]).run().failed
    assert "cannot be read" in failure.last[0]
    assert load_rows([world.disk.runs]) == ([], [])  # no reader of rows takes it for one


def test_a_trainer_that_leaves_no_row_has_failed(world, plan, monkeypatch):
    (job, _) = plan(0).jobs
    monkeypatch.setattr(child, "module_command", lambda module, words: [sys.executable, "-S", "-c", ""])
    ((_, failure),) = world.executor([job]).run().failed
    assert failure.last == ("exit code 0 and not a word",)


def test_who_has_lost_its_claim_leaves_the_run(world, plan):
    """Its machine was away for long, and another trains the run: neither of them is to blame."""
    world.seconds = 30
    (job, _) = plan(0).jobs
    lost = []

    def lose(executor):
        if executor.running and world.diary() and not lost:
            executor.running[0].claim.lost = True
            lost.append(executor.running[0].worker.process)
            world.seconds = 0.0

    outcome = world.executor([job]).run(lose)
    assert lost[0].returncode == -signal.SIGTERM
    assert (outcome.done, outcome.failed) == ([job], [])  # free again, it was only waited for
    assert world.disk.failure(job) is None
    assert [line[0] for line in world.diary()] == ["begin", "begin", "end"]


@pytest.fixture
def two_networks(plan):
    """Jobs of two plans in turns: network A seed 0, B seed 0, A seed 1, ...; two methods each."""
    words = ["dataset=digits", "recipe=smoke"]
    plans = [plan(0, 1, extra=[*words, f"model.width={width}"]).jobs for width in (4, 8)]
    return [job for pair in zip(*plans, strict=True) for job in pair]


def _by_worker(world):
    """Keys of runs in the order they began, by process."""
    begun = {}
    for what, key, _, _, pid in world.diary():
        if what == "begin":
            begun.setdefault(pid, []).append(key)
    return list(begun.values())


def test_one_worker_does_a_network_at_a_time(world, two_networks):
    outcome = world.executor(two_networks).run()
    assert len(outcome.done) == len(two_networks) == 8
    keys = [job.key for job in two_networks]
    assert _by_worker(world) == [keys[0::2] + keys[1::2]]  # within a network the plan's order


def test_two_workers_take_a_network_each(world, two_networks):
    world.seconds = 0.2
    world.executor(two_networks, at_once=2).run()
    keys = [job.key for job in two_networks]
    assert sorted(map(sorted, _by_worker(world))) == sorted([sorted(keys[0::2]), sorted(keys[1::2])])


def test_a_worker_stays_on_its_device(world, plan):
    world.seconds = 0.1
    world.executor(plan(0, 1, 2).jobs, devices=("cuda:0", "cuda:1"), at_once=2).run()
    used = {(pid, device) for _, _, device, _, pid in world.diary()}
    assert {device for _, device in used} == {"cuda:0", "cuda:1"}
    assert len({pid for pid, _ in used}) == len(used) == 2


def test_after_a_failure_a_new_worker_goes_on(world, plan):
    jobs = plan(0, 1).jobs
    whole = world.words
    world.words = lambda job, device: [*whole(job, device)[:-1], str(int(job is jobs[1]))]
    outcome = world.executor(jobs).run()
    assert [job for job, _ in outcome.failed] == [jobs[1]]
    assert _by_worker(world) == [[jobs[0].key, jobs[1].key], [jobs[2].key, jobs[3].key]]


def test_a_worker_that_dies_takes_only_its_run(world, plan):
    world.seconds = 0.3
    jobs = plan(0, 1).jobs
    killed = []

    def kill(executor):
        if not killed and executor.running and executor.running[0].job is jobs[1] and len(world.diary()) == 3:
            killed.append(executor.running[0].worker.process.kill())

    outcome = world.executor(jobs).run(kill)
    assert [job for job, _ in outcome.failed] == [jobs[1]]
    assert sorted(job.key for job in outcome.done) == sorted(job.key for job in jobs if job is not jobs[1])


def test_who_has_nothing_to_do_goes(world, plan):
    """A worker holds memory of its device; the last run may take long."""
    whole = world.words
    jobs = plan(0).jobs
    world.words = lambda job, device: [*whole(job, device)[:3], "0.1" if job is jobs[0] else "1.5", "0"]
    alone = []

    def look(executor):
        if jobs[0] in executor.outcome.done and [each.job for each in executor.running] == [jobs[1]]:
            alone.append(len(executor.workers) == 1)

    world.executor(jobs, at_once=2).run(look)
    assert alone[-1]


def test_no_worker_is_left(world, plan):
    executor = world.executor(plan(0, 1).jobs, at_once=2)
    seen = {}
    executor.run(lambda executor: seen.update({each.process.pid: each.process for each in executor.workers}))
    assert seen
    assert all(process.returncode == 0 for process in seen.values())
