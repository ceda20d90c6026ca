"""Between two images: how often the network sees neither, and how steep its loss is there."""

from collections.abc import Sequence

from msda_train.report.pictures.data import Arrays, Probed, matching, vectors
from msda_train.report.pictures.lines import Axis, Series, line_panel
from msda_train.report.pictures.picture import Panel
from msda_train.report.svg import Point

PROBE = "in_between"
NOTES = (
    "An error is a prediction that is neither image's label. Gradient: of the cross-entropy with the mixed "
    "label, with respect to the normalised image; mean L2 norm.",
)
BLENDS = {"mixup": "lam a + (1 - lam) b", "cutmix": "a box of b in a, lam the share of a"}


def panels(methods: Sequence[Probed]) -> list[Panel]:
    """Error and gradient norm by lam, for each split and blend."""
    arrays = [(method, method.arrays(PROBE)) for method in methods]
    names = {key: None for _, seeds in arrays for seed in seeds for key in seed}
    made = []
    for match in matching(r"(train|test)_(mixup|cutmix)_error", names):
        split, blend = match[1], match[2]
        pairs = f"{'Training' if split == 'train' else 'Test'} images, {BLENDS[blend]}"
        for what, factor, title in (
            ("error", 100.0, "neither label, %"),
            ("gradient", 1.0, "norm of the input gradient"),
        ):
            name = f"{split}_{blend}_{what}"
            series = [
                Series(m.look, tuple(_points(seed, name, factor) for seed in seeds)) for m, seeds in arrays
            ]
            drawing = line_panel(series, Axis("lam", 0, 1), Axis(title, low=0, least=0.1))
            if drawing:
                made.append(Panel(pairs, drawing))
    return made


def _points(arrays: Arrays, name: str, factor: float) -> tuple[Point, ...]:
    found = vectors(arrays, "lam", name)
    return tuple((x, factor * y) for x, y in zip(*found, strict=True)) if found else ()
