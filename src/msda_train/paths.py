"""Where configs, published numbers and data live, in a checkout and in an installed wheel alike."""

from pathlib import Path

HERE = Path(__file__).resolve().parent
_REPO = HERE.parents[1]

# The wheel carries these folders inside the package; a checkout (editable install) reads its own, so an
# edited yaml counts at once.
CONFIGS = next(p for p in (HERE / "configs", _REPO / "configs") if p.is_dir())
PUBLISHED = next(p for p in (HERE / "published", _REPO / "results" / "published") if p.is_dir())

BENCH = next((p for p in (HERE / "measured", _REPO / "results" / "bench") if p.is_dir()), HERE / "measured")

# Downloads and decoded arrays are shared by every folder a user works in.
DATA = Path.home() / ".cache" / "msda-train"
