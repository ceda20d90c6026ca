"""The machinery of the benchmark: whose turn it is, what a spread is."""

import numpy as np
import pytest

from bench.timing import interleaved, spread


class FakeTime:
    """Runs the work and says that each case takes its own number of seconds."""

    def __init__(self, seconds):
        self.seconds, self.turns, self.now = seconds, [], None

    def case(self, name):
        def work():
            self.now = name

        return work

    def __call__(self, work, repeats):
        work()
        self.turns.append((self.now, repeats))
        return self.seconds[self.now] * repeats


def measure(seconds, **options):
    timer = FakeTime(seconds)
    found = interleaved({name: timer.case(name) for name in seconds}, timer=timer, **options)
    return found, timer.turns


def test_cases_take_turns_in_an_order_that_moves_on():
    found, turns = measure({"a": 1.0, "b": 2.0, "c": 3.0}, rounds=4)
    assert "".join(name for name, _ in turns) == "abc" + "bca" + "cab" + "abc"
    np.testing.assert_allclose(found["b"], [2.0] * 4)


def test_a_short_case_is_called_several_times_in_its_turn():
    found, turns = measure({"short": 0.003, "long": 0.5}, rounds=2, least_seconds=0.01)
    assert turns[:2] == [("short", 1), ("long", 1)]  # how long does one take?
    assert set(turns[2:]) == {("short", 4), ("long", 1)}
    np.testing.assert_allclose(found["short"], 0.003)  # per call


def test_repeats_have_a_limit():
    _, turns = measure({"nothing": 0.0}, rounds=1, least_seconds=1.0, most=50)
    assert turns[-1] == ("nothing", 50)


def test_spread_is_median_and_quartiles():
    found = spread(np.array([4.0, 1.0, 3.0, 2.0, 100.0]))
    assert (found.median, found.low, found.high) == (3.0, 2.0, 4.0)
    two = spread(np.array([1.0, 2.0]))
    assert (two.low, two.median, two.high) == pytest.approx((1.25, 1.5, 1.75))


def test_ratios_are_of_one_round():
    """A machine that slows down for both changes no ratio."""
    ours, other = np.array([1.0, 10.0, 2.0]), np.array([2.0, 20.0, 4.0])
    found = spread(ours / other)
    assert (found.low, found.median, found.high) == (0.5, 0.5, 0.5)
