from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from msda_train.core.errors import UserError
from msda_train.methods.cutmix import CutMix
from msda_train.models.staged import Staged


@pytest.mark.parametrize(
    ("lam", "centre", "label"),
    [
        (0.65, (16, 16), 0.68359375),
        (0.65, (2, 30), 0.8818359375),
        (0.3, (16, 16), 0.33984375),
        (0.999, (9, 9), 1.0),
    ],
)
def test_label_follows_the_realised_area(batch, draws, lam, centre, label):
    x, y = batch
    assert CutMix(prob=1.0).plan(x, y, None, draws(beta=lam, centre=centre)).lam.item() == label


def test_label_of_the_first_runs(batch, draws):
    x, y = batch
    mix = CutMix(prob=1.0, label="sampled").plan(x, y, None, draws(beta=0.65))
    assert mix.lam.item() == pytest.approx(0.65)
    assert mix.mask.mean().item() == 0.68359375


def test_equals_the_slow_loop(batch, draws):
    x, y = batch
    mix = CutMix(prob=1.0).plan(x, y, None, draws(beta=0.65, centre=(2, 30)))
    mixed = mix.apply(x)
    for i in range(8):
        j = int(mix.perm[i])
        for row in range(32):
            for column in range(32):
                inside = 0 <= row < 11 and 21 <= column < 32
                source = x[j] if inside else x[i]
                assert torch.equal(mixed[i, :, row, column], source[:, row, column])


def test_one_box_per_sample(batch):
    x, y = batch
    mix = CutMix(prob=1.0, lam_per="sample").plan(x, y, None, np.random.default_rng(0))
    assert mix.mask.shape == (8, 1, 32, 32)
    assert len({tuple(m.flatten().tolist()) for m in mix.mask}) > 4


def test_distribution_of_the_label_weight(batch):
    """E[lam] = 0.701, P(lam < 0.5) = 0.146, P(no box) = 0.004 at 32 x 32 with alpha 1 (400,000 draws)."""
    x, y = torch.zeros(60_000, 1, 32, 32), torch.zeros(60_000, dtype=torch.int64)
    from msda_train.functional import masks

    rng = np.random.default_rng(0)
    lam = rng.beta(1, 1, len(y))
    kept = masks.kept_share(masks.centred_box(lam, masks.draw_centre(rng, len(y), 32, 32), 32, 32), 32, 32)
    assert kept.mean() == pytest.approx(0.701, abs=0.004)
    assert (kept < 0.5).mean() == pytest.approx(0.146, abs=0.005)
    assert (kept == 1).mean() == pytest.approx(0.004, abs=0.0012)
    ours = [
        CutMix(prob=1.0).plan(x[:2], y[:2], None, np.random.default_rng(s)).lam.item() for s in range(3000)
    ]
    assert np.mean(ours) == pytest.approx(0.701, abs=0.015)


def test_box_lands_everywhere_alike(batch):
    """With lam fixed by prob the centre is uniform: a border row is covered half as often as a middle one."""
    from msda_train.functional import masks

    rng = np.random.default_rng(0)
    n = 20_000
    centre = masks.draw_centre(rng, n, 32, 32)
    assert np.bincount(centre[:, 0], minlength=32) == pytest.approx(
        np.full(32, n / 32), abs=4 * np.sqrt(n / 32)
    )
    edges = masks.centred_box(np.full(n, 0.75), centre, 32, 32)  # side 16, half 8
    covered = ((edges[:, :1] <= np.arange(32)) & (np.arange(32) < edges[:, 1:2])).mean(axis=0)
    assert covered[16] == pytest.approx(16 / 32, abs=0.015)
    assert covered[0] == pytest.approx(9 / 32, abs=0.015)  # centres 0 to 8 reach row 0


@pytest.mark.parametrize(
    ("label", "lam", "weight"),
    [("major", 0.65, 1.0), ("major", 0.3, 0.0), ("half", 0.65, 0.5), ("half", 0.3, 0.5)],
)
def test_labels_of_table_8(batch, draws, label, lam, weight):
    """The mask stays CutMix's: 0.684 and 0.340 of the image are the sample's own."""
    x, y = batch
    mix = CutMix(prob=1.0, label=label).plan(x, y, None, draws(beta=lam, centre=(16, 16)))
    plain = CutMix(prob=1.0).plan(x, y, None, draws(beta=lam, centre=(16, 16)))
    assert mix.lam.item() == weight
    assert torch.equal(mix.mask, plain.mask)
    for row, own, other in zip(mix.target(y, 10), y, y[mix.perm], strict=True):
        expected = torch.zeros(10)
        expected[own] += weight
        expected[other] += 1 - weight
        torch.testing.assert_close(row, expected)


def test_fixed_size_is_half_the_side(batch, draws):
    """16 x 16 of 32 x 32 pixels where nothing is clipped, whatever lam would have been."""
    x, y = batch
    for drawn in (0.1, 0.9):
        method = CutMix(prob=1.0, fixed_lam=0.75)
        mix = method.plan(x, y, None, draws(beta=drawn, centre=(16, 16)))
        assert (mix.mask[0, 0, 8:24, 8:24] == 0).all()
        assert mix.mask.mean().item() == mix.lam.item() == 0.75


