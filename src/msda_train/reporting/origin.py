"""Which code wrote a report, and which code made its rows."""

from collections.abc import Iterable

from pandas import Series

from msda_train import __version__
from msda_train.core.commit import commit
from msda_train.records.rows import Row
from msda_train.reporting.number_words import many


def origin() -> str:
    """msda-train 0.1.0, commit 81f5641; without a commit where there is no checkout or no git."""
    code, dirty = commit() or (None, None)
    return _said(f"msda-train {__version__}", code, dirty)


def makers(rows: Iterable[Row]) -> str:
    """How many runs are of which version and commit, as the rows say; empty without rows."""
    counts = Series([_maker(row) for row in rows], dtype=object).value_counts(sort=False)
    return "; ".join(f"{many(count, 'run')} by {maker}" for maker, count in counts.items())


def _maker(row: Row) -> str:
    version, code = (row.environment.get(key) for key in ("msda_train", "commit"))
    said = f"msda-train {str(version)[:20]}" if version else "an unknown version"
    return _said(said, code, row.environment.get("dirty"))


def _said(version: str, code: object, dirty: object) -> str:
    return f"{version}, commit {str(code)[:7]}{' with changes' if dirty else ''}" if code else version
