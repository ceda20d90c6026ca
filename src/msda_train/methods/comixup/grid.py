"""The block grid of one mixed image: low unary-plus-smoothness energy by exact expansion moves.

An expansion move (Boykov, Veksler & Zabih, PAMI 2001) lets every block keep its label or switch to one
common label; the best of all 2^blocks switches is found exactly, by dynamic programming over the rows of
the grid. Not by a graph cut: the grids are narrow (4 blocks a side), so all moves of all problems are a few
array operations, and the distances of half blocks are no metric, which a cut needs for expansion moves
(alpha-beta swaps, the authors' choice, need none). The result is a labelling that no single expansion move
improves.

NumPy float64 on the host. P problems at once, L labels, grids of h x w blocks; grid axes come first, so that
neighbours are slices of whole memory blocks.
"""

from functools import cache

import numpy as np

SMALLEST_GAIN = 1e-12  # times the largest cost; below this two labellings count as equally good
WIDEST = 8  # blocks a side; the work doubles with every column: 2^w switches of a row


def grid_energy(unary: np.ndarray, distance: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(P,) energies of labels (h, w, P): sum of unary (h, w, P, L) plus distance (P, L, L) of neighbours."""
    edges = sum(costs.sum(axis=(0, 1)) for costs in _edge_costs(distance, labels))
    energy: np.ndarray = _at(unary, labels).sum(axis=(0, 1, 3)) + edges
    return energy


def lowest_labels(unary: np.ndarray, distance: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Labels (h, w, P), from `start` by the steepest expansion move until none lowers the energy.

    unary: (h, w, P, L); distance: (P, L, L), symmetric, zero on the diagonal, already weighted.
    """
    labels, rest = start.copy(), np.arange(start.shape[2])
    smallest = SMALLEST_GAIN * max(1.0, np.abs(unary).max())  # above rounding, or moves could go in circles
    while rest.size:
        linear, right, down = _moves(unary[:, :, rest], distance[rest], labels[:, :, rest])
        rows = _row_minima(linear, right, down)
        change = rows[-1].min(axis=0)
        target, each = change.argmin(axis=1), np.arange(len(rest))
        switch = _trace(rows[:, :, each, target], down[:, :, each, target])
        gains = change[each, target] < -smallest
        rest = rest[gains]
        labels[:, :, rest] = np.where(switch[:, :, gains], target[gains], labels[:, :, rest])
    return labels


def _at(unary: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(h, w, P, 1): unary (h, w, P, L) at labels (h, w, P)."""
    return np.take_along_axis(unary, labels[..., None], axis=-1)


def _edge_costs(distance: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances of horizontal (h, w-1, P) and of vertical neighbours (h-1, w, P)."""
    problem = np.arange(len(distance))
    return distance[problem, labels[:, :-1], labels[:, 1:]], distance[problem, labels[:-1], labels[1:]]


def _moves(
    unary: np.ndarray, distance: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a switch s in {0, 1}^(h x w) to each label changes: linear * s + right * s s' + down * s s'.

    Shapes (h, w, P, L), (h, w-1, P, L), (h-1, w, P, L).
    """
    keep_right, keep_down = (costs[..., None] for costs in _edge_costs(distance, labels))
    fresh = distance[np.arange(len(distance)), labels]  # (h, w, P, L): a kept block beside a switched one
    linear = unary - _at(unary, labels)
    linear[:, :-1] += fresh[:, 1:] - keep_right
    linear[:, 1:] += fresh[:, :-1] - keep_right
    linear[:-1] += fresh[1:] - keep_down
    linear[1:] += fresh[:-1] - keep_down
    return linear, keep_right - fresh[:, :-1] - fresh[:, 1:], keep_down - fresh[:-1] - fresh[1:]


@cache
def _bits(width: int) -> np.ndarray:
    """(2^w, w): every way to switch one row of blocks; the first block is the highest bit."""
    return (np.arange(2**width)[:, None] >> np.arange(width)[::-1] & 1).astype(float)


def _row_minima(linear: np.ndarray, right: np.ndarray, down: np.ndarray) -> np.ndarray:
    """(h, 2^w, P, L): for each row and each switch of it, the lowest change of that row and those above."""
    height, width, problems, labels = linear.shape
    bits, moves = _bits(width), problems * labels
    rows = bits @ linear.reshape(height, width, moves)
    rows += (bits[:, :-1] * bits[:, 1:]) @ right.reshape(height, width - 1, moves)
    for row in range(1, height):
        lowest = rows[row - 1]
        # Block by block, the switches of the row above give way to those of this row.
        for column in range(width):
            above = lowest.reshape(2**column, 2, 2 ** (width - column - 1), moves)
            kept, switched = above[:, 0], above[:, 1]
            lowest = np.empty_like(above)
            np.minimum(kept, switched, out=lowest[:, 0])
            np.minimum(kept, switched + down[row - 1, column].reshape(moves), out=lowest[:, 1])
        rows[row] += lowest.reshape(len(bits), moves)
    by_moves: np.ndarray = rows.reshape(height, len(bits), problems, labels)
    return by_moves


def _trace(rows: np.ndarray, down: np.ndarray) -> np.ndarray:
    """(h, w, P) booleans: the switch that has the lowest change; rows (h, 2^w, P), down (h-1, w, P)."""
    bits = _bits(down.shape[1])
    chosen = [bits[rows[-1].argmin(axis=0)].T]
    for row in range(len(rows) - 2, -1, -1):
        joined = rows[row] + bits @ (down[row] * chosen[-1])
        chosen.append(bits[joined.argmin(axis=0)].T)
    return np.stack(chosen[::-1]) > 0
