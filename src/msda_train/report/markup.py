"""HTML and SVG as text in which nothing untrusted is markup: what is not `Markup` is escaped on entry."""

import html
from collections.abc import Iterable
from typing import Any

_VOID = frozenset({"meta", "img", "br"})


class Markup(str):
    """Text that is markup already, made by `tag` and `join` only."""

    __slots__ = ()


def escape(text: object) -> Markup:
    """`text` as a page may show it. What is not printable (control codes, half a surrogate pair, marks that
    turn the reading direction) becomes a question mark; line breaks stay."""
    if isinstance(text, Markup):
        return text
    words = str(text)
    if not words.isprintable():
        words = "".join(c if c.isprintable() or c == "\n" else "?" for c in words)
    return Markup(html.escape(words))


def join(*parts: object) -> Markup:
    """The parts one after the other; None is nothing, a list is its items."""
    words: list[str] = []
    for part in parts:
        if isinstance(part, str):
            words.append(escape(part))
        elif isinstance(part, Iterable):
            words.append(join(*part))
        elif part is not None:
            words.append(escape(part))
    return Markup("".join(words))


def tag(name: str, /, *children: object, **attributes: Any) -> Markup:
    """`<name ...>children</name>`. `class_` is class, `aria_label` aria-label; None and False are
    left out."""
    words = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        word = key.rstrip("_").replace("_", "-")
        words.append(word if value is True else f'{word}="{escape(value)}"')
    inside = join(*children)
    return Markup(f"<{' '.join(words)}>{'' if name in _VOID else f'{inside}</{name}>'}")
