"""`msda-table bias`: best minus last, against the rows by hand."""

import csv
import io
import json
from statistics import fmean, stdev

import pytest


def by_hand(rows, prefix, metric="error", other="last"):
    paths = sorted((rows / "manifold_cifar10_preactresnet18").glob(f"{prefix}*.json"))
    found = [json.loads(path.read_text())["metrics"] for path in paths]
    return [each[f"{metric}/best"] - each[f"{metric}/{other}"] for each in found]


def test_the_numbers(table, rows):
    code, out, err = table("bias", rows, "--csv")
    assert (code, err) == (0, "")
    records = {
        record["method_words"]: record
        for record in csv.DictReader(io.StringIO(out))
        if record["column_words"] == "experiment=manifold_cifar10_preactresnet18"
    }
    for other in ("last", "median_last10"):
        shifts = [100 * shift for shift in by_hand(rows, "bb2c", other=other)]
        assert float(records["mixup"][f"best_minus_{other}_mean"]) == pytest.approx(fmean(shifts))
        assert float(records["mixup"][f"best_minus_{other}_std"]) == pytest.approx(stdev(shifts))
    assert records["mixup alpha=0.2"]["best_minus_last_std"] == ""
    assert all(float(record["best_minus_last_mean"]) <= 0 for record in records.values())


def test_every_style(table, rows):
    assert "best - last" in table("bias", rows)[1]
    assert "| error, points " in table("bias", rows, "--markdown")[1]
    assert r"\midrule" in table("bias", rows, "--latex")[1]
    assert "best - last</th>" in table("bias", rows, "--html")[1]
    assert "nll, nats" in table("bias", rows, "--metric", "nll")[1]


def test_a_bad_row_is_named_and_the_others_are_shown(table, rows):
    (rows / "bad.json").write_text("{")
    code, out, err = table("bias", rows)
    assert (code, err.count("\n")) == (2, 1)
    assert "manifold_mixup" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no rows under runs or results/rows; type: msda-train method=erm"),
        (["nowhere"], "there is no folder 'nowhere'"),
        (["--metric", "eror"], "invalid choice: 'eror'"),
    ],
)
def test_what_is_typed_wrong_costs_one_line(table, words, message):
    code, out, err = table("bias", *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
