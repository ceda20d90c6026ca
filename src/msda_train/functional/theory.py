"""How strongly a mixing method ties pixel j to pixel k, in closed form, and averages over pairs by distance.

A mixed image, expanded around the sample itself, brings the products of its input gradients at pixels j and k
into the training loss with the weight a_jk = E[(1 - M_j)(1 - M_k)], M the mask (1 keeps the own pixel). Park,
Yun & Chun, arXiv:2208.09913, state this for any mask; the forms below are worked out for a fixed lam, real
sides and no borders, as on a torus.
tests/functional/test_theory.py draws masks of the methods and finds the same.

lam: own label weight, in [0, 1]. dy, dx: displacement of k from j, pixels. All arguments broadcast.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv


def mixup(lam: ArrayLike) -> np.ndarray:
    """(1 - lam)^2 at any distance."""
    return (1 - np.asarray(lam, dtype=float)) ** 2


def cutmix(lam: ArrayLike, dy: ArrayLike, dx: ArrayLike, height: int, width: int) -> np.ndarray:
    """How much of the image, in [0, 1], the centres cover whose box, of share 1 - lam, holds both pixels."""
    return _box_holds_both(1 - np.asarray(lam, dtype=float), dy, dx, height, width)


def hmix(
    lam: ArrayLike, dy: ArrayLike, dx: ArrayLike, height: int, width: int, ratio: float = 0.5
) -> np.ndarray:
    """A box of share p = (1 - lam) * ratio as in CutMix, and own weight lam / (1 - p) outside it."""
    share = (1 - np.asarray(lam, dtype=float)) * ratio
    kept = 1 - share  # 0 where lam is too small to be told from 0: then nothing lies outside
    outside = np.asarray(lam, dtype=float) / np.where(kept > 0, kept, 1)
    both = _box_holds_both(share, dy, dx, height, width)
    weight: np.ndarray = (1 - outside) ** 2 + 2 * outside * (1 - outside) * share + outside**2 * both
    return weight


def gmix(lam: ArrayLike, dy: ArrayLike, dx: ArrayLike, height: int, width: int) -> np.ndarray:
    """A bump of share k = min(lam, 1 - lam); own weight 1 - bump from lam = 0.5 on, below it the bump."""
    lam = np.asarray(lam, dtype=float)
    share = np.minimum(lam, 1 - lam)
    area = np.maximum(2 * share * height * width, 1e-200)  # no bump: 0 everywhere but not 0 / 0
    both = share / 2 * np.exp(-np.pi * (np.square(dy) + np.square(dx)) / area)
    weight: np.ndarray = np.where(lam < 0.5, 1 - 2 * share, 0) + both
    return weight


def lam_quantiles(alpha: float, n: int = 200) -> np.ndarray:
    """(n,) values of lam that stand for Beta(alpha, alpha): their mean of a smooth function is its
    expectation."""
    return np.asarray(betaincinv(alpha, alpha, (np.arange(n) + 0.5) / n))


def displacements(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """dy (2 * height - 1, 1) and dx (1, 2 * width - 1): every displacement between two pixels of an image, in
    the order of a discrete Fourier transform (0, 1, ..., -2, -1)."""
    dy, dx = (np.rint(np.fft.fftfreq(2 * side - 1) * (2 * side - 1)) for side in (height, width))
    return dy[:, None], dx[None, :]


def pair_count(height: int, width: int) -> np.ndarray:
    """(2 * height - 1, 2 * width - 1): how many pixels of an image have a partner at each displacement."""
    dy, dx = displacements(height, width)
    count: np.ndarray = (height - np.abs(dy)) * (width - np.abs(dx))
    return count


def by_distance(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """(D,) means at the Euclidean distances 0, 1, ..., D - 1 pixels, each displacement's rounded to whole
    ones.

    total, count (2 * height - 1, 2 * width - 1): sum over the pairs at each displacement, and how many there
    are. Every distance up to the image's diagonal occurs for images of two pixels a side and more.
    """
    height, width = ((side + 1) // 2 for side in total.shape)
    dy, dx = displacements(height, width)
    distance = np.rint(np.hypot(dy, dx)).astype(np.int64).ravel()
    return np.bincount(distance, total.ravel()) / np.bincount(distance, count.ravel())


def curves(height: int, width: int, alpha: float = 1.0, ratio: float = 0.5) -> dict[str, np.ndarray]:
    """Method name -> (D,) mean weight of the pairs at each distance of an image, lam ~ Beta(alpha, alpha)."""
    dy, dx = displacements(height, width)
    lam = lam_quantiles(alpha)[:, None, None]
    count = pair_count(height, width)
    weights = {
        "mixup": np.broadcast_to(mixup(lam), (len(lam), *count.shape)),
        "cutmix": cutmix(lam, dy, dx, height, width),
        "hmix": hmix(lam, dy, dx, height, width, ratio),
        "gmix": gmix(lam, dy, dx, height, width),
    }
    return {name: by_distance(weight.mean(axis=0) * count, count) for name, weight in weights.items()}


def _box_holds_both(share: np.ndarray, dy: ArrayLike, dx: ArrayLike, height: int, width: int) -> np.ndarray:
    """A box has sqrt(share) of either side."""
    factor = np.sqrt(share)
    down, across = (np.maximum(0, factor * side - np.abs(d)) for side, d in ((height, dy), (width, dx)))
    return np.asarray(down * across / (height * width))
