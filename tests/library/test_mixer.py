"""A call mixes what a training step mixes, bit for bit, and says what it cannot do in one line."""

import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from msda_train import Mixer
from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.config.groups import words_of
from msda_train.core.mix import Mix, OwnLoss, prepared
from msda_train.core.origin import Origin
from msda_train.core.paths import CONFIGS
from msda_train.core.randomness import generator
from msda_train.training.device import Compute
from msda_train.training.step import Step

METHODS = sorted(p.stem for p in (CONFIGS / "method").glob("*.yaml"))
LEARNED = ("automix", "samix", "adautomix")
MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.3, 0.4]
TOLD = {  # what the command line takes from data set and recipe
    "cutout": {"length": 9},
    **{
        m: {"mean": MEAN, "std": STD}
        for m in ("attentive_cutmix", "pgd_training", "puzzlemix", "saliencymix", "tokenmix")
    },
}
BLIND = ("cutmix", "erm", "fmix", "gmix", "gridmix", "hmix", "mixup", "resizemix", "smoothmix", "starmix")
TAUGHT = ("attentive_cutmix", "tokenmix")
# Losses of their own, a second head.
MORE = ("mixpro", "rankmixup", "recursivemix", "regmixup", "smmix", "sumix", "tokenmix", "transmix")
DRAWN = "factor_mixup"  # what pictures were drawn from, a call has to say
SERVED = sorted({*METHODS} - {*MORE, *LEARNED, DRAWN})
K = 10


@pytest.fixture
def network():
    """A small network of ours in training mode."""
    torch.manual_seed(0)
    cfg = compose("model=preactresnet18", "model.width=4", "model.blocks=[1,1,1]")
    return build("model", cfg.model, classes=K, channels=3)


@pytest.fixture
def told(teacher):
    """The options that a method cannot do without."""
    return lambda name: {**TOLD.get(name, {}), **({"teacher": str(teacher)} if name in TAUGHT else {})}


class Caught:
    """In the place of what trains the network: it keeps what a step hands over."""

    compute = Compute(torch.device("cpu"), "fp32", False)

    def __init__(self, network):
        self.network = network

    def begin(self):
        pass

    def __call__(self, x, target, mix=None, own=None):
        self.x, self.target, self.mix = x, target, mix
        self.logits = self.network(x, mix)
        return x.new_zeros(())


def step_of(words, network):
    """The step of a run that msda-train would begin with these words."""
    method = build("method", compose("dataset=cifar10", *words).method)
    return Step(prepared(method, network, ()), lambda x, rng: x, K, Caught(network))


def test_the_names_are_those_of_the_command_line():
    assert words_of("method") == METHODS


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("name", SERVED)
def test_a_call_is_a_step(name, channels_last, network, told):
    options = told(name)
    typed = [f"method.{key}={str(value).replace(' ', '')}" for key, value in options.items()]
    own = deepcopy(network)  # a step's: the mixer leaves hooks in the other
    step = step_of([f"method={name}", *typed], own)
    mix = Mixer(name, num_classes=K, seed=5, model=network, **options)
    draw, depths = torch.Generator().manual_seed(1), set()
    for i in range(2 if name in ("puzzlemix", "comixup") else 6):
        x, y = torch.randn(7, 3, 32, 32, generator=draw), torch.randint(0, K, (7,), generator=draw)
        x = x.contiguous(memory_format=torch.channels_last) if channels_last else x
        kept = x.clone()
        own.zero_grad()
        network.zero_grad()
        step(x, y, generator(5, "mix", 0, i))
        mixed, target = mix(x, y)
        assert torch.equal(mixed, step.update.x)
        assert mixed.is_contiguous(memory_format=torch.channels_last) == channels_last
        assert torch.equal(target, step.update.target)
        assert torch.equal(network(step.update.x), step.update.logits)  # mixed at the same depth, too
        for one, other in zip(own.parameters(), network.parameters(), strict=True):
            assert one.grad is other.grad is None or torch.equal(one.grad, other.grad)  # of a clean pass
        assert torch.equal(x, kept)
        depths.add(mix.plan.depth)
    assert mix.step == i + 1
    assert depths - {-1} or name == "erm"


@pytest.mark.parametrize("name", MORE)
def test_more_than_a_mixer_is_refused(name, network, batch, told):
    with pytest.raises(ValueError, match=r"than a mixer.*; train it by msda-train, not by a call"):
        Mixer(name, num_classes=K, seed=0, model=network, **told(name))(*batch)


