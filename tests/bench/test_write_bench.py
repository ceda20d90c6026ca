"""docs/performance.md is what the CSV files say."""

import pytest

from bench.table import Row, as_record, at_most, write_csv
from bench.timing import Spread
from msda_train.core.errors import UserError

MADE = {"device_name": "a chip", "threads": 1, "precision": "fp32", "measured": "2026-01-02", "commit": "abc"}
MADE |= dict.fromkeys(("torch", "torchvision", "timm", "kornia"), "1")


@pytest.fixture(scope="module")
def script(load_script):
    return load_script("write_bench")


def test_the_page_is_generated(script):
    text = script.PAGE.read_text(encoding="utf-8")
    assert script.page(text, script.BENCH) == text


def test_tables(script, tmp_path):
    value = Spread(2.5, 2.4, 2.7)
    row = Row(2, "mixup", value, "us", "copying", value, value, goal=at_most(2.6, 2.2), rounds=3, note="so")
    write_csv(tmp_path / "cpu.csv", [as_record(row, MADE)], "number")
    cost = {
        "method": "mixup",
        "ratio": "1.01",
        "low": "1",
        "high": "1.02",
        "ms": "3",
        "rounds": "5",
        "note": "",
    }
    cost |= {"model": "m", "width": "16", "batch": "128"}
    write_csv(tmp_path / "step_cost.csv", [{**cost, **{k: str(v) for k, v in MADE.items()}}], "method")
    text = script.page(script.PAGE.read_text(encoding="utf-8"), tmp_path)
    assert "| 2 | mixup | 2.5 us | copying 2.5 us | 2.5x [2.4-2.7] | ≤ 2.6 / 2.2 | must |" in text
    assert "- 2, mixup: so." in text
    assert "| mixup | 1.01 [1-1.02] | 3 | 5 |  |" in text
    assert "Measured 2026-01-02 on a chip" in text
    assert "Not measured yet." in text  # no CUDA here


def test_a_page_without_marks(script, tmp_path):
    with pytest.raises(UserError, match="marks"):
        script.page("# Performance\n", tmp_path)
