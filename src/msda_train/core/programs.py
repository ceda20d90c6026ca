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
