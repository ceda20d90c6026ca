from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from msda_train.methods.comixup.batch import alikeness
from msda_train.methods.comixup.grid import grid_energy, lowest_labels
from msda_train.methods.comixup.solver import (
    HALF_BONUS,
    Objective,
    block_distance,
    drive_apart,
    image_counts,
    offer_halves,
    solve,
)


def objective(rng, *, parts=1, n=3, side=2, threshold=0.83, concentration=1.0):
    """Random saliency shares, peaks and prior, with the published weights."""
    share = rng.dirichlet(np.full(side**2, concentration), (parts, n)).reshape(parts, n, side, side)
    prior = -0.05 / side**2 * np.log(rng.dirichlet(np.full(n, 2.0), parts))
    alike = alikeness(rng.integers(0, 25, (parts, n, 2)).astype(float), 0.001)
    return Objective(-share + prior[:, :, None, None], alike, 0.32, 1.0, threshold)


def slow_distance(a, b):
    """Of two blocks, each the set of its images."""
    if a == b:
        return 0
    return 0.25 if len(a) != len(b) and a & b else 1


def slow_value(objective, grids):
    """The objective of part 0, block by block; grids (n, h, w, 2)."""
    n, height, width, _ = grids.shape
    cells, total = height * width, 0.0
    counts = np.zeros((n, n))
    for j, row, column in product(range(n), range(height), range(width)):
        one, two = grids[j, row, column]
        counts[j, one] += 0.5
        counts[j, two] += 0.5
        total += (objective.cost[0, one, row, column] + objective.cost[0, two, row, column]) / 2
        total -= HALF_BONUS if one != two else 0
        for other in ((row + 1, column), (row, column + 1)):
            if other[0] < height and other[1] < width:
                distance = slow_distance({one, two}, set(grids[j, other[0], other[1]]))
                total += objective.beta / cells * distance
    for j, image in product(range(n), range(n)):
        crowd = sum(
            objective.alike[0, image, i] * counts[k, i] for k, i in product(range(n), range(n)) if k != j
        )
        if crowd > objective.threshold * cells:
            total += objective.gamma / cells * counts[j, image] * crowd
    return total


@pytest.mark.parametrize("threshold", [0.0, 0.83])
def test_the_objective_equals_the_slow_loop(threshold):
    rng = np.random.default_rng(0)
    for _ in range(10):
        o = objective(rng, n=4, side=3, threshold=threshold)
        pure = rng.integers(0, 4, (4, 3, 3, 1)).repeat(2, axis=-1)
        mixed = np.sort(rng.integers(0, 4, (4, 3, 3, 2)), axis=-1)
        for grids in (pure, mixed):
            assert o.value(grids[None])[0] == pytest.approx(slow_value(o, grids), abs=1e-12)


def test_an_objective_by_hand():
    """Two images and outputs, 2 x 2 blocks: output 0 shows image 0, output 1 image 1 and one half block."""
    cost = -np.array([[[[0.7, 0.1], [0.1, 0.1]], [[0.1, 0.1], [0.1, 0.7]]]])
    grids = np.zeros((1, 2, 2, 2, 2), dtype=int)
    grids[0, 1] = 1
    grids[0, 1, 0, 0] = (0, 1)
    o = Objective(cost, np.eye(2)[None], beta=0.32, gamma=1.0, threshold=0.83)
    # Costs 1.0 and 0.9 + (0.7 + 0.1) / 2; two edges at a quarter; output 1 shows half a block of image 0, of
    # which output 0 shows 4 > 0.83 * 4. Output 0 sees 0.5 of image 0: not crowded.
    by_hand = -1.0 - (0.9 + 0.4) - HALF_BONUS + 0.08 * 2 * 0.25 + 0.25 * 0.5 * 4
    assert o.value(grids)[0] == pytest.approx(by_hand, abs=1e-12)
    np.testing.assert_array_equal(image_counts(grids, 2), [[[4, 0], [0.5, 3.5]]])


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [
        ((1, 1), (1, 1), 0),
        ((0, 0), (1, 1), 1),
        ((0, 1), (0, 1), 0),
        ((0, 0), (0, 1), 0.25),
        ((0, 1), (1, 1), 0.25),
        ((2, 2), (0, 1), 1),
        ((0, 1), (0, 2), 1),
        ((0, 2), (2, 2), 0.25),
    ],
)
def test_distances_of_blocks(a, b, distance):
    assert block_distance(np.array(a), np.array(b)) == distance
    assert block_distance(np.array(b), np.array(a)) == distance


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (3, 2)])
def test_no_expansion_move_is_left(shape):
    rng = np.random.default_rng(1)
    unary = rng.normal(size=(*shape, 20, 3))
    distance = rng.random((20, 3, 3))
    distance = (distance + distance.transpose(0, 2, 1)) * (1 - np.eye(3))  # no metric
    labels = lowest_labels(unary, distance, unary.argmin(axis=-1))
    found = grid_energy(unary, distance, labels)
    assert (found <= grid_energy(unary, distance, unary.argmin(axis=-1)) + 1e-12).all()
    for switch in product((False, True), repeat=shape[0] * shape[1]):
        for target in range(3):
            moved = np.where(np.reshape(switch, (*shape, 1)), target, labels)
            assert (grid_energy(unary, distance, moved) >= found - 1e-9).all()


