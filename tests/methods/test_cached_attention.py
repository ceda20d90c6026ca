"""One look at every training image before training, in place of one at every batch."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.core.origin import Origin
from msda_train.core.randomness import generator
from msda_train.data.loader import Loader
from msda_train.methods._cached_attention import CachedAttention
from msda_train.methods._teacher_guided import TeacherGuided
from msda_train.methods.attentive_cutmix import AttentiveCutMix
from msda_train.methods.cutmix import CutMix
from msda_train.models.preactresnet import preactresnet
from msda_train.training.device import Compute
from msda_train.training.step import Step
from msda_train.training.update import Update

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
NETWORK = preactresnet([1], 4, "manifold", 1, classes=10, channels=3)


def loader(n=24, size=32, device="cpu", **options):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (n, size, size, 3), dtype=np.uint8), np.arange(n) % 10
    common = {"batch_size": 8, "mean": MEAN, "std": STD, "device": device, "seed": 3}
    return Loader(images, labels, **(common | options))


def plain(batches):
    return (x for x, _ in batches.test_batches())


def step_with(method, device="cpu"):
    network = preactresnet([1], 4, "manifold", 1, classes=10, channels=3).to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, fused=True)
    compute = Compute(torch.device(device), "fp32", False)
    update = Update(network, network, torch.nn.functional.cross_entropy, optimizer, compute)
    return Step(method, lambda x, rng: x, 10, update)


def taught(teacher, **options):
    return AttentiveCutMix(teacher=str(teacher), mean=MEAN, std=STD, **options)


@pytest.mark.parametrize("flip", [False, True])
def test_where_nothing_is_cropped_it_is_the_exact_mode(teacher, flip):
    """A batch of just those images, in their order, so that the teacher's sums are the same, too."""
    batches = loader(n=8, flip=flip)
    exact, cached = taught(teacher, k=9), taught(teacher, k=9, cached=True)
    assert exact.prepare(NETWORK, plain(batches)) is exact
    remembered = cached.prepare(NETWORK, plain(batches))
    assert remembered.attention.shape == (16, 16, 16)
    for here, x, y in step_with(remembered).over(batches, 5):
        torch.testing.assert_close(here.method.look(x), exact.look(x), atol=1e-5, rtol=1e-5)
        ours, theirs = (m.plan(x, y, None, np.random.default_rng(0)) for m in (here.method, exact))
        assert torch.equal(ours.mask, theirs.mask)
        assert torch.equal(ours.perm, theirs.perm)
        assert torch.equal(ours.lam, theirs.lam)
    (x,) = plain(batches)
    origin = next(batches.origins(0))
    still = replace(origin, image=torch.arange(8), mirrored=torch.zeros(8, dtype=torch.int64))
    assert torch.equal(remembered.at(still).look(x), exact.look(x))
    mirrored = replace(still, mirrored=torch.ones(8, dtype=torch.int64))
    assert torch.equal(remembered.at(mirrored).look(x), exact.look(x.flip(3)))


def test_cells_of_one_pixel_go_where_their_pixels_go(teacher, monkeypatch):
    """Attention that is brightness moves as the loader moves the pixels; the frame counts as the mean."""
    monkeypatch.setattr(TeacherGuided, "look", lambda self, x: x.mean(dim=1))
    batches = loader(size=7, crop_padding=4, flip=True)
    step = step_with(taught(teacher, k=3, cached=True).prepare(NETWORK, plain(batches)))
    means = step.method.attention.mean((1, 2))
    seen = 0
    for (here, x, _), origin in zip(step.over(batches, 1), batches.origins(1), strict=True):
        looked = here.method.look(x)
        for i in range(len(x)):
            inside = torch.zeros(7, 7, dtype=torch.bool)
            down, right = int(origin.down[i]), int(origin.right[i])
            inside[max(-down, 0) : 7 - max(down, 0), max(-right, 0) : 7 - max(right, 0)] = True
            inside = inside.flip(1) if origin.mirrored[i] else inside
            expected = torch.where(inside, x[i].mean(dim=0), means[origin.image[i]])
            torch.testing.assert_close(looked[i], expected, atol=1e-5, rtol=0)
            seen += 1
    assert seen == 24


def test_every_batch_knows_its_own_images(teacher):
    """The step for one batch keeps its origin when the loop has gone on."""
    batches = loader(crop_padding=4, flip=True)
    step = step_with(taught(teacher, cached=True).prepare(NETWORK, plain(batches)))
    made = list(step.over(batches, 0))
    looked = [here.method.look(x) for here, x, _ in step.over(batches, 0)]
    assert all(
        torch.equal(here.method.look(x), seen) for (here, x, _), seen in zip(made, looked, strict=True)
    )
    assert not torch.equal(looked[0], looked[1])
    assert {id(here.update) for here, _, _ in made} == {id(step.update)}
    assert torch.isfinite(made[0][0](*made[0][1:], np.random.default_rng(0)))


