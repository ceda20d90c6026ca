"""Which runs for the time there is: against trying everything, and by hand."""

from itertools import combinations

import numpy as np
import pytest

from msda_train.launch.minutes import Group, choose


def _group(name, *seconds, verdicts=1, begun=False):
    return Group(
        tuple(f"{name}{k}" for k in range(len(seconds))), tuple(map(float, seconds)), verdicts, begun
    )


def _packs(runs, seconds, machines):
    """Whether some way to deal the runs out ends in time: all ways are tried."""
    if not runs:
        return True
    loads = {(0.0,) * machines}
    for run in runs:
        loads = {
            tuple(sorted((*load[:k], load[k] + run, *load[k + 1 :])))
            for load in loads
            for k in range(machines)
            if load[k] + run <= seconds
        }
    return bool(loads)


def _brute_force(groups, seconds, machines=1):
    """The most verdicts, and the least seconds for so many."""
    best = (0, 0.0)
    for count in range(len(groups) + 1):
        for some in combinations(groups, count):
            runs = [each for group in some for each in group.seconds]
            if _packs(runs, seconds, machines):
                best = max(best, (sum(group.verdicts for group in some), -sum(runs)))
    return best[0], -best[1]


@pytest.mark.parametrize("seed", range(25))
def test_one_device_is_exact(seed):
    draw = np.random.default_rng(seed)
    groups = [
        _group(name, *draw.integers(1, 60, draw.integers(1, 3)), verdicts=int(draw.integers(1, 9)))
        for name in "abcdefghi"
    ]
    seconds = float(draw.integers(20, 250))
    chosen = choose(groups, seconds)
    used = sum(sum(group.seconds) for group in chosen.whole)
    assert (chosen.verdicts, used) == _brute_force(groups, seconds)
    assert chosen.seconds <= seconds


@pytest.mark.parametrize("seed", range(15))
def test_several_devices_end_in_time_and_lose_little(seed):
    draw = np.random.default_rng(100 + seed)
    groups = [_group(name, *draw.integers(5, 40, 2), verdicts=int(draw.integers(1, 6))) for name in "abcdefg"]
    chosen = choose(groups, 60.0, machines=2)
    runs = [each for group in chosen.whole for each in group.seconds] + [s for _, s in chosen.single]
    assert _packs(runs, 60.0, 2)
    assert chosen.verdicts >= 0.8 * _brute_force(groups, 60.0, 2)[0]


def test_what_is_half_done_comes_first_and_counts_what_is_left():
    fresh, half = _group("fresh", 100, 100, verdicts=9), _group("half", 20, 100, begun=True)
    chosen = choose([fresh, half], 330)
    assert chosen.jobs == ["half0", "half1", "fresh0", "fresh1"]
    assert (chosen.verdicts, chosen.seconds, chosen.later) == (10, 320, ())
    chosen = choose([fresh, half], 130)
    assert (chosen.jobs, chosen.later) == (["half0", "half1"], (fresh,))


def test_a_column_of_two_papers_goes_before_a_shorter_one_of_one():
    shared, own = _group("shared", 100, 100, verdicts=4), _group("own", 80, 80, verdicts=1)
    chosen = choose([own, shared], 220)
    assert (chosen.whole, chosen.later) == ((shared,), (own,))


def test_the_time_that_is_left_goes_to_single_runs():
    first, second = _group("first", 100, 100, verdicts=2), _group("second", 90, 90)
    chosen = choose([first, second], 295)
    assert (chosen.whole, chosen.single, chosen.later) == ((first,), (("second0", 90.0),), (second,))
    alone = choose([first], 120)  # no verdict, but half of one
    assert (alone.verdicts, alone.jobs) == (0, ["first0"])


def test_nothing_fits():
    assert choose([_group("a", 100, 100)], 99).jobs == []
    assert choose([], 99).jobs == []
