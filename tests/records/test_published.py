"""The published numbers are those of the sources, and a slip in a file is named with its line."""

import csv
import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from msda_train.comparison.cell_words import printed_value
from msda_train.comparison.compare import compare, resembling
from msda_train.comparison.config_diff import experiment_choices
from msda_train.comparison.match import compose_configs, may_match
from msda_train.comparison.provenance import chain
from msda_train.comparison.table import lines_frame
from msda_train.comparison.verdict import Verdict, verdict
from msda_train.config.fingerprint import fingerprint
from msda_train.core.errors import UserError
from msda_train.core.paths import CONFIGS
from msda_train.records.frame import published_frame
from msda_train.records.published import load_papers, read_paper
from msda_train.reporting.plots import published_picture
from msda_train.reporting.table_view import records, table_grids

# Every row of the reference that was collected by hand, with two wordings made plain ("not stated in seed").
# All its rows are in scope: a number that cannot be run says why, and none is left out.
REFERENCE = Path(__file__).parents[1] / "stored" / "published_reference.csv"
LATER = REFERENCE.with_name("published_later.csv")  # collected after it
# What the reference left open, and Westlake-AI/openmixup docs/en/model_zoos/Mixup_sup.md prints.
TINY_ALPHAS = {
    "Mixup": 1,
    "CutMix": 1,
    "Manifold Mixup": 0.2,
    "SaliencyMix": 1,
    "AttentiveMix+": 2,
    "Puzzle Mix": 1,
}
METRICS = {"top1_error": "error"}  # the reference's word and ours; the others are the same
# The reference names the files into which slides were transcribed; ours say what they are.
SLIDES = "slides that quote the paper, "
SOURCES = {
    "000_1f6955fdea838de9.txt": f"{SLIDES}transcription 1",
    "002_b445323b53cd7929.txt": f"{SLIDES}transcription 2",
    "000_1f6955fdea838de9.txt;002_b445323b53cd7929.txt": f"{SLIDES}transcriptions 1 and 2",
}


@pytest.fixture(scope="module")
def papers():
    return load_papers()


@pytest.fixture(scope="module")
def cells(papers):
    return [cell for paper in papers for cell in paper.cells]


def test_every_source_row_has_its_cell_and_every_cell_its_row(cells):
    found = {}
    for path in (REFERENCE, LATER):
        with path.open(newline="") as file:
            found[path] = Counter(_of_row(row) for row in csv.DictReader(file))
    rows = found[REFERENCE] + found[LATER]
    assert Counter(_of_cell(cell) for cell in cells if cell.not_published is None) == rows
    assert sum(found[REFERENCE].values()) == 1049


def _of_row(row):
    words = [
        row[key] for key in ("paper", "table", "dataset", "model", "method", "setting", "unit", "source")
    ]
    words[-1] = SOURCES.get(words[-1], words[-1])
    metric = METRICS.get(row["metric"], row["metric"])
    alpha = row["alpha"]
    if row["table"] == "tiny_imagenet README":
        alpha = TINY_ALPHAS.get(row["method"], "")
    return (*words, metric, _number(alpha), row["value"], row["std"])


def _of_cell(cell):
    # As printed; where only another table of the paper says it, the cell says so, too.
    alphas = [cell.alpha, *(word.split("=")[1] for word in cell.set if word.startswith("method.alpha="))]
    alpha = next((_number(alpha) for alpha in alphas if alpha is not None), None)
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
    # The reference has one column for what follows a ±; a deviation within one run is among its settings.
    spread = cell.spread if cell.spread_kind == "not stated" else cell.std
    std = (
        "" if spread is None else f"{spread:.{cell.digits if cell.std_digits is None else cell.std_digits}f}"
    )
    return (*words, cell.metric, alpha, f"{cell.value:.{cell.digits}f}", std)


def _number(text):
    try:
        return float(text)
    except (TypeError, ValueError):
        return text or None


def test_no_source_is_the_name_of_a_file_that_only_its_collector_has(cells):
    assert [cell.source for cell in cells if re.search("[0-9a-f]{8}", cell.source)] == []


def test_weight_decay_is_both_in_the_words_and_in_the_overrides(papers):
    mixup = next(paper for paper in papers if paper.key == "mixup")
    table = next(table for table in mixup.tables if table.id == "table5")
    for cell in table.cells:
        assert f"recipe.{cell.setting.split(';')[0]}" in cell.set


def test_layers_and_lengths_are_both_in_the_words_and_in_the_overrides(cells):
    said = [cell for cell in cells if "S={" in cell.setting and cell.method == "manifold_mixup"]
    assert len(said) == 18
    for cell in said:
        layers = cell.setting.partition("{")[2].partition("}")[0]
        assert f"method.depths=[{layers}]" in cell.set
    holes = [cell for cell in cells if "length " in cell.setting and cell.not_runnable is None]
    assert holes
    for cell in holes:
        assert f"method.length={cell.setting.partition('length ')[2]}" in cell.set


