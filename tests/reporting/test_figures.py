"""The README's figures are what the kept rows say."""

import re
from pathlib import Path
from xml.dom.minidom import parseString

import matplotlib
import pytest

from msda_train.core.errors import UserError

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script(load_script):
    return load_script("figures")


def test_the_figures_are_what_the_rows_say(script):
    """Byte for byte with the matplotlib that drew the kept ones, which the SVG names."""
    drawn = script.figures([script.ROWS])
    assert sorted(path.name for path in script.FIGURES.iterdir() if path.is_file()) == sorted(drawn)
    kept = (script.FIGURES / "seeds.svg").read_text(encoding="utf-8")
    if f"Matplotlib v{matplotlib.__version__}," not in kept:
        pytest.skip(f"the kept figures were drawn by another matplotlib than {matplotlib.__version__}")
    for name, content in drawn.items():
        assert (script.FIGURES / name).read_bytes() == content, "type: make figures"


def test_figures_are_sound_and_the_same_each_time(script, rows):
    made = script.figures([rows])
    kinds = ("pdf", "png", "svg")
    drawn = {name.partition(".")[0] for name in made}
    published = {name for name in drawn if name.startswith("published_")}
    assert published
    assert drawn == {"frontier", "learning_curves", "seeds"} | published
    assert sorted(made) == sorted(f"{name}.{kind}" for name in drawn for kind in kinds)
    assert made == script.figures([rows])
    for name, content in made.items():
        assert len(content) < 600_000
        if name.endswith(".svg"):
            assert parseString(content).documentElement.tagName == "svg"
    words = re.findall(rb"<!-- (.*?) -->", made["seeds.svg"])
    assert any(b"recipe=short" in each for each in words)
    assert not any(b"dataset=digits" in each for each in words)  # two methods compare little


def test_a_damaged_row_and_no_rows(script, rows, tmp_path):
    (tmp_path / "nothing").mkdir()
    assert script.figures([tmp_path / "nothing"]) == {}
    (rows / "bad.json").write_text("{")
    with pytest.raises(UserError, match=r"bad\.json"):
        script.figures([rows])
