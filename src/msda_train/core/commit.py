"""Which code is running: the commit of the checkout, for rows and reports."""

import subprocess
from pathlib import Path

from msda_train.core.paths import HERE


def commit() -> tuple[str, bool] | None:
    """The commit's hash and whether the tree was edited; None in an installed wheel or without git."""
    root = HERE.parents[1]
    if not (root / ".git").exists():
        return None
    try:
        return _git(root, "rev-parse", "HEAD"), bool(_git(root, "status", "--porcelain"))
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *words: str) -> str:
    command = ["git", "-C", str(root), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
