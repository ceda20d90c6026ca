"""Hidden features of two classes and of blends between them, in the plane of their two main directions."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from msda_train.reporting.draw import Look
from msda_train.reporting.history import thinned
from msda_train.reporting.pictures.data import Arrays, Probed
from msda_train.reporting.pictures.lines import Axis, mark
from msda_train.reporting.pictures.picture import Draw, Legend, Panel

TITLE = "Features of two classes and of their blends"
PROBE = "in_between"
OPTION = "probes.in_between.pca=[0,1]"  # of the probe, without which it leaves no such data
BY_SEED = False  # no thick lines for means beside thin ones for seeds
SHOWN = 60  # of each class, and of the blends
NOTES = (
    "Filled circles: test images of one class; hollow squares: of the other; triangles: mixup blends of the "
    "two. The main directions are those of the unmixed images; first seed.",
)
# Name, look, hollow, size of blends, of lam 0 and of lam 1; the images themselves lie above the blends.
_GROUPS = (
    ("blends", Look("#b87400", "^", "-"), True, 3.5),
    ("lam 0", Look("#1b1f24", "s", "-"), True, 3.5),
    ("lam 1", Look("#1b1f24", "o", "-"), False, 3.5),
)


def panels(methods: Sequence[Probed]) -> list[Panel]:
    """One for each method that has the coordinates."""
    made = []
    for method in methods:
        draws = (draw for arrays in method.arrays(PROBE) if (draw := _draw(arrays)))
        first = next(draws, None)
        if first:
            made.append(Panel(method.label, first))
    return made


def legend(methods: Sequence[Probed]) -> tuple[Legend, ...]:
    """None: the markers are explained in words."""
    return ()


def _draw(arrays: Arrays) -> Draw | None:
    places, lam = arrays.get("pca"), arrays.get("pca_lam")
    if places is None or lam is None or places.ndim != 2 or places.shape != (*lam.shape, 2):
        return None
    groups = (places[(lam > 0) & (lam < 1)], places[lam == 0], places[lam == 1])

    def draw(axes: Axes) -> None:
        Axis("first main direction").apply(axes, "x", places[:, 0].tolist())
        Axis("second main direction").apply(axes, "y", places[:, 1].tolist())
        for group, (name, look, hollow, size) in zip(groups, _GROUPS, strict=True):
            shown = [(a, b) for a, b in thinned(group.tolist(), SHOWN)]
            if shown:
                mark(axes, look, shown, size=size, hollow=hollow, name=name)

    return draw
