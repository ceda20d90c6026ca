"""What holds for every network in configs/model."""

from functools import cache

import pytest
import torch
from torch import nn

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.core.paths import CONFIGS
from msda_train.core.randomness import generator
from msda_train.methods.manifold_mixup import ManifoldMixup

MODELS = sorted(p.stem for p in (CONFIGS / "model").glob("*.yaml"))


@cache
def node(words):
    name, *overrides = words.split()
    return compose(f"model={name}", *overrides).model


def make(words, classes=10, channels=3):
    return build("model", node(words), classes=classes, channels=channels)


@pytest.mark.parametrize(
    ("words", "counts"),
    [
        ("preactresnet18", (11_171_146, 11_217_316, 11_268_616)),
        ("preactresnet18 model.variant=mixup", (11_171_274, 11_217_444, 11_268_744)),
        ("preactresnet18 model.dropout=0.7 regulariser=shakedrop", (11_171_146,)),
        ("preactresnet34", (21_279_306, 21_325_476, 21_376_776)),
        ("wrn28_10", (36_479_194, 36_536_884)),
        ("wrn28_10 model.variant=manifold", (36_489_290, 36_546_980)),
        ("wrn28_10 model.variant=manifold model.first_mix=block", (36_489_290, 36_546_980)),
        ("wrn28_2", (1_467_610, 1_479_220)),
        ("wrn28_10 model.depth=16 model.width=8", (10_961_370,)),
        ("resnet18", (11_173_962, 11_220_132, 11_271_432)),
        ("resnet110", (1_147_738, 1_170_868)),
        ("pyramidnet200", (26_752_702, 26_844_952)),
        ("pyramidnet110 regulariser=dropblock", (1_696_410,)),
        ("pyramidnet110", (1_696_410, 1_725_300)),
        ("pyramidnet110 model.alpha=270 model.basic=true", (28_485_493, 28_511_323)),
        ("densenet_bc190", (25_624_430, 25_821_620)),
        ("vgg16_bn", (33_646_666, 34_015_396)),
        ("vgg_gap", (17_085_258, 17_177_508, 17_280_008)),
        ("resnet50 model.last_stride=1", (23_528_522, 23_712_932, 23_917_832)),
        ("resnext50", (22_992_714, 23_177_124, 23_382_024)),
        ("wrn28_8", (23_362_922, 23_409_092)),
        ("resnet_preact20", (272_282, 278_132)),
        ("shake_shake26 model.width=32", (2_923_162,)),  # "2.9M", "11.7M", "26.2M", "34.4M" in the paper
        ("shake_shake26 model.width=64", (11_653_978,)),
        ("shake_shake26", (26_192_922,)),
        ("shake_shake29", (34_437_450, 34_529_700)),
    ],
)
def test_parameter_counts(words, counts):
    for classes, count in zip((10, 100, 200), counts, strict=False):
        with torch.device("meta"):
            network = make(words, classes)
        assert sum(p.numel() for p in network.parameters()) == count


