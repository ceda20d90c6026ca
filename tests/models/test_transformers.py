"""DeiT-S and Swin-T against torchvision, which builds both."""

import copy

import pytest
import torch
import torchvision
from torch import nn

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.core.mix import Attends
from msda_train.models.swin import swin
from msda_train.models.vision_transformer import DropPath, fitting_patch, vision_transformer

SMALL = "model.size=[16,16] model.patch=4 model.width=12 model.depth=4 model.heads=3"


def make(words, classes=7, channels=3):
    name, *overrides = words.split()
    return build("model", compose(f"model={name}", *overrides).model, classes=classes, channels=channels)


def small(**changed):
    options = {"size": [16, 16], "patch": 4, "width": 12, "depth": 4, "heads": 3}
    options |= {"drop_path": 0.0, "init": "deit"} | changed
    return vision_transformer(**options, classes=7, channels=3)


@pytest.mark.parametrize(
    ("words", "classes", "count"),
    [("deit_s", 1000, 22_050_664), ("swin_t", 1000, 28_288_354), ("deit_s", 100, 21_704_164)],
)
def test_parameters_as_printed(words, classes, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in make(words, classes).parameters()) == count


def test_deit_is_torchvisions_transformer():
    """Same weights, same logits. torchvision names and orders them in its own way."""
    torch.manual_seed(0)
    theirs = torchvision.models.VisionTransformer(16, 4, 4, 3, 12, 48, num_classes=7)
    nn.init.normal_(theirs.heads.head.weight)  # they start at 0
    ours, state = small(), theirs.state_dict()
    blocks = [m for stage in ours.stages for m in stage if hasattr(m, "mlp")]
    pairs = [
        (ours.stages[0][0].token, state.pop("class_token")),
        (ours.stages[0][0].position, state.pop("encoder.pos_embedding")),
    ]
    modules = [("conv_proj", ours.stages[0][0].patches)]
    for k, block in enumerate(blocks):
        at = f"encoder.layers.encoder_layer_{k}."
        pairs += [(block.attention.qkv.weight, state.pop(f"{at}self_attention.in_proj_weight"))]
        pairs += [(block.attention.qkv.bias, state.pop(f"{at}self_attention.in_proj_bias"))]
        modules += [(f"{at}self_attention.out_proj", block.attention.out)]
        modules += [(f"{at}ln_1", block.norm1), (f"{at}ln_2", block.norm2)]
        modules += [(f"{at}mlp.0", block.mlp[0]), (f"{at}mlp.3", block.mlp[2])]
    modules += [("encoder.ln", ours.stages[-1][0]), ("heads.head", ours.stages[-1][2])]
    for name, module in modules:
        pairs += [(module.weight, state.pop(f"{name}.weight")), (module.bias, state.pop(f"{name}.bias"))]
    assert not state
    with torch.no_grad():
        for own, other in pairs:
            own.copy_(other)
    x = torch.randn(3, 3, 16, 16)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def test_swin_is_torchvisions():
    torch.manual_seed(0)
    options = ([2, 2], 6, [1, 2, 1], [1, 2, 3], [2, 2])
    theirs = torchvision.models.SwinTransformer(*options, stochastic_depth_prob=0.0, num_classes=5)
    ours = swin(2, 6, [1, 2, 1], [1, 2, 3], 2, 0.0, classes=5, channels=3)
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    x = torch.randn(2, 3, 18, 18)
    torch.testing.assert_close(ours(x), theirs(x))


def test_swin_stages_exchange_maps():
    network, x = make("swin_t model.width=6 model.heads=[1,2,3,4] model.patch=2 model.window=4"), None
    x = torch.randn(2, 3, 32, 32)
    shapes = [tuple((x := stage(x)).shape) for stage in network.stages]
    assert shapes == [(2, 6, 16, 16), (2, 12, 8, 8), (2, 24, 4, 4), (2, 48, 2, 2), (2, 7)]


