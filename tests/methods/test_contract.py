"""What holds for every method in configs/method, whoever adds it."""

import numpy as np
import pytest
import torch

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.paths import CONFIGS

# Factor mixup asks what pictures were drawn from, which no batch says: see its own tests.
METHODS = sorted(p.stem for p in (CONFIGS / "method").glob("*.yaml") if p.stem != "factor_mixup")
LEARNED = ("automix", "samix", "adautomix")  # here they have learned nothing, and learn nothing
ALONE = ("erm", "cutout", "gaussian_noise", "pgd_training")  # labels are left alone
COINLESS = ("erm", "recursivemix")  # no method.prob; what the second one mixes, it remembers
MANY = ("comixup", "recursivemix", "guidedmixup", "snapmix")  # no pairs by lam_per and pairing
PAIRS = [m for m in METHODS if m not in (*ALONE, *LEARNED, *MANY)]
# They look at a network: fewer draws.
SLOW = (
    "puzzlemix",
    "comixup",
    "attentive_cutmix",
    "pgd_training",
    "tokenmix",
    "smmix",
    "kernel_mixup",
    *LEARNED,
)
TIMES = {"regmixup": 2, "sumix": 2, "rankmixup": 4}  # so many samples of each image: the clean ones, too
TAUGHT = ("attentive_cutmix", "tokenmix")
VARIANTS = [
    *METHODS,
    *(f"{m} method.lam_per=sample" for m in PAIRS),
    *(f"{m} method.pairing={p}" for m in PAIRS for p in ("permutation", "reversal") if m not in SLOW),
    "automix method.mask_of=own method.lam_input=concat",
    "samix method.mask_adjust=1 method.adjust_to=labels",
    "adautomix method.images=4 method.margin=openmixup",
    "attentive_cutmix method.variant=openmixup",
    "attentive_cutmix method.borders=hard",
    "comixup method.clean_lam=0",
    "comixup method.halves=false",
    "cutmix method.corners=continuous",
    "fmix method.label=area",
    "fmix method.spectrum=paper",
    "alignmix method.input_prob=1",
    "gridmix method.overhang=clip",
    "guidedmixup method.pairs=random",
    "guidedmixup method.saliency=gradient method.prob=1",
    "kernel_mixup method.distance=pixels",
    "kernel_mixup method.warping=cdf method.centre=one",
    "mixpro method.mixup_prob=0 method.cutmix_prob=0",
    "mixpro method.squares=3 method.labels=area",
    "puzzlemix method.pairing=reversal method.clean_lam=1 method.adv_p=1",
    "puzzlemix method.solver=exact",
    "puzzlemix method.transport=false",
    "resizemix method.border=clip method.box_per=batch",
    "saliencymix method.saliency_of=each method.input=pixels",
    "cutout method.box_per=batch",
    "cutout method.length=9",
    "regmixup method.loss=sum",
    "smmix method.attention=class",
    "starmix method.patch=4",
    "sumix method.mixing=mixup",
    "tokenmix method.activation=area method.mask=random",
    "tokenmix method.draw=beta",
    "transmix method.mixup_prob=0",
]


@pytest.fixture(scope="module")
def networks():
    """Small ones for methods that look at one: most, and those about patches."""
    torch.manual_seed(0)
    cfg = compose("model=preactresnet18", "model.width=4", "model.blocks=[1,1,1]")
    vit = ["model=deit_s", "model.size=[32,32]", "model.patch=4", "model.width=8", "model.depth=1"]
    vit = compose(*vit, "model.heads=2")
    return tuple(build("model", c.model, classes=10, channels=3) for c in (cfg, vit))


@pytest.fixture
def model(networks, request):
    """The one that the test's method looks at."""
    return networks[request.node.callspec.params["words"].startswith("smmix")]


@pytest.fixture
def make(teacher):
    """From the words after method= to the method; Attentive CutMix is taught by a small network of ours."""

    def made(words):
        name, *overrides = words.split()
        taught = (
            [f"method.teacher={teacher}"] if name in TAUGHT and "method.activation=area" not in words else []
        )
        few = ["method.rounds=2"] if name == "alignmix" else []  # 1,024 places of an image are many
        return _made(name, *taught, *few, *overrides)

    return made