def test_a_plan_says_partner_lam_and_mask_and_mixes_a_segmentation(batch):
    x, y = batch
    mix = Mixer("cutmix", prob=1.0, num_classes=K, seed=3)
    mixed, target = mix(x, y)
    plan = mix.plan
    inside = plan.mask.expand(8, 3, 32, 32) == 1
    assert torch.equal(mixed, torch.where(inside, x, x[plan.perm]))
    hot = F.one_hot(y, K).float()
    torch.testing.assert_close(target, plan.lam * hot + (1 - plan.lam) * hot[plan.perm])
    classes = torch.randint(0, 200, (8, 1, 32, 32))
    assert torch.equal(plan.apply(classes), torch.where(inside[:, :1], classes, classes[plan.perm]))


def test_bytes_are_mixed_in_float_and_rounded():
    draw = np.random.default_rng(0)
    x = torch.from_numpy(draw.integers(0, 256, (5, 3, 8, 8), dtype=np.uint8))
    y = torch.arange(5)
    mix = Mixer("mixup", num_classes=K, seed=1)
    mixed, _ = mix(x, y)
    lam, other = float(mix.plan.lam), x[mix.plan.perm].numpy().astype(np.float64)
    exact = lam * x.numpy() + (1 - lam) * other
    assert mixed.dtype == torch.uint8
    assert np.abs(mixed.numpy() - exact).max() <= 0.5 + 1e-4


@pytest.mark.parametrize("name", SERVED)
def test_who_takes_bytes_never_looks_at_them(name, network, told):
    """What the methods declare is what they do: the plan is the same for other images."""
    mix = Mixer(name, num_classes=K, seed=5, model=network, **told(name))
    x, y = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8), torch.arange(4)
    if name not in BLIND:
        with pytest.raises(ValueError, match=r"^x: .* needs normalised floats, and these are uint8"):
            mix(x, y)
        return
    for step in range(4):
        mix(x, y, step=step)
        one = mix.plan
        mix(255 - x, y, step=step)
        assert all(torch.equal(getattr(one, key), getattr(mix.plan, key)) for key in ("perm", "lam", "mask"))


@pytest.mark.parametrize("name", BLIND)
def test_no_value_is_asked_for(name):
    """On torch's meta device there are none: what runs there waits for no GPU."""
    x = torch.empty(6, 3, 32, 32, device="meta")
    y = torch.empty(6, dtype=torch.int64, device="meta")
    for inplace in (False, True):
        mix = Mixer(name, num_classes=K, seed=0, inplace=inplace)
        for _ in range(3):
            mixed, target = mix(x, y)
            assert (mixed.device.type, mixed.shape, target.shape) == ("meta", x.shape, (6, K))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_are_mixed_no_coarser_than_float32(dtype, batch):
    x, y = batch
    mix = Mixer("mixup", num_classes=K, seed=1)
    mixed, target = mix(x.to(dtype), y)
    lam = mix.plan.lam.double()
    exact = lam * x.to(dtype).double() + (1 - lam) * x.to(dtype).double()[mix.plan.perm]
    assert mixed.dtype == dtype
    assert target.dtype == torch.float32
    torch.testing.assert_close(
        mixed.double(), exact, rtol=torch.finfo(dtype).eps, atol=1e-7 * (dtype != torch.float64)
    )


