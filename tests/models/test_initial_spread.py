"""Every network starts where its authors' network starts: the spread of every layer's weights.

Rules, and the code they were read in:
- torch: PyTorch's own, uniform in +-1/sqrt(fan in) for weights and biases: facebookresearch/mixup-cifar10 and
  vikasverma1077/manifold_mixup (PreActResNet, also Puzzle Mix; WRN, whose `conv_init` nothing calls),
  uoguelph-mlrg/Cutout (ResNet-18), torchvision's VGG as the suite builds it.
- he: normal, variance 2 / (kernel area x channels out): clovaai/CutMix-PyTorch (PyramidNet, ResNet-110), WRN
  of the common form, DenseNet of the mixup repository, xgastaldi/shake-shake, hysts' ResNet-preact.
- hysts: normal, variance 2 / (kernel area x channels in): hysts/pytorch_image_classification's WRN.
Batch normalisation starts at 1 and 0 everywhere, but for hysts' WRN: uniform in (0, 1) and 0. Nothing is
known of the authors' linear layers beyond PyTorch's own, except DenseNet's, hysts' and Shake-Shake's bias, 0.
"""

import math

import pytest
import torch
from torch import nn

from msda_train.config.build import build
from msda_train.config.compose import compose

RULES = {
    "model=preactresnet18": "torch",
    "model=preactresnet18 model.variant=mixup": "torch",
    "model=preactresnet34": "torch",
    "model=wrn28_10 model.variant=manifold": "torch",
    "model=wrn28_10": "he",
    "model=wrn28_2 model.variant=manifold model.init=xavier": "xavier",
    "model=wrn28_2 model.init=hysts": "hysts",
    "model=resnet_preact20": "he",
    "model=shake_shake26 model.width=32": "he",
    "model=shake_shake29 model.depth=11 model.width=16": "he",
    "model=resnet18": "torch",
    "model=resnet110": "he",
    "model=pyramidnet110": "he",
    "model=vgg16_bn": "torch",
    "model=densenet_bc190 model.depth=40 model.growth=12": "he",
}


def spread(layer, rule):
    """Standard deviation of the weights, and of the bias where there is one."""
    out, per_filter = layer.weight.shape[0], layer.weight[0].numel()
    area = math.prod(layer.weight.shape[2:])
    uniform = 1 / math.sqrt(3 * per_filter)
    if isinstance(layer, nn.Linear) or rule == "torch":
        return uniform, uniform
    if rule == "he":
        return math.sqrt(2 / (area * out)), None
    if rule == "hysts":
        return math.sqrt(2 / per_filter), None
    return math.sqrt(2) * math.sqrt(2 / (per_filter + area * out)), 0.0


@pytest.mark.parametrize("words", RULES)
def test_weights_start_as_the_authors(words):
    torch.manual_seed(0)
    network = build("model", compose(*words.split()).model, classes=10, channels=3)
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len(layers) > 10
    for layer in layers:
        weight, bias = spread(layer, RULES[words])
        room = 5 / math.sqrt(2 * layer.weight.numel())  # five standard errors of a spread
        assert layer.weight.std().item() == pytest.approx(weight, rel=room), layer
        assert abs(layer.weight.mean().item()) < 5 * weight / math.sqrt(layer.weight.numel())
        if layer.bias is not None and layer.bias.numel() > 100 and bias is not None:
            assert layer.bias.std().item() == pytest.approx(bias, rel=5 / math.sqrt(2 * layer.bias.numel()))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            if RULES[words] == "hysts":
                assert 0 <= module.weight.min() < 0.5 < module.weight.max() < 1
            else:
                assert module.weight.eq(1).all()
            assert module.bias.eq(0).all()


def test_hysts_and_shake_shake_start_the_classifier_without_bias():
    for words in RULES:
        if not any(word in words for word in ("hysts", "preact20", "shake")):
            continue
        network = build("model", compose(*words.split()).model, classes=10, channels=3)
        assert network.stages[-1][-1].bias.eq(0).all()


def test_manifold_s_wide_network_is_the_one_that_was_trained():
    """A 3x3 convolution 32 to 32 spreads 0.034; with the unused initialisation 0.083."""
    for more, value in (("", 0.034), (" model.init=xavier", 0.083)):
        torch.manual_seed(0)
        words = f"model=wrn28_2 model.variant=manifold{more}".split()
        network = build("model", compose(*words).model, classes=10, channels=3)
        convs = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.weight.shape[:2] == (32, 32)]
        for conv in convs:
            assert conv.weight.std().item() == pytest.approx(value, abs=0.001)
            assert bool(conv.bias.eq(0).all()) == bool(more)
