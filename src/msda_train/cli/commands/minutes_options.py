"""What `msda-table plan --minutes 12` and `msda-table run --minutes 12` share: of all that the words leave,
and whose data are here, the runs to make."""

import argparse
import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from msda_train.cli.commands.plan_options import Request, for_every_run, request_for
from msda_train.cli.files import sound_papers
from msda_train.cli.guard import log
from msda_train.comparison.compare import find_paper, find_table
from msda_train.comparison.config_diff import experiment_choices
from msda_train.config.build import build
from msda_train.config.compose import composing
from msda_train.core.errors import UserError, nearest
from msda_train.core.signals import GRACE_SECONDS
from msda_train.launch.asking import Answer, ask_speed
from msda_train.launch.candidates import Candidates, candidates
from msda_train.launch.estimate import Estimate, duration, estimates
from msda_train.launch.minutes import Choice, choose
from msda_train.launch.plan import Configuration
from msda_train.launch.stated import stated_estimates
from msda_train.records.bench import on_gpu
from msda_train.records.published import Cell, Paper, Table

CHOICES = ("dataset", "model", "recipe", "method", "experiment")
MOST_MINUTES = 60 * 24 * 366
MEASURING = 0.1  # of the time may be spent on measuring networks
ABSENT = "torch sees no CUDA device"
_NUMBER = re.compile(r"\d{1,9}(\.\d{1,9})?|\.\d{1,9}")


@dataclass(frozen=True)
class InMinutes:
    """asked: the plan of everything possible; choice: what of it fits; ids: PAPER/TABLE/CELL of each cell;
    remarks: what was left out, and why; stated: whether the device is not here."""

    asked: Request
    seconds: float
    found: Candidates
    choice: Choice
    times: Mapping[str, Estimate]
    ids: Mapping[Cell, str]
    remarks: tuple[str, ...]
    stated: bool
    crowd: int  # trainers that share a GPU: each takes at most so many times as long
    published: Path  # the folder of published files


def parse_minutes(text: str) -> float:
    """Seconds; UserError where `text` is no number of minutes."""
    minutes = float(text) if _NUMBER.fullmatch(text) else 0.0
    if not 0 < minutes <= MOST_MINUTES:
        raise UserError(f"--minutes {text}: must be a number of minutes; type --minutes 12")
    return minutes * 60


