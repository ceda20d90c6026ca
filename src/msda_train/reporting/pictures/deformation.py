"""Test error of images that are turned, sheared, zoomed or covered, against how much."""

from collections.abc import Sequence
from typing import Any

from msda_train.reporting.pictures.data import Probed, Records
from msda_train.reporting.pictures.lines import Axis, Point, Series, line_panel
from msda_train.reporting.pictures.picture import Panel

TITLE = "Test error of deformed images"
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
_USUAL = ("bilinear", "black")

Way = tuple[str, ...]  # kind, interpolation and fill where they are not the usual ones


def panels(methods: Sequence[Probed]) -> list[Panel]:
    """One for each kind and way of sampling; the plain images belong to each."""
    records = [(method, method.records(PROBE)) for method in methods]
    ways = {_way(each): None for _, seeds in records for seed in seeds for each in seed if _is_drawn(each)}
    made = []
    for kind, *sampling in sorted(ways, key=lambda way: (list(KINDS).index(way[0]), way[1:])):
        caption, axis, plain = KINDS[kind]
        series = [
            Series(m.look, tuple(_points(seed, (kind, *sampling), plain) for seed in seeds))
            for m, seeds in records
        ]
        draw = line_panel(series, Axis(axis), Axis("test error, %", least=0.5))
        if draw:
            made.append(Panel(", ".join((caption, *sampling)), draw))
    return made


def _is_drawn(record: dict[str, Any]) -> bool:
    strength = record.get("strength")
    return record.get("kind") in KINDS and isinstance(strength, int | float) and abs(strength) < 1e4


def _way(record: dict[str, Any]) -> Way:
    words = (record.get("interpolation"), record.get("fill"))
    return (record["kind"], *(str(word) for word in words if word and word not in _USUAL))


def _points(records: Records, way: Way, plain: float) -> tuple[Point, ...]:
    found = {
        float(each["strength"]): 100 * each["value"]
        for each in records
        if _is_drawn(each) and _way(each) == way
    }
    as_it_is = [100 * each["value"] for each in records if each.get("kind") == "plain"]
    if found and as_it_is:
        found.setdefault(plain, as_it_is[0])
    return tuple(sorted(found.items()))
