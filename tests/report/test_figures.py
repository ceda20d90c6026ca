"""The README's figures are what the kept rows say."""

from pathlib import Path
from xml.dom.minidom import parseString

import pytest

from msda_train.errors import UserError

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script(load_script):
    return load_script("figures")


def test_the_figures_are_what_the_rows_say(script):
    for name, svg in script.figures([script.ROWS]).items():
        assert (script.FIGURES / name).read_text(encoding="utf-8") == svg, "type: make figures"


def test_figures_are_sound_xml_and_the_same_each_time(script, rows):
    made = script.figures([rows])
    assert sorted(made) == ["learning_curves.svg", "seeds.svg"]
    assert made == script.figures([rows])
    for svg in made.values():
        root = parseString(svg).documentElement
        assert root.tagName == "svg"
        assert len(svg) < 200_000
        assert "href" not in svg
    assert "recipe=short" in made["seeds.svg"]
    assert "dataset=digits" not in made["seeds.svg"]  # two methods compare little


def test_a_damaged_row_and_no_rows(script, rows, tmp_path):
    (tmp_path / "nothing").mkdir()
    assert script.figures([tmp_path / "nothing"]) == {}
    (rows / "bad.json").write_text("{")
    with pytest.raises(UserError, match=r"bad\.json"):
        script.figures([rows])
