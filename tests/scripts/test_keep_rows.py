"""Keeping rows: copies under their names, and never over another row."""

import json
from pathlib import Path

import pytest

from msda_train.records.summary import summarise

HERE = Path(__file__).parents[1] / "stored"
STORED = HERE / "rows" / "mixup_cifar10_preactresnet18"


@pytest.fixture
def keep(load_script):
    return load_script("keep_rows").keep


def test_rows_are_copied_as_they_are_and_once(keep, tmp_path):
    for number, path in enumerate(sorted(STORED.iterdir())):
        folder = tmp_path / "runs" / str(number) / "s0"
        folder.mkdir(parents=True)
        (folder / "row.json").write_bytes(path.read_bytes())
    kept = tmp_path / "rows"
    written, complaints = keep([tmp_path / "runs"], kept)
    assert complaints == []
    assert {path.relative_to(kept) for path in written} == {
        path.relative_to(STORED.parent) for path in STORED.iterdir()
    }
    for path in written:
        assert path.read_bytes() == (STORED / path.name).read_bytes()
    assert keep([tmp_path / "runs"], kept) == ([], [])


def test_a_kept_row_is_never_overwritten(keep, tmp_path):
    path = sorted(STORED.iterdir())[0]
    raw = json.loads(path.read_text())
    raw["history"][-1]["error"] = 0.9
    raw["metrics"] = summarise(raw["history"])
    (tmp_path / "row.json").write_text(json.dumps(raw))
    kept = tmp_path / "kept"
    keep([STORED], kept)
    before = (kept / STORED.name / path.name).read_bytes()
    written, (complaint,) = keep([tmp_path / "row.json"], kept)
    assert written == []
    assert "is kept and differs" in complaint
    assert (kept / STORED.name / path.name).read_bytes() == before


def test_a_run_that_was_probed_since_takes_its_numbers_along(keep, tmp_path):
    path = sorted(STORED.iterdir())[0]
    kept = tmp_path / "kept"
    keep([STORED], kept)
    raw = json.loads(path.read_text())
    raw["probes"] = {"calibration": {"numbers": {"ece_15": 0.03}, "asked": []}}
    (tmp_path / "row.json").write_text(json.dumps(raw))
    written, complaints = keep([tmp_path / "row.json"], kept)
    assert (len(written), complaints) == (1, [])
    assert json.loads(written[0].read_text()) == raw
    assert keep([STORED], kept) == ([], [])
    assert json.loads(written[0].read_text()) == raw
