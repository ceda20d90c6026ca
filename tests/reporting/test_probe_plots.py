"""The pictures of the probes: what is drawn, from which numbers, and what damaged files cost."""

import io
import json
import math
import re
import sys
import zipfile
from functools import partial
from pathlib import Path
from xml.dom.minidom import parseString

import numpy as np
import pytest
from matplotlib.figure import Figure

from msda_train.comparison.table import lines_frame
from msda_train.config.method_look import method_look
from msda_train.records.rows import load_rows
from msda_train.records.summary import summarise
from msda_train.reporting import limits
from msda_train.reporting.draw import Look, rendered
from msda_train.reporting.pictures.data import Probed, read_arrays
from msda_train.reporting.pictures.evolution import legend as evolution_legend
from msda_train.reporting.pictures.field import field_panel
from msda_train.reporting.pictures.picture import figure
from msda_train.reporting.probe_plots import KINDS, kind_pictures

SMALL = Path(__file__).parents[1] / "stored" / "rows" / "digits-preactresnet18-smoke"
BINS = 15
CURVE = np.linspace(0, 1, 11)
ARRAYS = {
    "calibration": {
        **{f"{prefix}count_{BINS}": np.arange(BINS) for prefix in ("", "ts_", "mc_p0.3_n20_")},
        **{
            f"{prefix}confidence_{BINS}": (np.arange(BINS) + 0.5) / BINS
            for prefix in ("", "ts_", "mc_p0.3_n20_")
        },
        **{f"{prefix}accuracy_{BINS}": np.linspace(0, 0.9, BINS) for prefix in ("", "ts_", "mc_p0.3_n20_")},
        "count_100": np.ones(100),
    },
    "ood": {
        "edges": np.linspace(0, 1, 51),
        "histogram_in": np.arange(50),
        "histogram_gaussian": np.arange(50)[::-1],
        "histogram_svhn_resize": np.ones(50),
    },
    "in_between": {
        "lam": CURVE,
        "train_mixup_error": 4 * CURVE * (1 - CURVE),
        "train_mixup_gradient": 3 + CURVE,
        "test_cutmix_error": CURVE / 2,
        "test_cutmix_gradient": 1 - CURVE,
        "pca": np.stack([CURVE, CURVE**2], axis=1),
        "pca_lam": np.array([0.0] * 4 + [1.0] * 4 + [0.3, 0.5, 0.7]),
    },
    "gradients": {
        "distance": np.arange(20),
        "each_value": np.exp(-np.arange(20) / 9),
        "theory_mixup": np.full(20, 1 / 3),
        "theory_hmix": np.exp(-np.arange(20.0)),
    },
    "representation": {"last_class": np.arange(30.0, 0, -1), "last_means": np.array([5.0, 2, 1e-9])},
}
NUMBERS = {
    "adversarial": {
        "clean/error": 0.1,
        **{f"fgsm_linf_pixel_{k}_255/error": 0.1 + k / 40 for k in (2, 4, 8)},
        **{f"ifgsm_linf_pixel_8_255_steps{k}_step2_255/error": 0.1 + k / 10 for k in (1, 2, 4)},
        "noise_linf_pixel_8_255/error": 0.12,
        "pgd_l2_normalised_0.5_steps10/error": 0.7,
        "from_erm/fgsm_linf_pixel_8_255/error": 0.2,
        "unbounded/error": 1.0,
    },
    "deformations": {
        "plain/error": 0.1,
        **{f"rotation_{k}/error": k / 100 for k in (20, 40)},
        **{f"zoom_{k}/error": abs(k - 100) / 100 for k in (60, 140)},
        "shear_28.6_nearest_edge/error": 0.4,
    },
}


def npz(arrays):
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


@pytest.fixture
def folder(tmp_path):
    """Run folders made of stored rows, with what every probe leaves; (folder, the paths of their rows)."""

    def made(arrays=ARRAYS, numbers=NUMBERS):
        rows = []
        for k, source in enumerate(sorted(SMALL.glob("*.json"))):
            raw = json.loads(source.read_text())
            raw["probes"] = {name: {"numbers": found, "asked": []} for name, found in numbers.items()}
            path = tmp_path / "runs" / f"run{k}" / "s0" / "row.json"
            (path.parent / "probes").mkdir(parents=True)
            path.write_text(json.dumps(raw))
            for name, found in arrays.items():
                (path.parent / "probes" / f"{name}.npz").write_bytes(npz(found))
            rows.append(path)
        return tmp_path / "runs", rows

    return made


def lines_at(place):
    rows, complaints = load_rows([place])
    assert complaints == []
    return lines_frame(rows)


