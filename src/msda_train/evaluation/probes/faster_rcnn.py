"""Faster R-CNN that begins with the network, on Pascal VOC: CutMix's Table 10 and SaliencyMix's Table 3.

arXiv:1905.04899, appendix C, and arXiv:2006.01791, section 4.2, which names no program; CutMix's is
jwyang/faster-rcnn.pytorch. From there (res50.yml) are momentum 0.9, weight decay 0.0001 but for biases, and
images that are flipped and no more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from msda_train.evaluation.object_detection import MOMENTUM, ObjectDetection
from msda_train.evaluation.probes.subject import Subject
from msda_train.models.faster_rcnn import faster_rcnn

WEIGHT_DECAY = 0.0001


@dataclass(frozen=True)
class FasterRcnn(ObjectDetection):
    """See `ObjectDetection`."""

    name: ClassVar[str] = "faster_rcnn"
    detector = staticmethod(faster_rcnn)
    remarks: ClassVar[Sequence[str]] = ("boxes are learned with torchvision's loss",)

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Of what is not settled; biases do not decay."""
        groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
        for name, weight in network.named_parameters():
            if weight.requires_grad:
                groups[name.endswith("bias")].append(weight)
        bare: dict[str, Any] = {"params": groups[True], "weight_decay": 0.0}
        return torch.optim.SGD(
            [{"params": groups[False]}, bare], lr=self.lr, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
        )

    def augmented(self, subject: Subject) -> list[Any]:
        """Flips."""
        from torchvision.transforms import v2

        return [v2.RandomHorizontalFlip()]
