"""Reliability diagrams: is a network right as often as it is sure? And where most of its answers lie.

Over seeds the images of a bin are pooled; a seed's own diagram is a thin line.
"""

from collections.abc import Sequence

from msda_train.report.pictures.data import Arrays, Probed, matching, vectors
from msda_train.report.pictures.lines import HEIGHT, Axis, Series, line_panel
from msda_train.report.pictures.picture import Panel
from msda_train.report.pictures.scales import RootScale
from msda_train.report.svg import Drawing, Point, stacked

PROBE = "calibration"
USUAL_BINS = 15  # Guo et al., arXiv:1706.04599
NOTES = (
    "Thick: the images of all seeds together. Thin: each seed. Below the dotted line a network is surer "
    "than it is right.",
    "Lower panels: share of the images in each bin, on a root scale.",
)

_NAME = r"(|ts_|ts_0\.\d{1,9}_|mc_p[\d.]{1,9}_n\d{1,6}_)accuracy_(\d{1,4})"
_Bins = list[tuple[float, float, float]]  # images, mean confidence, accuracy of the bins that are not empty


def panels(methods: Sequence[Probed]) -> list[Panel]:
    """One for each way of making probabilities: as trained, with temperature scaling, with MC dropout."""
    arrays = [(method, method.arrays(PROBE)) for method in methods]
    names = {prefix: None for _, seeds in arrays for seed in seeds for _, prefix, _ in _names(seed)}
    made = []
    for prefix in names:
        bins = _bins([seed for _, seeds in arrays for seed in seeds], prefix)
        read = [(m, [found for seed in seeds if (found := _read(seed, prefix, bins))]) for m, seeds in arrays]
        drawing = _drawing([(method, seeds) for method, seeds in read if seeds], bins)
        if drawing:
            made.append(Panel(f"{_words(prefix)}, {bins} bins", drawing))
    return made


def _names(arrays: Arrays) -> list[tuple[str, str, str]]:
    """Name, prefix and number of bins of each diagram."""
    return [(m[0], m[1], m[2]) for m in matching(_NAME, arrays)][:8]


def _bins(arrays: Sequence[Arrays], prefix: str) -> int:
    """The usual number where it was asked for, else the smallest."""
    asked = sorted({int(bins) for each in arrays for _, start, bins in _names(each) if start == prefix})
    return USUAL_BINS if USUAL_BINS in asked else asked[0]


def _read(arrays: Arrays, prefix: str, bins: int) -> _Bins:
    found = vectors(arrays, *(f"{prefix}{name}_{bins}" for name in ("count", "confidence", "accuracy")))
    if found is None or len(found[0]) != bins:
        return []
    return [(n, c, a) for n, c, a in zip(*found, strict=True) if n > 0 and 0 <= c <= 1 and 0 <= a <= 1]


def _drawing(known: Sequence[tuple[Probed, list[_Bins]]], bins: int) -> Drawing | None:
    curves, shares = [], []
    for method, seeds in known:
        lines = tuple(tuple((100 * c, 100 * a) for _, c, a in seed) for seed in seeds)
        curves.append(Series(method.look, lines, middle=_pooled(seeds, bins)))
        density = tuple(_shares(seed, bins) for seed in seeds)
        shares.append(Series(method.look, (), middle=_mean_shares(density), step=100 / bins))
    confidence = Axis("confidence, %", 0, 100)
    upper = line_panel(curves, confidence, Axis("accuracy, %", 0, 100), ideal=((0, 0), (100, 100)))
    most = max((y for each in shares for _, y in each.mean), default=1)
    lower = line_panel(
        shares, confidence, Axis("share of images, %", 0, most, scale=RootScale), height=0.6 * HEIGHT
    )
    return stacked(upper, lower, gap=6) if upper and lower else None


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


def _words(prefix: str) -> str:
    if not prefix:
        return "As trained"
    if prefix.startswith("ts_"):
        share = prefix[3:-1]
        return "After temperature scaling" + (f" on {100 * float(share):g} % of the images" if share else "")
    p, samples = prefix.removeprefix("mc_p").removesuffix("_").split("_n")
    return f"MC dropout, p = {p}, {samples} samples"