SMALL = [
    "preactresnet18 model.width=4",
    "preactresnet18 model.width=4 model.variant=mixup model.blocks=[1,1,1,1] model.dropout=0.5",
    "preactresnet34 model.width=4",
    "wrn28_10 model.depth=10 model.width=1",
    "wrn28_10 model.depth=16 model.width=1 model.variant=manifold",
    "wrn28_10 model.depth=16 model.width=1 model.first_mix=block model.dropout=0.3",
    "wrn28_8 model.depth=10 model.width=1",
    "resnet18 model.width=4 model.blocks=[1,1,1]",
    "resnext50 model.width=4 model.blocks=[1,1] model.cardinality=[2,32]",
    "resnet110 model.width=2 model.blocks=[1,1,2]",
    "pyramidnet110 model.depth=11 model.alpha=7 model.width=4",
    "pyramidnet110 model.depth=11 model.alpha=7 model.width=4 model.pad_channels=8",
    "pyramidnet110 model.depth=14 model.alpha=7 model.basic=true",
    "densenet_bc190 model.depth=10 model.growth=4",
    "densenet_bc190 model.depth=16 model.growth=2 model.checkpointing=true",
    "resnet_preact20 model.width=4",
    "shake_shake26 model.depth=8 model.width=4",
    "shake_shake29 model.depth=11 model.width=2",
]
REGULARISED = [
    "preactresnet18 model.width=4 model.blocks=[1,1] regulariser=shakedrop",
    "wrn28_10 model.depth=10 model.width=1 regulariser=stochdepth",
    "resnet18 model.width=4 model.blocks=[1,1] regulariser=shakedrop model.regulariser.per=pixel",
    "resnet110 model.width=2 model.blocks=[1,1] regulariser=stochdepth model.regulariser.per=sample",
    "pyramidnet110 model.depth=11 model.alpha=7 regulariser=dropblock model.regulariser.block=2",
    "wrn28_10 model.depth=10 model.width=1 regulariser=dropblock model.regulariser.block=2"
    " model.regulariser.seed_rate=code",
]
TRANSFORMERS = [
    "deit_s model.size=[32,32] model.patch=8 model.width=8 model.depth=4 model.heads=2",
    "swin_t model.width=6 model.heads=[1,2,3,4] model.patch=2 model.window=4",
]
GAP = "vgg_gap model.width=4 model.units=8"  # 16 pixels will do
LARGE = [  # these need 32 pixels a side
    "vgg16_bn model.width=4 model.hidden=8",
    "resnet50 model.blocks=[1,1,1,1] model.width=4",
    "resnet50 model.blocks=[1,1,1,1] model.width=4 model.last_stride=1",
    "resnext101 model.blocks=[1,1,1,1] model.width=1 model.groups=4",
    "resnet50 model.blocks=[1,1,1,1] model.width=4 regulariser=stochdepth",
]


@pytest.mark.parametrize(
    ("words", "channels", "side"),
    [
        *((words, *shape) for words in SMALL + REGULARISED for shape in ((3, 32), (1, 8), (3, 64))),
        *((words, 3, side) for words in LARGE for side in (32, 64)),
        (LARGE[0], 1, 40),
        *((GAP, channels, side) for channels, side in ((3, 16), (3, 64), (1, 40))),
        *((words, 3, 32) for words in TRANSFORMERS),
    ],
)
def test_output_shape(words, channels, side):
    network, x = make(words, channels=channels), torch.randn(2, channels, side, side)
    assert network(x).shape == (2, 10)
    assert network.eval()(x).shape == (2, 10)


@pytest.mark.parametrize("words", MODELS)
def test_every_network_runs_without_memory(words):
    """In training mode on the meta device: how a run sees, before it starts, whether the images fit."""
    spectrogram = (1, 161, 101)
    large = ("resnet50", "resnet101", "resnext101", "deit_s", "swin_t")
    made_for = {"mlp": (9,)} | dict.fromkeys(large, (3, 224, 224))
    made_for |= dict.fromkeys(("lenet_speech", "vgg11_speech"), spectrogram)
    made_for |= {"strided_convnet": (1, 64, 64)}
    shape = made_for.get(words, (3, 32, 32))
    with torch.device("meta"):
        network = make(words, channels=shape[0])
        assert network(torch.empty(2, *shape)).shape == (2, 10)


@pytest.mark.parametrize(
    ("words", "side"),
    [*((words, 31) for words in LARGE), (GAP, 15), ("densenet_bc190 model.depth=10 model.growth=2", 3)],
)
def test_too_small_images_are_refused(words, side):
    with torch.device("meta"):
        network = make(words)
        with pytest.raises(UserError, match=rf"^model: .*at least {side + 1} pixels.* {side};") as caught:
            network(torch.empty(2, 3, side + 9, side))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("words", SMALL + LARGE + TRANSFORMERS)
def test_mixing_at_each_depth_equals_doing_it_by_hand(words, batch):
    x, y = batch
    network = make(words).eval()
    for depth in range(len(network.stages)):
        mix = ManifoldMixup(depths=[depth]).plan(x, y, network, generator(0, "mix", depth))
        h = x
        for k, stage in enumerate(network.stages):
            if k == depth:
                h = mix.lam * h + (1 - mix.lam) * h[mix.perm]
            h = stage(h)
        torch.testing.assert_close(network(x, mix), h)


@pytest.mark.parametrize("words", SMALL + REGULARISED + LARGE + TRANSFORMERS)
def test_bf16_channels_last_reaches_every_weight(words, batch):
    torch.manual_seed(5)
    x, y = batch
    network = make(words).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(x.contiguous(memory_format=torch.channels_last))
    assert logits.dtype == torch.bfloat16
    nn.functional.cross_entropy(logits.float(), y).backward()
    for name, p in network.named_parameters():
        assert p.grad is not None, name
        assert p.grad.isfinite().all(), name


