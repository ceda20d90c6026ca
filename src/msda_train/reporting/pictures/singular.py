"""Singular values of hidden features, largest first: how few directions a class takes (Manifold Mixup)."""

from collections.abc import Sequence

from msda_train.reporting.pictures.data import Arrays, Probed, vectors
from msda_train.reporting.pictures.lines import Axis, Point, Series, line_panel
from msda_train.reporting.pictures.picture import Panel

TITLE = "Singular values of hidden features"
PROBE = "representation"
SMALLEST = 1e-3  # percent; rounding noise below it would take half of the plot
NOTES = (
    "Share of each singular value in their sum, on a log scale, largest first; features are averaged over "
    "the image, before the classifier.",
)
SHOWN = (
    ("last_class", "Features of one class (mean over classes)"),
    ("last_means", "The classes' means"),
)


def panels(methods: Sequence[Probed]) -> list[Panel]:
    """Of the classifier's input: each class, and the class means."""
    arrays = [(method, method.arrays(PROBE)) for method in methods]
    made = []
    for name, caption in SHOWN:
        series = [Series(m.look, tuple(_points(each, name) for each in found)) for m, found in arrays]
        rank = Axis("rank of the singular value", least=1, scale="log")
        draw = line_panel(series, rank, Axis("share of the sum, %", scale="log"))
        if draw:
            made.append(Panel(caption, draw))
    return made


def _points(arrays: Arrays, name: str) -> tuple[Point, ...]:
    found = vectors(arrays, name)
    if not found or min(found[0]) < 0 or sum(found[0]) <= 0:
        return ()
    shares = [100 * value / sum(found[0]) for value in found[0]]
    return tuple((k, share) for k, share in enumerate(shares, start=1) if share >= SMALLEST)
