"""How far apart papers are about the same baseline, on small papers made by hand, and as the page says it."""

from pathlib import Path

import pytest
import yaml

from msda_train.cli.table import main as run
from msda_train.comparison.disagreement import disagreement_frame, gains_frame, numbers_frame
from msda_train.records.published import load_papers
from msda_train.reporting.disagreement import disagreement_picture

REPO = Path(__file__).resolve().parents[2]


def paper(folder, key, *cells, metric="error", unit="percent", **more):
    """A published file with one column, CIFAR-10 and ResNet-18; cells: label, value, method and more."""
    column = {"dataset": "CIFAR-10", "model": "ResNet-18", "cells": [dict(cell) for cell in cells]}
    table = {
        "id": "t1",
        "name": "Table 1",
        "caption": "c",
        "source": "here",
        "metrics": {metric: {"unit": unit, "digits": 2, "protocol": "unknown"}},
        "columns": [column | more],
    }
    raw = {"key": key, "title": key, "authors": "A", "venue": "V 2020", "arxiv": "0000.00000", "url": "u"}
    (folder / f"{key}.yaml").write_text(yaml.safe_dump(raw | {"tables": [table]}))


def cell(method, value, metric="error", **more):
    said = {"label": method, "metric": metric, "value": value, "method": method, "not_runnable": "a test"}
    return said | more


@pytest.fixture
def three(tmp_path):
    paper(tmp_path, "one", cell("erm", 5.0, std=0.2, n=3), cell("mixup", 4.0))
    accuracies = [cell("erm", 94.5, "top1_acc"), cell("mixup", 94.6, "top1_acc")]
    paper(tmp_path, "two", *accuracies, metric="top1_acc")
    paper(tmp_path, "copies", cell("erm", 5.0), cell("mixup", 4.0), cell("cutmix", 3.0))
    return load_papers(tmp_path)


def test_errors_are_in_one_direction_and_copies_count_once(three):
    numbers = numbers_frame(three)
    by_id = dict(zip(numbers["id"], numbers["error"], strict=True))
    assert by_id["two/t1/1"] == 5.5
    copied = {id for id, of in zip(numbers["id"], numbers["copied"], strict=True) if isinstance(of, str)}
    assert len(copied) == 2  # of the two papers with equal numbers one counts, whichever file comes first
    found = disagreement_frame(numbers).set_index("method")
    assert list(found.index) == ["erm", "mixup"]  # cutmix stands in one paper alone
    assert found.loc["erm", ["papers", "numbers"]].tolist() == [2, 2]
    assert found.loc["erm", ["least", "most", "range"]].tolist() == [5.0, 5.5, 0.5]
    assert found.loc["mixup", "range"] == pytest.approx(1.4)


def test_a_gain_is_over_the_erm_of_the_same_table(three):
    (gain,) = gains_frame(three).itertuples()
    assert (gain.method, gain.papers, gain.gains) == ("mixup", 2, 2)
    assert gain.most == 1.0
    assert gain.least == pytest.approx(0.1)


def test_what_is_more_than_the_method_is_another_baseline(tmp_path):
    regularised = cell("erm", 9.0, set=["regulariser=shakedrop"])
    plain = cell("erm", 7.0, setting="no augmentation")
    paper(tmp_path, "one", cell("erm", 5.0), regularised, plain)
    paper(tmp_path, "two", cell("erm", 6.0))
    numbers = numbers_frame(load_papers(tmp_path))
    assert 9.0 not in set(numbers["error"])
    (line,) = disagreement_frame(numbers).itertuples()
    assert (line.data, line.least, line.most) == ("CIFAR-10", 5.0, 6.0)


def test_a_number_of_another_kind_is_none(tmp_path):
    paper(tmp_path, "one", cell("erm", 5.0, "nll"), metric="nll", unit="nats")
    assert numbers_frame(load_papers(tmp_path)).empty


def test_the_shipped_numbers():
    """WRN-28-10 on CIFAR-100: 18.80 in Cutout's README, 19.4 in mixup's figure, 21.72 in Manifold Mixup's
    table; SaliencyMix's is Cutout's."""
    numbers = numbers_frame(load_papers(), ["erm"])
    here = numbers[(numbers["data"] == "CIFAR-100") & (numbers["model"] == "WRN-28-10")]
    assert sorted(here["error"][here["copied"].isna()]) == [18.8, 19.4, 21.72]
    assert here["copied"].dropna().tolist() == ["cutout/readme/7"]
    pictured = disagreement_picture(load_papers())
    assert "CIFAR-100" in [panel.caption for panel in pictured.panels]


def test_the_page_is_what_the_files_say(load_script):
    """`make tables` writes it."""
    script = load_script("write_tables")
    assert (REPO / "docs" / "disagreement.md").read_text() == script.disagreement()


def test_the_command(capsys, tmp_path):
    assert run(["disagree"]) == 0
    assert "18.80 to 21.72" in capsys.readouterr().out
    assert run(["disagree", "erm", "--csv"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.startswith("data set,network,method")
    assert all(",erm," in line for line in lines)
    assert run(["disagree", "cutmux"]) == 2
    assert "did you mean" in capsys.readouterr().err
    paper(tmp_path, "alone", cell("erm", 5.0))
    assert run(["disagree", "--published", str(tmp_path)]) == 0
