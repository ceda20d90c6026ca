"""What the benchmark wrote to results/bench: the cost of a method's step, and how long published runs should
take on a GPU."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from msda_train.core.paths import BENCH

STEP_COST = BENCH / "step_cost.csv"
IMAGES = 50_000  # of row 18: training images of 32 x 32 pixels
NETWORKS = {  # by the words of row 18; those of as many multiplications in as many layers go with them
    "PreActResNet-18": ("preactresnet18", "resnet18"),
    "PreActResNet-34": ("preactresnet34",),
    "WRN-28-10": ("wrn28_10",),
    "PyramidNet-200": ("pyramidnet200",),
    "DenseNet-BC-190": ("densenet_bc190",),
}


@dataclass(frozen=True)
class OnGpu:
    """Seconds of a run for each training image and epoch, tests included; `source` says whose word it is."""

    seconds: float
    source: str


@cache
def step_cost(method: str | None) -> float:
    """Of one method, 1 or more; 1 where nobody has measured it."""
    return max(1.0, step_costs().get(str(method), 1.0))


def step_costs(path: Path = STEP_COST) -> dict[str, float]:
    """Median step time over ERM's by method, as the benchmark wrote it; none of what it could not measure."""
    return {row["method"]: float(row["ratio"]) for row in _read(path) if row["ratio"]}


def on_gpu(folder: Path = BENCH) -> dict[str, OnGpu]:
    """Row 18 by word of model=: measured by `make bench` on a GPU, the fastest way to run it; where nobody
    has measured, the benchmark's own goal, which is no measurement."""
    found: dict[str, OnGpu] = {}
    for path in (folder / "cpu.csv", folder / "cuda.csv"):
        for row in _read(path):
            network, _, rest = row.get("what", "").partition(", ")
            if row.get("number") != "18" or network not in NETWORKS:
                continue
            epochs = int(rest.partition(" epochs")[0].replace(",", ""))
            minutes, source = row.get("must"), "the goal of results/bench row 18 for one H100 or H200"
            if row.get("ours"):
                minutes, source = row["ours"], f"row 18 of results/bench, measured on {row['device_name']}"
            each = OnGpu(float(minutes or "nan") * 60 / (epochs * IMAGES), source)
            for name in NETWORKS[network]:
                before = found.get(name)
                goal = before is None or before.source.startswith("the goal")
                if goal or (row.get("ours") and before and each.seconds < before.seconds):
                    found[name] = each
    return found


def _read(path: Path) -> Iterator[dict[str, str]]:
    if path.is_file():
        with open(path, newline="", encoding="utf-8") as file:
            yield from csv.DictReader(file)
