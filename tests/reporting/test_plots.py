"""Axes, intervals, curves and looks at their edges: what is drawn, read off the figure itself."""

import io
import math
import shutil
from dataclasses import replace
from pathlib import Path
from xml.dom.minidom import parseString

import matplotlib
import numpy as np
import pytest
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font
from PIL import Image
from scipy import stats

from msda_train.core.errors import UserError
from msda_train.reporting.curves import Curve, curves_picture
from msda_train.reporting.draw import Look, _own_letters, looks, plain_words, rendered
from msda_train.reporting.history import Epoch, thinned
from msda_train.reporting.intervals import Entry, interval_panel
from msda_train.reporting.pictures.lines import Axis, Series, line_panel
from msda_train.reporting.pictures.picture import Legend, Panel, Picture, figure

LOOK = Look("#b87400", "^", (0, (2, 1.5)))


def axes_of(draw):
    axes = Figure().add_subplot()
    draw(axes)
    return axes


def lines_of(axes, label):
    """Places of the lines of that name."""
    return [list(map(tuple, line.get_xydata().tolist())) for line in axes.lines if line.get_label() == label]


@pytest.mark.parametrize(("low", "high"), [(0, 1), (3.99, 4.01), (-5, 5), (0, 1e-3), (12, 95), (0, 1e6)])
def test_an_axis_shows_its_values_with_air(low, high):
    ends = Axis("x").ends([low, high])
    assert ends[0] < low < high < ends[1]
    assert ends[1] - ends[0] == pytest.approx(1.12 * (high - low))


def test_an_axis_of_equal_values_has_a_width():
    low, high = Axis("x", least=0.5).ends([4.2, 4.2])
    assert (low + high) / 2 == pytest.approx(4.2)
    assert high - low >= 0.5


def test_uneven_axes():
    axes = axes_of(lambda axes: Axis("x", 0, 80, scale="root").apply(axes, "y", [0, 80]))
    to_pixels = axes.transData.transform
    half, bottom, top = (to_pixels((0, value))[1] for value in (20, 0, axes.get_ylim()[1]))
    assert (half - bottom) / (top - bottom) == pytest.approx(math.sqrt(20 / axes.get_ylim()[1]))
    axes = axes_of(lambda axes: Axis("x", 1, 100, scale="log").apply(axes, "x", [1, 100]))
    a, b, c = (axes.transData.transform((value, 0))[0] for value in (1, 10, 100))
    assert b - a == pytest.approx(c - b)
    axes = axes_of(lambda axes: Axis("x", 1, 3, scale="whole").apply(axes, "x", [1, 3]))
    assert all(tick == round(tick) for tick in axes.get_xticks())


def test_the_interval_is_students():
    ours = (4.0, 4.2, 4.5)
    mean, error = sum(ours) / 3, stats.sem(ours)
    assert Entry("a", LOOK, ours).interval == pytest.approx(stats.t.interval(0.9, 2, mean, error))
    assert Entry("a", LOOK, (4.0,)).interval is None


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [Entry("one seed", LOOK, (4.0,))],
        [Entry("no spread", LOOK, (4.0, 4.0, 4.0))],
        [Entry("published only", LOOK, (), (3.9, 4.0, 4.1))],
        [Entry("far apart", LOOK, (4.0, 40.0), (3.9, 4.0, 4.1)), Entry("near", LOOK, (4.0, 4.1))],
        [Entry("0", LOOK, (0.0, 0.0), (0.0, 0.0, 0.0))],
        [Entry("x" * 200, LOOK, tuple(range(50)))],
    ],
)
def test_intervals_stay_inside_their_plot(entries):
    axes = axes_of(interval_panel("", entries, "error").draw)
    low, high = axes.get_xlim()
    for line in axes.lines:
        assert low <= line.get_xdata().min() <= line.get_xdata().max() <= high
    drawn = [x for points in lines_of(axes, "_point") for x, _ in points]
    assert drawn == [value for entry in entries for value in entry.ours]
    printed = [points[0][0] for points in lines_of(axes, "_published")]
    assert printed == [entry.published[1] for entry in entries if entry.published]
    for entry, points in zip(
        [e for e in entries if len(e.ours) > 1], lines_of(axes, "_interval"), strict=True
    ):
        inside = np.clip(entry.interval, low, high)
        assert [x for x, _ in points] == pytest.approx(list(inside))


def _epochs(*errors, loss=1.0):
    return tuple(Epoch(k, 0.1, loss, error, None, None) for k, error in enumerate(errors, 1))


def test_curves_of_one_epoch_of_seeds_that_differ_in_length_and_of_holes():
    for seeds, mean in [
        ((_epochs(0.5),), [(1, 50)]),
        ((_epochs(0.5, 0.4), _epochs(0.6)), [(1, 55)]),
        ((_epochs(0.5, None, 0.3),), [(1, 50), (3, 30)]),
    ]:
        axes = axes_of(curves_picture([Curve("a", LOOK, seeds)]).panels[0].draw)
        (found,) = lines_of(axes, "_mean")
        assert found == [pytest.approx(point) for point in mean]
        assert len(lines_of(axes, "_seed")) == (len(seeds) if len(seeds) > 1 else 0)
    assert curves_picture([Curve("a", LOOK, ((),))]) is None
    assert curves_picture([]) is None