def test_grids_are_near_the_brute_force_optimum():
    rng = np.random.default_rng(2)
    every = np.array(list(product(range(4), repeat=6))).T.reshape(2, 3, -1)
    exact = []
    for _ in range(40):
        unary, distance = rng.normal(size=(2, 3, 1, 4)), 0.3 * (1 - np.eye(4))[None]
        found = grid_energy(unary, distance, lowest_labels(unary, distance, unary.argmin(axis=-1)))[0]
        copies = unary.repeat(4**6, axis=2), distance.repeat(4**6, axis=0)
        best = grid_energy(*copies, every).min()
        assert found >= best - 1e-9
        exact.append(found < best + 1e-9)
    assert np.mean(exact) >= 0.9


def brute_force(o):
    """The objectives of all 3^12 ways to fill three outputs of 2 x 2 blocks with three images, sorted."""
    grids = np.array(list(product(range(3), repeat=4))).reshape(-1, 2, 2, 1).repeat(2, axis=-1)
    single = Objective(np.broadcast_to(o.cost, (81, 3, 2, 2)), o.alike, o.beta, o.gamma, o.threshold)
    counts, own = image_counts(grids, 3), single.energy(grids)
    n = [counts[:, None, None], counts[None, :, None], counts[None, None]]
    total = own[:, None, None] + own[:, None] + own
    for j in range(3):
        crowd = (n[j - 1] + n[j - 2]) @ o.alike[0].T
        crowd = np.where(crowd > o.threshold * 4, crowd, 0)
        total = total + o.gamma / 4 * (n[j] * crowd).sum(axis=-1)
    return np.sort(total, axis=None)


@pytest.mark.parametrize(("threshold", "gap"), [(0.0, 0.15), (0.83, 0.06)])
def test_the_solver_is_near_the_brute_force_optimum(threshold, gap):
    """Gaps to the optimum over the range from it to the median filling, one random start each; measured on 60
    instances 0.07 and 0.03. Without a threshold the best of eight starts is the optimum."""
    rng, gaps = np.random.default_rng(3), []
    for _ in range(8):
        o = objective(rng, threshold=threshold)
        values = brute_force(o)
        starts = rng.integers(0, 3, (8, 1, 3, 2, 2))
        found = [o.value(solve(o, start, passes=4, resolve=False, halves=False))[0] for start in starts]
        assert min(found) >= values[0] - 1e-9
        if threshold == 0:
            assert min(found) == pytest.approx(values[0], abs=1e-9)
        gaps.append((found[0] - values[0]) / (np.median(values) - values[0]))
    assert np.mean(gaps) < gap


@pytest.mark.parametrize("halves", [False, True])
def test_without_a_threshold_no_pass_raises_the_objective(halves):
    rng = np.random.default_rng(4)
    o = objective(rng, parts=12, n=6, side=4, threshold=0.0, concentration=0.3)
    o = replace(o, gamma=0.02)  # cheap enough for outputs of several images
    start = rng.integers(0, 6, (12, 6, 4, 4))
    values = [o.value(solve(o, start, passes=k, resolve=False, halves=halves)) for k in range(1, 6)]
    assert (np.diff(values, axis=0) <= 1e-9).all()
    assert (values[-1] < values[0] - 1e-3).any()


def test_passes_lower_the_published_objective():
    rng = np.random.default_rng(5)
    o = objective(rng, parts=5, n=20, side=4, concentration=0.5)
    start = rng.integers(0, 20, (5, 20, 4, 4))
    first, last = (o.value(solve(o, start, passes=k, resolve=False)) for k in (1, 4))
    assert (last < first).all()


def test_parts_do_not_see_each_other():
    rng = np.random.default_rng(6)
    o = objective(rng, parts=3, n=5, side=3)
    start = rng.integers(0, 5, (3, 5, 3, 3))
    together = solve(o, start, passes=3)
    for part in range(3):
        alone = Objective(o.cost[part : part + 1], o.alike[part : part + 1], o.beta, o.gamma, o.threshold)
        np.testing.assert_array_equal(solve(alone, start[part : part + 1], passes=3)[0], together[part])


def test_half_blocks_on_offer():
    offered = offer_halves(np.array([[4.0, 0, 0, 0], [0, 1, 0, 3], [2, 4, 1, 2], [1, 1, 1, 1]]))
    assert offered.tolist() == [
        [[0, 0], [0, 0], [0, 0]],
        [[1, 3], [0, 0], [0, 0]],
        [[0, 1], [1, 3], [0, 3]],
        [[0, 1], [0, 2], [1, 2]],
    ]
    assert offer_halves(np.array([[4.0]])).tolist() == [[[0, 0], [0, 0], [0, 0]]]


def test_outputs_with_the_same_images_are_driven_apart():
    shown = np.array([[[1, 0, 1], [0, 1, 0], [1, 0, 1], [0, 1, 0]]]) > 0
    assert drive_apart(shown).tolist() == [[[1, 0, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0]]]


def test_resolving_leaves_fewer_outputs_with_the_same_images():
    rng, alike = np.random.default_rng(8), {False: 0, True: 0}
    o = objective(rng, parts=40, n=5, side=2)
    start = rng.integers(0, 5, (40, 5, 2, 2))
    for resolve in alike:
        shown = image_counts(solve(o, start, passes=4, resolve=resolve), 5) > 0
        several = shown.sum(axis=-1) > 1
        same = (shown[:, :, None] == shown[:, None]).all(axis=-1) & several[:, None]
        alike[resolve] = same.sum() - several.sum()
    assert alike[True] < 0.7 * alike[False]
