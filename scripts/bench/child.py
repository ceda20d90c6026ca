"""Starting the benchmark's own programs as other processes: it is no part of the installed package."""

import os
import sys
from pathlib import Path

_FOLDER = str(Path(__file__).resolve().parents[1])


def program(module: str, *words: str) -> list[str]:
    """`python -m MODULE WORDS` of this very Python; to be started in `environment()`."""
    return [sys.executable, "-m", module, *words]


def environment() -> dict[str, str]:
    """Ours, in which `import bench` works."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [_FOLDER, os.environ.get("PYTHONPATH")])),
    }
