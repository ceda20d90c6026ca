import numpy as np
import pytest
import torch
from torch import nn

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.methods.puzzlemix.energy import Weights, energy, grid_share, puzzle_terms
from msda_train.methods.puzzlemix.exact import solve_exact
from msda_train.methods.puzzlemix.method import PuzzleMix

MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.2, 0.3)


def puzzle(**options):
    return PuzzleMix(**{"mean": MEAN, "std": STD, **options})


class Linear(nn.Module):
    """Two classes; the gradient of an image is its own multiple of `weight` (3, 32, 32)."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x):
        self.norm(x)
        score = (x * self.weight).sum((1, 2, 3))
        return torch.stack([score, -score], 1)


@pytest.fixture
def net():
    return Linear(torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(1)) * 0.02)


@pytest.fixture
def pixels(batch):
    """Images of valid pixels, smooth in places, normalised."""
    x, y = batch
    x = torch.nn.functional.interpolate(
        torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(4)), 32
    )
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    return (x - mean) / std, y % 2


def test_a_hand_computed_mask(draws):
    """Both images are salient on the left, equally: the prior alone decides, one label for all cells."""
    weight = torch.zeros(3, 32, 32)
    weight[:, :, :16] = 0.02
    x, y = torch.zeros(2, 3, 32, 32), torch.tensor([0, 1])
    for lam, value in ((0.9, 1.0), (0.5, 0.5), (0.1, 0.0)):
        # Per cell: half or none of the saliency whatever the label, and eta/4 * -log of lam^2,
        # 2 lam (1 - lam), (1 - lam)^2.
        mix = puzzle(blocks=[2]).plan(x, y, Linear(weight), draws(beta=lam, centre=(0, 0)))
        assert torch.equal(mix.mask, torch.full((2, 1, 32, 32), value))
        assert mix.lam.tolist() == [value, value]


def test_salient_halves_are_kept_by_hand(draws):
    """The image is salient on its left, the partner on its right: with a weak prior both keep theirs."""
    left, right = torch.zeros(2, 3, 32, 32), torch.zeros(2, 3, 32, 32)
    left[..., :16], right[..., 16:] = 1, 1
    x = torch.zeros(2, 3, 32, 32)

    def gradient(_):
        return torch.stack([left[0], right[0]])

    method = puzzle(blocks=[4], beta=0.1, eta=0.01)
    perm = torch.tensor([1, 0])
    mix = method.cut(x, np.array([0.5]), perm, gradient, np.random.default_rng(0))
    assert torch.equal(mix.mask[0, 0], left[0, 0])
    assert torch.equal(mix.mask[1, 0], right[0, 0])
    assert mix.lam.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("solver", ["batched", "exact"])
@pytest.mark.parametrize("n", [2, 4])
def test_the_mask_is_the_minimum_of_its_energy(net, pixels, n, solver):
    x, y = pixels
    method = puzzle(blocks=[n], transport=False, solver=solver)
    mix = method.plan(x, y, net, np.random.default_rng(3))
    rng = np.random.default_rng(3)
    rng.random()
    lam = rng.beta(1, 1, 1)
    saliency = net.weight.detach().square().mean(0).sqrt().expand(8, 32, 32)
    std = torch.tensor(STD).view(1, 3, 1, 1)
    terms = puzzle_terms(grid_share(saliency, n), x, std, mix.perm, lam, Weights())
    labels = (2 * (1 - mix.mask[:, 0, :: 32 // n, :: 32 // n])).round().long()
    torch.testing.assert_close(energy(terms, labels), energy(terms, solve_exact(terms)), rtol=1e-4, atol=0)
    torch.testing.assert_close(mix.apply(x), mix.mask * x + (1 - mix.mask) * x[mix.perm])


def test_lam_near_0_and_1(net, pixels, draws):
    x, y = pixels
    for lam, share in ((1e-6, 0.0), (1 - 1e-6, 1.0)):
        mix = puzzle(eta=2.0).plan(x, y, net, draws(beta=lam, centre=(0, 0)))
        assert mix.lam.tolist() == [share] * 8


def test_moments(net, pixels):
    """The label weight follows lam: about as often and as strongly one image as the other."""
    x, y = pixels
    method = puzzle(blocks=[2, 4])
    lam = torch.stack([method.plan(x, y, net, np.random.default_rng(s)).lam for s in range(150)])
    assert lam.mean().item() == pytest.approx(0.5, abs=0.08)
    assert 0.1 < lam.std().item() < 0.5


def test_every_grid_is_drawn(pixels):
    x, _ = pixels
    gradient = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)) ** 5
    method, perm = puzzle(transport=False, beta=0.01, eta=0.0), torch.arange(8).roll(1)
    seen = []
    for seed in range(60):
        mix = method.cut(x, np.array([0.5]), perm, lambda _: gradient, np.random.default_rng(seed))
        seen.append(min(k for k in (2, 4, 8, 16) if torch.equal(mix.mask, coarse(mix.mask, k))))
    assert set(seen) == {2, 4, 8, 16}
    assert max(seen.count(k) for k in set(seen)) < 28


def coarse(mask, n):
    return mask[..., :: 32 // n, :: 32 // n].repeat_interleave(32 // n, 2).repeat_interleave(32 // n, 3)


def test_clean_loss_trains_and_the_default_does_not(net, pixels):
    x, y = pixels
    method = puzzle()
    method.plan(x, y, net, np.random.default_rng(0))
    assert net.weight.grad is None
    assert net.norm.num_batches_tracked == 0
    assert net.training
    for scale, weight in (("bce", 2 * 0.5 / 2), ("ce", 0.5)):
        net.weight.grad = None
        puzzle(clean_lam=0.5, clean_scale=scale).plan(x, y, net, np.random.default_rng(0))
        wanted = torch.autograd.grad(weight * nn.functional.cross_entropy(net(x), y), net.weight)[0]
        torch.testing.assert_close(net.weight.grad, wanted)
        assert net.training


def test_masks_do_not_depend_on_the_clean_loss(pixels, net):
    x, y = pixels
    net.norm.eval()  # alike in both modes
    masks = [puzzle(clean_lam=c).plan(x, y, net, np.random.default_rng(1)).mask for c in (0.0, 1e-6, 3.0)]
    assert torch.equal(masks[0], masks[1])
    assert torch.equal(masks[0], masks[2])


def test_adversarial_noise_is_small_and_falls_on_either_partner(net, pixels):
    x, y = pixels
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    hits = np.zeros(2)
    for seed in range(200):
        mix = puzzle(adv_p=0.3, blocks=[2], transport=False).plan(x, y, net, np.random.default_rng(seed))
        for k, (noisy, clean) in enumerate(zip(mix.sources, (x, x[mix.perm]), strict=True)):
            change = (noisy - clean) * std
            hits[k] += bool(change.any())
            assert change.abs().max() <= 10 / 255 + 1e-6
            assert (noisy * std + mean).min() >= -1e-5
            assert (noisy * std + mean).max() <= 1 + 1e-5
    assert hits / 200 == pytest.approx([0.3, 0.3], abs=0.1)


def test_saliency_in_bfloat16_changes_little(pixels):
    x, y = pixels
    torch.manual_seed(0)
    cfg = compose("model=preactresnet18", "model.width=4", "model.blocks=[1,1]")
    model = build("model", cfg.model, classes=2, channels=3)
    plans = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            plans.append(puzzle(blocks=[4]).plan(x, y, model, np.random.default_rng(2)))
    assert plans[1].mask.dtype == torch.float32
    assert plans[1].sources[0].dtype == torch.float32
    assert (plans[0].mask - plans[1].mask).abs().mean() < 0.1


@pytest.mark.parametrize(
    ("options", "shape", "named"),
    [
        ({}, (2, 3, 8, 8), r"method\.blocks: 16 .*\[2,4,8\]"),
        ({}, (2, 3, 30, 30), r"method\.blocks: 4 "),
        ({"blocks": [3], "neigh_size": 1}, (2, 3, 32, 32), r"method\.blocks: 3 "),
        ({"blocks": [2], "neigh_size": 3}, (2, 3, 32, 32), r"method\.neigh_size=3"),
        ({"blocks": [2], "t_size": 5}, (2, 3, 32, 32), r"method\.t_size=5"),
        ({}, (2, 3, 32, 64), "square"),
    ],
)
def test_images_that_do_not_fit_are_named(net, options, shape, named):
    with pytest.raises(UserError, match=named) as caught:
        puzzle(**options).plan(torch.zeros(shape), torch.zeros(2).long(), net, np.random.default_rng(0))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("blocks", v) for v in ([], "8", [1], [2.5], 4)),
        *(("gamma", v) for v in (1.5, -0.1)),
        *(("levels", v) for v in (1, 2.5)),
        *(("t_size", v) for v in (0, -2)),
        *(("clean_lam", v) for v in (-1, "x")),
        ("beta", -1), ("eta", -1), ("neigh_size", 0), ("t_eps", 0), ("t_rounds", "two"), ("transport", 1),
        ("solver", "gco"), ("clean_scale", "sum"), ("adv_p", 2), ("adv_eps", -1), ("alpha", 0),
    ],
)  # fmt: skip
def test_bad_options_are_named(option, value):
    with pytest.raises(UserError, match=f"method.{option}"):
        puzzle(**{option: value})


def test_the_yaml_is_the_dataclass():
    method = build("method", compose("dataset=cifar10", "method=puzzlemix", "recipe=mixup").method)
    facts = {"mean": [0.4914, 0.4822, 0.4465], "std": [0.2023, 0.1994, 0.2010]}
    assert method == PuzzleMix(blocks=[2, 4, 8, 16], **facts)
