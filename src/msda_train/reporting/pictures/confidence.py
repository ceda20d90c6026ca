"""How sure a network is of images it was made for, and of images it should not know: histograms."""

from collections.abc import Sequence

from msda_train.reporting.draw import Look, looks
from msda_train.reporting.pictures.data import Arrays, Probed, described, vectors
from msda_train.reporting.pictures.lines import Axis, Series, line_panel
from msda_train.reporting.pictures.picture import Legend, Panel

TITLE = "Confidence on test images and on images of other kinds"
PROBE = "ood"
BY_SEED = False  # no thick lines for means beside thin ones for seeds
MOST_SETS = 8
BARS = 25  # drawn; finer histograms are gathered
INSIDE = Look("#7a828c", "s", "-")
# Of the sets, not of methods: looks of methods that are far from each other.
_SET_LOOKS = (
    "mixup",
    "cutmix",
    "gmix",
    "saliencymix",
    "manifold_mixup",
    "attentive_cutmix",
    "fmix",
    "resizemix",
)
NOTES = ("Confidence is the largest softmax probability. Shares on a root scale; mean over seeds.",)


def panels(methods: Sequence[Probed]) -> list[Panel]:
    """One for each method: the test images as an area, every out set as a line."""
    read = [(method, method.arrays(PROBE)) for method in methods]
    sets = _sets(read)
    drawn = [(method, _series(seeds, sets)) for method, seeds in read]
    most = max((y for _, series in drawn for each in series for _, y in each.mean), default=1)
    made = []
    for method, series in drawn:
        y = Axis("share of images, %", 0, most, scale="root")
        draw = line_panel(series, Axis("confidence, %", 0, 100), y)
        if draw:
            made.append(Panel(method.label, draw, height=1.9))
    return made


def legend(methods: Sequence[Probed]) -> tuple[Legend, ...]:
    """The sets, not the methods."""
    sets = _sets([(method, method.arrays(PROBE)) for method in methods])
    out = (Legend(words, look) for words, look in sets.values())
    return (Legend("test images (grey area)", INSIDE, area=True), *out)


def _sets(read: Sequence[tuple[Probed, list[Arrays]]]) -> dict[str, tuple[str, Look]]:
    """The arrays of the out sets: name to words and look."""
    found = {
        name: columns
        for _, seeds in read
        for arrays in seeds
        for name, columns in described(PROBE, arrays, "histogram").items()
        if columns["set"] != "in"
    }
    made = {}
    for (name, columns), look in zip(list(found.items())[:MOST_SETS], looks(_SET_LOOKS), strict=False):
        images = f", first {columns['images']} images" if "images" in columns else ""
        made[name] = columns["set"].replace("_", " ") + images, look
    return made


def _series(seeds: Sequence[Arrays], sets: dict[str, tuple[str, Look]]) -> list[Series]:
    made = []
    shown = [("histogram_in", INSIDE), *((name, look) for name, (_, look) in sets.items())]
    for name, look in shown:
        lines = [line for each in seeds if (line := _shares(each, name))]
        if lines and len({len(line) for line in lines}) == 1:
            n = len(lines[0])
            mean = tuple((100 * k / n, sum(line[k] for line in lines) / len(lines)) for k in range(n))
            made.append(Series(look, (), middle=mean, step=100 / n, filled=name == "histogram_in"))
    return made


def _shares(arrays: Arrays, name: str) -> list[float]:
    """Percent of the images in bars of equal width from 0 to 1; empty where the arrays do not say so."""
    found = vectors(arrays, name)
    edges = vectors(arrays, "edges")
    if not found or not edges or len(edges[0]) != len(found[0]) + 1 or min(found[0]) < 0 or not sum(found[0]):
        return []
    counts, n = found[0], len(found[0])
    if any(abs(edge - k / n) > 1e-6 for k, edge in enumerate(edges[0])):
        return []
    each = n // BARS if n % BARS == 0 else 1
    return [100 * sum(counts[k : k + each]) / sum(counts) for k in range(0, n, each)]