def test_depths_of_the_networks():
    depths = {words: len(make(words).stages) - 1 for words in (SMALL[7], *SMALL[9:12], *LARGE, GAP)}
    assert list(depths.values()) == [3, 3, 3, 3, 5, 4, 4, 4, 4, 5]


def test_depths_of_the_wrn_options():
    assert len(make("wrn28_10 model.width=1").stages) == 4
    by_block = make("wrn28_10 model.width=1 model.first_mix=block")
    assert len(by_block.stages) == 5
    assert len(by_block.stages[0]) == 2  # the stem and one residual block


def test_shortcuts_of_the_two_preact_variants():
    """Where the shape stays, one adds the raw input and the other the activated one."""
    x = torch.randn(2, 4, 8, 8)
    for variant, activated in (("manifold", False), ("mixup", True)):
        block = make(f"preactresnet18 model.width=4 model.variant={variant}").stages[0][-1].eval()
        torch.nn.init.zeros_(block.conv2.weight)
        expected = torch.relu(block.bn1(x)) if activated else x
        torch.testing.assert_close(block(x), expected)


def test_dropout_lies_between_the_convolutions_of_every_preact_block():
    network = make("preactresnet18 model.width=4 model.dropout=0.7")
    blocks = [b for stage in network.stages for b in stage.modules() if hasattr(b, "conv2")]
    assert [b.dropout.p for b in blocks] == [0.7] * 8
    block, seen = blocks[0], {}
    block.dropout.register_forward_hook(lambda module, args, out: seen.update(dropped=out))
    block.bn2.register_forward_pre_hook(lambda module, args: seen.update(before_bn2=args[0]))
    block(torch.randn(4, 4, 8, 8))
    assert seen["before_bn2"] is seen["dropped"]
    assert (seen["dropped"] == 0).float().mean().item() == pytest.approx(0.7, abs=0.06)


def test_strides_of_the_two_wide_variants():
    for variant, strides in (("standard", (2, 1)), ("manifold", (1, 2))):
        block = make(f"wrn28_10 model.width=1 model.variant={variant}").stages[1][0]
        assert (block.conv1.stride[0], block.conv2.stride[0]) == strides


def test_the_openmixup_variant_of_wrn():
    """Leaky ReLU, biases, slow BatchNorms; only the first group's projection sees the activated input."""
    network = make("wrn28_8 model.depth=10 model.width=2")
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(m.eps, m.momentum) for m in norms} == {(1e-3, 1e-3)}
    assert not any(isinstance(m, nn.ReLU) for m in network.modules())
    convs = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert all((m.bias == 0).all() for m in convs)
    x = torch.randn(2, 16, 8, 8)
    for block, activated in ((network.stages[0][1], True), (network.stages[1][0], False)):
        block.eval()
        nn.init.zeros_(block.conv2.weight)
        x = torch.randn(2, block.conv1.in_channels, 8, 8)
        expected = nn.functional.leaky_relu(block.bn1(x), 0.1) if activated else x
        torch.testing.assert_close(block(x), block.projection(expected))


def test_tinyimagenet_stem():
    for name in ("preactresnet18", "resnet18"):
        network = make(f"{name} model.width=4 model.stem_stride=2", classes=200)
        assert network.stages[0](torch.randn(1, 3, 64, 64)).shape[-1] == 32


