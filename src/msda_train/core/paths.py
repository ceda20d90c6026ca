"""Where configs, published numbers and data live, in a checkout and in an installed wheel alike."""

import os
from pathlib import Path

from msda_train.core.errors import UserError

HERE = Path(__file__).resolve().parents[1]  # of the package
_REPO = HERE.parents[1]

# The wheel carries these folders inside the package; a checkout (editable install) reads its own, so an
# edited yaml counts at once.
CONFIGS = next(p for p in (HERE / "configs", _REPO / "configs") if p.is_dir())
PUBLISHED = next(p for p in (HERE / "published", _REPO / "results" / "published") if p.is_dir())

BENCH = next((p for p in (HERE / "measured", _REPO / "results" / "bench") if p.is_dir()), HERE / "measured")


def _home() -> Path:
    try:
        return Path.home()
    except (
        RuntimeError
    ):  # a user without a home: nothing is there, and whoever writes is told a place to type
        return Path(os.devnull)


# Downloads and decoded arrays are shared by every folder a user works in.
DATA = _home() / ".cache" / "msda-train"


def typed_path(option: str, text: object) -> Path:
    """What was typed for `option`, with ~ and ~NAME as the shell has them; UserError where nobody has that
    home."""
    try:
        return Path(str(text)).expanduser() if str(text).startswith("~") else Path(str(text))
    except RuntimeError:
        raise UserError(f"{option}={text}: there is no such home folder; type the whole path") from None