def axes_of(panel):
    """The axes of a panel, and those of its lower part."""
    upper, lower = Figure().subplots(2)
    panel.draw(upper)
    if panel.below:
        panel.below[0](lower)
    return upper, lower


def lines_of(axes, label="_mean"):
    """Places of the lines of that name."""
    return [[tuple(point) for point in line.get_xydata()] for line in axes.lines if line.get_label() == label]


def near(points):
    return [pytest.approx(point) for point in points]


def words_of(panel):
    return [text.get_text() for text in axes_of(panel)[0].texts]


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_sound_finite_and_the_same_each_time(folder, name):
    place, _ = folder()
    make = partial(figure, kind_pictures(KINDS[name], lines_at(place)))
    made = rendered(make, ("svg",))
    assert made == rendered(make, ("svg",))
    parseString(made["svg"])
    assert len(made["svg"]) < 250_000
    drawn = make()
    words = [text.get_text() for text in drawn.texts]
    assert KINDS[name].title in " ".join(words)
    assert any("recipe=smoke" in each for each in words)
    captions = [*words, *(text.get_text() for legend in drawn.legends for text in legend.texts)]
    assert name == "confidence" or any("hmix" in each for each in captions)
    for axes in drawn.axes:
        assert axes.get_xlabel() or axes.get_ylabel()  # axes say what they show
        for line in axes.lines:
            assert all(map(math.isfinite, np.ravel(line.get_xydata())))


def test_a_kind_without_data_is_no_picture(folder):
    place, _ = folder(arrays={}, numbers={})
    drawn = [name for name, kind in KINDS.items() if kind_pictures(kind, lines_at(place))]
    assert drawn == ["evolution"]


def probed(paths, label="m"):
    rows, _ = load_rows(paths)
    return Probed(label, Look("#2f93cc", "P", "-"), tuple(rows))


def drawn(name, paths, index=0):
    return KINDS[name].panels([probed(paths)])[index]


def test_reliability_pools_the_images_of_a_bin_over_seeds(folder):
    _, (one, two, *_) = folder(arrays={}, numbers={})
    for path, n, right in ((one, 10, 0.5), (two, 30, 0.9)):
        bins = {"count": [0, n], "confidence": [0, 0.75], "accuracy": [0, right]}
        found = {f"{key}_2": np.array(values, float) for key, values in bins.items()}
        (path.parent / "probes" / "calibration.npz").write_bytes(npz(found))
    panel = drawn("reliability", [one, two])
    assert panel.caption == "As trained, 2 bins"
    upper, lower = axes_of(panel)
    assert lines_of(upper) == [near([(75, 80)])]  # (10 * 0.5 + 30 * 0.9) / 40
    assert lines_of(upper, "_seed") == [near([(75, 50)]), near([(75, 90)])]
    assert lines_of(lower) == [near([(0, 0), (50, 0), (50, 100), (100, 100)])]


def test_confidence_are_shares_of_each_set(folder):
    ood = {"edges": np.linspace(0, 1, 3), "histogram_in": np.array([1, 3]), "histogram_<b>": np.ones(2)}
    _, paths = folder(arrays={"ood": ood | {"histogram_noise": np.array([9, 0])}}, numbers={})
    upper, _ = axes_of(drawn("confidence", paths[:1]))
    assert lines_of(upper) == [near([(0, 100), (50, 100), (50, 0), (100, 0)])]
    (area,) = [each for each in upper.collections if each.get_label() == "_area"]
    assert {y for _, y in area.get_paths()[0].vertices} == {0, 25, 75}
    labels = [each.label for each in KINDS["confidence"].legend([probed(paths[:1])])]
    assert labels == ["test images (grey area)", "noise"]


def test_attacks_become_curves_over_eps_over_steps_and_points(folder):
    _, paths = folder()
    panels = KINDS["robustness"].panels([probed(paths[:1])])
    assert [panel.caption for panel in panels] == [
        "FGSM (L-inf, pixel values)",
        "Iterated FGSM (L-inf, pixel values), eps 8/255, steps of 2/255",
        "One strength only",
        "Controls",
    ]
    assert lines_of(axes_of(panels[0])[0]) == [near([(0, 10), (2, 15), (4, 20), (8, 30)])]
    assert lines_of(axes_of(panels[1])[0]) == [near([(0, 10), (1, 20), (2, 30), (4, 50)])]
    assert words_of(panels[2]) == [
        "Images as they are",
        "PGD (L2, normalised values), eps 0.5, 10 steps",
        "FGSM (L-inf, pixel values), eps 8/255, made on erm",
    ]
    assert words_of(panels[3]) == [
        "Images as they are",
        "Noise (L-inf, pixel values), eps 8/255",
        "Every pixel free",
    ]
    assert lines_of(axes_of(panels[3])[0], "_point")[-1][0][0] == 100


