"""What a number was made with: versions, device, the code's commit. Recorded beside the row's
configuration."""

import platform
import subprocess
from typing import Any

import torch

from msda_train import __version__
from msda_train.paths import HERE
from msda_train.runner.device import Compute


def environment(compute: Compute) -> dict[str, Any]:
    """A flat, JSON-ready description of software, hardware and settings."""
    return {
        "msda_train": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda if compute.device.type == "cuda" else None,
        "platform": platform.platform(),
        "device": compute.device.type,
        "device_name": compute.name,
        "precision": compute.precision,
        "compile": compute.compile,
        "threads": torch.get_num_threads(),
        **_commit(),
    }


def _commit() -> dict[str, Any]:
    """The checkout's commit and whether it was edited; both None in an installed wheel."""
    root = HERE.parents[1]
    if not (root / ".git").exists():
        return {"commit": None, "dirty": None}
    try:
        git = ["git", "-C", str(root)]
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        status = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}
    return {"commit": commit.stdout.strip(), "dirty": bool(status.stdout.strip())}
