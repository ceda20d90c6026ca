"""Where a network looks for a class: class activation maps.

Zhou et al., CVPR 2016, arXiv:1512.04150, equation (2): M_c(x, y) = sum_k w_k^c f_k(x, y), the last features
weighted as the classifier weights their averages. Where a network does not end in an average and one linear
layer: Grad-CAM, Selvaraju et al., ICCV 2017, arXiv:1610.02391, equations (1) and (2), whose weights are the
gradients of the logit, averaged over the map, and which keeps what is positive.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from msda_train.core.errors import UserError
from msda_train.models.staged import GlobalMean

AVERAGES = (GlobalMean, nn.AdaptiveAvgPool2d)


@dataclass(frozen=True)
class ClassMaps:
    """logits (B, K) float32; maps (B, h, w) float32, unscaled, each for the class asked for; kind: cam or
    grad_cam."""

    logits: Tensor
    maps: Tensor
    kind: str


def class_maps(network: nn.Module, x: Tensor, classes: Tensor | None = None) -> ClassMaps:
    """The maps of `classes` (B,), None: those the network names, on normalised images x (B, C, H, W).

    In the mode that `network` is in. UserError where it keeps no map of features (B, C, h, w).
    """
    average = [module for module in network.modules() if isinstance(module, AVERAGES)]
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if average and len(linear) == 1:
        with torch.no_grad():
            logits, features, read = _looked_at(network, x, average[-1], linear[0])
        wanted = logits.argmax(dim=1) if classes is None else classes
        if features.ndim == 4 and read:
            maps = torch.einsum("bchw,bc->bhw", features, linear[0].weight.detach()[wanted].float())
            return ClassMaps(logits, maps, "cam")
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        logits, features, _ = _looked_at(network, x, average[-1] if average else None, None)
        wanted = logits.argmax(dim=1) if classes is None else classes
        asked = logits.gather(1, wanted[:, None]).sum()
        (gradient,) = torch.autograd.grad(asked, features, allow_unused=True)
    if features.ndim != 4 or gradient is None:
        raise _no_map(network)
    weights = gradient.mean(dim=(2, 3))
    maps = torch.einsum("bchw,bc->bhw", features.detach().float(), weights.float())
    return ClassMaps(logits.detach(), maps.relu(), "grad_cam")


def _no_map(network: nn.Module) -> UserError:
    return UserError(
        f"model: {type(network).__name__} keeps no map of features, and so has no class activation map; "
        f"type model=preactresnet18"
    )


def _looked_at(
    network: nn.Module, x: Tensor, average: nn.Module | None, linear: nn.Module | None
) -> tuple[Tensor, Tensor, bool]:
    """float32 logits, the map that `average` takes (None: what the last stage with a map makes), and whether
    `linear` reads the average of all of that map and nothing else: then CAM is exact. UserError where there
    is no map."""
    seen: list[Tensor] = []
    entered: list[Tensor] = []
    averaged: list[Tensor] = []

    def keep(_: nn.Module, inputs: tuple[Tensor, ...], made: Tensor) -> None:
        seen.append(inputs[0])
        averaged.append(made)

    def keep_entered(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        entered.append(inputs[0])

    def keep_made(_: nn.Module, __: object, made: Tensor) -> None:
        if isinstance(made, Tensor) and made.ndim == 4:
            seen.append(made)

    if average is not None:
        hooks = [average.register_forward_hook(keep)]
    else:
        hooks = [stage.register_forward_hook(keep_made) for stage in getattr(network, "stages", ())]
    hooks += [linear.register_forward_pre_hook(keep_entered)] if linear is not None else []
    try:
        logits = network(x).float()
    finally:
        for hook in hooks:
            hook.remove()
    if not seen:
        raise _no_map(network)
    last = seen[-1] if logits.requires_grad else seen[-1].float()
    return logits, last, bool(entered and averaged) and _same(entered[-1], averaged[-1], last)


def _same(entered: Tensor, averaged: Tensor, features: Tensor) -> bool:
    """Whether `entered` is `averaged`, perhaps flattened, with a number for each channel; read off the
    memory, so no value is asked for."""
    one_each = entered.shape == features.shape[:2]
    return one_each and averaged.numel() == entered.numel() and averaged.data_ptr() == entered.data_ptr()


def as_heat(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (B, h, w) at `size` (H, W), bilinear, each scaled to [0, 1]; a map of one value is zeros."""
    wide = F.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    low, high = wide.amin(dim=(1, 2), keepdim=True), wide.amax(dim=(1, 2), keepdim=True)
    rounding = 1e-5 * torch.maximum(low.abs(), high.abs())
    return torch.where(high - low > rounding, (wide - low) / (high - low), 0.0)
