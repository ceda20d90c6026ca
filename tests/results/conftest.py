"""The stored test rows and published files.

Composed fingerprints are remembered for one test session, not in the home of whoever runs it.
"""

from pathlib import Path

import pytest

from msda_train.comparison import match
from msda_train.records.published import load_papers
from msda_train.records.rows import load_rows

HERE = Path(__file__).parent


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(match, "CACHE", tmp_path_factory.mktemp("cache") / "fingerprints.json")
        yield


@pytest.fixture(scope="session")
def rows():
    return load_rows([HERE / "rows"])[0]


@pytest.fixture(scope="session")
def papers():
    return load_papers(HERE / "published")