def test_the_teacher_is_asked_once_for_each_image_and_its_mirror_image(teacher, monkeypatch):
    asked, look = [], TeacherGuided.look
    monkeypatch.setattr(TeacherGuided, "look", lambda self, x: asked.append(len(x)) or look(self, x))
    batches = loader(crop_padding=4, flip=True)
    step = step_with(taught(teacher, cached=True).prepare(NETWORK, plain(batches)))
    assert sum(asked) == 2 * 24
    for here, x, y in step.over(batches, 0):
        here.method.plan(x, y, None, np.random.default_rng(0))
    assert sum(asked) == 2 * 24


def test_other_methods_are_told_nothing():
    batches = loader()
    step = step_with(CutMix())
    found = list(step.over(batches, 0))
    assert all(here is step for here, _, _ in found)
    for (_, x, y), (expected, labels) in zip(found, batches.train_batches(0), strict=True):
        assert torch.equal(x, expected)
        assert torch.equal(y, labels)


@pytest.mark.parametrize("words", ["", "method.variant=openmixup method.lam_per=sample", "method.prob=0.5"])
def test_options_are_those_of_the_method(teacher, words):
    cfg = compose("dataset=cifar10", "method=attentive_cutmix", f"method.teacher={teacher}", *words.split())
    exact = build("method", cfg.method)
    batches = loader(n=8)
    remembered = replace(exact, cached=True).prepare(NETWORK, plain(batches))
    here, x, y = next(step_with(remembered).over(batches, 0))
    for seed in range(10):
        ours, theirs = (m.plan(x, y, None, np.random.default_rng(seed)) for m in (here.method, exact))
        assert (ours.depth, ours.lam.tolist()) == (theirs.depth, theirs.lam.tolist())
        assert torch.equal(ours.mask, theirs.mask)


def test_without_an_origin_it_does_not_guess(teacher):
    remembered = taught(teacher, cached=True).prepare(NETWORK, plain(loader()))
    with pytest.raises(ValueError, match="`at` their origin"):
        remembered.plan(torch.randn(2, 3, 32, 32), torch.arange(2), None, np.random.default_rng(0))
    assert len(repr(remembered)) < 500


def test_the_option_is_a_flag():
    with pytest.raises(UserError, match=r"method.cached=1: must be true or false"):
        AttentiveCutMix(cached=1)


def test_a_run(go, tmp_path):
    """Trained and shown; the exact mode is another run under another fingerprint."""
    teacher = go("method=erm", f"runs={tmp_path / 'teacher'}").parent
    words = ["method=attentive_cutmix", f"method.teacher={teacher}", "method.k=2"]
    cached = json.loads((path := go(*words, "method.cached=true")).read_text())
    exact = json.loads(go(*words).read_text())
    assert cached["fingerprint"] != exact["fingerprint"]
    assert json.loads((path.parent / "gallery.json").read_text())["mixed"] is True
    assert cached["history"][0]["train_loss"] != exact["history"][0]["train_loss"]


def test_an_exact_run_has_the_fingerprint_it_always_had(tmp_path):
    from msda_train.config.fingerprint import settled

    kept = {"method": settled(dict(compose("method=attentive_cutmix").method))}
    assert "cached" not in kept["method"]


def test_it_asks_for_no_value():
    """On the meta device nobody could answer."""
    method = CachedAttention(AttentiveCutMix(), torch.empty(200, 7, 7, device="meta"))
    origin = Origin(*torch.empty(4, 8, dtype=torch.int64, device="meta"))
    x, y = torch.empty(8, 3, 32, 32, device="meta"), torch.empty(8, dtype=torch.int64, device="meta")
    mix = method.at(origin).plan(x, y, None, np.random.default_rng(0))
    assert mix.pixels(x).device.type == mix.target(y, 10).device.type == "meta"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_nothing_returns_to_the_host():
    batches = loader(n=64, device="cuda", crop_padding=4, flip=True)
    step = step_with(CachedAttention(AttentiveCutMix(), torch.rand(128, 7, 7, device="cuda")), "cuda")
    epoch = enumerate(step.over(batches, 0))
    for _, (here, x, y) in epoch:
        here(x, y, generator(0, "mix"))  # cuDNN's first calls may wait
        break
    torch.cuda.set_sync_debug_mode("error")
    try:
        for i, (here, x, y) in epoch:
            here(x, y, generator(0, "mix", 0, i))
    finally:
        torch.cuda.set_sync_debug_mode("default")
