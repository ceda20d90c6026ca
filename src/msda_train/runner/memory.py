"""How much memory a run needed at its peak."""

import resource
import sys

import torch


def peak_memory(device: torch.device) -> dict[str, float | None]:
    """Peaks of this process so far, in MiB: `host_peak_mib`, its resident memory, and `device_peak_mib`, what
    torch had allocated on a CUDA `device` (None on a CPU).

    A process has one peak: of several runs in one process the later ones see that of the largest before them.
    """
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB on Linux
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
    on_device = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None
    return {"host_peak_mib": host, "device_peak_mib": on_device}
