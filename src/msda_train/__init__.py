"""msda-train: rebuild the published tables of mixed sample data augmentation.

In a notebook, `msda_train.load_rows("runs")` and `msda_train.load_published()` are pandas data frames.
In anybody's training loop, `msda_train.Mixer("cutmix", num_classes=10)` mixes batches.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from msda_train.library.mixer import Mixer
    from msda_train.records.frame import load_published, load_rows

# `python -m msda_train.cli.train` puts the current folder in front of the path, where its files would hide
# modules of ours and of the libraries. Now, while Python looks for what to run, no other has been imported.
if sys.argv[:1] == ["-m"] and not sys.flags.safe_path:
    del sys.path[0]

__version__ = "0.1.0"
__all__ = ["Mixer", "__version__", "load_published", "load_rows"]

_HOMES = {"Mixer": "library.mixer", "load_rows": "records.frame", "load_published": "records.frame"}


def __getattr__(name: str) -> Any:
    """What a name needs (torch, pandas) is imported by whoever asks for it, not by `import msda_train`."""
    if name in _HOMES:
        return getattr(import_module(f"msda_train.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'msda_train' has no attribute '{name}'")
