"""Closed forms on linear models, the ball, restarts, and foolbox where somebody has it."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from msda_train.functional.attacks import Ball, fgsm, ifgsm, input_gradient, pgd


def linear(w):
    """Two classes, logits (0, w . x): the loss of class 0 grows along w."""
    return lambda x: torch.stack([torch.zeros(len(x)), (x * w).sum(dim=(1, 2, 3))], dim=1)


@pytest.fixture
def pixels():
    """Six 3 x 4 x 4 images well inside [0, 1], and labels of five classes."""
    draw = torch.Generator().manual_seed(1)
    return 0.3 + 0.4 * torch.rand(6, 3, 4, 4, generator=draw), torch.randint(0, 5, (6,), generator=draw)


@pytest.fixture
def network():
    """A small network with curvature."""
    torch.manual_seed(0)
    made = nn.Sequential(nn.Flatten(), nn.Linear(48, 32), nn.Tanh(), nn.Linear(32, 5))
    for layer in (made[1], made[3]):
        layer.weight.data *= 4
    return made.eval()


def test_fgsm_on_a_linear_model_moves_every_value_by_eps(pixels):
    x, _ = pixels
    w = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    w[0, 0, 0, 0] = 0  # no gradient, no move
    moved = fgsm(linear(w), x, torch.zeros(6, dtype=torch.int64), Ball(0.1))
    torch.testing.assert_close(moved - x, (0.1 * w.sign()).expand_as(x))
    assert (moved - x)[:, 0, 0, 0].abs().max() == 0
    away = fgsm(linear(w), x, torch.ones(6, dtype=torch.int64), Ball(0.1))
    torch.testing.assert_close(away - x, (-0.1 * w.sign()).expand_as(x))


def test_fgsm_l2_on_a_linear_model_moves_along_the_weights(pixels):
    x, _ = pixels
    w = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    moved = fgsm(linear(w), x, torch.zeros(6, dtype=torch.int64), Ball(0.25, "l2"))
    torch.testing.assert_close(moved - x, (0.25 * w / w.norm()).expand_as(x), atol=1e-6, rtol=0)


def test_a_gradient_too_small_to_square_still_has_a_direction():
    gradient = torch.full((1, 1, 2, 2), 1e-30)
    assert torch.allclose(Ball(1.0, "l2").direction(gradient), torch.full((1, 1, 2, 2), 0.5))
    assert torch.equal(Ball(1.0, "l2").direction(0 * gradient), 0 * gradient)


def test_the_range_clamps():
    x = torch.tensor([0.01, 0.5, 0.99]).view(1, 1, 1, 3)
    moved = fgsm(linear(torch.tensor([-1.0, 1.0, 1.0])), x, torch.tensor([0]), Ball(0.1))
    torch.testing.assert_close(moved.flatten(), torch.tensor([0.0, 0.6, 1.0]))
    free = fgsm(linear(torch.tensor([-1.0, 1.0, 1.0])), x, torch.tensor([0]), Ball(0.1, low=None, high=None))
    torch.testing.assert_close(free.flatten(), torch.tensor([-0.09, 0.6, 1.09]))


def test_projection_by_hand():
    x = torch.zeros(2, 1, 1, 2)
    far = torch.tensor([[3.0, 4.0], [0.3, 0.4]]).view(2, 1, 1, 2)
    free = Ball(1.0, "l2", None, None)
    torch.testing.assert_close(free.project(x, far).view(2, 2), torch.tensor([[0.6, 0.8], [0.3, 0.4]]))
    box = Ball(0.35, "linf", None, None)
    torch.testing.assert_close(box.project(x, far).view(2, 2), torch.tensor([[0.35, 0.35], [0.3, 0.35]]))
    for norm in ("linf", "l2"):
        assert torch.equal(Ball(0.0, norm).project(x, far), x)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("eps", [0.0, 0.05, 1.0])
def test_nothing_leaves_ball_or_range(norm, eps, pixels, network):
    x, y = pixels
    ball, rng = Ball(eps, norm), np.random.default_rng(0)
    made = [
        fgsm(network, x, y, ball),
        ifgsm(network, x, y, ball, steps=7, step_size=0.4),
        pgd(network, x, y, ball, steps=3, step_size=0.1, rng=rng, restarts=2),
        ball.noise(x, rng),
        ball.anywhere(x, rng),
    ]
    for moved in made:
        change = (moved - x).flatten(1)
        size = change.abs().amax(1) if norm == "linf" else change.norm(dim=1)
        assert size.max() <= eps + 1e-6
        assert moved.min() >= 0
        assert moved.max() <= 1
        assert not moved.requires_grad


def test_leaving_the_ball_is_noticed(pixels):
    x, _ = pixels
    for norm, far in (("linf", x + 0.11), ("l2", x + 0.1)):
        with pytest.raises(RuntimeError, match="left its ball"):
            Ball(0.1, norm).check(x, far)
    with pytest.raises(RuntimeError, match="left its ball"):
        Ball(1.0).check(x, x - 0.5)  # in the ball, out of the range
    with pytest.raises(RuntimeError, match="left its ball"):
        Ball(0.1).check(x, x * float("nan"))


def test_many_steps_equal_a_slow_loop(pixels, network):
    x, y = pixels
    moved = ifgsm(network, x, y, Ball(0.1), steps=4, step_size=0.04)
    for k in range(len(x)):  # one image at a time, one value at a time
        image = x[k : k + 1].clone()
        for _ in range(4):
            leaf = image.clone().requires_grad_(True)
            F.cross_entropy(network(leaf), y[k : k + 1]).backward()
            for place in np.ndindex(3, 4, 4):
                value = image[0][place] + 0.04 * leaf.grad[0][place].sign()
                value = value.clamp(x[k][place] - 0.1, x[k][place] + 0.1).clamp(0, 1)
                image[0][place] = value
        torch.testing.assert_close(moved[k], image[0])


def test_one_step_of_ifgsm_is_fgsm(pixels, network):
    x, y = pixels
    one = ifgsm(network, x, y, Ball(0.1), steps=1, step_size=0.1)
    assert torch.equal(one, fgsm(network, x, y, Ball(0.1)))


def test_more_steps_do_more_harm(pixels, network):
    x, y = pixels

    def loss(images):
        return F.cross_entropy(network(images), y).item()

    many = ifgsm(network, x, y, Ball(0.1), steps=20, step_size=0.02)
    assert loss(x) < loss(fgsm(network, x, y, Ball(0.1))) <= loss(many)


def test_restarts_keep_the_worst_of_each_image(pixels, network):
    x, y = pixels
    ball = Ball(0.3)
    several = pgd(network, x, y, ball, steps=1, step_size=0.05, rng=np.random.default_rng(5), restarts=4)
    rng = np.random.default_rng(5)  # the same draws, one try after the other
    tries = [pgd(network, x, y, ball, steps=1, step_size=0.05, rng=rng) for _ in range(4)]
    logits = [network(images).detach() for images in tries]
    for k in range(len(x)):
        damage = [
            (int(z[k].argmax() != y[k]), F.cross_entropy(z[k : k + 1], y[k : k + 1]).item()) for z in logits
        ]
        assert torch.equal(several[k], tries[damage.index(max(damage))][k])


def test_an_error_is_worse_than_a_large_loss():
    """Class 0 of three: right with a loss of 1.05, or wrong with one of 0.7."""
    table = torch.tensor([[0.05, 0.0, 0.0], [3.0, 3.01, -9.0]])
    answers = iter([table[:1], table[1:]])  # _worse asks for `other` first

    from msda_train.functional.attacks import _worse

    x = torch.zeros(1, 1, 1, 1)
    assert F.cross_entropy(table[:1], torch.tensor([0])) > F.cross_entropy(table[1:], torch.tensor([0]))
    assert not _worse(lambda _: next(answers), x, x, torch.tensor([0]))


def test_same_draws_same_images(pixels, network):
    x, y = pixels
    first, again, other = (
        pgd(network, x, y, Ball(0.1), steps=2, step_size=0.05, rng=np.random.default_rng(s))
        for s in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_noise_is_as_large_as_the_attack():
    x = torch.full((50, 3, 8, 8), 0.5)
    rng = np.random.default_rng(0)
    signs = Ball(0.1).noise(x, rng) - x
    torch.testing.assert_close(signs.abs(), torch.full_like(x, 0.1))
    assert abs(signs.mean()) < 0.005
    lengths = (Ball(0.7, "l2").noise(x, rng) - x).flatten(1).norm(dim=1)
    torch.testing.assert_close(lengths, torch.full((50,), 0.7))


def test_random_starts_fill_the_ball():
    x = torch.full((4000, 1, 1, 2), 0.5)
    rng = np.random.default_rng(0)
    box = (Ball(0.2).anywhere(x, rng) - x).flatten(1) / 0.2
    assert box.mean().abs() < 0.03
    assert box.square().mean() == pytest.approx(1 / 3, abs=0.02)
    disc = (Ball(0.2, "l2").anywhere(x, rng) - x).flatten(1).norm(dim=1) / 0.2
    assert disc.mean() == pytest.approx(2 / 3, abs=0.02)  # uniform in a disc
    assert disc.max() <= 1 + 1e-6


def test_the_network_is_left_alone(pixels, network):
    x, y = pixels
    kept = x.clone()
    with torch.no_grad():  # the attack turns gradients on for itself
        ifgsm(network, x, y, Ball(0.1), steps=2, step_size=0.05)
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(x, kept)
    assert not x.requires_grad


def test_a_samples_gradient_does_not_depend_on_its_batch(pixels, network):
    x, y = pixels
    torch.testing.assert_close(input_gradient(network, x, y)[:2], input_gradient(network, x[:2], y[:2]))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_against_foolbox(norm, pixels, network):
    import foolbox

    x, y = pixels
    model = foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu")
    one = foolbox.attacks.FGSM() if norm == "linf" else foolbox.attacks.FGM()
    many = (foolbox.attacks.LinfPGD if norm == "linf" else foolbox.attacks.L2PGD)(
        abs_stepsize=0.03, steps=10, random_start=False
    )
    for eps in (0.03, 0.2):
        _, theirs, _ = one(model, x, y, epsilons=eps)
        torch.testing.assert_close(fgsm(network, x, y, Ball(eps, norm)), theirs, atol=1e-6, rtol=0)
        _, theirs, _ = many(model, x, y, epsilons=eps)
        ours = ifgsm(network, x, y, Ball(eps, norm), steps=10, step_size=0.03)
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)
