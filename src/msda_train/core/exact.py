"""float32 for what loses too much in bf16, whatever the step's autocast says."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor


def exact(x: Tensor) -> AbstractContextManager[Any]:
    """No autocast where x lies; torch knows none for tensors without values. What is made of x inside is of
    x's type, so it is `x.float()` that makes it float32."""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)
