"""Numbers in the repository's documents are what its rows say."""

from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def script(load_script):
    return load_script("write_tables")


def test_the_tables_are_what_the_rows_say(script):
    table = script.tables()
    assert script.TABLE.read_text() == table
    assert script.PROBED.read_text() == script.probed_tables()
    assert script.README.read_text() == script.with_table(script.README.read_text(), script.other_tables())


def test_kept_rows_still_mean_what_they_meant():
    """A change that orphans a kept row (its fingerprint moves) has to say so."""
    from msda_train.records.rows import read_row

    rows = sorted((REPO / "results" / "rows").rglob("*.json"))
    assert rows
    for path in rows:
        assert path.name == f"{read_row(path).fingerprint}-s{read_row(path).seed}.json"