def test_pictures_read_what_a_row_stores_of_its_numbers(folder):
    _, (path, *_) = folder(arrays={}, numbers={})
    raw = json.loads(path.read_text())
    ball = {"attack": "fgsm", "norm": "linf", "space": "pixel", "steps": 1, "measure": "error"}
    records = [{"name": f"of my own {k}", **ball, "eps": k / 255} for k in (1, 2)]
    numbers = {record["name"]: 0.3 for record in records}
    raw["probes"] = {"adversarial": {"numbers": numbers, "records": records, "asked": []}}
    path.write_text(json.dumps(raw))
    (panel,) = KINDS["robustness"].panels([probed([path])])
    assert lines_of(axes_of(panel)[0]) == [near([(1, 30), (2, 30)])]
    for bad in ("many", -1, 1e300, True, None):
        raw["probes"]["adversarial"]["records"] = [record | {"eps": bad} for record in records]
        path.write_text(json.dumps(raw))
        KINDS["robustness"].panels([probed([path])])  # whatever it draws, it does not fail


def test_of_an_attack_on_several_numbers_of_images_the_most_count(folder):
    found = {f"fgsm_linf_pixel_{k}_255{n}/error": 0.5 for k in (2, 4) for n in ("_n9", "_n100")}
    bad = {"fgsm_linf_pixel_1_0/error": 0.1, "clean_n100/error": 0.2}
    _, paths = folder(arrays={}, numbers={"adversarial": found | bad})
    panels = KINDS["robustness"].panels([probed(paths[:1])])
    assert [panel.caption for panel in panels] == ["FGSM (L-inf, pixel values), first 100 images"]


def test_plain_images_stand_where_a_deformation_does_nothing(folder):
    _, paths = folder()
    panels = {panel.caption: panel for panel in KINDS["deformation"].panels([probed(paths[:1])])}
    assert list(panels) == ["Rotation", "Shear, nearest, edge", "Zoom"]
    for caption, points in (
        ("Rotation", [(0, 10), (20, 20), (40, 40)]),
        ("Zoom", [(60, 40), (100, 10), (140, 40)]),
    ):
        assert lines_of(axes_of(panels[caption])[0]) == [near(points)]


def test_features_have_a_mark_for_each_class_and_for_blends(folder):
    _, paths = folder()
    axes, _ = axes_of(drawn("features", paths))
    assert {name: len(lines_of(axes, f"_{name}")[0]) for name in ("lam 1", "lam 0", "blends")} == {
        "lam 1": 4,
        "lam 0": 4,
        "blends": 3,
    }


def test_boxes_in_the_middle_are_drawn_apart(folder):
    found = {"lam": CURVE, "test_cutmix_centre_error": CURVE, "test_cutmix_centre_gradient": CURVE}
    _, paths = folder(arrays={"in_between": found}, numbers={})
    error, gradient = KINDS["in_between"].panels([probed(paths[:1])])
    assert error.caption == "Test images, a box of b in the middle of a, lam the share of a"
    assert gradient.caption == error.caption
    assert lines_of(axes_of(error)[0])[0][-1] == (1, 100)


def test_gradients_are_relative_to_neighbours_and_show_theory_of_the_methods_there_are(folder):
    _, paths = folder()
    methods = [probed([path]) for path in paths]
    measured, theory = (axes_of(panel)[0] for panel in KINDS["gradient"].panels(methods))
    low = np.exp(-13 / 9)  # from one pixel to the side of 14
    assert [(line[0], line[-1]) for line in lines_of(measured)] == [tuple(near([(1, 1), (14, low)]))] * 2
    assert [method.rows[0].names["method"] for method in methods] == ["hmix", "erm"]
    (hmix,) = lines_of(theory)
    assert hmix[1] == pytest.approx((2, np.exp(-1)))


def test_evolution_marks_the_best_and_the_last_of_the_mean(folder):
    _, paths = folder()
    errors = ((0.5, 0.1, 0.3), (0.5, 0.3, 0.4))
    for path, seeds in zip(paths, errors, strict=False):
        raw = json.loads(path.read_text())
        rest = {"top5_error": 0.0, "nll": 1.0}
        raw["history"] = [{"epoch": k, "error": error, **rest} for k, error in enumerate(seeds, 1)]
        raw["metrics"] |= summarise(raw["history"])
        path.write_text(json.dumps(raw))
    (curve,) = evolution_legend([probed(paths[:2])])
    assert curve.label == "m: best 20.00 (epoch 2), last 35.00"