def test_epochs_and_probabilities_are_both_in_the_words_and_in_the_overrides(cells):
    runnable = [cell for cell in cells if cell.not_runnable is None]
    epochs = [cell for cell in runnable if cell.paper == "openmixup"]
    for cell in epochs:
        assert f"recipe.epochs={cell.setting.split()[0]}" in cell.set
    noises = [cell for cell in runnable if cell.setting.startswith("corrupt=")]
    assert (len(epochs), len(noises)) == (133, 18)
    for cell in noises:
        noise, *rest = cell.setting.split("; ")
        _, overlay = experiment_choices(cell.experiment)
        assert f"{overlay['dataset']['label_noise']:.0%}" == noise.partition("=")[2]
        drops = [f"model.dropout={word[2:]}" for word in rest if word.startswith("p=")]
        assert [word for word in cell.set if word.startswith("model.")] == drops
        assert bool(drops) == ("dropout" in cell.label)
        assert cell.protocol == f"error/{rest[-1].split()[0]}"
    probs = [cell for cell in runnable if cell.setting.startswith("prob=")]
    assert probs
    for cell in probs:
        assert f"method.{cell.setting.split(';')[0]}" in cell.set


def test_what_is_compared_together_is_run_together(cells):
    """A label of CutMix's comparison is a sum, and so are the words that it stands for."""
    words = {
        "Cutout": ("method.length=16", "recipe.cutout=16", "method.length=112"),
        "Label smoothing": ("recipe.label_smoothing=0.1",),
        "StochDepth": ("regulariser=stochdepth",),
        "DropBlock": ("regulariser=dropblock",),
        "ShakeDrop": ("regulariser=shakedrop",),
    }
    sums = [cell for cell in cells if cell.paper == "cutmix" and cell.experiment and not cell.not_runnable]
    assert sum("+" in cell.label for cell in sums) == 17
    for cell in sums:
        parts = cell.label.split(" + ")
        for part, choices in words.items():
            assert bool(set(choices) & set(cell.set)) == (part in parts), cell.label
        parts = ["CutMix" if part.endswith("CutMix") else part for part in parts]  # Table 8's kinds of it
        mixing = [part for part in parts if part in ("Mixup", "Manifold Mixup", "CutMix")]
        alone = "cutout" if parts[0] == "Cutout" else "erm"
        assert cell.method == (mixing[0].lower().replace(" ", "_") if mixing else alone)


def test_every_column_composes_and_is_an_experiment_of_its_own(cells):
    cells = [cell for cell in cells if cell.not_runnable is None]
    longest = {cell.experiment: cell.overrides for cell in sorted(cells, key=lambda cell: len(cell.set))}
    configs = compose_configs(longest.values())
    assert len({fingerprint(config) for config in configs.values()}) == len(longest)
    # Words stand for one number of a table, several aggregates of it, or runs that are told singly.
    keys = ("overrides", "metric", "compared_with", "paper", "table")
    means = Counter(tuple(getattr(cell, key) for key in keys) for cell in cells if cell.n != 1)
    assert max(means.values()) == 1
    for cell in cells:  # a run of the cell's own words is never passed over before Hydra is asked
        if cell.overrides in configs:
            config = configs[cell.overrides]
            chosen, _ = experiment_choices(cell.experiment)
            row = SimpleNamespace(names=chosen | {"method": cell.method}, config=config)
            assert may_match(cell, row)


def test_what_the_suite_has_can_be_run_and_the_rest_says_why(papers, cells):
    runnable = Counter(cell.paper for cell in cells if cell.not_runnable is None)
    assert runnable == {
        "manifold_mixup": 196,
        "cutmix": 325,
        "puzzlemix": 78,
        "openmixup": 133,
        "saliencymix": 85,
        "mixup": 58 + 3 + 44,  # three of ImageNet, and those of its ablation, whose numbers are not at hand
        "cutout": 14,
        "on_mixup_training": 8,
        "comixup": 3,
        "automix": 32,
        "adautomix": 2,
        "recursivemix": 4,
        "hysts_replication": 16,
        "shakedrop": 1,
        "gcommands_repo": 6,
    }
    run = {cell.experiment for cell in cells if cell.not_runnable is None}
    for cell in cells:
        if cell.not_runnable is None:
            assert cell.compared_with
        else:
            assert cell.experiment is None or cell.experiment in run  # quoted or not measured, in a column
            assert len(cell.not_runnable) > 10


