"""Faster R-CNN that begins with the layers of a trained ResNet, of torchvision's parts.

Ren et al., NeurIPS 2015, arXiv:1506.01497, as jwyang/faster-rcnn.pytorch has it (res50.yml), which CutMix
(arXiv:1905.04899, appendix C) names: regions are proposed on `layer3`'s output, each is looked at by `layer4`
on 7x7 points of its own; the stem, `layer1` and all BatchNorms stay as they are. Anchors, matching, losses
and suppression are torchvision's, with the program's numbers; in the second stage its loss of boxes is
steeper near 0 (quadratic up to 1/9; the program's up to 1). Colours are normalised as for the trained
network; the program subtracts means of VGG's.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import relu

from msda_train.models.resnet50 import layers_of
from msda_train.models.staged import GlobalMean

ANCHOR_SIDES = (128, 256, 512)  # pixels of a region; half as high, square and twice as high each
RPN_CHANNELS = 512


def faster_rcnn(network: nn.Module, classes: int, mean: Sequence[float], std: Sequence[float]) -> nn.Module:
    """torchvision's Faster R-CNN on images (3, H, W) in [0, 1], which it scales to a shorter side of 600
    pixels and a longer one of 1,000 at most; `classes` with the background. `network` is copied; UserError
    where that is no ResNet of torchvision's bottlenecks."""
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.faster_rcnn import FasterRCNN, FastRCNNPredictor
    from torchvision.ops import MultiScaleRoIAlign

    layers = layers_of(network)
    layers[0].requires_grad_(False)
    body: Any = Settled(*layers[:3])
    body.out_channels = layers[2][-1].conv3.out_channels
    channels = layers[3][-1].conv3.out_channels
    predictor: Any = FastRCNNPredictor(channels, classes)
    nn.init.normal_(predictor.cls_score.weight, std=0.01)
    nn.init.normal_(predictor.bbox_pred.weight, std=0.001)
    for layer in (predictor.cls_score, predictor.bbox_pred):
        nn.init.zeros_(layer.bias)
    options: dict[str, Any] = {
        "min_size": 600,
        "max_size": 1000,
        "image_mean": list(mean),
        "image_std": list(std),
        "rpn_anchor_generator": AnchorGenerator((ANCHOR_SIDES,), ((0.5, 1.0, 2.0),)),
        "rpn_head": RegionHead(body.out_channels, 9),
        "rpn_pre_nms_top_n_train": 12_000,
        "rpn_pre_nms_top_n_test": 6_000,
        "rpn_post_nms_top_n_train": 2_000,
        "rpn_post_nms_top_n_test": 300,
        "box_roi_pool": MultiScaleRoIAlign(["0"], output_size=7, sampling_ratio=2),
        "box_head": Settled(layers[3], GlobalMean()),
        "box_predictor": predictor,
        "box_score_thresh": 0.0,
        "box_nms_thresh": 0.3,
        "box_batch_size_per_image": 256,
    }
    made: nn.Module = FasterRCNN(body, **options)
    return made


class Settled(nn.Sequential):
    """Layers one after another whose BatchNorms are what they were, statistics and weights."""

    def __init__(self, *layers: nn.Module):
        super().__init__(*layers)
        for norm in self._norms():
            norm.requires_grad_(False)

    def train(self, mode: bool = True) -> "Settled":
        """Of all layers but the norms."""
        super().train(mode)
        for norm in self._norms():
            norm.eval()
        return self

    def _norms(self) -> list[nn.Module]:
        return [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]


class RegionHead(nn.Module):
    """Where something may be: a score and four numbers for each anchor of each point. torchvision's own is as
    wide as its input, the program's has RPN_CHANNELS."""

    def __init__(self, channels: int, anchors: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, RPN_CHANNELS, 3, padding=1)
        self.score = nn.Conv2d(RPN_CHANNELS, anchors, 1)
        self.box = nn.Conv2d(RPN_CHANNELS, 4 * anchors, 1)
        for layer in (self.conv, self.score, self.box):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, maps: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Of each map (B, C, H, W): scores (B, A, H, W) and boxes (B, 4A, H, W)."""
        inside = [relu(self.conv(each)) for each in maps]
        return [self.score(x) for x in inside], [self.box(x) for x in inside]