def test_what_the_class_token_looks_at():
    """Against nn.MultiheadAttention's weights of the same projection; off, nothing is kept."""
    torch.manual_seed(1)
    network, x = small(drop_path=0.2), torch.randn(5, 3, 16, 16)
    assert isinstance(network, Attends)
    network(x)
    assert network.attention is None
    network.attend = True
    caught = {}
    last = network.stages[-2][-1].attention
    last.register_forward_pre_hook(lambda module, args: caught.update(x=args[0].detach()))
    nn.init.normal_(last.qkv.weight)
    network(x)
    theirs = nn.MultiheadAttention(12, 3, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(last.qkv.weight)
        theirs.in_proj_bias.copy_(last.qkv.bias)
    weights = theirs(caught["x"], caught["x"], caught["x"])[1]
    torch.testing.assert_close(network.attention, weights[:, 0, 1:].detach())
    assert network.attention.shape == (5, 16)
    assert not network.attention.requires_grad
    rest = weights[:, 0, 0].detach()  # the class token's own
    assert (rest > 0).all()
    torch.testing.assert_close(network.attention.sum(1), 1 - rest)
    with torch.autocast("cpu", torch.bfloat16):
        network(x)
    assert network.attention.dtype == torch.float32
    network.attend = False
    assert network.attention is None
    copy.deepcopy(network)


def test_swin_has_no_class_token():
    words = "swin_t model.width=6 model.heads=[1,2,3,4] model.patch=2 model.window=4"
    assert not isinstance(make(words), Attends)


def test_drop_path_drops_samples_and_keeps_the_mean():
    torch.manual_seed(2)
    drop, h = DropPath(0.25), torch.ones(4000, 2, 3)
    out = drop(h)
    assert {round(v, 4) for v in out.unique().tolist()} == {0.0, 1.3333}
    assert (out == out[:, :1, :1]).all()  # a sample's branch as a whole
    assert out.mean().item() == pytest.approx(1, abs=0.03)
    assert drop.eval()(h) is h


def test_rates_rise_linearly():
    with torch.device("meta"):
        network = make("deit_s")
    rates = [m.rate for m in network.modules() if isinstance(m, DropPath)]
    assert rates == pytest.approx([0.1 * k / 11 for k in range(12)])
    assert [len(stage) for stage in network.stages] == [4, 3, 3, 3, 3]  # the embedding, three blocks each


def test_first_weights():
    torch.manual_seed(3)
    for init, spread in (("deit", (3 * 48) ** -0.5), ("openmixup", 0.02)):
        network = small(width=96, init=init)
        embed = network.stages[0][0]
        assert embed.patches.weight.std().item() == pytest.approx(spread, rel=0.6 if init == "deit" else 0.05)
        assert (embed.patches.bias.abs().sum() == 0) == (init == "openmixup")
        for tensor in (embed.position, network.stages[0][1].mlp[0].weight, network.stages[-1][2].weight):
            assert tensor.std().item() == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize("words", [f"deit_s {SMALL}", "swin_t model.width=6 model.heads=[1,2,3,4]"])
def test_one_step_reaches_every_weight(words):
    torch.manual_seed(4)
    network, side = make(words), 16 if "deit" in words else 32
    loss = nn.functional.cross_entropy(network(torch.randn(8, 3, side, side)), torch.arange(8) % 7)
    loss.backward()
    assert loss.isfinite()
    for name, p in network.named_parameters():
        assert p.grad is not None, name
        assert p.grad.isfinite().all(), name


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("deit_s model.patch=15", r"model.patch=15: .*224x224 pixels; type model.patch=16"),
        ("deit_s model.size=[32,32]", None),
        ("deit_s model.size=[30,30] model.patch=4", r"type model.patch=2"),
        ("deit_s model.heads=5", r"model.heads=5: must divide model.width=384"),
        ("deit_s model.drop_path=1", r"model.drop_path=1"),
        ("deit_s model.init=xavier", r"model.init"),
        ("deit_s model.size=32", r"model.size=32"),
        ("swin_t model.heads=[3,6]", r"model.heads"),
        ("swin_t model.heads=[5,6,12,24]", r"5 do not divide the group's 96 channels"),
        ("swin_t model.blocks=[2,0]", r"model.blocks"),
    ],
)
def test_bad_options(words, said):
    with torch.device("meta"):
        if said is None:
            make(words)
            return
        with pytest.raises(UserError, match=said) as caught:
            make(words)
    assert "\n" not in str(caught.value)


def test_images_of_another_size_are_told_what_to_type():
    with torch.device("meta"):
        network = make("deit_s")
        with pytest.raises(UserError, match=r"type model.size=\[32,32\] model.patch=2$"):
            network(torch.empty(2, 3, 32, 32))
        with pytest.raises(UserError, match="type model=mlp"):
            network(torch.empty(2, 10))
        with pytest.raises(UserError, match="type model=deit_s"):
            make("swin_t", channels=1)


def test_fitting_patches():
    assert [fitting_patch(side, side) for side in (224, 32, 64, 8, 28, 30)] == [16, 2, 4, 1, 2, 2]
