"""A limit of time: what begins, what is left out, what stops, with workers that are only scripts."""

import time

import pytest

from msda_train.core import signals
from msda_train.launch import execute
from msda_train.launch.limit import Limit


@pytest.fixture
def jobs(plan):
    return plan(0, 1).jobs


def _limit(jobs, seconds, estimate, **more):
    return Limit(time.monotonic() + seconds, {job.key: estimate for job in jobs}, **more)


def _executor(world, jobs, limit, finished=lambda job: None, **more):
    options = {"wait": True, "retry": False, "limit": limit, "finished": finished}
    return execute.Executor(world.disk, jobs, execute.Devices((None,), 1), world.words, **options, **more)


def test_only_what_ends_in_time_begins(world, jobs):
    limit = _limit(jobs, 30, 1.0)
    limit.seconds[jobs[1].key] = limit.seconds[jobs[2].key] = 10_000.0
    finished = []
    outcome = _executor(world, jobs, limit, finished.append).run()
    assert (outcome.done, outcome.late) == ([jobs[0], jobs[3]], [jobs[1], jobs[2]])
    assert (finished, outcome.stopped, outcome.failed) == (outcome.done, [], [])
    assert {line[1] for line in world.diary()} == {jobs[0].key, jobs[3].key}


def test_what_was_seen_corrects_the_estimate(world, jobs):
    """Runs of a second that should take a hundredth: after the first, nobody believes in four of 0.2 s."""
    world.seconds = 1.0
    limit = _limit(jobs, 60, 0.01)
    limit.seconds |= {job.key: 1.0 for job in jobs[1:]}
    outcome = _executor(world, jobs, limit).run()
    assert len(outcome.done) == 1
    assert outcome.late == jobs[1:]  # a hundred times as long
    assert limit.seen[""] > 50


def test_faster_than_estimated_makes_room_for_the_reserve(world, jobs):
    """Estimates of 100 s leave room for one run in 150 s; it takes a moment, and the others begin, too."""
    limit = _limit(jobs, 150, 100.0, reserve=jobs[1:])
    outcome = _executor(world, jobs[:1], limit).run()
    assert [job.key for job in outcome.done] == [job.key for job in jobs]
    assert limit.reserve == []


def test_the_plan_comes_before_the_reserve(world, jobs):
    """Though a worker that has just done the like would suit the reserve better."""
    executor = _executor(world, jobs[:2], _limit(jobs, 60, 0.1, reserve=jobs[2:3]))
    executor.work[jobs[2].fingerprint] = executor.work[jobs[0].fingerprint]
    outcome = executor.run()
    assert outcome.done == jobs[:3]


def test_at_the_limit_what_runs_is_told_to_stop(world, jobs):
    world.seconds = 60.0
    began = time.monotonic()
    outcome = _executor(world, jobs, _limit(jobs, 2.0, 1.0)).run()
    assert time.monotonic() - began < 30
    assert (outcome.done, outcome.stopped, outcome.late) == ([], jobs[:1], jobs[1:])
    assert world.disk.failure(jobs[0]) is None  # it is not to blame


def test_a_row_that_comes_in_the_grace_counts(world, jobs, make_row):
    """A trainer that ends its last epoch after it was told to stop."""
    world.seconds = 60.0
    finished = []
    executor = _executor(world, jobs[:1], _limit(jobs, 1.0, 0.1), finished.append)

    stop = executor._stop

    def ended(number):
        from msda_train.records.rows import write_row

        folder = world.disk.runs / f"{jobs[0].fingerprint}-00000000" / "s0"
        write_row(folder / "row.json", make_row(jobs[0]))
        stop(number)

    executor._stop = ended
    outcome = executor.run()
    assert (outcome.done, outcome.stopped, finished) == (jobs[:1], [], jobs[:1])


def test_several_on_one_device_are_taken_to_be_slower_until_seen(jobs):
    limit = Limit(time.monotonic() + 10, {jobs[0].key: 6.0}, crowd=2.0)
    assert not limit.fits(jobs[0], "w")
    limit.seen = {"": 1.2}
    assert limit.fits(jobs[0], "w")
    limit.seen |= {"w": 2.0}
    assert not limit.fits(jobs[0], "w")
    assert signals.GRACE_SECONDS < 10  # a container is killed after ten