def _zip(**members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return out.getvalue()


def _npy(array):
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


HUGE = b"\x93NUMPY\x01\x00\x46\x00{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999,)}   \n"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK no zip",
        npz(ARRAYS["calibration"])[:-40],
        _zip(count_15=_npy(np.array([{"a": 1}], dtype=object))),
        _zip(count_15=_npy(np.array(["a"]))),
        _zip(count_15=_npy(np.array([np.nan]))),
        _zip(count_15=_npy(np.array([1e300]))),
        _zip(count_15=_npy(np.empty(0))),
        _zip(count_15=HUGE),
        _zip(count_15=b"no array"),
        _zip(count_15=_npy(np.zeros(3_000_000, np.uint8))),
    ],
)
def test_damaged_arrays_are_as_if_they_were_not_there(folder, page, content):
    place, paths = folder(arrays={}, numbers={})
    for path in paths:
        (path.parent / "probes" / "calibration.npz").write_bytes(content)
        assert read_arrays(path, "calibration") == {}
    assert kind_pictures(KINDS["reliability"], lines_at(place)) == []
    assert "probes" not in page(place).ids


class Trap:
    def __reduce__(self):
        return exec, ("import sys; sys.modules['probe_trap'] = sys",)


def test_nothing_in_a_file_is_executed(folder):
    _, (path, *_) = folder(arrays={}, numbers={})
    array = np.array([Trap()], dtype=object)
    (path.parent / "probes" / "calibration.npz").write_bytes(_zip(count_15=_npy(array), ok=_npy(np.ones(2))))
    assert list(read_arrays(path, "calibration")) == ["ok"]
    assert "probe_trap" not in sys.modules


def test_arrays_of_unexpected_shapes_and_values_are_not_drawn(folder):
    wrong = {
        "calibration": {"count_2": np.ones((2, 2)), "confidence_2": np.ones(2), "accuracy_2": np.ones(2)},
        "ood": {"edges": np.linspace(0, 5, 3), "histogram_in": np.ones(2), "histogram_a": -np.ones(2)},
        "in_between": {"lam": CURVE, "train_mixup_error": CURVE[:-1], "pca": np.ones((3, 2))},
        "gradients": {"distance": np.arange(3), "each_value": np.zeros(3)},
        "representation": {"last_class": -np.ones(4), "last_means": np.zeros(4)},
    }
    place, _ = folder(arrays=wrong, numbers={"deformations": {"rotation_1e5/error": 1.0}})
    assert [name for name, kind in KINDS.items() if kind_pictures(kind, lines_at(place))] == ["evolution"]


def test_a_report_has_a_section_of_them_only_where_there_are_data(folder, page, monkeypatch):
    place, _ = folder()
    full = page(place)
    assert "probes" in full.ids
    for kind in KINDS.values():
        assert (kind.title in full.text) == (kind.probe is not None)
    monkeypatch.setattr(limits, "PICTURE_BYTES", 1000)
    small = page(place)
    assert "msda-plot RUN all" in small.text
    assert len(small.source) < len(full.source)
    assert "probes" not in page(SMALL).ids


def test_words_of_any_length_stay_inside(folder):
    place, paths = folder()
    for path in paths:
        raw = json.loads(path.read_text())
        raw["config"]["method"] |= {"note": "wordy " * 200, "k": str(path)}
        path.write_text(json.dumps(raw))
    for kind in KINDS.values():
        with_words = figure(kind_pictures(kind, lines_at(place)))
        with_words.draw_without_rendering()
        wide = with_words.bbox.width
        texts = [*with_words.texts, *(text for legend in with_words.legends for text in legend.texts)]
        assert max(text.get_window_extent().x1 for text in texts) <= wide


def test_a_boundary_lies_where_the_probability_is_a_half():
    axis = np.array([-1.0, 0.0, 1.0])
    p = np.array([[0.0, 0.25, 1.0]] * 3)  # a half between 0 and 1, at a third
    axes = Figure().add_subplot()
    field_panel(p, axis, axis, np.array([[0.5, 0.5], [9.0, 0.0]]), np.array([1, 0]), ("a", "b"))(axes)
    (level,) = [each for each in axes.collections if len(each.levels) == 1]
    places = [x for path in level.get_paths() for x, _ in path.vertices]
    assert places == [pytest.approx(1 / 3)] * len(places)
    assert lines_of(axes, "_class 1") == [[(0.5, 0.5)]]
    assert axes.get_xlim() == (-1, 1)  # the other point lies outside


def test_every_method_has_its_own_look_in_every_picture(folder):
    place, _ = folder()
    for name in ("reliability", "robustness", "deformation", "in_between", "singular", "evolution"):
        pictures = kind_pictures(KINDS[name], lines_at(place))
        legend = [each for picture, _ in pictures for each in picture.legend]
        looks = {re.split("[ :]", each.label)[0]: each.look.colour for each in legend}
        assert looks == {method: method_look(method)["colour"] for method in ("erm", "hmix")}
