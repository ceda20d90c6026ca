"""`msda-table` in this process, with stored rows and made-up papers, and a cache of its own."""

import shutil
from pathlib import Path

import pytest

from msda_train.cli import table as table_cli

RESULTS = Path(__file__).parents[2] / "stored"


@pytest.fixture
def rows(tmp_path):
    """A copy of the stored rows, to be damaged."""
    return Path(shutil.copytree(RESULTS / "rows", tmp_path / "rows"))


@pytest.fixture
def published(tmp_path):
    """A copy of the made-up papers, to be damaged."""
    return Path(shutil.copytree(RESULTS / "published", tmp_path / "published"))


@pytest.fixture
def table(capsys, tmp_path, monkeypatch):
    """Run `msda-table WORDS` in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code = table_cli.main([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run
