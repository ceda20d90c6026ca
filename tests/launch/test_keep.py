"""Finished rows in another folder: whole, at once, never over another's."""

import json
import os

import pytest

from msda_train.core.errors import UserError
from msda_train.launch.keep import Keeper, keep
from msda_train.records.rows import kept_name, load_rows, read_row, write_row
from msda_train.records.summary import summarise


@pytest.fixture
def row(plan, make_row, tmp_path):
    (job,) = plan(0).jobs[:1]
    path = tmp_path / "runs" / f"{job.fingerprint}-00000000" / "s0" / "row.json"
    write_row(path, make_row(job))
    return read_row(path)


def test_kept_once_with_its_history(row, tmp_path):
    target = keep(row, tmp_path / "kept")
    assert target == tmp_path / "kept" / kept_name(row)
    assert target.read_bytes() == row.path.read_bytes()
    assert len(json.loads(target.read_text())["history"]) == 12
    assert keep(row, tmp_path / "kept") is None
    assert [each.key for each in load_rows([tmp_path / "kept"])[0]] == [row.key]


def test_another_row_in_its_place_stays(row, tmp_path):
    target = keep(row, tmp_path / "kept")
    raw = json.loads(target.read_text())
    raw["history"][-1]["error"] = 0.123
    write_row(target, raw | {"metrics": summarise(raw["history"])})
    before = target.read_bytes()
    with pytest.raises(UserError, match="is kept and differs"):
        keep(row, tmp_path / "kept")
    assert target.read_bytes() == before


def test_what_cannot_be_kept_is_tried_again(row, tmp_path):
    folder = tmp_path / "kept"
    keeper = Keeper(folder)
    keeper.check()
    (folder / kept_name(row).parent).write_text("a file where a folder has to be")
    assert "cannot be written" in keeper.add(row)
    (folder / kept_name(row).parent).unlink()
    assert keeper.again() is None
    assert (folder / kept_name(row)).read_bytes() == row.path.read_bytes()
    assert keeper.again() is None


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match=r"--keep .*: cannot be written .*; type --keep FOLDER") as error:
            Keeper(folder).check()
        assert "\n" not in str(error.value)
    if os.geteuid():
        (tmp_path / "locked").mkdir(mode=0o500)
        with pytest.raises(UserError, match="--keep"):
            Keeper(tmp_path / "locked").check()
