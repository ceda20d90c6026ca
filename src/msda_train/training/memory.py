"""How much memory a run needed at its peak."""

import contextlib
import resource
import sys

import torch


def reset_peak_memory(device: torch.device) -> None:
    """From here on peaks are counted anew, so that the runs of a sweep do not see one another's; where the
    system does not allow that, the host's peak stays that of the whole process."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> dict[str, float | None]:
    """Peaks of this process so far, in MiB: `host_peak_mib`, its resident memory, and `device_peak_mib`, what
    torch had allocated on a CUDA `device` (None on a CPU).

    Since `reset_peak_memory`, or since the process began.
    """
    on_device = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None
    return {"host_peak_mib": _host_peak_mib(), "device_peak_mib": on_device}


def _host_peak_mib() -> float:
    """Linux's own count for this program; getrusage's begins with the peak of whoever started the process, so
    a small run started by a large one would show the large one's."""
    with contextlib.suppress(OSError, StopIteration), open("/proc/self/status") as lines:
        return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) / 1024
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
