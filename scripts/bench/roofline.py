"""The limits of this device, measured here: bytes per second of a large copy, operations per second of a
large matrix product."""

from functools import lru_cache
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.timing import interleaved, spread, timer_of

COPIED = {"cpu": 64 << 20, "cuda": 2 << 30}  # bytes: more than any cache
SIDE = {"cpu": 1024, "cuda": 8192}


@lru_cache(maxsize=4)
def memory_rate(device: torch.device) -> float:
    """Bytes read and written per second by copying a large block."""
    size = COPIED[device.type]
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    kept = torch.empty_like(source)
    seconds = interleaved({"copy": lambda: kept.copy_(source)}, rounds=7, timer=timer_of(device))
    return 2 * size / spread(seconds["copy"]).median


@lru_cache(maxsize=4)
def matrix_rate(device: torch.device, precision: str) -> float:
    """Floating-point operations per second of a square matrix product; precision fp32 or bf16."""
    side = SIDE[device.type]
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.ones(side, side, dtype=kind, device=device) for _ in range(2))
    seconds = interleaved({"product": lambda: a @ b}, rounds=7, timer=timer_of(device))
    return 2 * side**3 / spread(seconds["product"]).median


def operations(work: Any) -> int:
    """Floating-point operations of the convolutions and products in one call of `work`."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())
