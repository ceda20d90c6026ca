"""What a hostile name may do to each format: nothing."""

import csv
import io
import re

import pytest
from pandas import DataFrame

from msda_train.records.rows import one_line
from msda_train.reporting.grid import STYLES, Grid, csv_text, draw

HOSTILE = [
    '=HYPERLINK("http://x","y")',
    "+1+cmd|' /C calc'!A0",
    "-2+3+cmd",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "<script>alert(1)</script>",
    "a|b",
    "[x](javascript:1)",
    "`code`",
    "**bold** _em_ ~~no~~",
    r"\input{/etc/passwd} $x$ % # & ~ ^ {",
    "&lt;b&gt;",
    "x\n\n# head",
]


def grid(word, *, typed=False):
    table = DataFrame([[word, "1"]], columns=["method", word])
    return Grid(word, table, [word], [word], [word], typed=typed)


@pytest.mark.parametrize("word", HOSTILE)
def test_a_name_is_no_formula(word):
    text = csv_text([{"name": word, "value": -1.5, "printed": "-0.25", "none": None}])
    ((name, value, printed, none),) = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert name.lstrip("'") == one_line(word)
    assert name[0] not in "=+-@\t\r"
    assert name.startswith("'") is (word[0] in "=+-@\t\r")
    assert (value, printed, none) == ("-1.5", "-0.25", "")


@pytest.mark.parametrize("typed", [False, True])
@pytest.mark.parametrize("word", HOSTILE)
def test_a_name_is_no_markup(word, typed):
    page = draw([grid(word, typed=typed)], "html")
    assert "<script" not in page
    assert page.count("<td") == len(re.findall("<th[ >]", page)) == 2
    markdown = draw([grid(word, typed=typed)], "markdown")
    head, *below = markdown.splitlines()
    said = "\n".join(below)
    for mark in ("<script", " [x]", "`code`", " **bold", " _em_", " ~~no"):
        assert mark not in said.replace("**\\", "\\")
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 3 for line in below if line.startswith("|"))
    assert head.startswith("### `") is typed
    latex = draw([grid(word, typed=typed)], "latex")
    assert r"\input" not in latex
    assert not re.search(r"(?<!\\)[%#]", latex)
    assert latex.count(r" \\") == 2
    for style in set(STYLES) - {"csv"}:
        assert all(line.isprintable() for line in draw([grid(word, typed=typed)], style).splitlines())


def test_a_code_span_ends_where_its_text_ends():
    assert draw([grid("a ``b` c", typed=True)], "markdown").startswith("### ``` a ``b` c ```\n")
