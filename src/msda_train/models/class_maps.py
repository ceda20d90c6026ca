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
    plain = bool(average) and len(linear) == 1
    seen: list[Tensor] = []

    def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(inputs[0])

    def keep_made(_: nn.Module, __: object, made: Tensor) -> None:
        if isinstance(made, Tensor) and made.ndim == 4:
            seen.append(made)

    if average:
        hooks = [average[-1].register_forward_pre_hook(keep)]
    else:
        hooks = [stage.register_forward_hook(keep_made) for stage in getattr(network, "stages", ())]
    try:
        with torch.set_grad_enabled(not plain):
            logits = network(x.detach().requires_grad_(not plain)).float()
    finally:
        for hook in hooks:
            hook.remove()
    if not seen or seen[-1].ndim != 4:
        raise UserError(
            f"{type(network).__name__}: keeps no map of features, and so has no class activation map"
        )
    features = seen[-1]
    wanted = logits.argmax(dim=1) if classes is None else classes
    if plain:
        weights = linear[0].weight.detach()[wanted]
    else:
        (gradient,) = torch.autograd.grad(logits.gather(1, wanted[:, None]).sum(), features)
        weights = gradient.mean(dim=(2, 3))
    maps = torch.einsum("bchw,bc->bhw", features.detach().float(), weights.float())
    return ClassMaps(logits.detach(), maps if plain else maps.relu(), "cam" if plain else "grad_cam")


def as_heat(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (B, h, w) at `size` (H, W), bilinear, each scaled to [0, 1]; a map of one value is zeros."""
    wide = F.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    low, high = wide.amin(dim=(1, 2), keepdim=True), wide.amax(dim=(1, 2), keepdim=True)
    rounding = 1e-5 * torch.maximum(low.abs(), high.abs())
    return torch.where(high - low > rounding, (wide - low) / (high - low), 0.0)
