"""What a number was made with: versions, device, the code's commit. Recorded beside the row's
configuration."""

import platform
from typing import Any

import torch

from msda_train import __version__
from msda_train.core.commit import commit
from msda_train.training.device import Compute


def environment(compute: Compute) -> dict[str, Any]:
    """A flat, JSON-ready description of software, hardware and settings."""
    code, dirty = commit() or (None, None)
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
        "graph": compute.graph,
        "deterministic": compute.deterministic,
        "threads": torch.get_num_threads(),
        "devices": compute.devices,
        "commit": code,
        "dirty": dirty,
    }
