"""Error against cost: which methods nothing cheaper beats.

The cost of a line is one of

- `steps`: epochs of the recipe times the method's step over ERM's, as the benchmark measured it, to 5 %,
  which is what it can tell apart. In epochs of ERM; what shares data set and network is compared.
- `seconds`: images of all epochs over the images per second of the run, the median over seeds. What shares
  data set and machine is compared, whatever the network; a machine that did other work beside it is slower.
"""

import json
import math
from collections.abc import Mapping, Sequence

from pandas import DataFrame

from msda_train.comparison.config_diff import column_words, differences
from msda_train.comparison.verdict import half_width
from msda_train.config.fingerprint import settled
from msda_train.records.bench import step_costs
from msda_train.records.rows import Row, one_line

STEPS = 20  # of a cost: 5 % can be told apart
COSTS = {"steps": "epochs of ERM", "seconds": "seconds of training"}


def frontier_frame(lines: DataFrame, cost: str = "steps") -> DataFrame:
    """A line for each of `lines_frame` whose `cost` (of COSTS) is known, by group and cost.

    group: its number; title: what its lines share; method; words: what they do not share, besides the method;
    method_name; cost; error: the Stat of the last epoch, a fraction; half: of its 90 % interval, NaN for one
    seed; on: "yes" where no line of the group has a smaller mean error at the same cost or less, "perhaps"
    where its interval reaches down to the smallest such error, else "no".
    """
    known = {"erm": 1.0, **step_costs()}
    found = [
        {
            "key": _key(line.rows[0], line.content, cost),
            "title": _title(line.rows[0], cost),
            "method": line.method,
            "words": _words(line.rows[0], cost),
            "method_name": line.method_name,
            "cost": paid,
            "error": stat,
            "half": half_width(stat.std, stat.n) if stat.std is not None else float("nan"),
        }
        for line, stat in zip(lines.itertuples(), lines.get("error/last", ()), strict=True)
        if stat is not None and (paid := _cost(line.rows[0], line.images_per_second, cost, known)) is not None
    ]
    names = ["group", "title", "method", "words", "method_name", "cost", "error", "half"]
    frame = DataFrame(found, columns=["key", *names[1:]])
    frame["group"] = frame.groupby("key", sort=False).ngroup()
    frame = frame[names].sort_values(["group", "cost"], kind="stable", ignore_index=True)
    on = [place for _, group in frame.groupby("group", sort=False) for place in _places(group)]
    return frame.assign(on=on)


def _cost(row: Row, speed: float, cost: str, known: Mapping[str, float]) -> float | None:
    epochs = row.epochs
    if not isinstance(epochs, int | float) or not 0 < epochs < math.inf:  # of a recipe that is not ours
        return None
    if cost == "seconds":
        return float(epochs * row.data["train_images"] / speed)
    ratio = known.get(row.names["method"] or "")
    return None if ratio is None else epochs * max(STEPS, round(ratio * STEPS)) / STEPS


def _places(group: DataFrame) -> list[str]:
    places = []
    for paid, stat, half in zip(group["cost"], group["error"], group["half"], strict=True):
        best = min(other.mean for other in group["error"][group["cost"] <= paid])
        reaches = stat.mean - half <= best
        places.append("yes" if stat.mean <= best else "perhaps" if reaches else "no")
    return places


def _key(row: Row, content: str, cost: str) -> str:
    shared = _machine(row) if cost == "seconds" else json.dumps(settled(row.config["model"]), sort_keys=True)
    data = json.dumps(settled(row.config["dataset"]), sort_keys=True)
    return f"{content} {data} {shared}"


def _title(row: Row, cost: str) -> str:
    network = [str(row.names["model"]), *differences(row, "model", {})]
    data = [str(row.names["dataset"]), *differences(row, "dataset", {})]
    return one_line(f"{' '.join(data)}, {_machine(row) if cost == 'seconds' else ' '.join(network)}")


def _machine(row: Row) -> str:
    return str(row.environment.get("device_name") or row.environment.get("device") or "an unnamed device")


def _words(row: Row, cost: str) -> str:
    if cost == "seconds":
        return column_words(row, row.names["experiment"])
    recipe = [f"recipe={row.names['recipe']}", *differences(row, "recipe", {})]
    return row.names["experiment"] or one_line(" ".join(recipe))


def groups_of(frontier: DataFrame, least: int = 2) -> Sequence[tuple[str, DataFrame]]:
    """Title and lines of each group that compares at least so many."""
    found = frontier.groupby("group", sort=False)
    return [(str(group["title"].iloc[0]), group) for _, group in found if len(group) >= least]
