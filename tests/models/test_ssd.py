"""SSD300 on a ResNet: the maps and boxes of its paper, layers of its own, and that it learns."""

import pytest
import torch

from msda_train.core.errors import UserError
from msda_train.functional.localisation import iou
from msda_train.models.preactresnet import preactresnet
from msda_train.models.resnet50 import resnet50
from msda_train.models.ssd import ssd300

MEAN, STD = [0.45] * 3, [0.25] * 3


@pytest.fixture(scope="module")
def network():
    """torchvision's layers, as few and as narrow as can be; their outputs are as wide as ResNet-50's."""
    torch.manual_seed(0)
    return resnet50([1, 1, 1, 1], 8, classes=5, channels=3).eval()


def test_its_maps_and_boxes_are_those_of_the_paper(network):
    detector = ssd300(network, 21, MEAN, STD).eval()
    with torch.no_grad():
        maps = list(detector.backbone(torch.randn(1, 3, 300, 300)).values())
    assert [each.shape[-1] for each in maps] == [38, 19, 10, 5, 3, 1]
    assert [each.shape[1] for each in maps] == [512, 1024, 512, 256, 256, 256]
    torch.testing.assert_close(maps[0].norm(dim=1), torch.full((1, 38, 38), 20.0))
    assert (detector.topk_candidates, detector.detections_per_img) == (200, 4000)
    assert (detector.score_thresh, detector.nms_thresh) == (0.01, 0.45)
    counts = detector.anchor_generator.num_anchors_per_location()
    assert counts == [4, 6, 6, 6, 4, 4]
    assert sum(n * each.shape[-1] ** 2 for n, each in zip(counts, maps, strict=True)) == 8732


def test_the_first_boxes_have_the_program_s_sides(network):
    """30 and sqrt(30 x 60) pixels, as amdegroot/ssd.pytorch's min_sizes and max_sizes say; the next 60."""
    generator = ssd300(network, 21, MEAN, STD).anchor_generator
    sides = [300 * generator._wh_pairs[k] for k in (0, 1)]
    torch.testing.assert_close(sides[0][:2], torch.tensor([[30.0, 30.0], [1800**0.5] * 2]))
    torch.testing.assert_close(sides[1][:2], torch.tensor([[60.0, 60.0], [(60 * 111) ** 0.5] * 2]))


def test_it_begins_with_the_network_and_leaves_that_alone(network):
    detector = ssd300(network, 21, MEAN, STD)
    stem = detector.backbone.first[0][0]
    assert torch.equal(stem.weight, network.stages[0][0][0].weight)
    with torch.no_grad():
        stem.weight.zero_()
    assert network.stages[0][0][0].weight.abs().sum() > 0
    with torch.no_grad():  # the same layers in the same order
        whole = ssd300(network, 21, MEAN, STD).eval().backbone
        x = torch.randn(1, 3, 64, 64)
        after = network.stages[1](network.stages[0](x))
        torch.testing.assert_close(whole.first(x), after)
        torch.testing.assert_close(whole.second(after), network.stages[2](after))


def test_it_learns_where_two_things_are(network):
    torch.manual_seed(0)
    detector = ssd300(network, 3, MEAN, STD).train()
    images = [torch.full((3, 120, 120), 0.45) for _ in range(2)]
    boxes = [[30.0, 20, 90, 80], [10.0, 40, 80, 110]]
    images[0][0, 20:80, 30:90], images[1][2, 40:110, 10:80] = 1, 1
    told = [{"boxes": torch.tensor([box]), "labels": torch.tensor([k])} for k, box in enumerate(boxes, 1)]
    optimizer = torch.optim.Adam(detector.parameters(), lr=0.003)
    for _ in range(32):
        optimizer.zero_grad()
        sum(detector(images, told).values()).backward()
        optimizer.step()
    with torch.no_grad():
        found = detector.eval()(images)
    for k, (each, box) in enumerate(zip(found, boxes, strict=True), 1):
        assert int(each["labels"][0]) == k
        assert iou(each["boxes"][0].numpy(), box) > 0.5


def test_other_networks_are_refused():
    with pytest.raises(UserError, match="train model=resnet50"):
        ssd300(preactresnet([1, 1], 4, "manifold", 1, classes=10, channels=3), 21, MEAN, STD)
