"""Which runs turn the most published cells into verdicts within a given time.

A cell has a verdict once two seeds of its configuration are there (`comparison/verdict.py`). So what can be
bought are groups: all the runs that one configuration still lacks, which decide all its cells at once, those
of other papers too. Groups share no run, so the best choice for one device is a knapsack, and a small one:
values are whole numbers whose sum is at most the number of published cells, and the least time for each value
is found exactly. Several devices must also be packed; there the groups with the most verdicts per second
stay.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

from msda_train.launch.plan import Job


@dataclass(frozen=True)
class Group:
    """Runs of one configuration. seconds: what is left of each of `jobs`; verdicts: cells that become
    verdicts when all are done, 1 or more; begun: whether one of them is half done, or its other seed is
    there."""

    jobs: tuple[Job, ...]
    seconds: tuple[float, ...]
    verdicts: int
    begun: bool = False

    @property
    def rate(self) -> float:
        """Verdicts per second."""
        return self.verdicts / max(sum(self.seconds), 1e-9)


@dataclass(frozen=True)
class Choice:
    """whole: groups that will be complete, in the order to run them; single: runs for the time that is left,
    each of a group that will not be; later: the other groups, the best first."""

    whole: tuple[Group, ...]
    single: tuple[tuple[Job, float], ...]
    later: tuple[Group, ...]

    @property
    def jobs(self) -> list[Job]:
        """All runs, in order."""
        return [*(job for group in self.whole for job in group.jobs), *(job for job, _ in self.single)]

    @property
    def seconds(self) -> float:
        """Of all of them, one after another."""
        return sum(sum(group.seconds) for group in self.whole) + sum(seconds for _, seconds in self.single)

    @property
    def verdicts(self) -> int:
        """How many cells will be decided."""
        return sum(group.verdicts for group in self.whole)


def choose(groups: Iterable[Group], seconds: float, machines: int = 1) -> Choice:
    """The groups with the most verdicts in all that `machines` can do within `seconds`; of choices as good,
    the shortest. Runs that are half done come first, then what has the most verdicts per second."""
    ranked = sorted(groups, key=lambda group: (not group.begun, -group.rate))
    possible = [group for group in ranked if max(group.seconds, default=0.0) <= seconds]
    whole = _most_verdicts(possible, seconds * machines)
    if machines > 1:
        whole = _packed(whole, possible, seconds, machines)
    later = [group for group in ranked if group not in whole]
    used = [each for group in whole for each in group.seconds]
    single = []
    for group in later:
        for job, needed in sorted(zip(group.jobs, group.seconds, strict=True), key=lambda pair: pair[1]):
            if _fits([*used, needed], seconds, machines):
                single.append((job, needed))
                used.append(needed)
    return Choice(tuple(whole), tuple(single), tuple(later))


def _most_verdicts(groups: Sequence[Group], seconds: float) -> list[Group]:
    """The exact knapsack: for every reachable number of verdicts the least time, and by which groups."""
    best: dict[int, tuple[float, int]] = {0: (0.0, 0)}  # verdicts: seconds, the groups as bits
    for number, group in enumerate(groups):
        cost = sum(group.seconds)
        for verdicts, (spent, chosen) in list(best.items()):
            both = verdicts + group.verdicts
            if spent + cost <= seconds and spent + cost < best.get(both, (inf, 0))[0]:
                best[both] = spent + cost, chosen | 1 << number
    chosen = best[max(best)][1]
    return [group for number, group in enumerate(groups) if chosen >> number & 1]


def _packed(whole: list[Group], possible: Sequence[Group], seconds: float, machines: int) -> list[Group]:
    """`whole` without what cannot be packed onto the machines, and with what then can."""
    kept: list[Group] = []
    for group in [*sorted(whole, key=lambda group: -group.rate), *possible]:
        runs = [each for other in [*kept, group] for each in other.seconds]
        if group not in kept and _fits(runs, seconds, machines):
            kept.append(group)
    return [group for group in possible if group in kept]


def _fits(runs: Sequence[float], seconds: float, machines: int) -> bool:
    """Whether the runs, the longest first and each onto the machine that is free first, end in time."""
    ends = [0.0] * machines
    for each in sorted(runs, reverse=True):
        first = ends.index(min(ends))
        ends[first] += each
    return max(ends) <= seconds
