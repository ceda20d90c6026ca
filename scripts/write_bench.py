"""Write the tables of docs/performance.md from results/bench/*.csv, which `make bench` measured.

No number in them is typed by hand; tests/bench/test_write_bench.py fails when they are not what the CSV says.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.table import read_csv
from msda_train.core.errors import UserError
from msda_train.records.published import load_papers

REPO = Path(__file__).resolve().parents[1]
BENCH = REPO / "results" / "bench"
PAGE = REPO / "docs" / "performance.md"
Record = Mapping[str, str]
FACTS = (
    "device_name",
    "threads",
    "precision",
    "torch",
    "torchvision",
    "timm",
    "kornia",
    "measured",
    "commit",
)


def rows_table(records: Sequence[Record]) -> str:
    """The table of ratios."""
    lines = ["| # | what | ours | against | median [25-75 %] | must / strive | met |"]
    lines.append("|---:|---|---:|---:|---:|---:|---|")
    for r in records:
        unit = "x" if r["judged_unit"] == "x" else f" {r['judged_unit']}"
        judged = (
            "-"
            if not r["judged"]
            else f"{_n(r['judged'])}{unit} [{_n(r['judged_low'])}-{_n(r['judged_high'])}]"
        )
        goal = (
            f"{'≤' if r['goal'] == 'at most' else '≥'} {_n(r['must'])} / {_n(r['strive'])}"
            if r["must"]
            else "-"
        )
        against = f"{r['other']} {_n(r['theirs'])} {r['unit']}" if r["theirs"] else r["other"] or "-"
        ours = f"{_n(r['ours'])} {r['unit']}" if r["ours"] else "-"
        cells = [r["number"], r["what"], ours, against, judged, goal, r["met"]]
        lines.append(f"| {' | '.join(cells)} |")
    notes = [f"- {r['number']}, {r['what']}: {r['note']}." for r in records if r["note"]]
    return "\n".join([*lines, "", *([*notes, ""] if notes else []), _made_with(records), ""])


def limits_table(records: Sequence[Record]) -> str:
    """How near our rows come to what the device itself can do."""
    lines = ["| # | what | rate | of this device's own |", "|---:|---|---:|---:|"]
    for r in records:
        if r["rate"]:
            share = f"{100 * float(r['rate_share']):.0f} %"
            lines.append(f"| {r['number']} | {r['what']} | {_n(r['rate'])} {r['rate_unit']} | {share} |")
    return "\n".join([*lines, ""])


def costs_table(records: Sequence[Record]) -> str:
    """Every method's step over ERM's, cheapest first."""
    lines = ["| method | step over ERM's [25-75 %] | ms | rounds | |", "|---|---:|---:|---:|---|"]
    measured = [r for r in records if r["ratio"]]
    for r in sorted(measured, key=lambda r: float(r["ratio"])):
        ratio = f"{_n(r['ratio'])} [{_n(r['low'])}-{_n(r['high'])}]"
        lines.append(f"| {r['method']} | {ratio} | {_n(r['ms'])} | {r['rounds']} | {r['note']} |")
    lines += [f"| {r['method']} | - | - | - | {r['note']} |" for r in records if not r["ratio"]]
    r = records[0]
    network = f"{r['model']}, width {r['width']}, batch {r['batch']}."
    return "\n".join([*lines, "", network, _made_with(records), ""])


def printed_costs_table(records: Sequence[Record]) -> str:
    """Training times that papers print, as ratios to the plain training of the same table, beside ours."""
    ours = {r["method"]: r["ratio"] for r in records if r["ratio"]}
    lines = [
        "| method | printed, over the paper's own plain training | ours | source |",
        "|---|---:|---:|---|",
    ]
    for paper in load_papers():
        for table in paper.tables:
            timed = [cell for cell in table.cells if cell.unit in ("seconds", "hours")]
            plain = {cell.metric: cell.value for cell in timed if cell.method == "erm"}
            for cell in timed:
                if cell.method != "erm" and cell.metric in plain:
                    base, mine = plain[cell.metric], ours.get(str(cell.method))
                    printed = f"{cell.value / base:.2f} ({cell.value:g} / {base:g} {cell.unit})"
                    own = _n(mine) if mine else "-"
                    lines.append(f"| {cell.method} | {printed} | {own} | {paper.key}, {table.name} |")
    return "\n".join([*lines, ""])


TABLES: dict[str, tuple[str, Callable[[Sequence[Record]], str]]] = {
    "cpu": ("cpu.csv", rows_table),
    "cuda": ("cuda.csv", rows_table),
    "cuda limits": ("cuda.csv", limits_table),
    "step cost": ("step_cost.csv", costs_table),
    "printed costs": ("step_cost.csv", printed_costs_table),
    "step cost cuda": ("step_cost_cuda.csv", costs_table),
}


def page(text: str, folder: Path) -> str:
    """`text` with every table between its two marks written anew."""
    for name, (file, render) in TABLES.items():
        begin, end = f"<!-- {name}: begin, written by `make bench` -->\n", f"<!-- {name}: end -->"
        head, found, rest = text.partition(begin)
        _, closed, tail = rest.partition(end)
        if not found or not closed:
            raise UserError(f"docs/performance.md: the marks {begin.strip()} and {end} are gone")
        records = read_csv(folder / file)
        table = render(records) if records else "Not measured yet.\n"
        text = f"{head}{begin}{table}{end}{tail}"
    return text


def _made_with(records: Sequence[Record]) -> str:
    """What the numbers were made with; rows of several occasions are told apart."""
    made: dict[tuple[str, ...], list[str]] = {}
    for r in records:
        numbers = made.setdefault(tuple(r.get(fact, "") for fact in FACTS), [])
        numbers += [r["number"]] if r.get("number") and r["number"] not in numbers else []
    told = []
    for values, numbers in made.items():
        facts = dict(zip(FACTS, values, strict=True))
        which = f" Rows {', '.join(numbers)}." if len(made) > 1 and numbers else ""
        libraries = ", ".join(f"{k} {facts[k]}" for k in ("torch", "torchvision", "timm", "kornia"))
        told.append(
            f"Measured {facts['measured'][:10]} on {facts['device_name']}, {facts['threads']} thread(s), "
            f"{facts['precision']} where nothing else is said, {libraries}, "
            f"commit {facts['commit'][:8]}.{which}"
        )
    return "\n".join(told)


def _n(value: str) -> str:
    number = float(value)
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"


def main() -> int:
    """Exit code 0, or 2 where the page lacks its marks."""
    try:
        text = page(PAGE.read_text(encoding="utf-8"), BENCH)
    except UserError as error:
        print(f"write_bench: {error}", file=sys.stderr)
        return 2
    PAGE.write_text(text, encoding="utf-8")
    print(PAGE.relative_to(REPO))
    return 0


if __name__ == "__main__":
    sys.exit(main())
