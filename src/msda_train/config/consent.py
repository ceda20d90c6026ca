"""When code of the current folder counts: only when somebody typed its name.

The folder is not on Python's path, where any file in it would stand for a library that is not installed, or
be searched for plugins. A finder behind all others knows the modules that were typed, and lets those import
what lies beside them.
"""

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import FrameType, ModuleType


class _CurrentFolder:
    """names: of the modules that may be found in it, and have been."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As Python asks it (importlib.abc.MetaPathFinder); `path` is that of a package, which it knows."""
        if path is not None or not (name in self.names or _asking() in self.names):
            return None
        found = PathFinder.find_spec(name, [os.getcwd()])
        if found is not None:
            self.names.add(name)
        return found


def _asking() -> str:
    """The package whose code is importing."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        package = str(frame.f_globals.get("__name__")).partition(".")[0]
        if package not in ("importlib", "_frozen_importlib"):
            return package
        frame = frame.f_back
    return ""


_FOLDER = _CurrentFolder()


def allow(module: str) -> None:
    """From now on `module`, a name without dots, is also looked for in the current folder; a library of that
    name comes first."""
    if find_spec(module) is None:
        _FOLDER.names.add(module)
        if _FOLDER not in sys.meta_path:
            sys.meta_path.append(_FOLDER)
