"""Books made of stored rows, and a parser that fails where a browser would mend."""

import json
import shutil
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from msda_train.records.published import load_papers
from msda_train.records.rows import load_rows
from msda_train.reporting.page import html
from msda_train.reporting.report import make_report

ROWS = Path(__file__).parents[1] / "stored" / "rows"
VOID = {"meta", "img", "br"}


@pytest.fixture(scope="session")
def papers():
    return load_papers()


@pytest.fixture
def rows(tmp_path):
    """A copy of the stored rows, to be damaged."""
    return Path(shutil.copytree(ROWS, tmp_path / "rows"))


@pytest.fixture
def report(papers):
    """The report of the rows at or under some places."""

    def made(*places):
        rows, complaints = load_rows(places)
        return make_report(papers, rows, complaints=complaints, made=datetime(2026, 1, 2, tzinfo=UTC))

    return made


@pytest.fixture
def page(report):
    """The page of the rows at or under some places, parsed."""
    return lambda *places: Page(html(report(*places)))


@pytest.fixture
def changed(rows):
    """Rewrites the first stored digits row with `change(raw)`; returns its path."""

    def write(change):
        path = next((rows / "digits-preactresnet18-smoke").iterdir())
        raw = json.loads(path.read_text())
        change(raw)
        path.write_text(json.dumps(raw))
        return path

    return write


class Page(HTMLParser):
    """Tags, ids and links of a page whose tags are balanced."""

    def __init__(self, text):
        super().__init__()
        self.source, self.open, self.tags, self.ids, self.words = text, [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for key, value in attrs if key == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]
