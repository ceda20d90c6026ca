"""SSD300 that begins with the network, on Pascal VOC: CutMix's Table 10 (arXiv:1905.04899, appendix C).

From amdegroot/ssd.pytorch, which it names, are momentum 0.9, weight decay 0.0005 of all weights, and the
images of SSD's paper: other colours, a larger canvas, crops that hold objects, flips; here by torchvision's
transforms.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from msda_train.evaluation.object_detection import MOMENTUM, ObjectDetection
from msda_train.evaluation.probes.subject import Subject
from msda_train.models.ssd import ssd300

WEIGHT_DECAY = 0.0005


@dataclass(frozen=True)
class Ssd(ObjectDetection):
    """See `ObjectDetection`."""

    name: ClassVar[str] = "ssd"
    detector = staticmethod(ssd300)
    remarks: ClassVar[Sequence[str]] = ("which layers stand behind layer2 in SSD is not stated",)

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Of all weights."""
        return torch.optim.SGD(network.parameters(), lr=self.lr, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)

    def augmented(self, subject: Subject) -> list[Any]:
        """See the head; the larger canvas is of the mean colour, as the program's."""
        from torchvision.transforms import v2

        canvas = v2.RandomZoomOut(fill=[255 * mean for mean in subject.mean])
        return [v2.RandomPhotometricDistort(), canvas, v2.RandomIoUCrop(), v2.RandomHorizontalFlip()]
