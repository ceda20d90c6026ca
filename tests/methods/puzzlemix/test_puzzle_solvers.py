from itertools import product

import numpy as np
import pytest
import torch

from msda_train.methods.puzzlemix.batched import solve_batched
from msda_train.methods.puzzlemix.energy import Terms, Weights, energy, grid_share, puzzle_terms
from msda_train.methods.puzzlemix.exact import solve_exact


def random_terms(seed, *, batch, n, levels=3, coupling=1.0, convex=False):
    """Unary costs of the published size, and stronger or weaker weights than published ones."""
    draw = torch.Generator().manual_seed(seed)
    unary = torch.rand(batch, levels, n, n, generator=draw, dtype=torch.float64) / n**2
    if convex:  # what Puzzle Mix's are: linear in the label, and a prior
        unary = unary[:, :1] + torch.linspace(-1, 1, levels).double().view(-1, 1, 1) * (
            unary[:, 1:2] - unary[:, :1]
        )
    weights = [
        torch.rand(batch, *shape, generator=draw, dtype=torch.float64) * coupling / n**2
        for shape in ((n - 1, n), (n, n - 1))
    ]
    return Terms(unary, *weights)


def image_terms(seed, n, *, batch=16, levels=3):
    """Of smooth random images with peaky saliency."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.nn.functional.interpolate(torch.rand(batch, 3, 8, 8, generator=draw), size=32, mode="bilinear")
    saliency = torch.rand(batch, 32, 32, generator=draw) ** 3
    rng = np.random.default_rng(seed)
    perm = torch.from_numpy(rng.permutation(batch))
    lam = rng.uniform(0.3, 0.7, 1)
    return puzzle_terms(grid_share(saliency, n), x, torch.ones(1, 3, 1, 1), perm, lam, Weights(levels=levels))


def in_double(terms):
    return Terms(terms.unary.double(), terms.down.double(), terms.right.double())


def least(terms):
    """(B,) least energies over all labellings."""
    batch, levels, n, _ = terms.unary.shape
    every = torch.tensor(list(product(range(levels), repeat=n * n))).view(-1, n, n)
    found = []
    for i in range(batch):
        one = Terms(
            *(t[i : i + 1].expand(len(every), *t.shape[1:]) for t in (terms.unary, terms.down, terms.right))
        )
        found.append(energy(one, every).min())
    return torch.stack(found)


@pytest.mark.parametrize("coupling", [0.0, 0.3, 1.0, 4.0])
@pytest.mark.parametrize(("n", "levels"), [(2, 2), (2, 3), (2, 4), (2, 5), (3, 2), (3, 3)])
def test_exact_is_the_best_of_all_labellings(n, levels, coupling):
    batch = 4 if n == 3 else 16
    terms = random_terms(n * levels, batch=batch, n=n, levels=levels, coupling=coupling)
    torch.testing.assert_close(energy(terms, solve_exact(terms)), least(terms), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("solve", [solve_exact, solve_batched])
@pytest.mark.parametrize("levels", [2, 3, 4])
def test_on_real_terms_both_solvers_find_the_best_of_small_grids(solve, levels):
    terms = in_double(image_terms(levels, 2, levels=levels))
    torch.testing.assert_close(energy(terms, solve(terms)), least(terms), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("n", "mean", "most"), [(4, 3e-4, 5e-3), (8, 1e-3, 3e-2), (16, 2e-3, 3e-2)])
def test_batched_comes_near_exact(n, mean, most):
    """White noise is harder than images: its saliency says little and smoothness decides."""
    gaps, share = [], []
    for seed in range(3):
        terms = in_double(image_terms(seed, n))
        exact = energy(terms, solve_exact(terms))
        gap = (energy(terms, solve_batched(image_terms(seed, n))) - exact) / exact
        gaps.append(gap)
        share.append((gap < 1e-6).double())
    gaps = torch.cat(gaps)
    assert gaps.min() > -1e-6  # nothing is better than exact
    assert gaps.mean() < mean
    assert gaps.max() < most
    assert torch.cat(share).mean() > 0.35


def test_more_sweeps_come_nearer():
    terms = image_terms(0, 16)
    few, usual, many = (energy(terms, solve_batched(terms, sweeps)).mean() for sweeps in (3, 40, 400))
    best = energy(terms, solve_exact(terms)).mean()
    assert few > usual >= many - 1e-6
    assert many == pytest.approx(best.item(), rel=1e-6)


def test_without_weights_every_cell_takes_its_best():
    terms = random_terms(0, batch=4, n=5, coupling=0.0, convex=True)
    best = terms.unary.argmin(1)
    assert torch.equal(solve_exact(terms), best)
    assert torch.equal(solve_batched(terms), best)


def test_heavy_weights_make_one_label():
    terms = random_terms(1, batch=6, n=4, coupling=1e3, convex=True)
    whole = terms.unary.sum((2, 3)).argmin(1)
    assert torch.equal(solve_exact(terms), whole.view(-1, 1, 1).expand(-1, 4, 4))


@pytest.mark.parametrize("solve", [solve_exact, solve_batched])
def test_a_sample_does_not_depend_on_its_batch(solve):
    terms = image_terms(4, 8)
    alone = [solve(Terms(*(t[i : i + 1] for t in (terms.unary, terms.down, terms.right)))) for i in (0, 9)]
    together = solve(terms)
    assert torch.equal(torch.cat(alone), together[[0, 9]])
    assert torch.equal(solve(terms), together)
    assert together.dtype == torch.int64
    assert together.is_contiguous()


def test_labels_may_leave_their_order_only_in_name():
    """Where costs are not convex in the label (a prior at lam next to 0), labels still are labels."""
    terms = random_terms(3, batch=32, n=6, coupling=0.5)
    labels = solve_batched(terms)
    assert labels.min() >= 0
    assert labels.max() <= 2
