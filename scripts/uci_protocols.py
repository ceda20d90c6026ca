"""Which protocol gives the numbers of mixup's Table 4? `python scripts/uci_protocols.py --runs FOLDER`.

The paper leaves alpha, the split, the scaling, the number of runs and the reported epoch open. This trains
the whole grid of plausible answers (GRID, by the suite's own sweeps; typed again it goes on) and writes
results/tables/uci_protocols.md: the protocol nearest to the paper for each table, whether any agrees, and how
often mixup is better than ERM on the same splits.
"""

import argparse
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from msda_train.cli.train import main as train
from msda_train.comparison.verdict import MARGINS, half_width
from msda_train.core.errors import UserError
from msda_train.records.published import load_papers
from msda_train.records.rows import Row, load_rows

REPO = Path(__file__).resolve().parents[1]
OUT = REPO / "results" / "tables" / "uci_protocols.md"
TABLES = ("abalone", "arcene", "arrhythmia", "htru2", "iris", "phishing")
GRID = {"test share": (0.5, 0.2), "scaling": (None, "standardise")}
ALPHAS = (0.2, 1.0)
EPOCHS = {"last": "error/last", "best": "error/best", "median of all ten": "error/median_last10"}
MOST, SHARE = MARGINS["percent"]  # of a difference that does not matter, as for verdicts
PROTOCOL = ["test share", "scaling", "epoch"]


def sweep(tables: list[str], shares: list[float], seeds: int, runs: Path) -> int:
    """Trains what is missing of the grid, one process, one thread; the worst exit code."""
    worst = 0
    listed = ",".join(map(str, range(seeds)))
    for name, share, scaling in product(tables, shares, GRID["scaling"]):
        scaled = "null" if scaling is None else scaling
        words = [f"experiment=mixup_{name}_mlp", f"dataset.test_share={share}", f"recipe.scaling={scaled}"]
        words += [f"seed={listed}", "threads=1", "precision=fp32", f"runs={runs}"]
        for method in ("erm", *(f"mixup method.alpha={alpha}" for alpha in ALPHAS)):
            worst = max(worst, train(["-m", *words, *f"method={method}".split()]))
    return worst


def frame_of(rows: list[Row]) -> pd.DataFrame:
    """One line per run and epoch rule; errors in percent."""
    lines = []
    for row in rows:
        config = row.config
        alpha = config["method"].get("alpha") if row.names["method"] == "mixup" else 0.0
        facts = [
            row.names["dataset"],
            config["dataset"]["test_share"],
            config["recipe"].get("scaling") or "none",
        ]
        lines += [[*facts, epoch, alpha, row.seed, 100 * row.metrics[key]] for epoch, key in EPOCHS.items()]
    columns = ["table", "test share", "scaling", "epoch", "alpha", "seed", "error"]
    return pd.DataFrame(lines, columns=columns).drop_duplicates(columns[:-1])


def published() -> pd.DataFrame:
    """The paper's numbers, one line per table: `erm` and `mixup`, percent."""
    (paper,) = (paper for paper in load_papers() if paper.key == "mixup")
    cells = [cell for cell in paper.cells if cell.table == "table4"]
    lines = [(cell.experiment.split("_")[1], cell.method, cell.value) for cell in cells if cell.experiment]
    return pd.DataFrame(lines, columns=["table", "method", "value"]).pivot(
        index="table", columns="method", values="value"
    )


def _half(errors: pd.Series) -> float:
    return half_width(float(errors.std()), len(errors)) if len(errors) > 1 else float("nan")


