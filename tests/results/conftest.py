"""Composed fingerprints are remembered for one test session, not in the home of whoever runs it."""

import pytest

from msda_train.results import match


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(match, "CACHE", tmp_path_factory.mktemp("cache") / "fingerprints.json")
        yield
