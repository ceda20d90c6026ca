"""Mixing inside somebody's own network, by hooks."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from msda_train import Mixer

K = 5


class Own(nn.Module):
    """A network of nobody here: two named layers and a head."""

    def __init__(self):
        super().__init__()
        self.layer1, self.layer2 = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 6, 3)
        self.head = nn.Linear(6, K)

    def forward(self, x, recompute=False):
        h = F.gelu(self.layer1(x))
        h = checkpoint(self.layer2, h, use_reentrant=False) if recompute else self.layer2(input=h)
        return self.head(F.gelu(h).mean((2, 3)))


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Own()


def mixer(net, **words):
    options = {"num_classes": K, "seed": 0, "model": net, "layers": ["layer2", "head"], **words}
    return Mixer("manifold_mixup", **options)


def by_hand(net, x, plan):
    lam, perm = float(plan.lam), plan.perm

    def mixed(h, depth):
        return lam * h + (1 - lam) * h[perm] if plan.depth == depth else h

    h = mixed(F.gelu(net.layer1(mixed(x, 0))), 1)
    return net.head(mixed(F.gelu(net.layer2(h)).mean((2, 3)), 2))


def test_each_depth_by_hand(net):
    x, y = torch.randn(6, 3, 8, 8), torch.arange(6) % K
    mix, depths = mixer(net), set()
    for _ in range(20):
        given, _ = mix(x, y)
        logits, plan = net(given), mix.plan
        mix.network.plan = None  # by hand it is mixed by hand
        torch.testing.assert_close(logits, by_hand(net, x, plan))
        depths.add(plan.depth)
    assert depths == {0, 1, 2}


def test_evaluation_is_left_alone(net):
    x, y = torch.randn(6, 3, 8, 8), torch.arange(6) % K
    plain = net.eval()(x)
    mix = mixer(net.train(), depths=[1])
    mix(x, y)
    assert not torch.equal(net(x), plain)
    assert torch.equal(net.eval()(x), plain)


def test_a_recomputed_pass_is_the_same(net):
    """Activation checkpointing runs the layer again, in the backward pass."""
    x, y = torch.randn(6, 3, 8, 8), torch.arange(6) % K
    found = []
    for recompute in (False, True):
        net.zero_grad()
        given, target = mixer(net, depths=[1])(x, y)
        F.cross_entropy(net(given, recompute), target).backward()
        found.append(net.layer1.weight.grad.clone())
        net.layer2._forward_pre_hooks.clear()
        net.layer2._forward_pre_hooks_with_kwargs.clear()
    torch.testing.assert_close(*found)


def test_labels_that_were_mixed_alone_are_told(net):
    """The next call sees that no pass came by: another copy of the network was trained."""
    x, y = torch.randn(6, 3, 8, 8), torch.arange(6) % K
    mix = mixer(net, depths=[2])
    mix(x, y)
    Own()(x)
    with pytest.raises(ValueError, match="in front of 'head', but no forward pass"):
        mix(x, y)
    mix(x, y)
    with pytest.raises(ValueError, match="the mixed batch has 6 images, and 3 came"):
        net(x[:3])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"layers": ["layer3"]}, "the network has no layer 'layer3'; did you mean 'layer"),
        ({"layers": "layer2"}, r"layers=layer2: must be a list; type layers=\['layer2'\]"),
        ({"layers": None}, "layers: in front of which is mixed"),
        ({"depths": [3]}, r"depths=\[3\]: this model can mix at depths 0 to 2"),
    ],
)
def test_bad_words(net, words, message):
    with pytest.raises(ValueError, match=message):
        mixer(net, **words)


def test_a_collate_function_has_no_network(net):
    with pytest.raises(ValueError, match="model: a collate_fn"):
        mixer(net).collate([(torch.zeros(3, 8, 8), 0)] * 2)


def test_a_method_that_asks_the_network_sees_it_clean(net):
    """Puzzle Mix's saliency beside Manifold Mixup in one list: no hook mixes what it looks at."""
    x, y = torch.randn(6, 3, 8, 8), torch.arange(6) % K
    mix = mixer(net, depths=[1])
    plain = net(x)
    mix(x, y)
    assert torch.equal(mix.network(x), plain)
    assert not torch.equal(net(x), plain)


def test_cutmix_inside_cuts_the_map_that_is_there(net):
    """Images of 8 pixels are maps of 6 before layer2; its output is averaged, so the head gets no map."""
    x, y = torch.randn(6, 3, 8, 8), torch.arange(6) % K
    mix = Mixer("cutmix", depths=[1], prob=1.0, num_classes=K, seed=0, model=net, layers=["layer2", "head"])
    given, _ = mix(x, y)
    assert torch.equal(given, x)
    logits, plan = net(given), mix.plan
    assert plan.mask.shape == (1, 1, 6, 6)
    assert float(plan.lam) == pytest.approx(float(plan.mask.mean()))
    mix.network.plan = None
    h = F.gelu(net.layer1(x))
    h = torch.where(plan.mask == 1, h, h[plan.perm])
    torch.testing.assert_close(logits, net.head(F.gelu(net.layer2(h)).mean((2, 3))))
    with pytest.raises(ValueError, match="depths: at depth 2 this model has no map"):
        Mixer("cutmix", depths=[2], prob=1.0, num_classes=K, seed=0, model=net, layers=["layer2", "head"])(
            x, y
        )
    with pytest.raises(ValueError, match="needs normalised floats"):
        mix((x * 50).byte(), y)
