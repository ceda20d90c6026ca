import pytest
import torch

from msda_train.compose import compose
from msda_train.errors import UserError
from msda_train.methods.manifold_mixup import ManifoldMixup
from msda_train.paths import CONFIGS
from msda_train.randomness import generator
from msda_train.runner.build import build

MODELS = sorted(p.stem for p in (CONFIGS / "model").glob("*.yaml"))


def make(words, classes=10, channels=3):
    name, *overrides = words.split()
    cfg = compose(f"model={name}", *overrides)
    return build("model", cfg.model, classes=classes, channels=channels)


@pytest.mark.parametrize(
    ("words", "counts"),
    [
        ("preactresnet18", (11_171_146, 11_217_316, 11_268_616)),
        ("preactresnet18 model.variant=mixup", (11_171_274, 11_217_444, 11_268_744)),
        ("preactresnet34", (21_279_306, 21_325_476, 21_376_776)),
        ("wrn28_10", (36_479_194, 36_536_884)),
        ("wrn28_10 model.variant=manifold", (36_489_290, 36_546_980)),
        ("wrn28_10 model.variant=manifold model.first_mix=block", (36_489_290, 36_546_980)),
        ("wrn28_2", (1_467_610, 1_479_220)),
        ("wrn28_10 model.depth=16 model.width=8", (10_961_370,)),
    ],
)
def test_parameter_counts(words, counts):
    for classes, count in zip((10, 100, 200), counts, strict=False):
        with torch.device("meta"):
            network = make(words, classes)
        assert sum(p.numel() for p in network.parameters()) == count


SMALL = [
    "preactresnet18 model.width=4",
    "preactresnet18 model.width=4 model.variant=mixup",
    "preactresnet34 model.width=4",
    "wrn28_10 model.depth=10 model.width=1",
    "wrn28_10 model.depth=16 model.width=1 model.variant=manifold",
    "wrn28_10 model.depth=16 model.width=1 model.first_mix=block model.dropout=0.3",
]


@pytest.mark.parametrize("words", SMALL)
@pytest.mark.parametrize(("channels", "side"), [(3, 32), (1, 8), (3, 64)])
def test_output_shape(words, channels, side):
    assert make(words, channels=channels)(torch.randn(2, channels, side, side)).shape == (2, 10)


@pytest.mark.parametrize("words", SMALL)
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


def test_strides_of_the_two_wide_variants():
    for variant, strides in (("standard", (2, 1)), ("manifold", (1, 2))):
        block = make(f"wrn28_10 model.width=1 model.variant={variant}").stages[1][0]
        assert (block.conv1.stride[0], block.conv2.stride[0]) == strides


def test_tinyimagenet_stem():
    network = make("preactresnet18 model.width=4 model.stem_stride=2", classes=200)
    assert network.stages[0](torch.randn(1, 3, 64, 64)).shape[-1] == 32


@pytest.mark.parametrize(
    ("words", "option"),
    [
        ("preactresnet18 model.variant=facebook", "model.variant"),
        ("preactresnet18 model.width=0", "model.width"),
        ("preactresnet18 model.blocks=2", "model.blocks"),
        ("wrn28_10 model.depth=27", "model.depth"),
        ("wrn28_10 model.width=0.5", "model.width"),
        ("wrn28_10 model.dropout=2", "model.dropout"),
        ("wrn28_10 model.first_mix=stage", "model.first_mix"),
    ],
)
def test_bad_options_are_named(words, option):
    with pytest.raises(UserError, match=option):
        make(words)


def test_one_graph_per_mixing_depth(batch):
    from torch._dynamo.testing import CompileCounter

    x, y = batch
    network = make("preactresnet18 model.width=4 model.blocks=[1,1,1,1]")
    counter = CompileCounter()
    compiled = torch.compile(network, backend=counter, fullgraph=True, dynamic=False)
    for seed in range(12):
        compiled(x, ManifoldMixup().plan(x, y, network, generator(seed, "mix")))
    assert counter.frame_count == 3
