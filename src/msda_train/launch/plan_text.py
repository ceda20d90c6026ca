"""A plan as text that is also a shell script: comments and commands."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from msda_train.launch.claims import Disk
from msda_train.launch.estimate import Estimate, duration
from msda_train.launch.plan import Job, Plan, typed

WARNING = "not the published configuration"


def plan_text(
    plan: Plan,
    disk: Disk,
    times: Mapping[str, Estimate],
    commands: Mapping[str, Sequence[str]],
    again: Sequence[str],
) -> str:
    """What `msda-table plan` prints: comments, and one command for each missing run.

    times: seconds of a run, by fingerprint; commands: the words of each missing run, by its key; again: what
    to type to run them all.
    """
    missing = [job for job in plan.jobs if job.key in commands]
    lines = [*head(plan, disk, missing), ""]
    for each in plan.configurations:
        jobs = [job for job in missing if job.configuration is each]
        if jobs:
            lines.append(f"# {each.title}: {_each(times.get(each.fingerprint))}")
            lines += [typed(commands[job.key]) for job in jobs] + [""]
    lines += [f"# {line}" for line in _total(missing, times)]
    if missing:
        lines.append(f"# run them, several at a time if you like: {shlex.join(['msda-table', *again])}")
    return "\n".join(lines) + "\n"


def head(plan: Plan, disk: Disk, missing: Sequence[Job]) -> list[str]:
    """Comment lines: what the table asks for and what is there."""
    cells, configurations, runs = len(plan.table.cells), len(plan.configurations), len(plan.jobs)
    failed = sum(disk.failure(job) is not None for job in missing)
    counts = f"{runs - len(missing)} done, {len(missing)} missing"
    counts += f" ({failed} of them failed before: --retry)" if failed else ""
    lines = [
        f"# {plan.name}, {plan.table.name}: {cells} cells, {plan.not_runnable} of them not runnable",
        f"# {configurations} configurations x {len(plan.seeds)} seeds = {runs} runs: {counts}",
    ]
    if not plan.published:
        lines.append(f"# {WARNING}: {shlex.join(plan.extra)}; no published number is compared with such rows")
    return lines


def _each(estimate: Estimate | None) -> str:
    if estimate is None or estimate.seconds is None:
        return f"time unknown ({estimate.source})" if estimate else "time unknown"
    return f"about {duration(estimate.seconds)} each, {estimate.source}"


def _total(missing: Sequence[Job], times: Mapping[str, Estimate]) -> list[str]:
    if not missing:
        return ["nothing is missing"]
    seconds = [times[job.fingerprint].seconds if job.fingerprint in times else None for job in missing]
    known = [each for each in seconds if each is not None]
    unknown = len(seconds) - len(known)
    runs = f"{len(missing)} run{'s' * (len(missing) > 1)}"
    if not known:
        return [f"{runs}, time unknown"]
    where = _machine(next(each for each in times.values() if each.seconds is not None))
    rest = f", and {unknown} of unknown time" if unknown else ""
    return [f"{runs}: about {duration(sum(known))} one after another on {where}{rest}"]


def _machine(estimate: Estimate) -> str:
    facts = estimate.facts
    threads = f", threads={facts['threads']}" if facts.get("device") == "cpu" else ""
    return f"{facts.get('device_name')} ({facts.get('precision')}{threads})"


def outcome_text(plan: Plan, done: int, failed: Sequence[tuple[str, str]], taken: int, runs: Path) -> str:
    """The last lines of `msda-table run`; `failed`: command and last line of each."""
    lines = [f"{command}\n  failed: {why}" for command, why in failed]
    text = f"{plan.name}: {done} of {len(plan.jobs)} runs done"
    text += f", {len(failed)} failed (logs in {runs / 'logs'}; try them again with --retry)" if failed else ""
    text += f", {taken} taken by another process" if taken else ""
    return "\n".join([*lines, text])
