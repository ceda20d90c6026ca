"""mixup and CutMix of torchvision, timm and kornia, called as their documentation says.

timm and kornia are optional (`pip install msda-train[bench]`). What differs from ours is theirs to choose:
torchvision pairs neighbours; timm pairs an image with the one at the other end of the batch, and mixes in
place; kornia draws one lam per image. None of them draws from our generators.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

NAMES = ("torchvision", "timm", "kornia")


@dataclass(frozen=True)
class Peer:
    """mix: images (B, C, H, W) float32 and labels (B,) to mixed images and labels in the library's own form;
    dense: that form as (B, K) weights."""

    mix: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    dense: Callable[[Tensor], Tensor]


def peer(name: str, kind: str, classes: int) -> Peer | None:
    """`name` of NAMES, `kind` mixup or cutmix, alpha 1, applied every time; None where it is missing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of another library's imports
            return _MAKERS[name](kind, classes)
    except ImportError:
        return None


def _torchvision(kind: str, classes: int) -> Peer:
    v2 = import_module("torchvision.transforms.v2")
    made = (v2.MixUp if kind == "mixup" else v2.CutMix)(alpha=1.0, num_classes=classes)
    return Peer(made, lambda target: target)


def _timm(kind: str, classes: int) -> Peer:
    timm = import_module("timm.data")
    alphas = {"mixup_alpha": 1.0, "cutmix_alpha": 0.0}
    if kind == "cutmix":
        alphas = {"mixup_alpha": 0.0, "cutmix_alpha": 1.0}
    made = timm.Mixup(**alphas, mode="batch", label_smoothing=0.0, num_classes=classes)
    return Peer(made, lambda target: target)


def _kornia(kind: str, classes: int) -> Peer:
    kornia = import_module("kornia.augmentation")
    keys = ["input", "class"]
    made: Any
    if kind == "mixup":
        made = kornia.RandomMixUpV2(data_keys=keys)
    else:
        made = kornia.RandomCutMixV2(data_keys=keys, use_correct_lambda=True)

    def mix(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        mixed, target = made(x, y)
        return mixed, target

    def dense(target: Tensor) -> Tensor:
        own, other, weight = target.reshape(-1, 3).unbind(1)
        lam = 1 - weight if kind == "mixup" else weight  # their two classes mean opposite things by it
        hot = [F.one_hot(labels.long(), classes).float() for labels in (own, other)]
        return lam[:, None] * hot[0] + (1 - lam)[:, None] * hot[1]

    return Peer(mix, dense)


_MAKERS = {"torchvision": _torchvision, "timm": _timm, "kornia": _kornia}


def versions() -> dict[str, str]:
    """What is installed of NAMES; "-" where nothing is."""
    found = {}
    for name in NAMES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "-"
    return found


def label_mass_error(mixed: Tensor, weights: Tensor) -> float:
    """How far label weights (B, K) are from the share of each class in mixed images (B, K, H, W), whose
    originals were 1 in the channel of their class and 0 in the others. 0 for an honest mixer."""
    return float((torch.as_tensor(mixed).mean(dim=(2, 3)) - weights).abs().max())