def test_autocast_changes_nothing(batch):
    x, y = batch
    mix = Mixer(["mixup", "cutmix"], num_classes=K, seed=1)
    plain = [mix(x, y, step=k) for k in range(4)]
    with torch.autocast("cpu", torch.bfloat16):
        cast = [mix(x, y, step=k) for k in range(4)]
    for one, other in zip(plain, cast, strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("name", ["mixup", "cutmix", "gmix", "fmix", "resizemix"])
def test_gradients_flow_to_both_partners(name, inplace):
    x, y = torch.randn(4, 3, 16, 16, requires_grad=True), torch.arange(4)
    mix = Mixer(name, num_classes=K, seed=2, inplace=inplace, **({"prob": 1.0} if name == "cutmix" else {}))
    mixed, _ = mix(x * 1.0, y)
    mixed.sum().backward()
    total = torch.full_like(x, 0.0)
    plan = mix.plan
    if plan.sources is None:
        mask = plan.mask.expand_as(total)
        total += mask
        total.index_add_(0, plan.perm, 1 - mask)
        torch.testing.assert_close(x.grad, total)
    torch.testing.assert_close(x.grad.sum(), torch.tensor(float(x.numel())))


@pytest.mark.parametrize("name", SERVED)
@pytest.mark.parametrize("size", [1, 3])
def test_a_batch_of_one_and_an_odd_one(name, size, network, told):
    network.eval()  # batch normalisation cannot be trained by one image
    options = told(name) | ({"depths": [0]} if name == "manifold_mixup" else {})
    options |= {"clean_lam": 0.0} if name == "comixup" else {}
    options |= {"input_prob": 1.0} if name == "alignmix" else {}
    mix = Mixer(name, num_classes=K, seed=5, model=network, **options)
    x, y = torch.randn(size, 3, 32, 32), torch.arange(size)
    for _ in range(3):
        mixed, target = mix(x, y)
        assert mixed.shape == x.shape
        if name == "snapmix":  # its weights are shares of two maps
            continue
        torch.testing.assert_close(target.sum(1), torch.ones(size))
        if size == 1 and name not in ("cutout", "gaussian_noise", "pgd_training", "resizemix"):
            assert torch.equal(target, F.one_hot(y, K).float())


def test_nothing_heavy_is_imported():
    code = (
        "import sys, msda_train; assert 'torch' not in sys.modules and 'numpy' not in sys.modules;"
        "import torch; from msda_train import Mixer; x, y = torch.randn(4, 3, 8, 8), torch.arange(4);"
        "[Mixer(m, num_classes=4, seed=0)(x, y) for m in ('mixup', 'cutmix', 'fmix', 'gridmix')];"
        "heavy = {'hydra', 'omegaconf', 'pandas', 'scipy', 'matplotlib', 'torchvision', 'torch._dynamo'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "options", "option"),
    [
        ("cutmx", {}, "method=cutmx: unknown; did you mean 'cutmix'"),
        ("gan/mixup", {}, "method=gan/mixup: unknown"),
        (["mixup", "cutmx"], {}, "method=cutmx: unknown"),
        ([], {}, r"method=\[\]"),
        (object(), {}, "method=object: makes no plan"),
        ("cutmix", {"num_classes": None}, "num_classes"),
        ("cutmix", {"num_classes": 0}, "num_classes=0"),
        ("cutmix", {"alpha": -1.0}, "alpha=-1.0: must be greater than 0 and finite; type alpha=1.0"),
        ("cutmix", {"alpha": "big"}, "alpha=big"),
        ("cutmix", {"lam_per": "pixel"}, "lam_per=pixel"),
        ("cutmix", {"alhpa": 1.0}, "alhpa: cutmix has no such option; did you mean 'alpha'"),
        ("cutmix", {"seed": -1}, "seed=-1"),
        ("cutmix", {"seed": 1, "generator": torch.Generator()}, "generator: either it or seed"),
        ("cutmix", {"generator": 3}, "generator: must be"),
        ("cutmix", {"layers": ["a"]}, "layers: of which network"),
        ("cutmix", {"model": print}, "model: must be a torch.nn.Module"),
        ("cutout", {}, "length: cutout has to be told"),
        ("puzzlemix", {}, "mean: puzzlemix has to be told"),
        ("manifold_mixup", {}, "model: this method asks the network"),
        ("mixup", {"pairing": "same_class"}, "pairing=same_class: .* type pairing='permutation'"),
        ("cutmix", {"prob_schedule": "linear"}, "prob_schedule=linear: changes in the course of training"),
        (["mixup", ("cutmix", {"prob_schedule": "linear"})], {}, "prob_schedule=linear: changes"),
        (["mixup", "cutmix"], {"weights": [1.0]}, "weights="),
        (["mixup", "cutmix"], {"weights": [0.0, 0.0]}, "weights="),
        (["mixup", "cutmix"], {"prob": 2.0}, "prob=2.0"),
        (["mixup", "cutmix"], {"decay": 2.0}, "decay: no method of the list"),
    ],
)
def test_bad_options_are_value_errors(name, options, option):
    with pytest.raises(ValueError, match=option) as caught:
        Mixer(name, **{"num_classes": K, **options})
    assert "\n" not in str(caught.value)


def test_bad_batches_are_value_errors(batch):
    x, y = batch
    mix = Mixer("cutmix", num_classes=K, seed=0)
    hot = F.one_hot(y, K).float()
    for bad, option in [
        ((x, None), "y: a batch needs labels"),
        ((x, hot), r"y: must be class numbers .* float32 \(8, 10\)"),
        ((x, hot.long()), "y: must be class numbers"),
        ((x, y[:5]), "y: has to go with x; they are 5 labels"),
        ((x.numpy(), y), "x: must be a tensor"),
        ((x.int(), y), "x: CutMix mixes floats or uint8, and these are int32"),
        ((x.flatten(1), y), r"x: this method needs pictures \(B, C, H, W\); these are \(8, 3072\)"),
        ((x, y + 4), "num_classes=10: labels must be 0 to 9, and these go from"),
        ((x, y - 9), "num_classes=10"),
    ]:
        with pytest.raises(ValueError, match=option) as caught:
            mix(*bad)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="model: this method asks"):
        Mixer("puzzlemix", num_classes=K, mean=MEAN, std=STD)(x, y)
    with pytest.raises(ValueError, match="plan: nothing"):
        _ = Mixer("cutmix", num_classes=K).plan


