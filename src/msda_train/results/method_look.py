"""The look and the place of a method: the same colour, marker and dash in every picture."""

import hashlib
from typing import TypedDict

# Place in the tables: colour, marker, dash. Every colour stands out 3:1 on white; no two methods share a
# colour or a marker, so that a grey print tells them apart as well.
_LOOKS = {
    "erm": ("#1b1f24", "o", "-"),
    "cutout": ("#7a828c", "s", "6 2"),
    "mixup": ("#b87400", "^", "2 1.5"),
    "manifold_mixup": ("#cc4f00", "v", "6 1.5 1 1.5"),
    "cutmix": ("#0065a8", "D", "-"),
    "hmix": ("#2f93cc", "P", "4 2"),
    "gmix": ("#00865f", "X", "1 1"),
    "saliencymix": ("#b8578f", "*", "8 2 2 2"),
    "attentive_cutmix": ("#7b3fa0", "<", "-"),
    "puzzlemix": ("#8a7d00", ">", "3 1"),
    "comixup": ("#4e8a00", "p", "10 2"),
    "fmix": ("#00929e", "d", "6 1 1 1 1 1"),
    "resizemix": ("#8b4a1f", "h", "-"),
    "gridmix": ("#e0457b", "1", "5 3"),
    "smoothmix": ("#3f46c0", "+", "2 3"),
    "pgd_training": ("#8c1020", "x", "9 2 1 2"),
}


class MethodLook(TypedDict):
    order: int
    colour: str
    marker: str
    dash: str


def method_look(name: str) -> MethodLook:
    """order: the method's place in tables, unknown ones last; colour: #rrggbb; marker: of matplotlib; dash:
    of matplotlib, or lengths on and off in line widths, "6 2". An unknown method takes the look that its name
    says: always the same one."""
    known = list(_LOOKS)
    digest = hashlib.sha256(name.encode("utf-8", "replace")).digest()
    colour, marker, dash = _LOOKS.get(name) or _own(digest)
    return {
        "order": known.index(name) if name in _LOOKS else len(known),
        "colour": colour,
        "marker": marker,
        "dash": dash,
    }


def _own(digest: bytes) -> tuple[str, str, str]:
    colours, markers, dashes = zip(*_LOOKS.values(), strict=True)
    one, two, three = (byte % len(_LOOKS) for byte in digest[:3])
    return colours[one], markers[two], dashes[three]
