"""Which colour, dash and shape a method has: the same in every plot of the report."""

from collections.abc import Iterable
from dataclasses import dataclass

# Places in the palette of plot.css. A method that is not listed takes a place by its name.
PLACES = {
    "erm": 0,
    "cutout": 1,
    "mixup": 2,
    "manifold_mixup": 3,
    "cutmix": 4,
    "hmix": 5,
    "gmix": 6,
    "saliencymix": 7,
    "puzzlemix": 8,
}
COUNT = len(PLACES)


@dataclass(frozen=True)
class Look:
    colour: int  # class m0..m8 of plot.css
    shape: int  # of the points; also the dash, class d0..d8


def looks(methods: Iterable[str | None]) -> list[Look]:
    """One for each line of a plot, in order. Several lines of one method (mixup with three alphas) share its
    colour and differ in shape and dash."""
    met: dict[int, int] = {}
    found = []
    for method in methods:
        colour = PLACES.get(method or "", sum(map(ord, method or "")) % COUNT)
        again = met[colour] = met.get(colour, -1) + 1
        found.append(Look(colour, (colour + again) % COUNT))
    return found