def test_what_is_more_than_a_mixer_is_refused(batch, monkeypatch):
    """The seam for methods to come: an unknown protocol, or a plan that says more."""
    from typing import Protocol, runtime_checkable

    from msda_train.core import mix as protocols
    from msda_train.methods.mixup import Mixup

    @runtime_checkable
    class Learns(Protocol):
        def learn(self): ...

    class Learning(Mixup):
        def learn(self):
            pass

    monkeypatch.setattr(protocols, "Learns", Learns, raising=False)
    with pytest.raises(ValueError, match=r"method=Learning: is more than a mixer \(Learns\)"):
        Mixer(Learning(), num_classes=K)

    loss = OwnLoss(lambda logits, *rest: logits.sum())
    says_more = SimpleNamespace(plan=lambda x, y, model, rng: replace(Mix.identity(x), loss=loss))
    with pytest.raises(ValueError, match="its plan says more"):
        Mixer(says_more, num_classes=K)(*batch)


def test_a_method_of_ones_own(batch):
    from msda_train.methods.mixup import Mixup

    x, y = batch
    one, other = (
        Mixer(Mixup(alpha=0.3), num_classes=K, seed=1),
        Mixer("mixup", alpha=0.3, num_classes=K, seed=1),
    )
    assert torch.equal(one(x, y)[0], other(x, y)[0])
    assert repr(one) == repr(other)


def test_one_of_several(batch):
    """Each batch by one method, as often as the weights say; nothing where the coin says so."""
    x, y = batch
    mix = Mixer(
        ["mixup", ("cutmix", {"alpha": 0.5})],
        weights=[1.0, 3.0],
        prob=0.8,
        num_classes=K,
        seed=0,
        lam_per="batch",
    )
    kinds = []
    for _ in range(600):
        mix(x, y)
        kinds.append("none" if mix.plan.depth < 0 else "mixup" if mix.plan.mask.numel() == 1 else "cutmix")
    shares = [kinds.count(kind) / 600 for kind in ("none", "mixup", "cutmix")]
    assert shares == pytest.approx([0.2, 0.2, 0.6], abs=0.06)  # three deviations


def test_attentive_cutmix_by_a_teacher_of_ones_own(batch):
    """The cells with the most of the first channel, by hand; the teacher itself is left as it is."""
    x, y = batch
    teacher = nn.AvgPool2d(8)
    mix = Mixer("attentive_cutmix", teacher=teacher, k=2, num_classes=K, seed=0, mean=MEAN, std=STD)
    mixed, _ = mix(x, y)
    seen = teacher(x).mean(1).flatten(1)
    for i in range(8):
        cells = torch.zeros(16)
        cells[seen[i].topk(2).indices] = 1
        mask = cells.view(1, 4, 4).repeat_interleave(8, 1).repeat_interleave(8, 2)
        assert torch.equal(mixed[i], torch.where(mask.bool(), x[i], x[mix.plan.perm[i]]))
    assert teacher.training
    conv = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.AvgPool2d(4))
    Mixer("attentive_cutmix", teacher=conv, num_classes=K, seed=0, mean=MEAN, std=STD)(x, y)
    assert all(p.requires_grad for p in conv.parameters())


def test_attentive_cutmix_remembers_training_images():
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(6, 3, 32, 32, generator=draw)
    options = {"teacher": nn.AvgPool2d(8), "k": 2, "num_classes": K, "seed": 0, "mean": MEAN, "std": STD}
    mix = Mixer("attentive_cutmix", cached=True, train_images=images.split(4), **options)
    number, still = torch.tensor([4, 1, 3]), torch.zeros(3, dtype=torch.int64)
    x, y = images[number], torch.arange(3)
    cached = mix(x, y, origin=Origin(number, still, still, still))
    asked = Mixer("attentive_cutmix", **options)(x, y)
    assert torch.equal(cached[0], asked[0])
    with pytest.raises(ValueError, match="origin: "):
        mix(x, y)
    with pytest.raises(ValueError, match="train_images: "):
        Mixer("attentive_cutmix", cached=True, **options)


@pytest.mark.parametrize("name", LEARNED)
def test_a_method_that_learns_is_refused(name, network):
    with pytest.raises(ValueError, match=r"is more than a mixer \(Learns\); train it by msda-train"):
        Mixer(name, num_classes=K, model=network)


@pytest.mark.parametrize("method", [("mixup", "cutmix"), ("mixup",), ("mixup", 3), [("mixup", {}, 1)]])
def test_what_is_no_name_with_options(method):
    with pytest.raises(ValueError, match=r"^method=.*is no name with its options"):
        Mixer(method, num_classes=K)
