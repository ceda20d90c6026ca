import numpy as np
import pytest
import torch
from torchvision import models

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.methods._teacher_guided import TeacherGuided
from msda_train.methods.attentive_cutmix import AttentiveCutMix
from msda_train.models.preactresnet import preactresnet


@pytest.fixture(scope="module")
def run_folder(finish):
    """A finished run of a small network with a grid of 8 x 8 on 32 pixels."""
    cfg = compose("dataset=cifar10", "model=preactresnet18", "model.blocks=[1,1,1]", "model.width=4")
    cfg.recipe.mean, cfg.recipe.std = [0.5] * 3, [0.25] * 3
    torch.manual_seed(0)
    return finish(build("model", cfg.model, classes=10, channels=3), cfg, classes=10)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "w.pth"
    torch.save(models.resnet18().state_dict(), path)
    return str(path)


@pytest.fixture
def looks(monkeypatch):
    """Attention that is chosen, not computed."""

    def choose(attention):
        monkeypatch.setattr(TeacherGuided, "look", lambda self, x: attention)

    return choose


def test_by_hand(looks, draws):
    """Four cells of 2 x 2 pixels; the sample's best cell lands on its partner and weighs a quarter."""
    looks(torch.tensor([[[0.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [5.0, 4.0]]]))
    x = torch.stack([torch.full((1, 4, 4), 1.0), torch.full((1, 4, 4), 2.0)])
    mix = AttentiveCutMix(k=1, pairing="reversal").plan(x, torch.tensor([3, 7]), None, draws())
    assert mix.apply(x)[0, 0].tolist() == [[2, 2, 1, 1], [2, 2, 1, 1], [2, 2, 2, 2], [2, 2, 2, 2]]
    assert mix.apply(x)[1, 0].tolist() == [[1, 1, 1, 1], [1, 1, 1, 1], [2, 2, 1, 1], [2, 2, 1, 1]]
    assert mix.lam.tolist() == [0.25, 0.25]
    assert mix.target(torch.tensor([3, 7]), 10)[0, [3, 7]].tolist() == [0.25, 0.75]


@pytest.mark.parametrize("borders", ["soft", "hard"])
def test_a_slow_loop_at_224_pixels(looks, borders):
    """Enlarge, paste cells of 32 pixels, reduce: 32 pixels are not divided by 7."""
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(5, 3, 32, 32, generator=draw), torch.arange(5)
    attention = torch.randn(5, 7, 7, generator=draw)
    looks(attention)
    mix = AttentiveCutMix(borders=borders).plan(x, y, None, np.random.default_rng(0))
    mixed = mix.apply(x)
    for i in range(5):
        best = sorted(range(49), key=lambda c, i=i: -attention[i].flatten()[c].item())[:6]
        own = x[i].repeat_interleave(7, 1).repeat_interleave(7, 2)
        image = x[mix.perm[i]].repeat_interleave(7, 1).repeat_interleave(7, 2)
        for cell in best:
            r, c = 32 * (cell // 7), 32 * (cell % 7)
            image[:, r : r + 32, c : c + 32] = own[:, r : r + 32, c : c + 32]
        blocks = image.view(3, 32, 7, 32, 7)
        reduced = blocks.mean((2, 4)) if borders == "soft" else blocks[:, :, 3, :, 3]
        torch.testing.assert_close(mixed[i], reduced, atol=1e-5, rtol=0)
    if borders == "soft":
        torch.testing.assert_close(mix.lam, torch.full((5,), 6 / 49), atol=1e-6, rtol=0)
    torch.testing.assert_close(mix.lam, mix.mask.mean((1, 2, 3)))


def test_all_cells_and_one(looks, draws):
    looks(torch.randn(4, 7, 7))
    x, y = torch.randn(4, 3, 32, 32), torch.arange(4)
    whole = AttentiveCutMix(k=49).plan(x, y, None, draws())
    assert torch.equal(whole.apply(x), x)
    assert (whole.lam == 1).all()
    one = AttentiveCutMix(k=1, borders="hard").plan(x, y, None, draws())
    assert ((one.mask == 1).sum((1, 2, 3)) <= 25).all()


@pytest.mark.parametrize("lam_per", ["batch", "sample"])
def test_openmixup_draws_the_count(looks, lam_per):
    looks(torch.randn(6, 7, 7, generator=torch.Generator().manual_seed(0)))
    x, y = torch.randn(6, 3, 28, 28), torch.arange(6)
    method = AttentiveCutMix(variant="openmixup", borders="hard", lam_per=lam_per)
    lam = []
    for seed in range(300):
        counts = method.plan(x, y, None, np.random.default_rng(seed)).lam * 49
        torch.testing.assert_close(counts, counts.round(), atol=1e-4, rtol=0)
        assert counts.min() > 0.5
        assert len(counts.round().unique()) == 1 or lam_per == "sample"
        lam.append(counts.mean().item() / 49)
    # E Beta(2, 8) = 0.2; truncation to whole cells takes about half of one.
    assert np.mean(lam) == pytest.approx(0.2 - 0.5 / 49, abs=0.025)


def test_edges_of_openmixup_s_lam(looks):
    class Pinned(np.random.Generator):
        def beta(self, a, b, size):
            return np.full(size, self.value)

    looks(torch.randn(2, 7, 7))
    x, y = torch.randn(2, 3, 28, 28), torch.arange(2)
    for Pinned.value, cells in ((0.0, 1), (1.0, 49), (0.5, 24)):
        mix = AttentiveCutMix(variant="openmixup").plan(x, y, None, Pinned(np.random.PCG64(0)))
        torch.testing.assert_close(mix.lam, torch.full((2,), cells / 49))


def test_an_imagenet_teacher_from_a_file(weights):
    words = ["dataset=cifar10", "recipe=mixup", "method=attentive_cutmix", "method.teacher=resnet18"]
    words += [f"method.weights='{weights}'", "method.grid=3"]
    method = build("method", compose(*words).method)
    assert method.mean[0] == 0.4914
    x, y = torch.randn(3, 3, 32, 32), torch.arange(3)
    network = preactresnet([1], 4, "manifold", 1, classes=3, channels=3)
    method.prepare(network, ())
    state, kept = torch.get_rng_state(), x.clone()
    mix = method.plan(x, y, network, np.random.default_rng(0))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, kept)
    assert network.training
    torch.testing.assert_close(mix.lam, torch.full((3,), 6 / 9), atol=1e-6, rtol=0)
    again = method.plan(x, y, network, np.random.default_rng(0))
    assert torch.equal(mix.mask, again.mask)  # evaluation mode: BatchNorm remembers nothing
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert method.plan(x, y, network, np.random.default_rng(0)).mask.dtype == torch.float32
    assert method == build("method", compose(*words).method)
    assert "Teacher(" not in repr(method)


def test_the_batch_does_not_change_what_is_seen(weights):
    method = AttentiveCutMix(teacher="resnet18", weights=weights, grid=2)
    x = torch.randn(4, 3, 32, 32)
    alone = torch.cat([method.look(x[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(method.look(x), alone, atol=1e-5, rtol=1e-4)


def test_an_own_run_as_teacher(run_folder):
    method = AttentiveCutMix(teacher=str(run_folder), mean=[0.5], std=[0.25])
    x, y = torch.randn(5, 3, 32, 32), torch.arange(5)
    method.prepare(preactresnet([1], 4, "manifold", 1, classes=3, channels=3), ())
    for seed in range(20):
        mix = method.plan(x, y, None, np.random.default_rng(seed))
        assert torch.equal(mix.perm.sort().values, torch.arange(5))
        assert mix.lam.tolist() == [6 / 64] * 5
        assert (mix.mask.sum((1, 2, 3)) == 6 * 16).all()
    with pytest.raises(UserError, match=r"method.k=6: the teacher's grid has 4 cells"):
        method.plan(torch.randn(2, 3, 8, 8), y[:2], None, np.random.default_rng(0))
    with pytest.raises(UserError, match="3 channels; these have 1"):
        method.prepare(preactresnet([1], 4, "manifold", 1, classes=3, channels=1), ())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "method.k=0"),
        ({"k": 1.5}, "method.k=1.5"),
        ({"grid": 0}, "method.grid=0"),
        ({"attention": "max"}, "method.attention=max"),
        ({"teacher_input": "raw"}, "method.teacher_input=raw"),
        ({"variant": "authors"}, "method.variant=authors"),
        ({"borders": "round"}, "method.borders=round"),
        ({"alpha": 0}, "method.alpha=0"),
        ({"prob": 2}, "method.prob=2"),
        ({"teacher": "runs/x", "weights": "w.pth"}, r"method.weights=w.pth: is for method.teacher=resnet50"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(UserError, match=message):
        AttentiveCutMix(**options)


def test_a_bad_teacher_is_named_before_training(tmp_path):
    network = preactresnet([1], 4, "manifold", 1, classes=3, channels=3)
    with pytest.raises(UserError, match=r"method.teacher=resnet51: no such folder; type resnet50"):
        AttentiveCutMix(teacher="resnet51").prepare(network, ())
    with pytest.raises(UserError, match="there is no row"):
        AttentiveCutMix(teacher=str(tmp_path)).prepare(network, ())
    with pytest.raises(UserError, match="no such file"):
        AttentiveCutMix(weights=str(tmp_path / "w.pth")).prepare(network, ())


def test_prob(looks):
    looks(torch.randn(2, 7, 7))
    x, y = torch.randn(2, 3, 32, 32), torch.arange(2)
    for prob in (0.0, 0.3, 1.0):
        method = AttentiveCutMix(prob=prob)
        applied = [method.plan(x, y, None, np.random.default_rng(s)).depth >= 0 for s in range(400)]
        assert np.mean(applied) == pytest.approx(prob, abs=0.07)
