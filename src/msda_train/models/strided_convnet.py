"""Convolutions with a stride and one linear layer: the classifier of Manifold Mixup's Table 8.

arXiv:1806.05236, as vikasverma1077/manifold_mixup supervised/classifier_synth.py builds it: kernels of 5 with
biases and padding 2, each halves the sides; batch normalisation; LeakyReLU, but none behind the last one.
Torch's own initialisation. Depths for mixing: 0 the image, k the output of the k-th convolution and its norm.

There one unit and a sigmoid tell two classes apart. Softmax of the logits (0, z) is that very sigmoid, and
cross entropy its binary one: `one_unit`. Of two units, each with a step of its own, Adam would move the
difference twice as fast.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.models.staged import Staged, check_size

KERNEL = 5


class OneUnit(nn.Linear):
    """Logits (B, 2) of features (B, N): 0, and what the one unit says."""

    def __init__(self, features: int) -> None:
        super().__init__(features, 1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return F.pad(super().forward(x), (1, 0))


def strided_convnet(
    size: Sequence[int],
    widths: Sequence[int],
    slope: float,
    one_unit: bool,
    *,
    classes: int,
    channels: int,
) -> Staged:
    """Logits (B, classes) of images (B, channels, height, width) of `size`. widths: maps of each convolution;
    slope: of LeakyReLU below 0; one_unit: see above."""
    high, wide = check_size(size, least=1)
    if isinstance(widths, str | int) or not widths:
        raise UserError(f"model.widths={widths}: must be a list; type model.widths=[32,64,128,256]")
    checks.fraction("model.slope", slope)
    checks.flag("model.one_unit", one_unit)
    if one_unit and classes != 2:
        raise UserError(
            f"model.one_unit=true: tells 2 classes apart, not {classes}; type model.one_unit=false"
        )
    stages: list[nn.Module] = []
    for k, width in enumerate(widths):
        checks.whole("model.widths", width, least=1)
        conv = nn.Conv2d(channels, width, KERNEL, stride=2, padding=KERNEL // 2)
        last = k + 1 == len(widths)
        stages.append(nn.Sequential(conv, nn.BatchNorm2d(width), *([] if last else [nn.LeakyReLU(slope)])))
        channels, high, wide = width, (high + 1) // 2, (wide + 1) // 2
    features = channels * high * wide
    head = OneUnit(features) if one_unit else nn.Linear(features, classes)
    return Staged([*stages, nn.Sequential(nn.Flatten(), head)])
