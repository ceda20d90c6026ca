"""What `msda-table plan` and `msda-table run` share: their options, and the plan that these ask for."""

import argparse
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import OmegaConf

from msda_train.cli.files import sound_papers, sound_rows
from msda_train.cli.overrides import GROUPS, check_choices, hydra_errors, quote_text
from msda_train.cli.parser import Parser, add_published
from msda_train.comparison.compare import find_table
from msda_train.config.compose import compose
from msda_train.config.yaml_file import LINE, read_yaml
from msda_train.core.errors import UserError, nearest
from msda_train.core.paths import CONFIGS, PUBLISHED
from msda_train.launch.claims import Disk
from msda_train.launch.execute import Devices
from msda_train.launch.plan import Job, Plan, make_plan
from msda_train.launch.seeds import parse_seeds
from msda_train.records.published import Table
from msda_train.records.rows import Row

KEPT = Path("results/rows")
MOST_JOBS = 256
_DEVICE = re.compile(r"auto|cpu|cuda|cuda:\d{1,3}")
# What the plan itself decides, and the word that decides it there.
_RESERVED = {
    "seed": "type --seeds 0-4",
    "experiment": "the table names it",
    "task": "published tables are of classifiers",
    "method": "the table names it; one of its options is method.OPTION=VALUE",
    "devices": "each run has one device; several at a time are --devices cuda:0,cuda:1",
}


@dataclass(frozen=True)
class Request:
    """What was asked: the plan, the disk it is about, stored rows, and how to run it."""

    plan: Plan
    disk: Disk
    rows: tuple[Row, ...]
    devices: Devices
    threads: int | None  # for each of several jobs at a time; None: torch's own choice
    options: tuple[str, ...]  # as typed, for another subcommand
    code: int  # 2 where a stored row or a published file is damaged; else 0

    def words(self, job: Job, device: str | None) -> list[str]:
        """What to type behind msda-train for one of its jobs, on a device (None: as msda-train chooses)."""
        return job.words(str(self.disk.runs), device, self.threads)

    @property
    def missing(self) -> list[Job]:
        """The jobs without a row on the disk, now."""
        return [job for job in self.plan.jobs if self.disk.row(job) is None]


def plan_parser(name: str, description: str) -> Parser:
    """The parser of `msda-table NAME`, for `read_request`; a command may add options of its own."""
    parser = Parser(
        prog=f"msda-table {name}",
        description=description,
        epilog="Further words (recipe.epochs=2 dataset.root=FOLDER precision=fp32 ...) go to every run as "
        "they are. Unless they only say where and how to compute, such rows are not the published "
        "configuration. With several jobs at a time each gets threads= its share of the cores.",
    )
    parser.add_argument("table", nargs="?", metavar="PAPER/TABLE")
    parser.add_argument("words", nargs="*", metavar="WORD", help="for every msda-train: OPTION=VALUE")
    parser.add_argument("--seeds", metavar="0-4", help="0-4 or 0,2,5; default: 0, with --minutes 0-1")
    parser.add_argument(
        "--minutes",
        metavar="N",
        help="of all tables, or those named: what decides the most published cells in N minutes; dataset=A,B "
        "model=, recipe=, method=, experiment= choose among the cells",
    )
    parser.add_argument("--runs", metavar="FOLDER", help="folder of run folders; default: runs")
    parser.add_argument("--jobs", type=int, metavar="N", help="runs at a time; default: one per device")
    parser.add_argument(
        *("--devices", "--device"),
        metavar="LIST",
        help="e.g. cuda:0,cuda:1; each gets its share of the jobs",
    )
    parser.set_defaults(prog=parser.prog)
    add_published(parser)
    return parser


def read_request(args: argparse.Namespace) -> Request:
    """The parsed words, checked and composed; UserError for what is wrong. Damaged rows go to stderr."""
    words = [*([args.table] if args.table else []), *args.words]
    name = next((word for word in words if "=" not in word), None)
    if name is None:
        raise UserError(f"which table? type: {args.prog} PAPER/TABLE, or {args.prog} --minutes 12")
    words.remove(name)
    extra, runs = for_every_run(words, args.runs)
    papers, slips = sound_papers(args.published)
    paper, table = find_table(papers, name)
    return request_for(args, (f"{paper.key}/{table.id}", table), extra, runs, slips)


