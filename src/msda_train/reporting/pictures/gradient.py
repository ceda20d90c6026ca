"""Products of input gradients at two pixels by their distance, beside the weights that methods press on
them.

Park, Yun & Chun, arXiv:2208.09913: a method's training loss holds a_jk g_j g_k. Measured curves and weights
are shown relative to neighbouring pixels, so that only their fall is compared.
"""

import math
from collections.abc import Sequence

from msda_train.reporting.pictures.data import Arrays, Probed, described, vectors
from msda_train.reporting.pictures.lines import Axis, Point, Series, line_panel
from msda_train.reporting.pictures.picture import Panel

TITLE = "Input gradients of pixel pairs by distance"
PROBE = "gradients"
NOTES = (
    "Mean over pixel pairs, relative to pairs one pixel apart; each image's gradient was first divided by "
    "its own mean.",
    "Weight a_jk: of the product in a method's training loss, by its closed form for lam ~ Beta(1, 1) and "
    "ratio 0.5; not measured.",
)


def panels(methods: Sequence[Probed]) -> list[Panel]:
    """What was measured; and the closed forms of the methods among them that have one."""
    arrays = [(method, method.arrays(PROBE)) for method in methods]
    measured = [Series(m.look, tuple(_relative(each, "each_value") for each in found)) for m, found in arrays]
    theory = {name: curve for _, found in arrays for each in found for name, curve in _theory(each).items()}
    ours = {str(method.rows[0].names["method"]): method.look for method in reversed(methods)}
    weights = [
        Series(ours[name], (), middle=curve, thin=True) for name, curve in theory.items() if name in ours
    ]
    made = []
    for caption, title, series in (
        ("Measured on the trained networks", "mean |g_j g_k|, relative", measured),
        ("Pressed down while training", "weight a_jk, relative", weights),
    ):
        draw = line_panel(series, Axis("distance of the pixels j and k, pixels"), Axis(title, least=0.05))
        if draw:
            made.append(Panel(caption, draw))
    return made


def _theory(arrays: Arrays) -> dict[str, tuple[Point, ...]]:
    found = described(PROBE, arrays, "theory")
    return {columns["method"]: _relative(arrays, name) for name, columns in found.items()}


def _relative(arrays: Arrays, name: str) -> tuple[Point, ...]:
    """From one pixel to the image's side: farther pairs are few, from corner to corner. Empty where there is
    no such curve."""
    found = vectors(arrays, "distance", name)
    if not found or len(found[0]) < 3 or not found[1][1] > 0:
        return ()
    side = max(2, math.ceil(len(found[0]) / math.sqrt(2)))
    return tuple((x, y / found[1][1]) for x, y in list(zip(*found, strict=True))[1:side])
