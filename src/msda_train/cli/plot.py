"""`msda-plot RUN... KIND`: the pictures of what probes measured, as PDF, SVG and PNG."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pandas import DataFrame

from msda_train.cli import method_plots
from msda_train.cli.cam_plot import CAM, cam
from msda_train.cli.files import check_runs, no_finished_run, writing
from msda_train.cli.guard import log, run_guarded
from msda_train.cli.method_plots import BOUNDARY, PCA, POINTS, TOYS, Make
from msda_train.cli.parser import Parser
from msda_train.comparison.table import lines_frame
from msda_train.config.yaml_file import read_yaml
from msda_train.core.errors import UserError, nearest
from msda_train.core.files import replace_file
from msda_train.core.paths import CONFIGS
from msda_train.records.rows import Row, load_rows
from msda_train.records.summary import CLASSIFICATION
from msda_train.reporting.draw import FORMATS, looks, rendered
from msda_train.reporting.pictures.data import Probed, arrays_path, read_arrays, records_of
from msda_train.reporting.pictures.picture import figure
from msda_train.reporting.pictures.snapshots import KIND as GAN
from msda_train.reporting.pictures.snapshots import snapshots_figure
from msda_train.reporting.probe_plots import KINDS, Kind, kind_pictures

ALL = "all"
NAMES = (*KINDS, *method_plots.KINDS, CAM, GAN, ALL)
SETS = ("standard", "full")  # of probes, the cheap one first


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of `msda-plot`: 0 done, 2 bad input or a run without the data, 130 interrupted."""
    return run_guarded("msda-plot", _run, "stopped", argv)


def _run(words: Sequence[str]) -> int:
    parser = Parser(
        prog="msda-plot",
        description="Draw what probes found in finished runs, one look for each method, as KIND.pdf, "
        f"KIND.svg and KIND.png. KIND: {', '.join(KINDS)}; {BOUNDARY} (points of a plane, trained in a "
        f"minute with the methods of the runs, or with method=NAME ..., or with {', '.join(TOYS)}); {PCA} "
        f"(blends of two images of dataset=NAME, by method=NAME ..., on principal components); {CAM} (where "
        f"the networks of the runs look, on the same images); {GAN} (what runs of task=gan generate); {ALL} "
        f"(but for these four: every kind that the runs have data for).",
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
    parser.add_argument(
        "--points", choices=POINTS, default=POINTS[0], help=f"of {BOUNDARY}; default: {POINTS[0]}"
    )
    parser.add_argument(
        "--classes", nargs=2, default=(), metavar="CLASS", help=f"of {PCA}: whose images; default: the first"
    )
    parser.add_argument(
        "--images",
        nargs="+",
        default=[],
        metavar="IMAGE",
        help=f"of {CAM}: numbers of test images, or image files; default: one of each of four classes",
    )
    typed, others = method_plots.without_words(words)
    args = parser.parse(others)
    if args.kind not in NAMES:
        raise UserError(f"there is no plot '{args.kind}'; {nearest(args.kind, NAMES)}")
    _check_words(args, typed)
    task = args.kind if args.kind == GAN else CLASSIFICATION
    rows, complaints = _rows(args.runs, task, needed=args.kind not in method_plots.KINDS)
    if args.kind in method_plots.KINDS:
        files = {args.kind: _of_methods(args, rows, typed)}
    elif args.kind == CAM:
        files = {CAM: cam(rows, args.images)}
    else:
        files = _files(args.kind, rows, complaints)
    for complaint in complaints:
        log("msda-plot", complaint)
    _write(args.out, files, args.style)
    return 2 if complaints else 0


def _check_words(args: argparse.Namespace, typed: Sequence[str]) -> None:
    """UserError for what the kind has no use for."""
    if typed and args.kind not in method_plots.KINDS:
        raise UserError(f"{typed[0]}: {args.kind} is of finished runs; words go with {BOUNDARY} and {PCA}")
    if args.points != POINTS[0] and args.kind != BOUNDARY:
        raise UserError(f"--points {args.points}: goes with {BOUNDARY}")
    if args.kind != CAM and args.images:
        raise UserError(f"--images {' '.join(args.images)}: goes with {CAM}")
    if args.kind != PCA and args.classes:
        raise UserError(f"--classes {' '.join(args.classes)}: goes with {PCA}")
    if args.kind == PCA and args.runs:
        raise UserError(f"{args.runs[0]}: {PCA} is of a data set, not of runs; type dataset=NAME")


def _of_methods(args: argparse.Namespace, rows: Sequence[Row], typed: Sequence[str]) -> Make:
    if args.kind == BOUNDARY:
        return method_plots.boundary(rows, typed, args.points)
    return method_plots.pca(typed, args.classes)


def _files(name: str, rows: Sequence[Row], complaints: list[str]) -> dict[str, Make]:
    """Kind to its figure; adds a line to `complaints` for each run that has nothing to draw."""
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
        raise UserError(f"which run? type: msda-plot RUN_FOLDER {GAN if task == GAN else 'reliability'}")
    check_runs(places)
    rows, complaints = load_rows(places, task)
    if places and not rows:
        if complaints:
            raise UserError(complaints[0])
        if load_rows(places, None)[0]:
            raise UserError(f"{places[0]}: there is no finished run of task={task}, only of another task")
        raise no_finished_run(places[0])
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