def compared(frame: pd.DataFrame) -> pd.DataFrame:
    """One line per table, protocol and alpha: mean error of ERM and of mixup, their difference on the same
    splits, and how far both are from the paper."""
    theirs, lines = published(), []
    for (table, *protocol), group in frame.groupby(["table", *PROTOCOL]):
        by_seed = group.pivot(index="seed", columns="alpha", values="error").dropna()
        erm = by_seed[0.0]
        for alpha in [column for column in by_seed if column]:
            mixup, gain = by_seed[alpha], by_seed[alpha] - erm
            far = [erm.mean() - theirs.loc[table, "erm"], mixup.mean() - theirs.loc[table, "mixup"]]
            widths = [_half(erm), _half(mixup)]
            margins = [min(MOST, SHARE * theirs.loc[table, method]) for method in ("erm", "mixup")]
            agrees = all(abs(f) + w <= m for f, w, m in zip(far, widths, margins, strict=True))
            numbers = [
                len(erm),
                erm.mean(),
                widths[0],
                mixup.mean(),
                widths[1],
                gain.mean(),
                _half(gain),
            ]
            lines.append([table, *protocol, alpha, *numbers, max(map(abs, far)), agrees])
    numbers = ["seeds", "ERM", "ERM ±", "mixup", "mixup ±", "gain", "gain ±", "farthest", "agrees"]
    return pd.DataFrame(lines, columns=["table", *PROTOCOL, "alpha", *numbers])


def text(found: pd.DataFrame) -> str:
    """The markdown page."""
    theirs = published()
    first = found.sort_values(["agrees", "farthest"], ascending=[False, True])
    nearest = first.groupby("table").head(1).sort_values("table")
    head = [
        "# mixup's Table 4: which protocol?",
        "",
        f"Written by `scripts/uci_protocols.py` from {found['seeds'].min()} runs or more of each of "
        f"{len(found)} protocols: two hidden layers of 128, Adam, 10 epochs of batches of 16; "
        "each seed draws its own split. Errors in percent, mean ± half of the 90 % interval of the mean; "
        f"a protocol agrees where both intervals lie within {MOST} points of the paper's numbers, at most "
        f"{100 * SHARE:g} % of them.",
        "",
        f"**{int(found['agrees'].sum())} of {len(found)} protocols agree.** One of each table that does, "
        "else the nearest:",
        "",
    ]
    lines = [
        {
            "table": line["table"],
            "published ERM": theirs.loc[line["table"], "erm"],
            "ours": f"{line['ERM']:.1f} ± {line['ERM ±']:.1f}",
            "published mixup": theirs.loc[line["table"], "mixup"],
            "ours ": f"{line['mixup']:.1f} ± {line['mixup ±']:.1f}",
            **{name: line[name] for name in (*PROTOCOL, "alpha")},
            "agrees": "yes" if line["agrees"] else "no",
        }
        for _, line in nearest.iterrows()
    ]
    sure = found.assign(
        better=found["gain"] + found["gain ±"] < 0,
        worse=found["gain"] - found["gain ±"] > 0,
    )
    signs = sure.groupby("table").agg(
        protocols=("gain", "size"), better=("better", "sum"), worse=("worse", "sum")
    )
    signs["published"] = np.where(theirs["mixup"] < theirs["erm"], "better", "equal")[
        theirs.index.get_indexer(signs.index)
    ]
    whole = found.drop(columns=["farthest", "agrees"]).round(2)
    return "\n".join(
        [
            *head,
            pd.DataFrame(lines).to_markdown(index=False),
            "",
            "Is mixup better than ERM on the same splits? In how many protocols the 90 % interval of the "
            "difference is below zero (better) or above it (worse):",
            "",
            signs[["published", "protocols", "better", "worse"]].to_markdown(),
            "",
            "All protocols; `gain` is mixup's error minus ERM's:",
            "",
            whole.to_markdown(index=False),
            "",
        ]
    )


def main() -> int:
    """Exit code 0, or 2 where a run failed or none is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/uci"))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--tables", nargs="*", default=list(TABLES), choices=TABLES)
    parser.add_argument("--shares", nargs="*", type=float, default=list(GRID["test share"]))
    parser.add_argument("--no-train", action="store_true", help="only write the page from what is there")
    args = parser.parse_args()
    code = 0 if args.no_train else sweep(args.tables, args.shares, args.seeds, args.runs)
    rows, complaints = load_rows([args.runs])
    for complaint in complaints:
        print(f"uci_protocols: {complaint}", file=sys.stderr)
    if not rows:
        print(f"uci_protocols: {UserError(f'no rows under {args.runs}')}", file=sys.stderr)
        return 2
    OUT.write_text(text(compared(frame_of(rows))), encoding="utf-8")
    print(OUT)
    return 2 if code or complaints else 0


if __name__ == "__main__":
    sys.exit(main())
