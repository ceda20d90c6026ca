"""The runs for a given time as text that is also a shell script: what they decide, and what comes next."""

import shlex
from collections.abc import Mapping, Sequence

from msda_train.launch.candidates import Candidates
from msda_train.launch.estimate import Estimate, duration
from msda_train.launch.minutes import Choice, Group
from msda_train.launch.plan import Plan, typed
from msda_train.launch.plan_text import WARNING, machine
from msda_train.records.published import Cell

NEXT = 5  # groups that are named
FEW = 8  # cells that are named one by one


def minutes_text(
    plan: Plan,
    found: Candidates,
    choice: Choice,
    times: Mapping[str, Estimate],
    commands: Mapping[str, Sequence[str]],
    ids: Mapping[Cell, str],
    remarks: Sequence[str],
    again: Sequence[str],
) -> str:
    """What `msda-table plan --minutes` prints. commands: words of each chosen run, by its key; ids: of each
    cell; remarks: lines at the head and about what was left out; again: what to type to run them."""
    lines = [*minutes_head(plan, choice, times), ""]
    for group in choice.whole:
        lines += [f"# {_said(group, found, times, ids)}"]
        lines += [typed(commands[job.key]) for job in group.jobs] + [""]
    for job, seconds in choice.single:
        title = job.configuration.title
        lines.append(f"# time is left for one run, which decides nothing yet: {title}, {duration(seconds)}")
        lines += [typed(commands[job.key]), ""]
    for group in choice.later[:NEXT]:
        lines.append(f"# next: {_said(group, found, times, ids)}")
    if len(choice.later) > NEXT:
        cells = sum(group.verdicts for group in choice.later[NEXT:])
        lines.append(f"# and {cells} cells of {len(choice.later) - NEXT} more configurations")
    lines += [f"# left out: {remark}" for remark in remarks]
    lines.append(f"# run them: {shlex.join(['msda-table', *again])}")
    return "\n".join(lines) + "\n"


def minutes_head(plan: Plan, choice: Choice, times: Mapping[str, Estimate]) -> list[str]:
    """Comment lines: how much will be decided, by what kind of knowledge."""
    runs, estimate = choice.jobs, times[choice.jobs[0].fingerprint]
    cells = f"{choice.verdicts} published cell{'s' * (choice.verdicts != 1)}"
    what = f"{len(runs)} run{'s' * (len(runs) > 1)}, about {duration(choice.seconds)}"
    decide = "they decide" if plan.published else "a variation of"
    lines = [f"# {plan.name} on {machine(estimate)}: {what}; {decide} {cells}"]
    if not plan.published:
        words = shlex.join(plan.extra)
        lines.append(f"# {WARNING}: {words}; no published number is compared with such rows")
    if any(job.configuration.words[-1].startswith("probes=") for job in runs):
        lines.append("# the time of probes comes on top: nobody has measured it")
    return lines


def _said(group: Group, found: Candidates, times: Mapping[str, Estimate], ids: Mapping[Cell, str]) -> str:
    """`TITLE: decides A, B: 2 runs, 3 min and 1 min (100 of 200 epochs done), from ...`."""
    first = group.jobs[0]
    names = [ids[cell] for cell in found.cells[first.fingerprint]]
    named = ", ".join(names[:FEW]) + (f" and {len(names) - FEW} more" if len(names) > FEW else "")
    runs = []
    for job, seconds in zip(group.jobs, group.seconds, strict=True):
        done = found.done[job.key]
        there = f" ({done} of {job.configuration.epochs} epochs are done)" if done else ""
        runs.append(f"{duration(seconds)}{there}")
    source = times[first.fingerprint].source
    return f"{first.configuration.title}: decides {named}: {' and '.join(runs)}, {source}"
