"""The small network of the speech experiment in mixup's Figure 4 (arXiv:1710.09412), after LeCun et al. 1998.

As adiyoss/GCommandsPytorch model.py builds it, most likely the one of the paper: two convolutions 5x5 with
biases and no padding, each followed by 2x2 maximum pooling and then ReLU; dropout of whole maps behind the
second convolution; a hidden layer with ReLU and dropout. Torch's own initialisation. Depths for mixing:
0 the spectrogram, 1 and 2 after each pooling.
"""

from collections.abc import Sequence

from torch import nn

from msda_train.config import checks
from msda_train.models.staged import Staged, check_size


def lenet(
    size: Sequence[int], width: int, hidden: int, dropout: float, *, classes: int, channels: int
) -> Staged:
    """LeNet for examples of `size` (height, width): `width` maps of either convolution (20), `hidden` units
    (1000)."""
    checks.whole("model.width", width, least=1)
    checks.whole("model.hidden", hidden, least=1)
    checks.fraction("model.dropout", dropout)
    high, wide = (((side - 4) // 2 - 4) // 2 for side in check_size(size, least=16))
    return Staged(
        [
            nn.Sequential(nn.Conv2d(channels, width, 5), nn.MaxPool2d(2), nn.ReLU()),
            nn.Sequential(nn.Conv2d(width, width, 5), nn.Dropout2d(dropout), nn.MaxPool2d(2), nn.ReLU()),
            nn.Sequential(
                nn.Flatten(),
                nn.Linear(width * high * wide, hidden),
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.Linear(hidden, classes),
            ),
        ]
    )
