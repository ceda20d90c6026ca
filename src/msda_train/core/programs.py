"""This package's own modules as programs of other processes, in this very Python."""

import os
import sys
from collections.abc import Sequence

from msda_train.core.paths import HERE


def module_command(module: str, words: Sequence[str]) -> list[str]:
    """`python -m MODULE WORDS` of this very Python. -P: files of the current folder must not hide modules."""
    return [sys.executable, "-P", "-m", f"msda_train.{module}", *words]


def child_environment() -> dict[str, str]:
    """Ours, and a child imports this same package also where it is not installed but only on our path."""
    environment = dict(os.environ)
    root = HERE.parent
    if root.name not in ("site-packages", "dist-packages"):  # those are on every path, and hide modules there
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), environment.get("PYTHONPATH")]))
    return environment


def torchrun() -> tuple[int, int] | None:
    """(rank, size) where torchrun started this process as one of several; None where it did not."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return None
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def follows() -> bool:
    """Whether torchrun started it as another than the first, so that somebody else speaks."""
    started = torchrun()
    return started is not None and started[0] > 0
