"""Reliability diagrams: is a network right as often as it is sure? And where most of its answers lie.

Over seeds the images of a bin are pooled; a seed's own diagram is a thin line.
"""

from collections.abc import Sequence
from typing import Any

from msda_train.reporting.pictures.data import Arrays, Probed, described, vectors
from msda_train.reporting.pictures.lines import Axis, Point, Series, line_panel
from msda_train.reporting.pictures.picture import HEIGHT, Panel

TITLE = "Reliability: accuracy by confidence"
PROBE = "calibration"
BY_SEED = False  # no thick lines for means beside thin ones for seeds
USUAL_BINS = 15  # Guo et al., arXiv:1706.04599
NOTES = (
    "Thick: the images of all seeds together. Thin: each seed. Below the grey line a network is surer "
    "than it is right.",
    "Lower panels: share of the images in each bin, on a root scale.",
)

MOST_DIAGRAMS = 8  # of one run

_Bins = list[tuple[float, float, float]]  # images, mean confidence, accuracy of the bins that are not empty


def panels(methods: Sequence[Probed]) -> list[Panel]:
    """One for each way of making probabilities: as trained, with temperature scaling, with MC dropout."""
    arrays = [(method, method.arrays(PROBE)) for method in methods]
    seeds = [seed for _, found in arrays for seed in found]
    ways: dict[str, dict[str, Any]] = {}
    for seed in seeds:
        for name, columns in list(_diagrams(seed).items())[:MOST_DIAGRAMS]:
            ways.setdefault(_prefix(name), columns)
    made = []
    for prefix, columns in ways.items():
        bins = _bins(seeds, prefix)
        read = [(m, [bins_ for each in of if (bins_ := _read(each, prefix, bins))]) for m, of in arrays]
        panel = _panel(f"{_words(columns)}, {bins} bins", [each for each in read if each[1]], bins)
        if panel:
            made.append(panel)
    return made


def _diagrams(arrays: Arrays) -> dict[str, dict[str, Any]]:
    """Name to setting."""
    return {name: each for name, each in described(PROBE, arrays, "accuracy").items() if "bins" in each}


def _prefix(name: str) -> str:
    return name.rpartition("accuracy_")[0]


def _bins(seeds: Sequence[Arrays], prefix: str) -> int:
    """The usual number where it was asked for, else the smallest."""
    found = (item for seed in seeds for item in _diagrams(seed).items())
    asked = sorted({int(columns["bins"]) for name, columns in found if _prefix(name) == prefix})
    return USUAL_BINS if USUAL_BINS in asked else asked[0]


def _read(arrays: Arrays, prefix: str, bins: int) -> _Bins:
    found = vectors(arrays, *(f"{prefix}{name}_{bins}" for name in ("count", "confidence", "accuracy")))
    if found is None or len(found[0]) != bins:
        return []
    return [(n, c, a) for n, c, a in zip(*found, strict=True) if n > 0 and 0 <= c <= 1 and 0 <= a <= 1]


def _panel(caption: str, known: Sequence[tuple[Probed, list[_Bins]]], bins: int) -> Panel | None:
    curves, shares = [], []
    for method, seeds in known:
        lines = tuple(tuple((100 * c, 100 * a) for _, c, a in seed) for seed in seeds)
        curves.append(Series(method.look, lines, middle=_pooled(seeds, bins)))
        density = tuple(_shares(seed, bins) for seed in seeds)
        shares.append(Series(method.look, (), middle=_mean_shares(density), step=100 / bins))
    confidence = Axis("confidence, %", 0, 100)
    upper = line_panel(curves, confidence, Axis("accuracy, %", 0, 100), ideal=((0, 0), (100, 100)))
    most = max((y for each in shares for _, y in each.mean), default=1)
    lower = line_panel(shares, confidence, Axis("share, %", 0, most, scale="root"))
    return Panel(caption, upper, below=(lower, 0.4 * HEIGHT)) if upper and lower else None


def _place(confidence: float, bins: int) -> int:
    """Bin m holds (m / bins, (m + 1) / bins]: its mean lies in it, whatever was rounded."""
    return min(max(int(confidence * bins - 1e-9), 0), bins - 1)


def _pooled(seeds: Sequence[_Bins], bins: int) -> tuple[Point, ...]:
    total = [[0.0, 0.0, 0.0] for _ in range(bins)]
    for n, confidence, accuracy in (bin_ for seed in seeds for bin_ in seed):
        of = total[_place(confidence, bins)]
        for k, value in enumerate((n, n * confidence, n * accuracy)):
            of[k] += value
    return tuple((100 * c / n, 100 * a / n) for n, c, a in total if n > 0)


def _shares(seed: _Bins, bins: int) -> list[float]:
    images = sum(n for n, _, _ in seed)
    found = [0.0] * bins
    for n, confidence, _ in seed:
        found[_place(confidence, bins)] += 100 * n / images
    return found


def _mean_shares(seeds: Sequence[list[float]]) -> tuple[Point, ...]:
    bins = len(seeds[0])
    return tuple((100 * k / bins, sum(seed[k] for seed in seeds) / len(seeds)) for k in range(bins))


def _words(columns: dict[str, Any]) -> str:
    if columns["scaling"] == "mc_dropout":
        return f"MC dropout, p = {columns['p']:g}, {columns['samples']} samples"
    if columns["scaling"] == "none":
        return "As trained"
    share = columns["validation"]
    return "After temperature scaling" + ("" if share == 0.1 else f" on {100 * share:g} % of the images")
