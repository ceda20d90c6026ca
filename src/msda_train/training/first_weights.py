"""Training that begins with published ImageNet weights, in place of drawn ones.

`recipe.first_weights` is the name of a file as torchvision publishes it, without its ending: behind the dash
stand the first eight digits of its SHA-256, which are checked. So the word, which counts in a fingerprint,
says what is in the file. The last linear layer, and what else the published network has not, keeps its drawn
weights.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from msda_train.core.errors import UserError
from msda_train.training.recipe import FIRST_WEIGHTS

HEADS = ("fc.", "classifier.")  # the layers of torchvision's networks that are left out


def begin_with(network: nn.Module, name: str | None) -> None:
    """Puts the weights of the file `name`, one of FIRST_WEIGHTS, into the first layers of `network`; None
    leaves the drawn ones. Both have the same layers in the same order; UserError where they do not fit, or
    the file cannot be had."""
    if name is None:
        return
    theirs = [value for key, value in _state(name).items() if not key.startswith(HEADS)]
    ours = list(network.state_dict().values())
    if len(ours) <= len(theirs) or any(a.shape != b.shape for a, b in zip(ours, theirs, strict=False)):
        raise UserError(
            f"recipe.first_weights={name}: they are of another network than this model; "
            f"type model={FIRST_WEIGHTS[name]}, or recipe.first_weights=null"
        )
    with torch.no_grad():
        for own, published in zip(ours, theirs, strict=False):
            own.copy_(published)  # what state_dict gives is the network's own memory


def _state(name: str) -> Mapping[str, Tensor]:
    """The state of torchvision's network, from its cache or its server."""
    from torchvision import models  # slow to import: only where it is used

    published: Any = models.get_model_weights(name.partition("-")[0])["IMAGENET1K_V1"]
    file = Path(torch.hub.get_dir(), "checkpoints", f"{name}.pth")
    try:
        state: Mapping[str, Tensor] = published.get_state_dict(
            progress=False, check_hash=True, weights_only=True
        )
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
    except Exception as error:  # no network, a full disk, a damaged cache
        why = " ".join(str(error).split())[:100]
        raise UserError(
            f"recipe.first_weights={name}: cannot be had ({why}); run once online, or put "
            f"{published.url} at {file}"
        ) from None
    if not digest.startswith(name.rpartition("-")[2]):  # torchvision checks what it downloads, not its cache
        raise UserError(f"recipe.first_weights={name}: {file} is another file; delete it and run once online")
    return state
