"""Partners that follow the batch, for every method that mixes pairs."""

import json

import numpy as np
import pytest
import torch

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core import paths
from msda_train.core.errors import UserError
from msda_train.core.mix import Among, Mix, PicksPartners
from msda_train.core.randomness import generator
from msda_train.methods.mixup import Mixup

NAMES = ["mixup", "manifold_mixup", "cutmix", "fmix", "gmix", "gridmix", "hmix", "resizemix", "saliencymix"]
NAMES += ["smoothmix", "puzzlemix"]


def made(name, *words):
    return build("method", compose("dataset=cifar10", f"method={name}", *words).method)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    cfg = compose("model=preactresnet18", "model.width=4", "model.blocks=[1,1]")
    return build("model", cfg.model, classes=10, channels=3)


@pytest.fixture
def twice():
    draw = torch.Generator().manual_seed(0)
    return torch.randn(12, 3, 32, 32, generator=draw), torch.randint(0, 10, (12,), generator=draw)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("lam_per", ["batch", "sample"])
def test_each_sample_is_mixed_with_the_one_that_follows_it(twice, model, name, lam_per):
    x, y = twice
    method = made(name, "method.pairing=other_class", f"method.lam_per={lam_per}", "method.prob=1")
    plan = method.plan(x, y, model, np.random.default_rng(4))
    assert torch.equal(plan.perm, torch.arange(6, 12))
    mixed, target = plan.apply(x), plan.target(y, 10)
    assert mixed.shape == (6, 3, 32, 32)
    lam = plan.lam.expand(6)
    for i in range(6):
        slow = torch.zeros(10)
        slow[y[i]] += lam[i]
        slow[y[i + 6]] += 1 - lam[i]
        torch.testing.assert_close(target[i], slow)
        if plan.sources is None:
            mask = plan.mask.expand(6, 1, 32, 32)[i]
            torch.testing.assert_close(mixed[i], mask * x[i] + (1 - mask) * x[i + 6])
    laid_out = plan.apply(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(laid_out, mixed)


def test_where_the_coin_says_no_the_batch_is_itself(twice):
    x, y = twice
    plan = Mixup(prob=0.0, pairing="same_class").plan(x, y, None, np.random.default_rng(0))
    assert torch.equal(plan.pixels(x), x[:6])
    assert torch.equal(plan.target(y, 10), torch.nn.functional.one_hot(y[:6], 10).float())


def test_features_are_mixed_with_those_of_the_partner(twice, model):
    x, y = twice
    method = made("manifold_mixup", "method.depths=[1]", "method.pairing=same_class")
    plan = method.plan(x, y, model, np.random.default_rng(1))
    model.eval()
    with torch.no_grad():
        features, lam = model.stages[0](x), plan.lam
        by_hand = lam * features[:6] + (1 - lam) * features[6:]
        for stage in model.stages[1:]:
            by_hand = stage(by_hand)
        torch.testing.assert_close(model(plan.pixels(x), plan), by_hand)


def test_the_first_of_a_plan_keeps_shared_weights_and_sources(twice):
    x, _ = twice
    lam = torch.rand(12)
    plan = Mix(torch.arange(12).roll(6), lam, lam.view(-1, 1, 1, 1), sources=(x, 2 * x)).first(5)
    assert torch.equal(plan.lam, lam[:5])
    assert torch.equal(plan.sources[1], 2 * x[:5])
    one = Mix(torch.arange(12), lam[:1], lam[:1].view(1, 1, 1, 1)).first(5)
    assert one.lam.shape == (1,)
    assert one.mask.shape == (1, 1, 1, 1)


@pytest.mark.parametrize(
    ("words", "among"),
    [
        ([], None),
        (["method.pairing=reversal"], None),
        (["method.pairing=same_class"], Among("same")),
        (["method.pairing=other_class"], Among("other")),
        (["method.pairing=nearest", "method.neighbours=200"], Among("all", 200)),
        (["method.pairing=nearest_same_class", "method.neighbours=7"], Among("same", 7)),
    ],
)
def test_whom_a_partner_is_drawn_from(words, among):
    method = made("mixup", *words)
    assert isinstance(method, PicksPartners)
    assert method.among() == among


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["method.pairing=nearest"], r"method\.pairing=nearest: .* method\.neighbours=200"),
        (["method.neighbours=200"], r"method\.neighbours=200: counts with method\.pairing=nearest"),
        (["method.pairing=nearest", "method.neighbours=0"], r"method\.neighbours=0"),
        (["method.pairing=neighbour"], r"method\.pairing=neighbour"),
    ],
)
def test_bad_words(words, says):
    with pytest.raises(UserError, match=says):
        made("mixup", *words)


def test_what_is_cached_knows_no_partners(teacher):
    words = ["method.cached=true", "method.pairing=same_class", f"method.teacher={teacher}"]
    with pytest.raises(UserError, match=r"method\.pairing=same_class: .*method\.cached=false"):
        made("attentive_cutmix", *words)


@pytest.mark.parametrize("name", ["mixup", "cutmix", "manifold_mixup"])
@pytest.mark.parametrize("pairing", ["same_class", "nearest"])
def test_a_run_trains_with_them(go, tmp_path, monkeypatch, name, pairing):
    """The gallery holds the very first batch: its labels say who was mixed with whom."""
    monkeypatch.setattr(paths, "DATA", tmp_path / "data")
    words = ["method.neighbours=3"] if pairing == "nearest" else []
    target = compose(f"method={name}").method["_target_"]
    cfg = [f"method={name}", f"method.pairing={pairing}", *words]
    row = json.loads((path := go(*cfg)).read_text())
    assert row["config"]["method"]["_target_"] == target
    shown = json.loads((path.parent / "gallery.json").read_text())
    sizes = [len(image["labels"]) for image in shown["images"]]
    if pairing == "same_class":
        assert sizes == [1] * len(sizes)
    again = json.loads(go(*cfg, f"runs={tmp_path / 'again'}").read_text())
    assert again["metrics"] == row["metrics"]


def test_the_plan_of_a_step_is_a_function_of_its_generator(twice):
    x, y = twice
    method = Mixup(pairing="nearest", neighbours=3)
    a, b = (method.plan(x, y, None, generator(1, "mix", 0, 5)) for _ in range(2))
    assert torch.equal(a.apply(x), b.apply(x))
