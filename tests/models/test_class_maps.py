"""Class activation maps by hand: the average of a map is the logit; Grad-CAM against numbers of our own."""

import pytest
import torch
from torch import nn

from msda_train.core.errors import UserError
from msda_train.models.class_maps import as_heat, class_maps
from msda_train.models.preactresnet import preactresnet
from msda_train.models.resnet50 import resnet50
from msda_train.models.staged import GlobalMean, Staged


def of_average(network, x):
    made = class_maps(network, x)
    logits = network(x)
    named = logits.argmax(dim=1)
    bias = next(m for m in network.modules() if isinstance(m, nn.Linear)).bias[named]
    found, expected = made.maps.mean(dim=(1, 2)) + bias, logits.max(dim=1).values
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert made.kind == "cam"
    torch.testing.assert_close(made.logits, logits)
    return made


def test_the_average_of_a_map_is_the_logit():
    torch.manual_seed(0)
    network = preactresnet([1, 1, 1], 4, "manifold", 1, classes=5, channels=1).eval()
    made = of_average(network, torch.randn(3, 1, 16, 16))
    assert made.maps.shape == (3, 4, 4)
    assert not made.maps.requires_grad


def test_also_where_the_average_is_torchs_own():
    torch.manual_seed(0)
    network = resnet50([1, 1, 1, 1], 8, classes=5, channels=3).eval()
    assert of_average(network, torch.randn(2, 3, 64, 64)).maps.shape == (2, 2, 2)


def test_the_map_of_another_class():
    torch.manual_seed(0)
    network = Staged([nn.Conv2d(1, 2, 1), nn.Sequential(GlobalMean(), nn.Linear(2, 3))]).eval()
    x = torch.randn(2, 1, 4, 4)
    wanted = torch.tensor([2, 0])
    features, weight = network.stages[0](x), network.stages[1][1].weight
    weights = weight[wanted][:, :, None, None]
    expected = torch.stack([(h * w).sum(dim=0) for h, w in zip(features, weights, strict=True)])
    torch.testing.assert_close(class_maps(network, x, wanted).maps, expected.detach())


def test_grad_cam_where_there_are_several_layers_behind_the_map():
    torch.manual_seed(0)
    head = nn.Sequential(nn.Flatten(), nn.Linear(2 * 9, 8), nn.Tanh(), nn.Linear(8, 3))
    network = Staged([nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU()), head]).eval()
    x = torch.randn(2, 1, 4, 4)
    made = class_maps(network, x, torch.tensor([1, 2]))
    assert made.kind == "grad_cam"
    for b, k in enumerate((1, 2)):
        features = network.stages[0](x[b : b + 1]).detach().requires_grad_()
        network.stages[1](features)[0, k].backward()
        alpha = features.grad[0].mean(dim=(1, 2))
        by_hand = (alpha[:, None, None] * features.detach()[0]).sum(dim=0).clamp(min=0)
        torch.testing.assert_close(made.maps[b], by_hand)


def test_nothing_is_left_behind():
    network = preactresnet([1, 1, 1], 4, "manifold", 1, classes=5, channels=1).eval()
    class_maps(network, torch.randn(1, 1, 16, 16))
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in network.modules())
    assert all(weight.grad is None for weight in network.parameters())


def test_a_network_without_a_map():
    network = Staged([nn.Linear(4, 8), nn.Linear(8, 3)])
    with pytest.raises(UserError, match="no class activation map"):
        class_maps(network, torch.randn(2, 4))


def test_heat_is_scaled_for_each_image():
    heat = as_heat(torch.tensor([[[0.0, 2.0], [4.0, 2.0]], [[3.0, 3.0], [3.0, 3.0]]]), (2, 2))
    torch.testing.assert_close(heat[0], torch.tensor([[0.0, 0.5], [1.0, 0.5]]))
    assert heat[1].tolist() == [[0, 0], [0, 0]]  # of a constant map nothing stands out
    assert as_heat(torch.rand(1, 2, 2), (7, 9)).shape == (1, 7, 9)


class Squeezed(nn.Module):
    """A map with squeeze and excitation, averaged by hand: the last pooling layer is not the classifier's."""

    def __init__(self):
        super().__init__()
        self.body, self.pool, self.gate = nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        h = self.body(x)
        return self.head((h * self.gate(self.pool(h)).sigmoid()).mean((2, 3)))


def test_another_average_than_the_classifiers_is_no_cam():
    torch.manual_seed(0)
    assert class_maps(Squeezed().eval(), torch.randn(2, 1, 8, 8)).kind == "grad_cam"


def test_an_average_of_several_cells_is_no_cam():
    layers = [nn.Conv2d(1, 2, 1), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(8, 3)]
    assert class_maps(nn.Sequential(*layers).eval(), torch.randn(2, 1, 8, 8)).kind == "grad_cam"


@torch.no_grad()
def test_grad_cam_takes_its_gradient_whoever_calls():
    head = nn.Sequential(nn.Flatten(), nn.Linear(32, 8), nn.Linear(8, 3))
    network = Staged([nn.Conv2d(1, 2, 1), head]).eval()
    assert class_maps(network, torch.randn(2, 1, 4, 4)).kind == "grad_cam"
