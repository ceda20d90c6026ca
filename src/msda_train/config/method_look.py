"""The place and the look of a method: one order in every table, one colour, marker and dash in every picture.

Each method says its own in the first line of its yaml, a comment, so that it is no option of anything:

    # look: 30, #b87400, ^, 2 1.5

That is: place (any whole number), colour, marker of matplotlib, dash of matplotlib or lengths on and off in
line widths.
"""

import hashlib
import re
from functools import cache
from typing import TypedDict

from msda_train.core.paths import CONFIGS

_LINE = re.compile(r"# look: (\d+), (#[0-9a-f]{6}), (\S), ([\d. ]+|-)\n")


class MethodLook(TypedDict):
    """One method in tables and plots: its place, colour (#rrggbb), and matplotlib's marker and dash."""

    order: int
    colour: str
    marker: str
    dash: str


def method_order() -> tuple[str, ...]:
    """The shipped methods in the order of tables; those that say no place come last, by name."""
    return tuple(_shipped())


def method_look(name: str) -> MethodLook:
    """order: the method's place in tables, unknown ones last; colour: #rrggbb; marker: of matplotlib; dash:
    of matplotlib, or lengths on and off in line widths, "6 2". A method without a look of its own takes the
    one that its name says: always the same one."""
    shipped = _shipped()
    order = list(shipped).index(name) if name in shipped else len(shipped)
    colour, marker, dash = shipped.get(name) or _by_name(name)
    return {"order": order, "colour": colour, "marker": marker, "dash": dash}


def method_rank(method: str | None) -> tuple[int, str]:
    """Sorts methods as tables do: shipped ones in their order, then others by name."""
    known = method is not None and method in _shipped()
    return (list(_shipped()).index(method or ""), "") if known else (len(_shipped()), method or "")


@cache
def _shipped() -> dict[str, tuple[str, str, str] | None]:
    """Colour, marker and dash of every shipped method, in order."""
    found = []
    for path in (CONFIGS / "method").glob("*.yaml"):
        match = _LINE.match(path.read_text(encoding="utf-8"))
        look = (match[2], match[3], match[4]) if match else None
        found.append((int(match[1]) if match else 10**9, path.stem, look))
    return {name: look for _, name, look in sorted(found, key=lambda each: each[:2])}


def _by_name(name: str) -> tuple[str, str, str]:
    looks = [look for look in _shipped().values() if look]
    first, second, third = hashlib.sha256(name.encode("utf-8", "replace")).digest()[:3]
    count = len(looks)
    return looks[first % count][0], looks[second % count][1], looks[third % count][2]
