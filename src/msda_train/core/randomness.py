"""All randomness is a function of (seed, stream, epoch, step): nothing to save, so a resumed run is the
same run.

Draws are small and made on the host with NumPy; the pixel work that uses them is tensor code on the device.
The same draws on the CPU and on a GPU let a CPU test pin GPU behaviour.
"""

import zlib

import numpy as np

Rng = np.random.Generator


def generator(seed: int, stream: str, epoch: int = 0, step: int = 0) -> Rng:
    """The generator of one purpose (`stream`: "order", "augment", "mix", ...) at one place of the run."""
    words = [seed, zlib.crc32(stream.encode()), epoch, step]
    # An array of 32-bit words starts the same stream as the list of numbers, in less than half the time.
    return np.random.default_rng(np.array(words, dtype=np.uint32) if max(words) < 2**32 else words)


def draw_lam(rng: Rng, alpha: float, size: int) -> np.ndarray:
    """(size,) float64 draws of lam ~ Beta(alpha, alpha). Beyond the limits, where NumPy's sampler leaves the
    range of float64, the distribution is that of the limit: a fair coin, or 0.5."""
    alpha = min(max(alpha, 1e-100), 1e100)
    return rng.beta(alpha, alpha, size)


def pair(rng: Rng, pairing: str, batch: int) -> np.ndarray:
    """(batch,) partner of each sample: a random permutation (fixed points allowed, as in the authors'
    code), the batch in reverse order (naver-ai/hmix-gmix; the middle of an odd batch is its own
    partner), or its other half (any other `pairing`)."""
    if pairing == "permutation":
        return rng.permutation(batch)
    return np.arange(batch)[::-1].copy() if pairing == "reversal" else np.roll(np.arange(batch), batch // 2)
