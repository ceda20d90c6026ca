"""Row 20: the table of many finished runs, in a new process on one thread, CPU time."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.settings import Settings
from bench.startup import Process
from bench.table import Row, at_most
from bench.timing import spread
from msda_train.comparison.match import compose_configs
from msda_train.records.row_checks import SCHEMA
from msda_train.records.summary import PROTOCOLS

SEEDS = 10


def rows(settings: Settings) -> Iterator[Row]:
    """`msda-table FOLDER`: ten seeds of each of many configurations of mixup."""
    for count in settings.table_rows:
        with TemporaryDirectory() as folder:
            write_rows(Path(folder), count)
            process = Process(["msda_train.cli.table", folder], 0)
            for _ in range(settings.slow_rounds):
                process()
        value = spread(np.array(process.cpu_seconds))
        goal = at_most(3 * count / 10_000, count / 10_000)
        what = f"table of {count:,} rows"
        rounds = settings.slow_rounds
        yield Row(20, what, value, "s", judged=value, judged_unit="s", goal=goal, rounds=rounds)


def write_rows(folder: Path, count: int) -> None:
    """`count` sound rows in `folder`: SEEDS of each configuration, which differ in method.alpha."""
    words = ("dataset=cifar10", "model=preactresnet18", "recipe=short", "method=mixup")
    (config,) = json.loads(json.dumps(list(compose_configs([words]).values())))
    names = dict(word.split("=") for word in words) | {"experiment": None}
    data = {"content": "0" * 64, "train_images": 50_000, "test_images": 10_000, "classes": 10}
    draw = np.random.default_rng(0)
    for number in range(count):
        config["method"]["alpha"] = (number // SEEDS + 1) / 1000
        row = {
            "schema": SCHEMA,
            "names": names,
            "seed": number % SEEDS,
            "config": config,
            "metrics": dict(zip(PROTOCOLS, draw.random(len(PROTOCOLS)).tolist(), strict=True)),
            "history": [],
            "seconds": 1.0,
            "images_per_second": 1000.0,
            "data": data | {"complete": True},
            "environment": {"device": "made up", "precision": "fp32"},
        }
        below = folder / str(number // 1000)
        os.makedirs(below, exist_ok=True)
        (below / f"{number}.json").write_text(json.dumps(row))
