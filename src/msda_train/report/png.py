"""An SVG file of ours as a PNG, by resvg: light colours, and the same letters on every machine.

resvg knows no CSS variables and no media queries, so the style sheet is written out for it. A bare machine
has no fonts and resvg draws no text then: the letters are those that Pillow carries (Aileron, CC0); what they
lack is taken from the machine's fonts, if there are any.
"""

import re
import tempfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont

from msda_train.errors import UserError

ZOOM = 2.0
# Pillow's font has one weight; an outline makes its letters heavier.
_BOLD = ".plot .head, .plot .name {{ stroke: {ink}; stroke-width: 0.4; }}"
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
_MEDIA = re.compile(r"@media[^{]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}")
_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
_VARIABLE = re.compile(r"(--[\w-]+)\s*:\s*([^;]+)")
_USE = re.compile(r"var\((--[\w-]+)\)")


def can_paint() -> bool:
    """Whether resvg-py is installed."""
    return find_spec("resvg_py") is not None


def png(svg: str, zoom: float = ZOOM) -> bytes:
    """`svg`, a file made by `svg.as_file`, as a PNG of `zoom` pixels to a unit; UserError where resvg
    cannot."""
    resvg = import_module("resvg_py")
    light = _variables(_STYLE.findall(svg))
    plain = _STYLE.sub(lambda match: f"<style>{plain_style(match[1])}</style>", svg)
    with tempfile.TemporaryDirectory() as folder:
        font, family = _font(Path(folder))
        try:
            made = resvg.svg_to_bytes(
                svg_string=plain.replace("system-ui, sans-serif", family),
                background=light.get("--paper", "#ffffff"),
                zoom=zoom,
                font_files=[str(font)],
                font_family=family,
                sans_serif_family=family,
            )
        except ValueError as error:
            raise UserError(f"the PNG cannot be drawn: {' '.join(str(error).split())[:200]}") from None
    return bytes(made)


def plain_style(css: str) -> str:
    """The light palette written into each rule. A rule that uses a variable which other classes set
    (`.m1 { --mark: ... }`) is written once for each of these classes."""
    rules = _rules(css)
    palette = _variables([css])
    setters = [(head, dict(_VARIABLE.findall(body))) for head, body in rules if head != ":root"]
    lines = []
    for head, body in rules:
        if head == ":root" or _VARIABLE.search(body):
            continue
        loose = {name for name in _USE.findall(body) if name not in palette}
        if not loose:
            lines.append(f"{head} {{{_written(body, palette)}}}")
        for setter, values in setters:
            if loose and loose <= set(values):
                known = palette | {name: _written(value, palette) for name, value in values.items()}
                heads = ", ".join(f"{one.strip()}{setter}" for one in head.split(","))
                lines.append(f"{heads} {{{_written(body, known)}}}")
    return "\n".join([*lines, _BOLD.format(ink=palette.get("--ink", "black"))])


def _rules(css: str) -> list[tuple[str, str]]:
    bare = _MEDIA.sub("", re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL))
    return [(head.strip(), body) for head, body in _RULE.findall(bare)]


def _variables(sheets: list[str]) -> dict[str, str]:
    """Of :root, without those of a dark screen."""
    bodies = [body for css in sheets for head, body in _rules(css) if head == ":root"]
    return {name: value.strip() for body in bodies for name, value in _VARIABLE.findall(body)}


def _written(body: str, known: dict[str, str]) -> str:
    return _USE.sub(lambda match: known.get(match[1], "none"), body)


def _font(folder: Path) -> tuple[Path, str]:
    """A font file that is there on every machine, and the name of its family."""
    font = ImageFont.load_default(12)
    if not isinstance(font, ImageFont.FreeTypeFont) or not hasattr(font, "font_bytes"):
        raise UserError(
            "a PNG would have no text: Pillow is older than 10.1 or without FreeType; reinstall it"
        )
    path = folder / "letters.ttf"
    path.write_bytes(font.font_bytes)
    return path, str(font.getname()[0])