def read_minutes(
    args: argparse.Namespace, began: float, *, probe: bool, absent: bool, retry: bool
) -> InMinutes:
    """The parsed words, checked, composed, and the runs chosen. began: when the command did, as
    time.monotonic() counts: to look and to measure takes a part of the minutes; probe: whether to measure
    what no row tells; absent: whether the device may be one that is not here; retry: whether runs count
    that failed before. UserError for what is wrong, also where nothing fits.
    """
    seconds = parse_minutes(args.minutes)
    asked, remarks, papers = everything(args)
    open_ones = candidates(asked.plan, asked.disk, {}, retry=retry).wanted
    times, stated = _times(asked, open_ones, seconds, probe=probe, absent=absent)
    found = candidates(asked.plan, asked.disk, times, retry=retry)
    remarks += found.remarks
    on_cpu = any(each.facts.get("device") == "cpu" for each in times.values())
    count, jobs = len(asked.devices.names), asked.devices.jobs
    usable = max(0.0, began + seconds - GRACE_SECONDS - time.monotonic())
    choice = choose(found.groups, usable, jobs if on_cpu else min(count, jobs))
    if not choice.jobs:
        raise UserError(_too_short(args, found, remarks))
    ids = {
        cell: f"{paper.key}/{table.id}/{number}"
        for paper in papers
        for table in paper.tables
        for number, cell in enumerate(table.cells, 1)
    }
    crowd = 1 if on_cpu else -(-jobs // count)
    return InMinutes(asked, seconds, found, choice, times, ids, tuple(remarks), stated, crowd, args.published)


def everything(args: argparse.Namespace) -> tuple[Request, list[str], list[Paper]]:
    """The plan of all runs that the parsed words leave and whose data are here, remarks on those that are
    not, and all papers. UserError for what is wrong."""
    typed = [*([args.table] if args.table else []), *args.words]
    names = [word for word in typed if "=" not in word and not word.startswith("~")]
    words = [word for word in typed if word not in names]
    papers, slips = sound_papers(args.published)
    cells, others = _narrowed(papers, names, words)
    extra, runs = for_every_run(others, args.runs)
    cells, remarks = _at_hand(cells, extra)
    table = Table("minutes", ", ".join(names) or "every table", "", tuple(cells))
    log("msda-table", f"looking through {len(cells)} published cells ...")
    asked = request_for(args, (f"{args.minutes} min", table), extra, runs, slips)
    return asked, remarks, papers


def _narrowed(
    papers: Sequence[Paper], names: Sequence[str], words: Sequence[str]
) -> tuple[list[Cell], list[str]]:
    """The runnable cells of the papers and tables `names` that the words choose, and the words that choose
    none. A word that some published cell has, chooses; any other is for every run."""
    everywhere = [cell for paper in papers for cell in paper.cells if cell.not_runnable is None]
    cells = [cell for name in names for cell in _of(papers, name)] if names else everywhere
    cells = [cell for cell in dict.fromkeys(cells) if cell.not_runnable is None]
    others = []
    for word in words:
        group, _, text = word.partition("=")
        wanted = text.split(",")
        known = {_choice(cell, group) for cell in everywhere} if group in CHOICES else set()
        if not known & set(wanted):
            if group in ("method", "experiment"):
                raise UserError(f"{word}: no published cell has it; {nearest(text, sorted(known))}")
            others.append(word)
            continue
        if missing := set(wanted) - known:
            raise UserError(f"{word}: no published cell has {group}={sorted(missing)[0]}")
        cells = [cell for cell in cells if _choice(cell, group) in wanted]
        if not cells:
            raise UserError(f"{word}: none of the cells that {' '.join([*names, *words])} leaves has it")
    return cells, others


def _of(papers: Sequence[Paper], name: str) -> Sequence[Cell]:
    return find_table(papers, name)[1].cells if "/" in name else find_paper(papers, name).cells


def _choice(cell: Cell, group: str) -> str:
    if group in ("method", "experiment"):
        return str(getattr(cell, group))
    return experiment_choices(cell.experiment)[0].get(group, "")


def _at_hand(cells: Sequence[Cell], extra: Sequence[str]) -> tuple[list[Cell], list[str]]:
    """Those whose data are prepared here, or lie where they would be read; and a remark per set that is
    not."""
    ours = [word for word in extra if word.startswith("dataset=")]
    words = [word for word in extra if re.match(r"[+~]*dataset[.=]", word) and word not in ours]
    here, remarks = {}, []
    with composing() as composed:
        for name in dict.fromkeys(_choice(cell, "dataset") for cell in cells):
            dataset = build("dataset", composed([*(ours or [f"dataset={name}"]), *words]).dataset)
            here[name] = getattr(dataset, "at_hand", lambda: True)()
            if not here[name]:
                count = sum(_choice(cell, "dataset") == name for cell in cells)
                remarks.append(
                    f"{count} cells: {name} is not prepared here; type: {dataset.command('prepare')}"
                )
            elif hasattr(dataset, "at_hand") and not dataset.prepared():
                log("msda-table", f"decoding {name} once ...")
                dataset.prepare()
    kept = [cell for cell in cells if here[_choice(cell, "dataset")]]
    if not kept:
        raise UserError(f"--minutes: no data are at hand: {'; '.join(remarks)}")
    return kept, remarks


def _times(
    asked: Request, wanted: Iterable[Configuration], seconds: float, *, probe: bool, absent: bool
) -> tuple[dict[str, Estimate], bool]:
    """Of the first device; the others are taken to be like it. And whether it is not here."""
    device, threads = asked.devices.names[0], asked.threads
    words = [f"device={device}"] if device else []
    words += [f"threads={threads}"] if threads else []
    ranked = by_promise(wanted)  # measuring may end before all are measured
    plan = replace(asked.plan, configurations=tuple(ranked))

    def ask(groups: Sequence[Sequence[str]], measure: bool) -> list[Answer]:
        if measure:
            log("msda-table", f"measuring {len(groups)} networks, at most {MEASURING * seconds:.0f} s ...")
        return ask_speed(groups, measure, MEASURING * seconds)

    found = estimates(plan, asked.rows, words, probe=probe, ask=ask)
    if not found or not all(ABSENT in each.source for each in found.values()):
        return found, False
    if not absent:
        raise UserError(next(iter(found.values())).source)
    return stated_estimates(ranked, estimates(plan, [], ["device=cpu"], probe=False)), True


def by_promise(configurations: Iterable[Configuration]) -> list[Configuration]:
    """Before anything is measured: those first which decide the most cells for their epochs on a network of
    its size, as far as the benchmark knows it."""
    rates = {name: each.seconds for name, each in on_gpu().items()}
    largest = max(rates.values(), default=1.0)

    def cost(each: Configuration) -> float:
        return max(1, each.epochs) * each.step_cost * rates.get(each.choice("model"), largest)

    return sorted(configurations, key=lambda each: -len(each.cells) / cost(each))


def _too_short(args: argparse.Namespace, found: Candidates, remarks: Sequence[str]) -> str:
    """One line for a time in which nothing can be done."""
    if not found.groups:
        why = "; ".join(remarks) or "every cell has its verdict"
        return f"--minutes {args.minutes}: nothing to run: {why}"
    shortest = min(each for group in found.groups for each in group.seconds)
    needed = math.ceil((shortest + GRACE_SECONDS) / 60) + 1  # to look around takes some seconds, too
    known = " of known time" if any("time unknown" in reason for reason in found.reasons) else ""
    short = f"too short for any run, the shortest{known} takes about {duration(shortest)} here"
    return f"--minutes {args.minutes}: {short}; type --minutes {needed}"
