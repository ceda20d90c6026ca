"""The published numbers are those of the sources, and a slip in a file is named with its line."""

import csv
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from msda_train.errors import UserError
from msda_train.results.fingerprint import fingerprint
from msda_train.results.match import _may_match, compose_configs
from msda_train.results.published import load_papers, read_paper
from msda_train.results.shipped import experiment_choices

REFERENCE = Path(__file__).with_name("published_reference.csv")
METRICS = {"top1_error": "error"}  # the reference's word and ours; the others are the same


def test_every_source_row_has_its_cell_and_every_cell_its_row():
    with REFERENCE.open(newline="") as file:
        rows = Counter(_of_row(row) for row in csv.DictReader(file))
    cells = Counter(_of_cell(cell) for paper in load_papers() for cell in paper.cells)
    assert cells == rows
    assert sum(rows.values()) == 92


def _of_row(row):
    words = [
        row[key] for key in ("paper", "table", "dataset", "model", "method", "setting", "unit", "source")
    ]
    metric = METRICS.get(row["metric"], row["metric"])
    return (*words, metric, float(row["alpha"]) if row["alpha"] else None, row["value"], row["std"])


def _of_cell(cell):
    alphas = [float(word.split("=")[1]) for word in cell.set if word.startswith("method.alpha=")]
    words = (
        cell.paper,
        cell.table_name,
        cell.dataset,
        cell.model,
        cell.label,
        cell.setting,
        cell.unit,
        cell.source,
    )
    std = "" if cell.std is None else f"{cell.std:.{cell.std_digits}f}"
    return (*words, cell.metric, alphas[0] if alphas else None, f"{cell.value:.{cell.digits}f}", std)


def test_weight_decay_is_both_in_the_words_and_in_the_overrides():
    table = next(table for paper in load_papers() for table in paper.tables if table.id == "table5")
    for cell in table.cells:
        assert f"recipe.{cell.setting.split(';')[0]}" in cell.set


def test_every_column_composes_and_is_an_experiment_of_its_own():
    cells = [cell for paper in load_papers() for cell in paper.cells if cell.not_runnable is None]
    longest = {cell.experiment: cell.overrides for cell in sorted(cells, key=lambda cell: len(cell.set))}
    configs = compose_configs(longest.values())
    assert len({fingerprint(config) for config in configs.values()}) == len(longest)
    assert max(Counter((cell.overrides, cell.metric) for cell in cells).values()) == 1
    for cell in cells:  # a run of the cell's own words is never passed over before Hydra is asked
        if cell.overrides in configs:
            config = configs[cell.overrides]
            chosen, _ = experiment_choices(cell.experiment)
            assert _may_match(cell, [SimpleNamespace(names=chosen | {"method": cell.method}, config=config)])


def test_quoted_and_missing_numbers_say_why_they_cannot_be_run():
    cells = [cell for paper in load_papers() for cell in paper.cells if cell.not_runnable]
    assert Counter(cell.label for cell in cells) == {"AdaMix": 2, "Input Mixup": 2, "ERM": 2, "Mixup": 2}
    assert all(cell.n is None and cell.std is None for cell in cells)


SOUND = """\
key: tiny
title: A title
authors: Somebody
venue: Nowhere 2026
arxiv: "0000.00000"
url: https://example.org
tables:
  - id: table1
    name: Table 1
    caption: Errors
    source: nobody
    metrics:
      error: {unit: percent, digits: 1, protocol: error/best}
    columns:
      - dataset: CIFAR-10
        model: PreActResNet-18
        experiment: mixup_cifar10_preactresnet18
        cells:
          - {label: ERM, metric: error, value: 5.6, std: 0.1, method: erm}
"""
SLIPS = {
    "not yaml": ("value: 5.6,", "value: [5.6,", 19, ""),
    "twice": ("caption: Errors", "id: table2", 8, "a key is written twice"),
    "unknown word": ("label: ERM", "lable: ERM", 19, "did you mean 'label'?"),
    "unknown column word": ("dataset: CIFAR-10", "datset: CIFAR-10", 15, "did you mean 'dataset'?"),
    "a string": ("value: 5.6", 'value: "5.6"', 19, "'value' is '5.6'"),
    "nan": ("value: 5.6", "value: .nan", 19, "'value' is nan"),
    "digits": ("value: 5.6", "value: 5.63", 19, "does not have 1 decimals"),
    "std": ("std: 0.1", "std: -0.1", 19, "'std' is -0.1"),
    "protocol": ("protocol: error/best", "protocol: error/bset", 19, "did you mean 'error/best'?"),
    "unknown protocol": ("protocol: error/best", "protocol: unknown", 19, "say with `nearest:`"),
    "other metric": ("protocol: error/best", "protocol: nll/best", 19, "cannot be compared"),
    "unit": ("unit: percent", "unit: nats", 19, "counted in percent"),
    "experiment": ("mixup_cifar10_pre", "mixup_cifar_pre", 19, "no experiment 'mixup_cifar_preactresnet18'"),
    "method": ("method: erm", "method: em", 19, "no method 'em'; did you mean 'erm'?"),
    "no method": (", method: erm", "", 19, "'method' is missing"),
    "set": ("method: erm", "method: erm, set: method.alpha=1", 19, "'set' is"),
    "no source": ("    source: nobody\n", "", 18, "'source' is missing"),
    "no title": ("title: A title\n", "", 1, "'title' is missing"),
    "arxiv": ('"0000.00000"', "1710.09412", 1, "'arxiv' is 1710.09412"),
    "no cells": ("cells:\n", "cells: []\n#", 15, "is not a list"),
}


def test_the_sound_file_is_read(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(SOUND)
    (cell,) = read_paper(path).cells
    assert (cell.value, cell.std, cell.unit, cell.protocol) == (5.6, 0.1, "percent", "error/best")
    assert cell.overrides == ("experiment=mixup_cifar10_preactresnet18", "method=erm")


@pytest.mark.parametrize("kind", SLIPS)
def test_a_slip_is_named_with_file_and_line(tmp_path, kind):
    before, after, line, words = SLIPS[kind]
    path = tmp_path / "tiny.yaml"
    path.write_text(SOUND.replace(before, after))
    with pytest.raises(UserError) as caught:
        read_paper(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:{line}")
    assert words in message
    assert "\n" not in message


def test_two_cells_for_one_place(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(SOUND + SOUND.splitlines()[-1] + "\n")
    with pytest.raises(UserError, match=r"tiny.yaml:8: two cells for ERM"):
        read_paper(path)


def test_two_files_of_one_paper(tmp_path):
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(SOUND)
    with pytest.raises(UserError, match="two files of paper 'tiny'"):
        load_papers(tmp_path)
