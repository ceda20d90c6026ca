"""msda-train: rebuild the published tables of mixed sample data augmentation.

In a notebook, `msda_train.load_rows("runs")` and `msda_train.load_published()` are pandas data frames.
"""

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from msda_train.records.frame import load_published, load_rows

# `python -m msda_train.cli.train` puts the current folder in front of the path, where its files would hide
# modules of ours and of the libraries. Now, while Python looks for what to run, no other has been imported.
if sys.argv[:1] == ["-m"] and not sys.flags.safe_path:
    del sys.path[0]

__version__ = "0.1.0"
__all__ = ["__version__", "load_published", "load_rows"]


def __getattr__(name: str) -> Any:
    """pandas is imported by whoever asks for a data frame, not by `import msda_train`."""
    if name in ("load_rows", "load_published"):
        from msda_train.records import frame

        return getattr(frame, name)
    raise AttributeError(f"module 'msda_train' has no attribute '{name}'")
