"""Test error of images that are turned, sheared, zoomed or covered, against how much."""

from collections.abc import Sequence

from msda_train.report.pictures.data import Probed, matching
from msda_train.report.pictures.lines import Axis, Series, line_panel
from msda_train.report.pictures.picture import Panel
from msda_train.report.svg import Point

PROBE = "deformations"
NOTES: tuple[str, ...] = ()
# Kind: caption, axis, and the strength at which an image is as it was.
KINDS = {
    "rotation": ("Rotation", "largest angle, degrees", 0),
    "shear": ("Shear", "largest angle, degrees", 0),
    "zoom": ("Zoom", "side of the field that is seen, % (below 100: zoomed in)", 100),
    "occlusion_centre": ("Middle covered", "side of the covered middle, %", 0),
    "occlusion_border": ("Border covered", "side of the middle that is left, %", 100),
}
_NAME = rf"({'|'.join(KINDS)})_(\d+(?:\.\d+)?)((?:_(?:nearest|mean|edge))*)/error"


def panels(methods: Sequence[Probed]) -> list[Panel]:
    """One for each kind and way of sampling; the plain images belong to each."""
    numbers = [(method, method.numbers(PROBE)) for method in methods]
    keys = {key: None for _, seeds in numbers for seed in seeds for key in seed}
    asked = {(m[1], m[3]): None for m in matching(_NAME, keys)}
    made = []
    for kind, sampling in sorted(asked, key=lambda each: (list(KINDS).index(each[0]), each[1])):
        caption, axis, plain = KINDS[kind]
        series = [
            Series(m.look, tuple(_points(seed, kind, sampling, plain) for seed in seeds))
            for m, seeds in numbers
        ]
        drawing = line_panel(series, Axis(axis), Axis("test error, %", least=0.5))
        words = sampling.replace("_", ", ").strip(", ")
        if drawing:
            made.append(Panel(f"{caption}, {words}" if words else caption, drawing))
    return made


def _points(numbers: dict[str, float], kind: str, sampling: str, plain: float) -> tuple[Point, ...]:
    found = {
        float(m[2]): 100 * numbers[m[0]] for m in matching(_NAME, numbers) if (m[1], m[3]) == (kind, sampling)
    }
    if found and "plain/error" in numbers:
        found.setdefault(plain, 100 * numbers["plain/error"])
    return tuple(sorted(found.items()))
