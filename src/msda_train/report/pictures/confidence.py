"""How sure a network is of images it was made for, and of images it should not know: histograms."""

from collections.abc import Sequence

from msda_train.report.curves import Curve
from msda_train.report.looks import COUNT, Look
from msda_train.report.pictures.data import Arrays, Probed, matching, vectors
from msda_train.report.pictures.lines import Axis, Series, line_panel
from msda_train.report.pictures.picture import Panel
from msda_train.report.pictures.scales import RootScale

PROBE = "ood"
MOST_SETS = COUNT - 1
BARS = 25  # drawn; finer histograms are gathered
INSIDE = Look(1, 0)
_NAME = r"histogram_(\w[\w.-]{0,39})"
NOTES = ("Confidence is the largest softmax probability. Shares on a root scale; mean over seeds.",)


def panels(methods: Sequence[Probed]) -> list[Panel]:
    """One for each method: the test images as an area, every out set as a line."""
    read = [(method, method.arrays(PROBE)) for method in methods]
    sets = _sets(read)
    drawn = [(method, _series(seeds, sets)) for method, seeds in read]
    most = max((y for _, series in drawn for each in series for _, y in each.mean), default=1)
    made = []
    for method, series in drawn:
        y = Axis("share of images, %", 0, most, scale=RootScale)
        drawing = line_panel(series, Axis("confidence, %", 0, 100), y, height=220)
        if drawing:
            made.append(Panel(method.label, drawing))
    return made


def legend(methods: Sequence[Probed]) -> tuple[Curve, ...]:
    """The sets, not the methods."""
    sets = _sets([(method, method.arrays(PROBE)) for method in methods])
    out = (Curve(name.replace("_", " "), look, ()) for name, look in sets.items())
    return (Curve("test images (grey area)", INSIDE, ()), *out)


def _sets(read: Sequence[tuple[Probed, list[Arrays]]]) -> dict[str, Look]:
    names = dict.fromkeys(
        match[1] for _, seeds in read for arrays in seeds for match in matching(_NAME, arrays)
    )
    names.pop("in", None)
    # Orange, blue, green ... : the first two places of the palette are greys.
    return {name: Look(2 + (2 * k) % (COUNT - 2), 1 + k) for k, name in enumerate(list(names)[:MOST_SETS])}


def _series(seeds: Sequence[Arrays], sets: dict[str, Look]) -> list[Series]:
    made = []
    for name, look in [("in", INSIDE), *sets.items()]:
        lines = [line for each in seeds if (line := _shares(each, name))]
        if lines and len({len(line) for line in lines}) == 1:
            n = len(lines[0])
            mean = tuple((100 * k / n, sum(line[k] for line in lines) / len(lines)) for k in range(n))
            made.append(Series(look, (), middle=mean, step=100 / n, filled=name == "in"))
    return made


def _shares(arrays: Arrays, name: str) -> list[float]:
    """Percent of the images in bars of equal width from 0 to 1; empty where the arrays do not say so."""
    found = vectors(arrays, f"histogram_{name}")
    edges = vectors(arrays, "edges")
    if not found or not edges or len(edges[0]) != len(found[0]) + 1 or min(found[0]) < 0 or not sum(found[0]):
        return []
    counts, n = found[0], len(found[0])
    if any(abs(edge - k / n) > 1e-6 for k, edge in enumerate(edges[0])):
        return []
    each = n // BARS if n % BARS == 0 else 1
    return [100 * sum(counts[k : k + each]) / sum(counts) for k in range(0, n, each)]
