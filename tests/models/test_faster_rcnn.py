"""Faster R-CNN on a ResNet: what stays as it was, the program's numbers, and that it learns."""

import pytest
import torch
from torch import nn

from msda_train.functional.localisation import iou
from msda_train.models.faster_rcnn import faster_rcnn
from msda_train.models.resnet50 import resnet50


@pytest.fixture(scope="module")
def trained():
    """A detector after some steps on two images, with the network and the images."""
    torch.manual_seed(0)
    network = resnet50([1, 1, 1, 1], 4, classes=5, channels=3).eval()
    detector = faster_rcnn(network, 3, [0.45] * 3, [0.25] * 3).train()
    detector.transform.min_size, detector.transform.max_size = (160,), 200
    detector.roi_heads.fg_bg_sampler.batch_size_per_image = 24
    images = [torch.full((3, 120, 120), 0.45) for _ in range(2)]
    boxes = [[30.0, 20, 90, 80], [10.0, 40, 80, 110]]
    images[0][0, 20:80, 30:90], images[1][2, 40:110, 10:80] = 1, 1
    told = [{"boxes": torch.tensor([box]), "labels": torch.tensor([k])} for k, box in enumerate(boxes, 1)]
    optimizer = torch.optim.Adam([each for each in detector.parameters() if each.requires_grad], lr=0.001)
    for _ in range(20):
        optimizer.zero_grad()
        sum(detector(images, told).values()).backward()
        optimizer.step()
    return network, detector, images, boxes


def test_it_learns_where_two_things_are(trained):
    _, detector, images, boxes = trained
    with torch.no_grad():
        found = detector.eval()(images)
    for k, (each, box) in enumerate(zip(found, boxes, strict=True), 1):
        assert int(each["labels"][0]) == k
        assert iou(each["boxes"][0].numpy(), box) > 0.4


def test_stem_first_layer_and_norms_stay_and_the_rest_moves(trained):
    network, detector, _, _ = trained
    first = detector.backbone[0]
    own = nn.Sequential(*network.stages[0][0], *network.stages[0][1]).state_dict()
    assert all(torch.equal(value, own[name]) for name, value in first.state_dict().items())
    head = detector.roi_heads.box_head[0]
    for mine, theirs in ((detector.backbone[1], network.stages[1]), (head, network.stages[3])):
        norms = [name for name, module in theirs.named_modules() if isinstance(module, nn.BatchNorm2d)]
        before, after = theirs.state_dict(), mine.state_dict()
        for name in before:
            same = torch.equal(before[name], after[name])
            assert same == (name.rpartition(".")[0] in norms), name


def test_the_numbers_are_the_program_s(trained):
    _, detector, _, _ = trained
    rpn, heads = detector.rpn, detector.roi_heads
    assert rpn.head.conv.out_channels == 512
    assert rpn.anchor_generator.num_anchors_per_location() == [9]
    cells = rpn.anchor_generator.cell_anchors[0]
    assert sorted(cells[:, 2] - cells[:, 0])[::8] == pytest.approx([90, 724], abs=2)  # 128 and 512, 1:2
    assert (rpn._pre_nms_top_n, rpn._post_nms_top_n) == (
        {"training": 12_000, "testing": 6_000},
        {"training": 2_000, "testing": 300},
    )
    assert (heads.nms_thresh, heads.score_thresh, heads.detections_per_img) == (0.3, 0.0, 100)