def request_for(
    args: argparse.Namespace, named: tuple[str, Table], extra: Sequence[str], runs: str, slips: int
) -> Request:
    """The same for a table by its name, with the words `extra` for every run."""
    name, table = named
    seeds = parse_seeds(args.seeds or ("0" if args.minutes is None else "0-1"))
    runnable = [cell for cell in table.cells if cell.not_runnable is None]
    if not runnable:
        raise UserError(f"{name}: none of its cells can be run: {table.cells[0].not_runnable}")
    _check(list(runnable[0].overrides), extra)
    devices = _devices(args.devices, args.jobs, extra)
    plan = make_plan(name, table, seeds, extra)
    folders = (Path(runs), KEPT, *([args.keep] if getattr(args, "keep", None) else []))
    rows, bad = sound_rows([place for place in folders if place.is_dir()])
    kept: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        kept.setdefault((row.fingerprint, row.seed), []).append(row)
    return Request(
        plan=plan,
        disk=Disk(Path(runs), kept),
        rows=tuple(rows),
        devices=devices,
        threads=_threads(devices, extra),
        options=_typed(args),
        code=max(slips, bad),
    )


def for_every_run(words: Sequence[str], runs: str | None) -> tuple[list[str], str]:
    """The words for every run, and the folder of runs, which may be typed either way."""
    known = [*read_yaml(CONFIGS / "train.yaml"), *GROUPS]
    known = [name for name in known if name not in ("defaults", "hydra", LINE)]
    extra = []
    check_choices(words)
    for word in words:
        key, sign, value = word.lstrip("+~").partition("=")
        if not sign and not word.startswith("~"):
            raise UserError(f"{word}: cannot be read; type OPTION=VALUE")
        if key in _RESERVED:
            raise UserError(f"{word}: not here; {_RESERVED[key]}")
        if "." not in key and key not in known:
            raise UserError(f"{word}: no such option; {nearest(key, known)}")
        if key == "runs":
            if runs not in (None, value):
                raise UserError(f"{word} and --runs {runs}: type one of them")
            runs = value
        else:
            extra.append(quote_text(word))
    return extra, runs or "runs"


def _check(words: list[str], extra: Sequence[str]) -> None:
    """UserError, as msda-train would say it, where the words do not compose."""
    with hydra_errors([*words, *extra]):
        OmegaConf.to_container(compose(*words, *extra), resolve=True)


def _devices(text: str | None, jobs: int | None, extra: Sequence[str]) -> Devices:
    names: tuple[str | None, ...] = (None,)
    if text is not None:
        if any(word.startswith("device=") for word in extra):
            raise UserError(f"--devices {text}: and device= as well; type one of them")
        parts = [part.strip() for part in text.split(",")]
        if not all(_DEVICE.fullmatch(part) for part in parts) or len(set(parts)) < len(parts):
            raise UserError(
                f"--devices {text}: cannot be read; type --devices cuda:0,cuda:1 or --devices cpu"
            )
        names = tuple(parts)
    jobs = len(names) if jobs is None else jobs
    if not 1 <= jobs <= MOST_JOBS:
        raise UserError(f"--jobs {jobs}: must be a whole number, 1 to {MOST_JOBS}")
    return Devices(names, jobs)


def _threads(devices: Devices, extra: Sequence[str]) -> int | None:
    """Several trainers that each take every core would only hinder each other."""
    if devices.jobs == 1 or any(word.startswith("threads=") for word in extra):
        return None
    return max(1, len(os.sched_getaffinity(0)) // devices.jobs)


def _typed(args: argparse.Namespace) -> tuple[str, ...]:
    """`args` as one would type them."""
    words = [args.table] if args.table else []
    words += ["--seeds", args.seeds or "0"] if args.minutes is None or args.seeds else []
    for option in ("minutes", "runs", "jobs", "devices"):
        if getattr(args, option) is not None:
            words += [f"--{option}", str(getattr(args, option))]
    if args.published != PUBLISHED:
        words += ["--published", str(args.published)]
    return (*words, *args.words)
