"""`msda-plot RUN... KIND`: the pictures of what probes measured, as PDF, SVG and PNG."""

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from pandas import DataFrame

from msda_train.cli.files import check_runs, no_finished_run, writing
from msda_train.cli.guard import log, run_guarded
from msda_train.cli.parser import Parser
from msda_train.comparison.config_diff import differences
from msda_train.comparison.table import lines_frame
from msda_train.config.yaml_file import read_yaml
from msda_train.core.errors import UserError, nearest
from msda_train.core.files import replace_file
from msda_train.core.paths import CONFIGS
from msda_train.records.rows import Row, load_rows
from msda_train.records.summary import CLASSIFICATION
from msda_train.reporting.draw import FORMATS, looks, rendered
from msda_train.reporting.pictures.boundary import boundary_picture
from msda_train.reporting.pictures.data import Probed, arrays_path, read_arrays, records_of
from msda_train.reporting.pictures.picture import figure
from msda_train.reporting.pictures.snapshots import KIND as GAN
from msda_train.reporting.pictures.snapshots import snapshots_figure
from msda_train.reporting.probe_plots import KINDS, Kind, kind_pictures

BOUNDARY = "boundary"
ALL = "all"
NAMES = (*KINDS, BOUNDARY, GAN, ALL)
SETS = ("standard", "full")  # of probes, the cheap one first
TOYS = ("erm", "mixup", "manifold_mixup")
Make = Callable[[], Figure]  # called where the style is known
_OPTION = re.compile(r"method\.[a-z]\w*=[\w.+-]+")


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of `msda-plot`: 0 done, 2 bad input or a run without the data, 130 interrupted."""
    return run_guarded("msda-plot", _run, "stopped", argv)


def _run(words: Sequence[str]) -> int:
    parser = Parser(
        prog="msda-plot",
        description="Draw what probes found in finished runs, one look for each method, as KIND.pdf, "
        f"KIND.svg and KIND.png. KIND: {', '.join(KINDS)}; {BOUNDARY} (points of a plane, trained in a "
        f"minute with the methods of the runs, or with {', '.join(TOYS)} where no run is given); {GAN} (what "
        f"runs of task=gan generate); {ALL} (but for these two: every kind that the runs have data for).",
        epilog="Exit code 2 if a run lacks the data; the others are drawn all the same.",
    )
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="run folders, folders of them")
    parser.add_argument("kind", metavar="KIND")
    parser.add_argument(
        "--out", type=Path, default=Path("plots"), metavar="FOLDER", help="made if need be; default: plots"
    )
    parser.add_argument(
        "--style", type=Path, metavar="FILE", help="a .mplstyle of matplotlib, on top of the suite's own"
    )
    args = parser.parse(words)
    if args.kind not in NAMES:
        raise UserError(f"there is no plot '{args.kind}'; {nearest(args.kind, NAMES)}")
    task = args.kind if args.kind == GAN else CLASSIFICATION
    rows, complaints = _rows(args.runs, task, needed=args.kind != BOUNDARY)
    files = _files(args.kind, rows, complaints)
    for complaint in complaints:
        log("msda-plot", complaint)
    _write(args.out, files, args.style)
    return 2 if complaints else 0


def _files(name: str, rows: Sequence[Row], complaints: list[str]) -> dict[str, Make]:
    """Kind to its figure; adds a line to `complaints` for each run that has nothing to draw."""
    if name == BOUNDARY:
        return {BOUNDARY: _boundary(rows)}
    if name == GAN:
        generated = lines_frame(rows)
        return {GAN: lambda: snapshots_figure(generated)}
    if name == ALL:
        lines = lines_frame(rows)
        made = {each: make for each, kind in KINDS.items() if (make := _make(kind, lines))}
        if not made:
            raise UserError("these runs hold neither epochs nor numbers of probes; type: msda-probe RUN")
        return made
    kind = KINDS[name]
    lacking = {row.path for row in rows if not kind.picture([_alone(row)])}
    complaints += [_what_to_type(row, kind, name) for row in rows if row.path in lacking]
    make = _make(kind, lines_frame([row for row in rows if row.path not in lacking]))
    return {name: make} if make else {}


def _make(kind: Kind, lines: DataFrame) -> Make | None:
    pictures = kind_pictures(kind, lines)
    return (lambda: figure(pictures)) if pictures else None


def _rows(places: Sequence[Path], task: str, *, needed: bool) -> tuple[list[Row], list[str]]:
    """The rows of the finished runs of a task at or under `places`, and what is wrong with others."""
    if not places and needed:
        raise UserError("which run? type: msda-plot RUN_FOLDER reliability")
    check_runs(places)
    rows, complaints = load_rows(places, task)
    if places and not rows:
        raise UserError(complaints[0]) if complaints else no_finished_run(places[0])
    return rows, complaints


def _alone(row: Row) -> Probed:
    return Probed("", looks([row.names["method"]])[0], (row,))


def _what_to_type(row: Row, kind: Kind, name: str) -> str:
    """One line for a run without the data."""
    if kind.probe is None:
        return f"{row.path}: holds no epochs, so nothing for {name}"
    if row.path.name != "row.json":
        return f"{row.path}: a kept row without arrays, so nothing for {name}; give the run's own folder"
    words = " ".join(filter(None, [f"probes={_set_of(kind.probe)}", kind.option]))
    if records_of(row, kind.probe) and not read_arrays(row.path, kind.probe) and not kind.option:
        file = arrays_path(row.path, kind.probe)
        return f"{file}: missing or damaged, so nothing for {name}; copy it from where the run was probed"
    return f"{row.path}: nothing for {name} in its probes; type: msda-probe {row.path.parent} {words}"


def _set_of(probe: str) -> str:
    """The first of SETS that holds a probe."""
    for name in SETS:
        path = CONFIGS / "probes" / f"{name}.yaml"
        if path.is_file() and probe in read_yaml(path):
            return name
    return SETS[-1]


def _boundary(rows: Sequence[Row]) -> Make:
    """Trains the toy with each method config of the rows that can mix points; seed 0."""
    found = {_toy_words(row): None for row in rows} if rows else {(f"method={name}",): None for name in TOYS}
    if not any(found):
        raise UserError(f"none of these runs has a method that mixes points; type: msda-plot {BOUNDARY}")
    from msda_train.evaluation.decision_boundary import toy  # torch: only for this picture

    made = [(_label(words), toy(words, shape="spirals")) for words in found if words]
    points = len(made[0][1]["labels"])
    return lambda: figure([(boundary_picture(made), f"Two spirals, {points} points, seed 0")])


def _toy_words(row: Row) -> tuple[str, ...]:
    """What to type for a row's method; nothing where it cannot mix points. Rows are from anywhere: only
    options of known methods are passed on, and no class that a row names."""
    name, options = row.names["method"], differences(row, "method", {})
    if name not in TOYS or not all(_OPTION.fullmatch(word) for word in options):
        return ()
    return (f"method={name}", *options)


def _label(words: Sequence[str]) -> str:
    return " ".join(words).replace("method=", "").replace("method.", "")


def _write(folder: Path, files: dict[str, Make], style: Path | None) -> None:
    """Says the path of each file on stdout."""
    drawn = {name: rendered(make, FORMATS, style) for name, make in files.items()}
    with writing("--out", folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, made in drawn.items():
            for kind, content in made.items():
                replace_file(folder / f"{name}.{kind}", content)
                print(folder / f"{name}.{kind}")


if __name__ == "__main__":
    sys.exit(main())
