"""Scales, intervals and curves at their edges."""

import math
import re

import pytest
from msda_train.report.looks import COUNT, Look, looks
from msda_train.report.markup import Markup, escape, join, tag
from msda_train.report.svg import Scale, as_file, scale_around, shape
from scipy import stats

from msda_train.report.curves import PANELS, Curve, curve_panel, legend_in_file
from msda_train.report.history import Epoch, thinned
from msda_train.report.intervals import Entry, interval_plot

LOOK = Look(2, 2)


def _numbers(markup):
    return [float(word) for word in re.findall(r"-?\d+\.?\d*", re.sub(r"<text.*?</text>", "", markup))]


@pytest.mark.parametrize(("low", "high"), [(0, 1), (3.99, 4.01), (-5, 5), (0, 1e-3), (12, 95), (0, 1e6)])
def test_ticks_are_few_round_and_inside(low, high):
    ticks = Scale(low, high, 0, 100).ticks()
    assert 2 <= len(ticks) <= 7
    assert all(low - 1e-9 <= value <= high + 1e-9 for value, _ in ticks)
    words = [word for _, word in ticks]
    assert len(set(words)) == len(words)
    assert all(float(word) == pytest.approx(value) for value, word in ticks)


def test_a_scale_of_equal_values_has_a_width():
    scale = scale_around([4.2, 4.2], 0, 100, 0.5)
    assert scale(4.2) == pytest.approx(50)
    assert scale.high - scale.low == pytest.approx(0.5)
    assert scale(100) == 100
    assert scale_around([], 0, 1, 0.5).high > 0


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
    drawing = interval_plot(entries, "error")
    numbers = _numbers(drawing.marks)
    assert all(map(math.isfinite, numbers))
    assert "nan" not in drawing.marks
    assert drawing.marks.count('class="point') == sum(len(entry.ours) for entry in entries)
    for x in re.findall(r'x[12]?="(-?[\d.]+)"', drawing.marks):
        assert 0 <= float(x) <= drawing.width


def _epochs(*errors, loss=1.0):
    return tuple(Epoch(k, 0.1, loss, error, None, None) for k, error in enumerate(errors, 1))


def test_curves_of_one_epoch_of_seeds_that_differ_in_length_and_of_holes():
    for seeds in [(_epochs(0.5),), (_epochs(0.5, 0.4), _epochs(0.6)), (_epochs(0.5, None, 0.3),)]:
        drawing = curve_panel([Curve("a", LOOK, seeds)], PANELS[0])
        assert all(map(math.isfinite, _numbers(drawing.marks)))
        assert drawing.marks.count('class="seed') == (len(seeds) if len(seeds) > 1 else 0)
    assert curve_panel([Curve("a", LOOK, ((),))], PANELS[0]) is None
    assert curve_panel([], PANELS[0]) is None


def test_one_bad_epoch_does_not_flatten_the_others():
    errors = [0.5 - k / 1000 for k in range(200)]
    burst = (Epoch(0, 0.1, 1e9, 0.5, None, None), *_epochs(*errors))
    ticks = re.findall(r"<text[^>]*>([\d.]+)<", curve_panel([Curve("a", LOOK, (burst,))], PANELS[1]).marks)
    assert max(map(float, ticks)) <= 200


def test_thinning_keeps_both_ends():
    items = list(range(1000))
    assert thinned(items, 5) == [0, 250, 500, 749, 999]
    assert thinned(items, 1) == [999]
    assert thinned(items, 0) == []
    assert thinned(items[:3], 5) == [0, 1, 2]


def test_methods_keep_their_colour_and_lines_of_one_method_differ():
    found = looks(["mixup", "cutmix", "mixup", None, "of_somebody_else"])
    assert found[0].colour == found[2].colour != found[1].colour
    assert found[0].shape != found[2].shape
    assert all(0 <= look.colour < COUNT for look in found)
    assert len({shape(k, (0, 0), "dot") for k in range(COUNT)}) == COUNT
    assert looks(["cutmix"]) == looks(["mixup", "cutmix"])[1:]


def test_a_legend_breaks_its_lines():
    curves = [Curve(f"method number {k}", LOOK, ()) for k in range(9)]
    drawing = legend_in_file(curves, 400)
    assert drawing.height > 60
    assert as_file(drawing, "a", "b").startswith("<svg ")


def test_only_tag_and_join_make_markup():
    assert escape('<a & "b">') == "&lt;a &amp; &quot;b&quot;&gt;"
    assert join("<", [None, Markup("<br>"), ["&"]]) == "&lt;<br>&amp;"
    assert tag("a", "<", href='"', hidden=None, aria_label="x") == '<a href="&quot;" aria-label="x">&lt;</a>'
    assert tag("img", src="x") == '<img src="x">'
