"""mixup and CutMix of torchvision, timm and kornia, made as their documentation says.

Each says what it claims: by which paper, with which alpha. timm comes in its three modes; of kornia's CutMix,
whose default labels are announced to change, the form that its documentation calls correct is taken.
"""

import warnings
from collections.abc import Callable, Iterable
from importlib import import_module, metadata
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from msda_train.core.errors import UserError
from msda_train.selfcheck.laws.subject import CLASSES, CUTMIX, MIXUP, Mixer, Subject


def library(name: str) -> list[Subject]:
    """The mixers of one of LIBRARIES. UserError where its package is missing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of another library's imports
            return list(LIBRARIES[name]())
    except ImportError as error:
        raise UserError(f"{name}: is not installed ({error}); type pip install {name}") from None


def used_versions(mixers: Iterable[str]) -> dict[str, str]:
    """The version of torch, of NumPy, and of each library whose mixers, by name, are among `mixers`."""
    packages = {name.split()[0] for name in mixers} & LIBRARIES.keys()
    return {name: metadata.version(name) for name in ("torch", "numpy", *sorted(packages))}


def _torchvision() -> Iterable[Subject]:
    v2 = import_module("torchvision.transforms.v2")
    options = frozenset({"alpha", "num_classes"})
    yield Subject("torchvision MixUp", v2.MixUp, MIXUP, options)
    yield Subject("torchvision CutMix", v2.CutMix, CUTMIX, options)


def _timm() -> Iterable[Subject]:
    timm = import_module("timm.data")
    options = frozenset({"alpha", "prob", "num_classes"})

    def maker(kind: str, mode: str) -> Callable[..., Mixer]:
        def make(alpha: float = 1.0, **more: Any) -> Mixer:
            alphas = {"mixup_alpha": 0.0, "cutmix_alpha": 0.0, f"{kind}_alpha": alpha}
            made: Mixer = timm.Mixup(**alphas, mode=mode, label_smoothing=0.0, **more)
            return made

        return make

    for kind, claims in (("mixup", MIXUP), ("cutmix", CUTMIX)):
        for mode in ("batch", "pair", "elem"):
            yield Subject(f"timm {kind} {mode}", maker(kind, mode), claims, options)


def _kornia() -> Iterable[Subject]:
    kornia = import_module("kornia.augmentation")
    keys = ["input", "class"]

    def mixup(prob: float = 1.0) -> Mixer:
        made = kornia.RandomMixUpV2(p=prob, data_keys=keys)

        def mix(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            mixed, target = made(x, y)  # (B, 3): own class, partner's, the partner's weight
            return mixed, _soft(target[:, 0], target[:, 1], 1 - target[:, 2])

        return mix

    def cutmix(alpha: float = 1.0, prob: float = 1.0) -> Mixer:
        made = kornia.RandomCutMixV2(p=prob, beta=alpha, data_keys=keys, use_correct_lambda=True)

        def mix(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            mixed, target = made(x, y)  # (1, B, 3): own class, partner's, the own weight
            return mixed, _soft(*target[0].unbind(1))

        return mix

    yield Subject("kornia MixUpV2", mixup, MIXUP, frozenset({"prob"}))  # lam ~ U(0, 1): no alpha
    yield Subject("kornia CutMixV2", cutmix, CUTMIX, frozenset({"alpha", "prob"}))


def _soft(own: Tensor, other: Tensor, weight: Tensor) -> Tensor:
    """(B, K) labels with `weight` (B,) on class `own` (B,)."""
    a, b = (F.one_hot(each.long(), CLASSES).to(weight.dtype) for each in (own, other))
    return weight[:, None] * a + (1 - weight)[:, None] * b


LIBRARIES: dict[str, Callable[[], Iterable[Subject]]] = {
    "torchvision": _torchvision,
    "timm": _timm,
    "kornia": _kornia,
}