@pytest.mark.parametrize(
    ("words", "option"),
    [
        ("preactresnet18 model.variant=facebook", "model.variant"),
        ("preactresnet18 model.width=0", "model.width"),
        ("preactresnet18 model.blocks=2", "model.blocks"),
        ("preactresnet18 model.dropout=1.2", "model.dropout"),
        ("preactresnet18 model.regulariser=stochdepth", "type regulariser=stochdepth"),
        ("wrn28_10 model.depth=27", "model.depth"),
        ("wrn28_10 model.width=0.5", "model.width"),
        ("wrn28_10 model.dropout=2", "model.dropout"),
        ("wrn28_10 model.first_mix=stage", "model.first_mix"),
        ("resnet18 model.block=wide", "model.block"),
        ("resnet18 model.blocks=[2,0]", "model.blocks"),
        ("resnet18 model.init=xavier", "model.init"),
        ("resnext50 model.cardinality=[32]", r"type model.cardinality=\[32,4\]"),
        ("resnext50 model.cardinality=[32,0]", "model.cardinality"),
        ("resnext50 model.block=basic", "type model.block=bottleneck"),
        ("resnet110 model.stem_stride=0", "model.stem_stride"),
        ("pyramidnet200 model.depth=199", "type model.depth=191"),
        ("pyramidnet200 model.depth=199 model.basic=true", "type model.depth=194"),
        ("pyramidnet200 model.basic=true model.pad_channels=8", "model.pad_channels"),
        ("pyramidnet200 model.alpha=0", "model.alpha"),
        ("pyramidnet200 model.width=0", "model.width"),
        ("pyramidnet200 model.pad_channels=0", "model.pad_channels"),
        ("densenet_bc190 model.depth=189", "type model.depth=184"),
        ("densenet_bc190 model.growth=0", "model.growth"),
        ("densenet_bc190 model.compression=1.5", "model.compression"),
        ("densenet_bc190 model.checkpointing=1", "model.checkpointing"),
        ("vgg16_bn model.hidden=0", "model.hidden"),
        ("vgg16_bn model.dropout=-1", "model.dropout"),
        ("vgg_gap model.groups=3", "model.groups=3: 512 and 1024 channels"),
        ("resnet50 model.last_stride=3", "model.last_stride=3: must be 1 or 2"),
        ("vgg16_bn regulariser=shakedrop", "regulariser"),
        ("resnet50 model.blocks=[3,4,6]", "model.blocks"),
        ("resnet50 model.width=0", "model.width"),
        *(
            (f"preactresnet18 regulariser={name} model.regulariser.{option}", f"model.regulariser.{at}")
            for name, option, at in (
                ("stochdepth", "rate=1.5", "rate"),
                ("stochdepth", "per=image", "per"),
                ("shakedrop", "rate=-1", "rate"),
                ("shakedrop", "per=sample", "per"),
                ("dropblock", "rate=x", "rate"),
                ("dropblock", "block=0", "block"),
                ("dropblock", "seed_rate=theirs", "seed_rate"),
            )
        ),
    ],
)
def test_bad_options_are_named(words, option):
    with torch.device("meta"), pytest.raises(UserError, match=option) as caught:
        make(words)
    assert "\n" not in str(caught.value)


def test_resnet50_is_for_colour_images():
    with pytest.raises(UserError, match="model=resnet50"):
        make("resnet50", channels=1)


@pytest.mark.parametrize(
    "words",
    [
        "preactresnet18 model.width=4 model.blocks=[1,1] model.dropout=0.5",
        "wrn28_10 model.depth=10 model.width=1",
        "resnet18 model.width=4 model.blocks=[1,1]",
        "resnet110 model.width=2 model.blocks=[1,1]",
        "pyramidnet110 model.depth=11 model.alpha=7",
        "densenet_bc190 model.depth=10 model.growth=4",
        *LARGE,
    ],
)
def test_one_graph_per_mixing_depth(words):
    from torch._dynamo.testing import CompileCounter

    torch._dynamo.reset()  # else the networks of other tests count against dynamo's limit of graphs
    x, y = torch.randn(2, 3, 32, 32), torch.tensor([1, 2])
    network = make(words)
    counter = CompileCounter()
    compiled = torch.compile(network, backend=counter, fullgraph=True, dynamic=False)
    for seed in range(2):
        for depth in (1, len(network.stages) - 1):
            compiled(x, ManifoldMixup(depths=[depth]).plan(x, y, network, generator(seed, "mix")))
    assert counter.frame_count == 2


def test_convolutions_start_as_the_authors_say():
    """He normal with fan out has variance 2 / (area x channels out); torch's own has 1 / (3 x fan in)."""
    for words in ("resnet110", "pyramidnet110", "densenet_bc190 model.depth=40 model.growth=24"):
        conv = [m for m in make(words).modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)][-1]
        assert conv.weight.std().item() == pytest.approx((2 / (9 * conv.out_channels)) ** 0.5, rel=0.03)
    conv = make("resnet18 model.width=16").stages[-2][-1].branch[-2]
    assert conv.weight.std().item() == pytest.approx((1 / (3 * 9 * conv.in_channels)) ** 0.5, rel=0.03)
    assert not make("densenet_bc190 model.depth=10").stages[-1][-1].bias.any()
