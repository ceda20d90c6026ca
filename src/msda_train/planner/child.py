"""Starting this package's own programs as other processes: trainers and speed probes."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from msda_train.paths import HERE

LEASH = Path(__file__).with_name("leash.py")


def module_command(module: str, words: Sequence[str]) -> list[str]:
    """`python -m MODULE WORDS` of this very Python. -P: files of the current folder must not hide modules."""
    return [sys.executable, "-P", "-m", f"msda_train.{module}", *words]


def environment() -> dict[str, str]:
    """Ours, and a child imports this same package also where it is not installed but only on our path."""
    environment = dict(os.environ)
    root = HERE.parent
    if root.name not in ("site-packages", "dist-packages"):  # those are on every path, and hide modules there
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), environment.get("PYTHONPATH")]))
    return environment


def start(command: Sequence[str], output: IO[Any]) -> "subprocess.Popen[bytes]":
    """`command` in a process group of its own, so that Ctrl-C reaches the planner only, and on a leash: it
    dies with this thread's process."""
    leashed = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), *command]
    return subprocess.Popen(
        leashed,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=environment(),
        process_group=0,
    )
