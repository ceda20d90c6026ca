"""CutMix's boxes as its paper and its code draw them, written for the laws alone: loops and draws in bulk,
no line shared with `msda_train.methods`.

Yun et al., ICCV 2019, arXiv:1905.04899: lam ~ Beta(alpha, alpha), the centre uniform over the image, sides
sqrt(1 - lam) of the image's, what sticks out is cut off. Pixels are whole, so there are three ways to round;
a fourth rule is what others do.
"""

from functools import cache

import numpy as np

INSIDE = "inside"  # the only one that is not the paper's
RULES = {
    "code": "as the authors' code rounds (half of the side, truncated, on both sides of the centre)",
    "whole": "an odd side keeps its last pixel (the authors' code loses it)",
    "continuous": "as the paper's appendix rounds (a real-valued centre, rounded corners)",
    INSIDE: "every box lies wholly inside, wherever it fits, and nothing clips it",
}
DRAWS = 20_000


@cache
def paper_boxes(rule: str, alpha: float, height: int, width: int) -> np.ndarray:
    """(n, 4) int edges (top, bottom, left, right; half-open) of DRAWS boxes by one of RULES."""
    rng = np.random.default_rng(1905)
    lam = rng.beta(alpha, alpha, DRAWS)
    edges = []
    for length in (height, width):
        side = length * np.sqrt(1 - lam)
        if rule == "continuous":
            centre = rng.uniform(0, length, DRAWS)
            first, last = np.round(centre - side / 2), np.round(centre + side / 2)
        elif rule == INSIDE:
            cut = np.floor(side)
            first = np.floor(rng.random(DRAWS) * (length - cut + 1))
            last = first + cut
        else:
            middle, cut = rng.integers(0, length, DRAWS), np.floor(side)
            first = middle - cut // 2
            last = middle + (cut // 2 if rule == "code" else (cut + 1) // 2)
        edges += [np.clip(first, 0, length), np.clip(last, 0, length)]
    return np.stack(edges, axis=1).astype(np.int64)


def kept(edges: np.ndarray, height: int, width: int) -> np.ndarray:
    """(n,) share of the image outside each box (n, 4)."""
    outside: np.ndarray = 1 - (edges[:, 1] - edges[:, 0]) * (edges[:, 3] - edges[:, 2]) / (height * width)
    return outside
