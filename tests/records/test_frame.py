"""Rows and published numbers as data frames."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas
import pytest

import msda_train
from msda_train.core.errors import UserError
from msda_train.core.paths import PUBLISHED
from msda_train.records.frame import published_frame, rows_frame
from msda_train.records.summary import PROTOCOLS

HERE = Path(__file__).parents[1] / "stored"


def test_one_line_per_run_and_number(rows):
    frame = rows_frame(rows)
    assert len(frame) == sum(len(row.metrics) for row in rows)
    row = next(row for row in rows if row.names["method"] == "mixup" and row.config["method"]["alpha"] == 0.2)
    mine = frame[(frame.path == str(row.path)) & (frame.metric == "error")]
    assert dict(zip(mine.epoch, mine.value, strict=True)) == {
        rule: row.metrics[f"error/{rule}"] for rule in ("last", "best", "median_last10")
    }
    assert set(mine["method.alpha"]) == {0.2}
    assert set(mine.fingerprint) == {row.fingerprint}


def test_a_probe_s_number_has_its_probe_and_no_metric(rows):
    row = replace(rows[0], metrics={**rows[0].metrics, "ood/mean_of_2/auroc": 0.75})
    frame = rows_frame([row])
    assert len(frame) == len(PROTOCOLS) + 1
    (line,) = frame[frame.probe == "ood"].to_dict("records")
    assert (line["name"], line["value"], line["seed"]) == ("mean_of_2/auroc", 0.75, row.seed)
    assert frame.metric.isna().sum() == 1


def test_no_column_is_hidden_by_a_method_of_pandas(rows, papers):
    row = replace(rows[0], metrics={**rows[0].metrics, "in_between/train_mixup/error_max_11": 0.5})
    frame = rows_frame([row])
    assert list(frame["setting.aggregate"].dropna()) == ["max"]
    for each in (frame, published_frame(papers)):
        assert not [name for name in each if hasattr(pandas.DataFrame, name)]


def test_no_rows_have_the_same_columns():
    frame = rows_frame([])
    assert len(frame) == 0
    assert {"fingerprint", "metric", "value"} <= set(frame)


def test_places_and_complaints(tmp_path):
    assert len(msda_train.load_rows(HERE / "rows")) > 100
    (tmp_path / "bad.json").write_text("{")
    with pytest.warns(UserWarning, match=r"bad\.json: not JSON"):
        frame = msda_train.load_rows(HERE / "rows", str(tmp_path))
    assert frame.equals(msda_train.load_rows(HERE / "rows"))
    with pytest.raises(UserError, match="there is no folder"):
        msda_train.load_rows(tmp_path / "none")


def test_every_published_cell_is_a_line(papers):
    frame = published_frame(papers)
    cells = [cell for paper in papers for cell in paper.cells]
    assert list(frame.value) == [cell.value for cell in cells]
    assert list(frame.runnable) == [cell.not_runnable is None for cell in cells]
    assert frame.id.is_unique
    assert frame[frame.runnable].overrides.notna().all()
    assert (
        len(msda_train.load_published()) > len(msda_train.load_published(PUBLISHED).query("not runnable")) > 0
    )


def test_import_stays_light():
    code = "import sys, msda_train; print('pandas' in sys.modules, 'torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["False", "False"]
