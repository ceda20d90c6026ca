"""What every configuration of a plan lacks until its cells have verdicts, and how long that takes."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from msda_train.launch.claims import Disk, fits
from msda_train.launch.estimate import Estimate
from msda_train.launch.minutes import Group
from msda_train.launch.plan import Configuration, Job, Plan
from msda_train.records.published import Cell
from msda_train.records.rows import Row

SEEDS = 2  # that a verdict needs


@dataclass
class Candidates:
    """groups: what can be chosen; wanted: configurations that lack something, those of unknown time included;
    cells: those that each would decide, by fingerprint; done: epochs that are done, by a job's key; reasons:
    why cells cannot be chosen, and how many."""

    groups: list[Group] = field(default_factory=list)
    wanted: list[Configuration] = field(default_factory=list)
    cells: dict[str, tuple[Cell, ...]] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def remarks(self) -> list[str]:
        """A line for each reason."""
        return [f"{count} cells: {reason}" for reason, count in self.reasons.items()]

    @property
    def seconds(self) -> dict[str, float]:
        """What is left of each run, by its key."""
        pairs = [zip(group.jobs, group.seconds, strict=True) for group in self.groups]
        return {job.key: left for each in pairs for job, left in each}


def candidates(plan: Plan, disk: Disk, times: Mapping[str, Estimate], *, retry: bool) -> Candidates:
    """Of the runs of `plan`; `times`: of a whole run, by fingerprint. Runs that failed before count only with
    `retry`."""
    found = Candidates()
    rows: dict[str, list[Row]] = {}
    for (mark, _), some in disk.kept.items():
        rows.setdefault(mark, []).extend(some)
    for each in plan.configurations:
        there = rows.get(each.fingerprint, [])
        cells = tuple(cell for cell in each.cells if each.answers(cell) and not _decided(cell, there))
        have = {row.seed for row in there if fits(row, each)}
        missing = [Job(each, seed) for seed in plan.seeds if seed not in have]
        sound = [job for job in missing if retry or not disk.failure(job)]
        lacking = SEEDS - len(have)
        estimate = times.get(each.fingerprint)
        if not cells or lacking <= 0:
            found.reasons["all runs are there, or no run of ours holds such a number"] += len(each.cells)
        elif len(sound) < lacking:
            failed = len(sound) < len(missing)
            why = "runs of theirs have failed; type --retry" if failed else "a verdict needs two seeds"
            found.reasons[why] += len(cells)
        elif estimate is None or estimate.seconds is None:
            found.wanted.append(each)
            found.reasons[f"time unknown ({estimate.source if estimate else 'not measured'})"] += len(cells)
        else:
            found.wanted.append(each)
            found.cells[each.fingerprint] = cells
            found.groups.append(_group(sound, lacking, len(cells), estimate, disk, found.done))
    return found


def _group(
    jobs: Iterable[Job], lacking: int, verdicts: int, estimate: Estimate, disk: Disk, done: dict[str, int]
) -> Group:
    """The `lacking` runs of which least is left."""
    runs = []
    for job in jobs:
        done[job.key] = disk.epochs_done(job)
        share = min(1.0, done[job.key] / max(1, job.configuration.epochs))
        runs.append((estimate.left(share) or 0.0, job.seed, job))
    runs = sorted(runs, key=lambda run: run[:2])[:lacking]
    begun = lacking < SEEDS or any(done[job.key] for *_, job in runs)
    return Group(tuple(job for *_, job in runs), tuple(left for left, *_ in runs), verdicts, begun)


def _decided(cell: Cell, rows: Iterable[Row]) -> bool:
    """Whether two seeds hold the number that stands beside it."""
    holding = [row for row in rows if row.data["complete"] and cell.compared_with in row.metrics]
    return len({row.seed for row in holding}) >= SEEDS
