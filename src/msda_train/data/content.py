"""The canonical order of a set of images, and the hash that names it.

Images are sorted by a digest of their pixels and label. So an npz file, a folder of images and a download of
the same images give the same arrays, the same subsets and the same runs, in whatever order the source lists
them. Equal digests mean equal image and label, so their order among themselves cannot matter.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from msda_train.data.examples import Arrays

_BYTES = 16


def digests(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(N, 2) big-endian uint64: a 128-bit digest of each example of `x` (N, ...) and its label `y` (N,)."""
    rows = np.ascontiguousarray(x).reshape(len(x), math.prod(x.shape[1:]))
    labels = y.astype("<i8").tobytes()
    parts = []
    for k, row in enumerate(rows):
        digest = hashlib.blake2b(row.data, digest_size=_BYTES)
        digest.update(labels[8 * k : 8 * k + 8])
        parts.append(digest.digest())
    return np.frombuffer(b"".join(parts), dtype=">u8").reshape(len(x), 2)


def canonical_order(digest: np.ndarray) -> np.ndarray:
    """(N,) indices that sort `digest` (N, 2)."""
    return np.lexsort((digest[:, 1], digest[:, 0]))


def in_canonical_order(arrays: Arrays) -> tuple[Arrays, str]:
    """The same images in canonical order, and their content hash (32 hex digits)."""
    ordered: dict[str, Any] = {}
    found: list[np.ndarray] = []
    for split, x, y in arrays.splits():
        digest = digests(x, y)
        order = canonical_order(digest)
        ordered |= {f"x_{split}": x[order], f"y_{split}": y[order]}
        if split == "test" and arrays.boxes_test is not None:
            ordered["boxes_test"] = arrays.boxes_test[order]
        found.append(digest[order])
    made = replace(arrays, **ordered)
    return made, _content(made, found)


def content_as_stored(arrays: Arrays) -> str:
    """The content hash of arrays in canonical order; in any other order they have another hash."""
    return _content(arrays, [digests(x, y) for _, x, y in arrays.splits()])


def _content(arrays: Arrays, found: Sequence[np.ndarray]) -> str:
    total = hashlib.blake2b(digest_size=_BYTES)
    for (split, x, _), digest in zip(arrays.splits(), found, strict=True):
        total.update(f"{split} {x.shape} {len(arrays.classes)};".encode())
        total.update(digest.tobytes())
    return total.hexdigest()