def _made(name, *overrides):
    return build("method", compose("dataset=cifar10", f"method={name}", *overrides).method)


@pytest.mark.parametrize("size", [2, 7, 8])
@pytest.mark.parametrize("words", VARIANTS)
def test_contract(words, size, model, make):
    method = make(words)
    if words.startswith(LEARNED):  # once: the mix block is drawn
        method = method.prepare(model, ())
    draw = torch.Generator().manual_seed(3)
    x, y = torch.randn(size, 3, 32, 32, generator=draw), torch.randint(0, 10, (size,), generator=draw)
    kept = x.clone()
    few = words.startswith((*SLOW, "alignmix"))  # that one aligns every pixel with every other
    for seed in range(3 if few else 12):
        mix = method.plan(x, y, model, np.random.default_rng(seed))
        twice = TIMES.get(words.split()[0], 1)
        count = twice * size
        assert torch.equal(mix.perm.sort().values, torch.arange(size).repeat_interleave(twice))
        assert mix.lam.shape in ((1,), (count,))
        assert mix.mask.shape[0] in (1, count)
        assert mix.mask.shape[1] == 1
        for weights in (mix.lam, mix.mask):
            assert weights.dtype == torch.float32
            assert weights.min() >= 0
            assert weights.max() <= 1
        if not words.startswith((*ALONE, *LEARNED, "comixup", "snapmix")):
            off = 1 / 1024 if words.startswith("fmix") else 1e-5  # FMix keeps the sampled lam
            mean = mix.mask.mean((1, 2, 3)).expand(count)
            torch.testing.assert_close(mix.lam.expand(count), mean, atol=off, rtol=0)
        target = mix.target(y, 10)
        if not words.startswith("snapmix"):  # its weights are shares of two maps
            torch.testing.assert_close(target.sum(1), torch.ones(count))
        mixed = mix.apply(x)
        assert mixed.shape == (count, *x.shape[1:])
        assert mixed.dtype == x.dtype
        again = method.plan(x, y, model, np.random.default_rng(seed))
        assert torch.equal(mixed, again.apply(x))
        assert torch.equal(target, again.target(y, 10))
    assert torch.equal(x, kept)


@pytest.mark.parametrize("words", VARIANTS)
def test_a_method_is_its_options(words, make):
    method = make(words)
    assert method == make(words)
    name = words.split()[0].replace("_", "")
    assert repr(method).lower().startswith(name)


@pytest.mark.parametrize("words", [m for m in METHODS if m not in COINLESS])
def test_probability_of_applying(words, batch, model, make):
    x, y = batch
    for prob in (0.0, 0.3, 1.0):
        method = make(f"{words} method.prob={prob}")
        draws = 12 if words in SLOW else 300
        applied = [method.plan(x, y, model, np.random.default_rng(s)).depth >= 0 for s in range(draws)]
        assert np.mean(applied) == pytest.approx(prob, abs=3 * (0.25 / draws) ** 0.5)


@pytest.mark.parametrize(
    ("words", "option"),
    [
        *(
            (f"{m} method.alpha={a}", "method.alpha")
            for m in ("mixup", "cutmix", "gmix")
            for a in (0, -1, "x", ".nan")
        ),
        *((f"{m} method.prob={p}", "method.prob") for m in METHODS if m not in COINLESS for p in (-0.1, 1.5)),
        ("mixup method.lam_per=pixel", "method.lam_per"),
        ("hmix method.pairing=flip", "method.pairing"),
        ("hmix method.ratio=0", "method.ratio"),
        ("hmix method.ratio=1.5", "method.ratio"),
        ("cutmix method.label=true_area", "method.label"),
        ("cutmix method.corners=round", "method.corners"),
        ("cutout method.length=0", "method.length"),
        ("cutout method.box_per=pixel", "method.box_per"),
        ("manifold_mixup method.depths=[]", "method.depths"),
        ("manifold_mixup method.depths=2", "method.depths"),
        ("manifold_mixup method.depths=[-1]", "method.depths"),
    ],
)
def test_bad_options_are_named(words, option):
    from msda_train.core.errors import UserError

    with pytest.raises(UserError, match=option) as caught:
        _made(*words.split())
    assert "\n" not in str(caught.value)
