"""What this machine has."""

import os
from contextlib import suppress
from pathlib import Path

LIMIT = Path("/sys/fs/cgroup/memory.max")  # of a container; "max" where there is none


def memory() -> int:
    """Bytes that this machine or container has."""
    bytes_here = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):
        bytes_here = min(bytes_here, int(LIMIT.read_text()))
    return bytes_here