def test_no_reason_names_what_the_suite_has(cells):
    """When a model or a method arrives, its cells have to be opened."""
    for group in ("model", "method", "dataset"):
        folders = (group, "regulariser") if group == "method" else (group,)
        names = {path.stem for folder in folders for path in (CONFIGS / folder).glob("*.yaml")}
        word = "data set" if group == "dataset" else group
        for cell in cells:
            missing = re.findall(rf"\b{word} (\w+)(?= is| are|,| and)", cell.not_runnable or "")
            assert not names & set(missing), cell.not_runnable


def test_replications_are_marked(cells):
    marked = Counter(cell.paper for cell in cells if cell.replication)
    assert set(marked) >= {"openmixup", "hysts_replication", "cutmix"}
    assert marked["openmixup"] == 142
    assert all(cell.replication for cell in cells if cell.table_name.startswith("third-party"))
    assert not any(cell.replication for cell in cells if cell.paper in ("mixup", "manifold_mixup"))


def test_a_spread_that_is_no_standard_deviation_is_not_called_one(cells):
    kinds = Counter(cell.spread_kind for cell in cells if cell.spread is not None)
    assert kinds == {"not stated": 6, "maximum deviation of the last 10 epochs": 1}
    assert all(cell.std is None for cell in cells if cell.spread is not None)


def test_best_epochs_are_compared_with_best_epochs_only(cells):
    for cell in cells:
        if cell.protocol.endswith("/best"):
            assert cell.compared_with == cell.protocol
        if re.search(r"best epoch", cell.setting) and "runs" not in cell.setting:
            assert cell.protocol.endswith("best")


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
    "no value": ("value: 5.6, ", "", 19, "'value' is missing"),
    "a value that is none": ("value: 5.6", "value: 5.6, not_published: lost", 19, "says there is none"),
    "nan": ("value: 5.6", "value: .nan", 19, "'value' is nan"),
    "digits": ("value: 5.6", "value: 5.63", 19, "does not have 1 decimals"),
    "std": ("std: 0.1", "std: -0.1", 19, "'std' is -0.1"),
    "protocol": ("protocol: error/best", "protocol: error/bset", 19, "did you mean 'error/best'?"),
    "unknown protocol": ("protocol: error/best", "protocol: unknown", 19, "say with `nearest:`"),
    "other metric": ("protocol: error/best", "protocol: nll/best", 19, "cannot be compared"),
    "unit": ("unit: percent", "unit: nats", 19, "counted in percent"),
    "a probe's": ("error/best", "ood/uniform/auroc", 19, "or say with `probes:` what measures it"),
    "another probe's": ("error/best}", "ood/uniform/auroc, probes: manifold_fgsm}", 19, "what measures it"),
    "probes": ("error/best}", "error/best, probes: manifold_fgm}", 19, "did you mean 'manifold_fgsm'?"),
    "no answer": (
        "metric: error,",
        "metric: fid, unit: score, digits: 1, protocol: error/best,",
        19,
        "cannot be",
    ),
    "experiment": ("mixup_cifar10_pre", "mixup_cifar_pre", 19, "no experiment 'mixup_cifar_preactresnet18'"),
    "method": ("method: erm", "method: em", 19, "no method 'em'; did you mean 'erm'?"),
    "no method": (", method: erm", "", 19, "'method' is missing"),
    "set": ("method: erm", "method: erm, set: method.alpha=1", 19, "'set' is"),
    "spread": ("std: 0.1", "spread: 0.1", 19, "'spread' needs a 'spread_kind'"),
    "spread kind": ("std: 0.1", "spread: 0.1, spread_kind: rnge", 19, "choose from: range"),
    "other protocol": ("protocol: error/best", "protocol: other", 19, "say with `note:` which"),
    "replication": ("method: erm", "method: erm, replication: maybe", 19, "'replication' is 'maybe'"),
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


def test_a_number_that_is_not_at_hand_is_compared_with_nothing(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(SOUND.replace("value: 5.6, std: 0.1", "not_published: not sourced"))
    paper = read_paper(path)
    (cell,) = paper.cells
    assert cell.overrides == ("experiment=mixup_cifar10_preactresnet18", "method=erm")
    assert printed_value(cell) == "not published: not sourced"
    assert cell == read_paper(path).cells[0]
    said = verdict(cell, [5.0, 5.1])
    assert said == Verdict("not published", "Nothing to compare with: not sourced.")
    assert published_frame([paper]).empty
    lines = lines_frame([])
    compared = compare([paper], lines)
    assert not published_picture(compared).panels
    (grid,) = table_grids(compared, resembling(compared, lines))
    assert grid.table["published"].tolist() == ["not published: not sourced"]
    assert records(compared)[0]["published"] is None
    links = dict(chain(paper, paper.tables[0], 0, []).links)
    assert links["published"][0].startswith("not published: not sourced, error; epoch: best")


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
    with pytest.raises(UserError, match="a second file of paper 'tiny'"):
        load_papers(tmp_path)