def test_one_bad_epoch_does_not_flatten_the_others():
    errors = [0.5 - k / 1000 for k in range(200)]
    burst = (Epoch(0, 0.1, 1e9, 0.5, None, None), *_epochs(*errors))
    axes = axes_of(curves_picture([Curve("a", LOOK, (burst,))]).panels[1].draw)
    assert axes.get_ylim()[1] <= 200


def test_thinning_keeps_both_ends():
    items = list(range(1000))
    assert thinned(items, 5) == [0, 250, 500, 749, 999]
    assert thinned(items, 1) == [999]
    assert thinned(items, 0) == []
    assert thinned(items[:3], 5) == [0, 1, 2]


def test_methods_keep_their_look_and_lines_of_one_method_differ():
    found = looks(["mixup", "cutmix", "mixup", None, "of_somebody_else"])
    assert found[0].colour == found[2].colour != found[1].colour
    assert (found[0].marker, found[0].line) != (found[2].marker, found[2].line)
    assert looks(["cutmix"]) == looks(["mixup", "cutmix"])[1:]
    many = looks(["mixup"] * 40)
    assert len(set(many)) == 40


def _picture(words="a"):
    draw = line_panel([Series(LOOK, (((0, 1), (1, 2)),))], Axis(words), Axis("y"))
    return Picture(words, (Panel(words, draw), Panel(words, draw)), (Legend(words, LOOK),), (words,))


def _make(words="a"):
    return lambda: figure([(_picture(words), words)])


def test_every_format_is_sound_and_the_same_each_time():
    made = rendered(_make())
    assert made == rendered(_make())
    assert made["pdf"].startswith(b"%PDF")
    assert b"CreationDate" not in made["pdf"]
    assert Image.open(io.BytesIO(made["png"])).size[0] > 1000
    root = parseString(made["svg"]).documentElement
    assert root.tagName == "svg"
    ids = [each.getAttribute("id") for each in root.getElementsByTagName("*") if each.hasAttribute("id")]
    assert len(ids) == len(set(ids))
    assert b"<dc:date>" not in made["svg"]


def test_an_svg_needs_no_browser():
    """No style sheet, no variable, no letters of the machine: colours stand in every mark."""
    svg = rendered(_make())["svg"].decode()
    assert "var(" not in svg
    assert "<text" not in svg
    assert "@media" not in svg
    assert f"stroke: {LOOK.colour}" in svg


def test_the_systems_fonts_of_the_same_name_change_nothing(monkeypatch, tmp_path):
    """Debian has a DejaVu Sans of its own; here a monospaced one stands for it, first in the list."""
    made = rendered(_make())
    fonts = font_manager.fontManager
    monospaced = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSansMono.ttf"
    other = Path(shutil.copy(monospaced, tmp_path))
    stranger = replace(font_manager.ttfFontProperty(get_font(other)), name="DejaVu Sans")
    monkeypatch.setattr(fonts, "ttflist", [stranger])
    fonts._findfont_cached.cache_clear()
    assert Path(fonts.findfont("DejaVu Sans")) == other
    _own_letters.cache_clear()
    assert rendered(_make()) == made


@pytest.mark.parametrize(
    "words",
    ["$\\frac{1}{0}$", "$", "\\input{/etc/passwd}", "<script>", "\u202e\x1b\ud800", "시험", "x" * 9_000, ""],
)
def test_words_of_a_row_are_words(words):
    made = rendered(_make(words))
    parseString(made["svg"])
    assert len(made["png"]) < 2_000_000


def test_plain_words_are_one_line():
    assert plain_words("a\n b\x1b") == "a? b?"
    assert plain_words("abcdef", 4) == "abc…"


def test_a_style_of_ones_own_comes_on_top(tmp_path):
    style = tmp_path / "mine.mplstyle"
    style.write_text("svg.fonttype: none\nfont.family: serif\ntext.usetex: True\nsvg.hashsalt: mine\n")
    svg = rendered(_make("$words$"), ("svg",), style)["svg"].decode()
    assert "$words$" in svg  # text stays text; a row's words never become a program for LaTeX
    assert "serif" in svg
    assert rendered(_make(), ("svg",)) == rendered(_make(), ("svg",))


@pytest.mark.parametrize(
    "text", ["nonsense: 3\n", "lines.linewidth: thick\n", "no colon\n", None, "\x00\ud800"]
)
def test_a_style_that_is_none_is_one_line(tmp_path, text):
    style = tmp_path / "mine.mplstyle"
    if text is not None:
        style.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(UserError, match="--style") as caught:
        rendered(_make(), ("svg",), style)
    assert "\n" not in str(caught.value)
