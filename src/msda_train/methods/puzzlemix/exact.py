"""The exact minimum of a Puzzle Mix energy: one minimum cut per image, by SciPy's maximum flow on the host.

Ishikawa, PAMI 2003, "Exact optimization for Markov random fields with convex priors". A cell with L labels is
a chain of L - 1 nodes, node p on the source's side where the label is at least p; cutting the chain's link l
costs what label l costs, and links of infinite capacity backwards keep the cut to one link per chain. A
quadratic step w * (l - l')^2 needs, between nodes p of one cell and q of its neighbour, a link of w for p = q
and 2 w for p > q. Capacities are integers of about 2^-28 of an image's energy: SciPy knows no others.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow
from torch import Tensor

from msda_train.methods.puzzlemix.energy import Terms

TOP = 1 << 28  # what an image's whole energy becomes; infinite is twice that, and int32 holds their sums


def solve_exact(terms: Terms) -> Tensor:
    """(B, n, n) int64 labels of least energy, on the device of `terms`; waits for it.

    Of several optima, the one with the largest labels.
    """
    unary, down, right = (t.detach().double().cpu().numpy() for t in (terms.unary, terms.down, terms.right))
    batch, levels, n, _ = unary.shape
    unary = unary - unary.min(axis=1, keepdims=True)
    weights = np.concatenate([t.reshape(batch, -1) for t in (unary, down, right)], axis=1)
    total = unary.max(axis=1).sum(axis=(1, 2)) + 4 * (down.sum(axis=(1, 2)) + right.sum(axis=(1, 2)))
    weights *= (TOP / np.maximum(total, np.finfo(float).tiny))[:, None]
    weights = np.concatenate([weights, np.full((batch, 1), 2 * TOP), np.zeros((batch, 1))], axis=1)
    indices, indptr, place, multiple = _graph(batch, n, levels)
    nodes = len(indptr) - 1
    data = np.rint(weights.ravel()[place] * multiple).astype(np.int32)
    graph = csr_array((data, indices, indptr), shape=(nodes, nodes))
    left = graph - maximum_flow(graph, nodes - 2, nodes - 1).flow
    left.eliminate_zeros()
    reached = np.zeros(nodes, dtype=bool)
    reached[breadth_first_order(left, nodes - 2, return_predecessors=False)] = True
    return torch.from_numpy(reached[:-2].reshape(levels - 1, batch, n, n).sum(axis=0)).to(terms.unary.device)


@lru_cache(maxsize=16)
def _graph(batch: int, n: int, levels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The links as (indices, indptr) of a CSR matrix, and for each its place in the flat weights and the
    multiple of it that it holds. The last two places hold "infinite" and nothing."""
    shape = (batch, n, n)
    node = np.arange((levels - 1) * batch * n * n).reshape(levels - 1, *shape)  # node[p - 1]: label >= p
    source, sink = node.size, node.size + 1
    chain = np.concatenate([np.full((1, *shape), source), node, np.full((1, *shape), sink)])
    sizes = np.cumsum([levels * n * n, (n - 1) * n, n * (n - 1), 1, 1])
    costs, down, right, infinite, nothing = np.split(
        np.arange(batch * sizes[-1]).reshape(batch, -1), sizes[:-1], axis=1
    )
    costs = costs.reshape(batch, levels, n, n).swapaxes(0, 1)
    down, right = down.reshape(batch, n - 1, n), right.reshape(batch, n, n - 1)
    infinite, nothing = infinite[:, :, None], nothing[:, :, None]
    links = [(chain[:-1], chain[1:], costs, 1.0), (node[1:], node[:-1], infinite, 1.0)]
    links += [(chain[1], chain[0], nothing, 1.0), (chain[-1], chain[-2], nothing, 1.0)]
    for p in range(levels - 1):
        for q in range(levels - 1):
            times = (0 if p < q else 1 if p == q else 2) / (levels - 1) ** 2
            for a, b, place in (
                (node[:, :, :-1], node[:, :, 1:], down),
                (node[..., :-1], node[..., 1:], right),
            ):
                links += [(a[p], b[q], place, times), (b[p], a[q], place, times)]
    return _csr(links, sink + 1)


def _csr(links: list[tuple[Any, ...]], nodes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Sorts links (from, to, place, multiple) into (indices, indptr, place, multiple)."""
    flat = [
        [np.broadcast_to(v, np.broadcast_shapes(np.shape(link[0]), np.shape(link[1]))).ravel() for v in link]
        for link in links
    ]
    start, end, place, multiple = (np.concatenate(column) for column in zip(*flat, strict=True))
    order = np.lexsort((end, start))
    indptr = np.zeros(nodes + 1, dtype=np.int32)
    np.cumsum(np.bincount(start, minlength=nodes), out=indptr[1:])
    return end[order].astype(np.int32), indptr, place[order], multiple[order]
