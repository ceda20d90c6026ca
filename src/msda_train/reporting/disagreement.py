"""How much papers disagree, as tables and as a picture: `msda-table disagree`, docs/disagreement.md."""

from collections.abc import Sequence

from pandas import DataFrame, isna

from msda_train.comparison.disagreement import (
    METHODS,
    SAME,
    disagreement_frame,
    gains_frame,
    numbers_frame,
)
from msda_train.records.published import Cell, Paper
from msda_train.reporting.draw import looks
from msda_train.reporting.grid import Grid
from msda_train.reporting.number_words import told_apart
from msda_train.reporting.pictures.dots import Condition, dot_panel
from msda_train.reporting.pictures.lines import Axis
from msda_train.reporting.pictures.picture import Legend, Picture

_HEADS = ("data set", "network", "method")
ABOUT = (
    "Test error in % of the same data set, network and method, as different papers measured it. A number "
    "that a later paper copied counts once. Schedules, weight decay, alpha and the reported epoch differ, "
    "too: that is what a reader takes who takes a baseline from another table."
)
GAINS = (
    "What the method gains over the ERM of the same table, in points of test error; positive: the method is "
    "better."
)


def disagreement_grids(papers: Sequence[Paper], methods: Sequence[str] = METHODS) -> list[Grid]:
    """Errors of the same baselines; the gains over them; every number behind the first table."""
    numbers = numbers_frame(papers, methods)
    found = disagreement_frame(numbers)
    plain = [method for method in methods if method != "erm"]
    gains = gains_frame(papers, plain)
    made = [Grid("how much papers disagree", _errors(found), [ABOUT], left=frozenset({0, 1, 2}))]
    if len(gains):
        made.append(
            Grid("how much they disagree about the gain", _gains(gains), [GAINS], left=frozenset({0, 1, 2}))
        )
    measured = numbers.merge(found[SAME], on=SAME)
    if len(measured):
        made.append(Grid("the numbers", _numbers(measured), left=frozenset(range(3)) | {4, 5, 6}))
    return made


def _errors(found: DataFrame) -> DataFrame:
    words = [*found[SAME].astype(str).to_numpy().T, found["papers"].astype(str), found["numbers"].astype(str)]
    spans = [f"{least:.2f} to {most:.2f}" for least, most in zip(found["least"], found["most"], strict=True)]
    ranges = [f"{value:.2f}" for value in found["range"]]
    printed = ["-" if isna(value) else f"{value:.2f}" for value in found["deviation"]]
    heads = [*_HEADS, "papers", "numbers", "error, %", "range", "largest printed ±"]
    return DataFrame(dict(zip(heads, [*words, spans, ranges, printed], strict=True)))


def _gains(gains: DataFrame) -> DataFrame:
    words = [*gains[SAME].astype(str).to_numpy().T, gains["papers"].astype(str), gains["gains"].astype(str)]
    spans = [
        f"{least:+.2f} to {most:+.2f}" for least, most in zip(gains["least"], gains["most"], strict=True)
    ]
    heads = [*_HEADS, "papers", "gains", "gain, points", "range"]
    return DataFrame(dict(zip(heads, [*words, spans, [f"{v:.2f}" for v in gains["range"]]], strict=True)))


def _numbers(numbers: DataFrame) -> DataFrame:
    ordered = numbers.sort_values([*SAME, "error"], kind="stable")
    return DataFrame(
        {
            "data set": ordered["data"],
            "network": ordered["model"],
            "method": ordered["method"],
            "error, %": [_error(*each) for each in zip(ordered["cell"], ordered["error"], strict=True)],
            "where": ordered["id"],
            "setting": list(map(told_apart, ordered["cell"])),
            "the same number as": ordered["copied"].fillna(""),
        }
    )


def _error(cell: Cell, error: float) -> str:
    spread = f" ± {cell.std:.{cell.std_digits or cell.digits}f}" if cell.std is not None else ""
    return f"{error:.{cell.digits}f}{spread}"


def disagreement_picture(papers: Sequence[Paper], methods: Sequence[str] = METHODS) -> Picture:
    """A row of dots for each data set and network that at least two papers measured: every paper's number."""
    numbers = numbers_frame(papers, methods)
    found = disagreement_frame(numbers)
    numbers = numbers[numbers["copied"].isna()]
    by_method = dict(zip(methods, looks(methods), strict=True))
    shown = []
    for (data, model), group in found.groupby(["data", "model"]):
        here = numbers[(numbers["data"] == data) & (numbers["model"] == model)]
        values = tuple(
            (by_method[method], tuple(here["error"][here["method"] == method]))
            for method in methods
            if method in set(group["method"])
        )
        shown.append((data, Condition(model, values)))
    panels = [
        dot_panel(data, [each for name, each in shown if name == data], Axis("test error, %"))
        for data in dict.fromkeys(data for data, _ in shown)
    ]
    legend = tuple(Legend(method, look) for method, look in by_method.items())
    note = (
        "A dot is a number that a paper measured; the bar is their mean. Numbers that were copied count once."
    )
    return Picture("The same baseline in different papers", tuple(p for p in panels if p), legend, (note,))
