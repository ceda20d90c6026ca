"""Between two images: how often the network sees neither, and how steep its loss is there."""

from collections.abc import Sequence

from msda_train.reporting.pictures.data import Arrays, Probed, described, vectors
from msda_train.reporting.pictures.lines import Axis, Point, Series, line_panel
from msda_train.reporting.pictures.picture import Panel

TITLE = "Between two images"
PROBE = "in_between"
NOTES = (
    "An error is a prediction that is neither image's label. Gradient: of the cross-entropy with the mixed "
    "label, with respect to the normalised image; mean L2 norm.",
)
BLENDS = {
    ("mixup", None): "lam a + (1 - lam) b",
    ("cutmix", "random"): "a box of b in a, lam the share of a",
    ("cutmix", "centre"): "a box of b in the middle of a, lam the share of a",
}


def panels(methods: Sequence[Probed]) -> list[Panel]:
    """Error and gradient norm by lam, for each split and blend."""
    arrays = [(method, method.arrays(PROBE)) for method in methods]
    names = {
        name: columns
        for _, seeds in arrays
        for seed in seeds
        for name, columns in described(PROBE, seed, "error").items()
    }
    made = []
    for name, columns in names.items():
        blend = BLENDS[columns["blend"], columns.get("box")]
        pairs = f"{'Training' if columns['split'] == 'train' else 'Test'} images, {blend}"
        for array, factor, title in (
            (name, 100.0, "neither label, %"),
            (name.removesuffix("error") + "gradient", 1.0, "norm of the input gradient"),
        ):
            series = [
                Series(m.look, tuple(_points(seed, array, factor) for seed in seeds)) for m, seeds in arrays
            ]
            draw = line_panel(series, Axis("lam", 0, 1), Axis(title, low=0, least=0.1))
            if draw:
                made.append(Panel(pairs, draw))
    return made


def _points(arrays: Arrays, name: str, factor: float) -> tuple[Point, ...]:
    found = vectors(arrays, "lam", name)
    return tuple((x, factor * y) for x, y in zip(*found, strict=True)) if found else ()
