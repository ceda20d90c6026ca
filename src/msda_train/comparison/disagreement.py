"""Do papers agree about the same baseline? Read off the published numbers alone, without a run of ours.

Numbers belong together where the papers name the same data set, network and method. What they do not say,
or say differently (schedule, weight decay, alpha, which epoch), is part of the disagreement: who takes a
baseline from one table and a method from another takes all of it. Regularised networks are left out, and
training without crops and flips is another data set. A number that a later paper only copied is no second
measurement: equal printed values of two papers count once.
"""

from collections.abc import Sequence

from pandas import DataFrame, Series

from msda_train.records.frame import cells_frame
from msda_train.records.published import RISING, Cell, Paper
from msda_train.records.summary import PROTOCOLS

METHODS = ("erm", "mixup", "cutmix")  # that most papers print
SAME = ["data", "model", "method"]
_OTHER_PARTS = ("train", "validation")  # the setting of a number that is of no test set
ALIASES = {"ImageNet-2012": "ImageNet", "CUB200-2011": "CUB-200-2011"}  # one set, several names
_METRICS = ("error", "top1_acc")
_MORE = ("regulariser", "recipe.label_smoothing", "recipe.cutout", "recipe.criterion", "model.dropout")


def numbers_frame(papers: Sequence[Paper], methods: Sequence[str] = METHODS) -> DataFrame:
    """A line per printed test error of one of `methods` alone, quoted ones included, in the papers' order.

    data, model, method; error: %, as printed or 100 minus the accuracy; id, paper, table_name, cell; copied:
    the id of a number of another paper that is the same to the last digit, or NaN.
    """
    cells = cells_frame(papers)
    asked = cells["metric"].isin(_METRICS) & cells["method"].isin(methods) & cells["not_published"].isna()
    asked &= ~cells["setting"].isin(_OTHER_PARTS)
    probed = cells["probes"].notna() & ~cells["compared_with"].isin(PROTOCOLS)
    cells = cells[asked & ~probed]
    more = [any(word.startswith(_MORE) for word in cell.set) for cell in cells["cell"]]
    cells = cells[~Series(more, cells.index, dtype=bool)]
    error = [_error(cell) for cell in cells["cell"]]
    found = cells.assign(error=error, data=[_data(cell) for cell in cells["cell"]])
    found = found[[*SAME, "error", "id", "paper", "table_name", "cell"]].reset_index(drop=True)
    first = found.groupby([*SAME, "error"])[["id", "paper"]].transform("first")
    found["copied"] = first["id"].where(first["paper"] != found["paper"])
    return found


def _error(cell: Cell) -> float:
    return round(100 - cell.value if cell.metric in RISING else cell.value, cell.digits)


def _data(cell: Cell) -> str:
    name = ALIASES.get(cell.dataset, cell.dataset)
    return f"{name}, no augmentation" if "no augmentation" in cell.setting else name


def disagreement_frame(numbers: DataFrame) -> DataFrame:
    """Of `numbers_frame` a line for each data set, network and method that at least two papers measured.

    papers and numbers that were measured (not copied); least, most: errors in %; range: most minus least, in
    points; deviation: the largest that a paper prints over runs of its own, or NaN.
    """
    measured = numbers[numbers["copied"].isna()]
    deviations = [cell.std for cell in measured["cell"]]
    groups = measured.assign(deviation=deviations).groupby(SAME, sort=False)
    found = groups.agg(
        papers=("paper", "nunique"),
        numbers=("error", "size"),
        least=("error", "min"),
        most=("error", "max"),
        deviation=("deviation", "max"),
    ).reset_index()
    found = found[found["papers"] > 1]
    found = found.assign(range=found["most"] - found["least"])
    return found.sort_values(["method", "range"], ascending=[True, False], ignore_index=True)


def gains_frame(papers: Sequence[Paper], methods: Sequence[str] = METHODS[1:]) -> DataFrame:
    """What each method gains over the ERM of the same table, column and schedule, where ERM stands there.

    One line per data set, network and method that at least two papers print: papers, gains: their number;
    least, most: in points of test error, positive where the method is better; range.
    """
    numbers = numbers_frame(papers, ("erm", *methods))
    cells = numbers["cell"]
    schedule = [" ".join(word for word in cell.set if word.startswith("recipe.")) for cell in cells]
    found = numbers.assign(schedule=schedule, experiment=[cell.experiment or "" for cell in cells])
    protocol = [(cell.protocol, cell.metric, "" if cell.experiment else cell.setting) for cell in cells]
    found = found.assign(protocol=protocol)
    keys = ["paper", "table_name", "data", "model", "experiment", "schedule", "protocol"]
    plain = found[found["method"] == "erm"].rename(columns={"error": "erm"})
    plain = plain.groupby(keys, sort=False)["erm"].mean().reset_index()
    pairs = found[found["method"] != "erm"].merge(plain, on=keys)
    # Where the number is copied, so is the gain.
    pairs = pairs.assign(gain=pairs["erm"] - pairs["error"])[pairs["copied"].isna()]
    gains = pairs.groupby(SAME, sort=False).agg(
        papers=("paper", "nunique"), gains=("gain", "size"), least=("gain", "min"), most=("gain", "max")
    )
    gains = gains[gains["papers"] > 1].reset_index()
    gains = gains.assign(range=gains["most"] - gains["least"])
    return gains.sort_values(["method", "range"], ascending=[True, False], ignore_index=True)
