"""`python -m bench`: measures, prints the table and writes it as CSV; also `make bench`."""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from bench import (
    activations,
    epoch,
    exactness,
    growth,
    many_rows,
    mixing,
    networks,
    pipeline,
    sharing,
    solver,
    startup,
    steps,
)
from bench.peers import versions
from bench.settings import FULL, QUICK, Settings
from bench.table import Row, as_record, header, line, write_csv
from msda_train.core.errors import RunFailed, UserError
from msda_train.training.device import choose
from msda_train.training.environment import environment

Subject = Callable[[Settings], Iterator[Row]]
SUBJECTS: tuple[tuple[set[int], Subject], ...] = (
    ({1}, pipeline.rows),
    ({2, 3}, mixing.mixup),
    ({4}, mixing.cutmix),
    ({5}, mixing.park_mixing),
    ({6}, mixing.from_bytes),
    ({7, 8, 9}, steps.step_rows),
    ({10}, epoch.rows),
    ({11}, solver.rows),
    ({12}, startup.rows),
    ({13}, growth.rows),
    ({15}, activations.rows),
    ({16}, sharing.start_rows),
    ({17}, sharing.side_rows),
    ({18}, networks.rows),
    ({19}, exactness.rows),
    ({20}, many_rows.rows),
    ({21}, mixing.library),
)
COSTS = 14  # the number of the table of step costs
LAST = 21


def main(arguments: Sequence[str] | None = None, settings: Settings | None = None) -> int:
    """Exit code 0; 2 for words that mean nothing or a device that is not there."""
    asked = _parser().parse_args(arguments)
    try:
        numbers = _numbers(asked.only)
        compute = choose(asked.device, "auto", False, 1)
        settings = replace(settings or (FULL if asked.full else QUICK), device=compute.device)
        made_with = {
            "measured": datetime.now(UTC).isoformat(timespec="seconds"),
            **environment(compute),
            **versions(),
        }
        table(settings, numbers, asked.out, made_with)
        if COSTS in numbers:
            costs(settings, asked.out, made_with)
    except (UserError, RunFailed) as error:
        print(f"bench: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def table(settings: Settings, numbers: set[int], out: Path, made_with: dict[str, object]) -> None:
    """Prints the rows of `numbers` as they are measured; each subject is on the disk once it is done."""
    cuda = settings.device.type == "cuda"
    print(header(), flush=True)
    for own, rows in SUBJECTS:
        wanted = own & numbers
        if not wanted:
            continue
        records = []
        for row in rows(settings):
            if row.number in wanted:
                print(line(row, with_reach=cuda), flush=True)
                records.append(as_record(row, made_with))
        write_csv(out / f"{settings.device.type}.csv", records, "number")


def costs(settings: Settings, out: Path, made_with: dict[str, object]) -> None:
    """Prints and writes the cost of every method's step over ERM's."""
    network = f"preactresnet18, width {settings.cost_width}, batch {settings.batch}"
    print(f"\nmethod                     step over ERM's [25-75 %]    ({network})")
    records = []
    for record in steps.step_costs(settings):
        ratio = "-"
        if record["ratio"] != "":
            ratio = f"{record['ratio']:.3f} [{record['low']:.3f}-{record['high']:.3f}]"
        print(f"{record['method']:26s} {ratio:28s} {record['note']}".rstrip(), flush=True)
        cells = {**record, **made_with}
        records.append({k: f"{v:.6g}" if isinstance(v, float) else str(v) for k, v in cells.items()})
    name = "step_cost.csv" if settings.device.type == "cpu" else f"step_cost_{settings.device.type}.csv"
    write_csv(out / name, records, "method")


def _numbers(only: str | None) -> set[int]:
    everything = set(range(1, LAST + 1))
    if only is None:
        return everything
    try:
        numbers = {int(word) for word in only.split(",")}
    except ValueError:
        numbers = set()
    if not numbers or not numbers <= everything:
        raise UserError(f"--only {only}: give numbers of rows, 1 to {LAST}, with commas: --only 2,3")
    return numbers


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description="Ratios, not seconds: see docs/performance.md")
    parser.add_argument("--full", action="store_true", help="more rounds, and methods at full width")
    parser.add_argument("--only", metavar="2,3", help=f"rows by number, 1 to {LAST}; {COSTS}: step costs")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--out", type=Path, default=Path("results/bench"), help="folder of the CSV files")
    return parser


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
