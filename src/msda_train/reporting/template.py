"""The page's templates: Jinja2, everything escaped that is no markup of a template."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from msda_train.reporting.number_words import many

FOLDER = Path(__file__).with_name("templates")


def render(name: str, **data: Any) -> Markup:
    """templates/NAME.html filled in. Data are escaped, but for what `render` made."""
    return Markup(_environment().get_template(f"{name}.html").render(data).strip())


def text_of(name: str) -> str:
    """A file of templates/ as it is."""
    return (FOLDER / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["many"] = many
    return made


def _printable(value: Any) -> Any:
    """What cannot be printed (control codes, half a surrogate pair, marks that turn the reading direction)
    becomes a question mark; line breaks stay. None is nothing."""
    if value is None:
        return ""
    if isinstance(value, Markup) or not isinstance(value, str) or value.isprintable():
        return value
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in value)