def test_bad_variants():
    with pytest.raises(UserError, match=r"method.fixed_lam"):
        CutMix(fixed_lam=1.5)
    with pytest.raises(UserError, match=r"method.label"):
        CutMix(label="all")


def test_the_scheduled_probability_is_the_share_of_the_run_that_lies_behind(batch):
    """Table 8's Scheduled CutMix: of T batches the t-th is mixed with probability t / T."""
    x, y = batch
    method, total, tries = CutMix(prob=1.0, prob_schedule="linear"), 10, 400
    for t in range(total):
        now = method.in_course(t / total)
        assert (now.prob, now.prob_schedule) == (t / total, "constant")
        assert replace(now, prob=0.5) == CutMix()  # all else stays
        mixed = [now.plan(x, y, None, np.random.default_rng(s)).depth == 0 for s in range(tries)]
        deviation = np.sqrt(t / total * (1 - t / total) / tries)
        assert np.mean(mixed) == pytest.approx(t / total, abs=3 * deviation)
    assert CutMix(prob=0.4, prob_schedule="linear").in_course(0.5).prob == pytest.approx(0.2)
    constant = CutMix(prob=0.4)
    assert constant.in_course(0.5) is constant


def test_a_scheduled_probability_has_to_be_told_how_far_training_is(batch):
    x, y = batch
    with pytest.raises(UserError, match=r"method.prob_schedule=linear: how far training is"):
        CutMix(prob_schedule="linear").plan(x, y, None, np.random.default_rng(0))
    with pytest.raises(UserError, match=r"method.prob_schedule"):
        CutMix(prob_schedule="cosine")


@pytest.fixture
def staged():
    """Three stages and a head; the maps that enter stages 0 to 3 are 32, 32, 16 and 8 pixels a side."""
    torch.manual_seed(0)
    stages = [nn.Conv2d(3, 4, 3, padding=1)]
    stages += [nn.Sequential(nn.Conv2d(4, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.Dropout(0.5)) for _ in range(2)]
    return Staged([*stages, nn.Sequential(nn.Flatten(), nn.Linear(4 * 8 * 8, 10))])


@pytest.mark.parametrize("lam_per", ["batch", "sample"])
def test_features_are_cut_as_the_slow_loop_does(batch, staged, lam_per):
    """At each depth: the box lies on the map that is there, and lam is what it leaves of that map."""
    x, y = batch
    method, sides, seen = CutMix(prob=1.0, depths=[0, 1, 2, 3], lam_per=lam_per), (32, 32, 16, 8), set()
    method.prepare(staged, ())
    for seed in range(24):
        mix = method.plan(x, y, staged, np.random.default_rng(seed))
        h, side = x, sides[mix.depth]
        staged.eval()  # no dropout, to compare
        for k, stage in enumerate(staged.stages):
            if k == mix.depth:
                loop = h.clone()
                for i in range(8):
                    box = mix.mask[i % len(mix.mask), 0]
                    assert box.shape == (side, side)
                    kept = sum(int(box[r, c] == 1) for r in range(side) for c in range(side))
                    assert mix.lam[i % len(mix.lam)] == pytest.approx(kept / side**2)
                    for r in range(side):
                        for c in range(side):
                            loop[i, :, r, c] = h[i if box[r, c] == 1 else int(mix.perm[i]), :, r, c]
                h = loop
            h = stage(h)
        torch.testing.assert_close(staged(x, mix), h)
        staged.train()
        seen.add(mix.depth)
    assert seen == {0, 1, 2, 3}


def test_asking_for_the_maps_leaves_the_network_as_it_was(batch, staged):
    x, y = batch
    staged.stages[1][1].eval()  # somebody froze its statistics
    before = {name: value.clone() for name, value in staged.state_dict().items()}
    state = torch.get_rng_state()
    CutMix(prob=1.0, depths=[2]).plan(x, y, staged, np.random.default_rng(0))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in staged.state_dict().items())
    assert [m.training for m in (staged, staged.stages[1][1], staged.stages[2][1])] == [True, False, True]
    assert not any(module._forward_pre_hooks for module in staged.modules())


def test_pixels_alone_are_cut_as_before(batch):
    """With the default depths no draw is made for one, and no network is asked."""
    x, y = batch
    mix = CutMix(prob=1.0).plan(x, y, None, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    rng.random()
    lam = rng.beta(1.0, 1.0, 1)
    assert torch.equal(mix.perm, torch.from_numpy(rng.permutation(8)))
    centre = [rng.integers(0, 32), rng.integers(0, 32)]
    half = int(np.sqrt(1 - lam[0]) * 32) // 2
    low, high = np.maximum(np.array(centre) - half, 0), np.minimum(np.array(centre) + half, 32)
    assert mix.box == (low[0], high[0], low[1], high[1])


def test_depths_that_a_network_lacks_or_that_are_no_maps(batch, staged):
    x, y = batch
    with pytest.raises(UserError, match=r"method.depths=\[4\]: this model can mix at depths 0 to 3"):
        CutMix(depths=[4]).prepare(staged, ())
    flat = Staged([nn.Flatten(), nn.Linear(3 * 32 * 32, 10)])
    with pytest.raises(UserError, match=r"method.depths: at depth 1 this model has no map"):
        CutMix(prob=1.0, depths=[1]).plan(x, y, flat, np.random.default_rng(0))
    with pytest.raises(UserError, match=r"method.depths=2: must be a list"):
        CutMix(depths=2)
