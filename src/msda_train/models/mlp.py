"""A multi-layer perceptron for rows of a table: fully connected layers with ReLU between them.

mixup (arXiv:1710.09412) trains its tables with two hidden layers of 128 units. Torch's own initialisation.
Depths for mixing: 0 the row itself, k the k-th hidden layer.
"""

from collections.abc import Sequence

from torch import nn

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.models.staged import Staged


def mlp(hidden: Sequence[int], dropout: float, *, classes: int, channels: int) -> Staged:
    """Logits (B, classes) from rows (B, channels); `hidden`: units of each hidden layer."""
    if isinstance(hidden, str | int):
        raise UserError(f"model.hidden={hidden}: must be a list; type model.hidden=[128,128]")
    checks.fraction("model.dropout", dropout)
    stages: list[nn.Module] = []
    units = channels
    for width in hidden:
        checks.whole("model.hidden", width, least=1)
        stages.append(nn.Sequential(nn.Linear(units, width), nn.ReLU(), nn.Dropout(dropout)))
        units = width
    return Staged([*stages, nn.Linear(units, classes)])
