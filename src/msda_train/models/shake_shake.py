"""Shake-Shake: two residual branches, averaged with random weights, others forward than backward.

Gastaldi, arXiv:1705.07485 (2017); code: xgastaldi/shake-shake v1.1, which Cutout's rows use, too
(arXiv:1708.04552). A block adds alpha * branch_1 + (1 - alpha) * branch_2 to its shortcut; going back, beta
stands in alpha's place, for the weights of the branches, too. Both are uniform in (0, 1), drawn independently
for each block and image ("Shake", `per=image`) or batch, or 0.5 ("Even": `forward_shake` or `backward_shake`
false). Evaluation takes 0.5.
- `bottleneck=false`, 26 2x96d on CIFAR-10: (depth - 2) / 6 blocks a group, of `width`, twice and four times
  as many channels. Stem of 16 channels with BatchNorm and no ReLU; branch ReLU-conv3x3-BN-ReLU-conv3x3-BN;
  where the channels change, the shortcut is ReLU, a 1x1 convolution for each half of the channels, of which
  the second sees the image moved by one pixel down and right, and one BatchNorm. ReLU at the end.
- `bottleneck=true`, 29 2x4x64d on CIFAR-100: (depth - 2) / 9 blocks a group, ResNeXt's bottlenecks with
  `cardinality` groups of `width`, twice and four times as many channels, each four times as many at its end.
  Stem of `width` channels with BatchNorm and ReLU; branch conv1x1-BN-ReLU-conv3x3-BN-ReLU-conv1x1-BN;
  shortcut conv1x1-BN where the channels change; ReLU after the sum.
Convolutions start as He normal (fan out) and have no bias, the classifier starts without one.
Depths for mixing: 0 pixels, 1 to 3 after each group.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.gradient import in_type
from msda_train.models.staged import GlobalMean, Staged, he_fan_out

EXPANSION = 4


class Shaken(torch.autograd.Function):
    """alpha * first + (1 - alpha) * second; the gradients are beta * grad and (1 - beta) * grad."""

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
        """Branches (B, C, H, W), alpha and beta float32 of a shape that broadcasts; keeps their type."""
        ctx.save_for_backward(beta)
        return in_type(alpha * first + (1 - alpha) * second, first.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """The coefficients take no gradient: they are draws."""
        (beta,) = ctx.saved_tensors
        (grad,) = grads
        return (beta * grad).to(grad.dtype), ((1 - beta) * grad).to(grad.dtype), None, None


class Coefficients(nn.Module):
    """Draws the coefficients of one block, alpha and beta; those that are not shaken are 0.5."""

    def __init__(self, *, forward_shake: bool, backward_shake: bool, per: str):
        super().__init__()
        self.shaken, self.per = (forward_shake, backward_shake), per

    def forward(self, rows: Tensor) -> Tensor:
        """rows (B, ...) -> (B, 2) float32: alpha and beta of each image."""
        count = rows.shape[0]
        drawn = torch.rand(count if self.per == "image" else 1, 2, device=rows.device).expand(count, 2)
        columns = [drawn[:, k] if self.shaken[k] else torch.full_like(drawn[:, k], 0.5) for k in range(2)]
        return torch.stack(columns, dim=1)


class TwoPaths(nn.Module):
    """Half of the channels from the image, half from the image moved by a pixel down and right."""

    def __init__(self, channels_in: int, channels: int, stride: int):
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Conv2d(channels_in, channels - channels // 2, 1, bias=False)
        self.conv2 = nn.Conv2d(channels_in, channels // 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C, H / stride, W / stride), the side rounded up."""
        moved, step = F.pad(x[..., :-1, :-1], (1, 0, 1, 0)), self.stride
        paths = [self.conv1(x[..., ::step, ::step]), self.conv2(moved[..., ::step, ::step])]
        out: Tensor = self.norm(torch.cat(paths, dim=1))
        return out


def _conv(channels_in: int, channels: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(channels_in, channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(channels)]


class ShakeBlock(nn.Module):
    """Two branches and a shortcut, a basic block or a bottleneck with `groups` in its 3x3 convolution."""

    def __init__(
        self,
        channels_in: int,
        channels: int,
        stride: int,
        *,
        inner: int,
        groups: int,
        coefficients: nn.Module,
    ):
        """inner: channels inside a bottleneck; 0: a basic block."""
        super().__init__()
        self.coefficients = coefficients
        self.before: nn.Module = nn.Identity() if inner else nn.ReLU()
        self.after: nn.Module = nn.ReLU() if inner else nn.Identity()
        branches = []
        for _ in range(2):
            if inner:
                layers = [*_conv(channels_in, inner, 1), nn.ReLU(), *_conv(inner, inner, 3, stride, groups)]
                layers += [nn.ReLU(), *_conv(inner, channels, 1)]
            else:
                layers = [*_conv(channels_in, channels, 3, stride), nn.ReLU(), *_conv(channels, channels, 3)]
            branches.append(nn.Sequential(*layers))
        self.first, self.second = branches
        self.shortcut: nn.Module | None = None
        if channels_in != channels and inner:
            self.shortcut = nn.Sequential(*_conv(channels_in, channels, 1, stride))
        elif channels_in != channels:
            self.shortcut = TwoPaths(channels_in, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C, H / stride, W / stride)."""
        h = self.before(x)
        first, second = self.first(h), self.second(h)
        if self.training:
            alpha, beta = self.coefficients(x[:, :1, 0, 0])[..., None, None, None].unbind(1)
            mean = Shaken.apply(first, second, alpha, beta)
        else:
            mean = 0.5 * (first + second)
        out: Tensor = self.after(mean + (x if self.shortcut is None else self.shortcut(h)))
        return out


def shake_shake(
    depth: int,
    width: int,
    forward_shake: bool,
    backward_shake: bool,
    per: str,
    bottleneck: bool,
    cardinality: int,
    *,
    classes: int,
    channels: int,
) -> Staged:
    """Shake-Shake-`depth` 2x`width`d, of bottlenecks 2x`cardinality`x`width`d; see the head. Raises UserError
    unless depth is 6n + 2, of bottlenecks 9n + 2."""
    checks.flag("model.forward_shake", forward_shake)
    checks.flag("model.backward_shake", backward_shake)
    checks.one_of("model.per", per, ("image", "batch"))
    checks.flag("model.bottleneck", bottleneck)
    checks.whole("model.width", width, least=2)
    checks.whole("model.cardinality", cardinality, least=1)
    if cardinality > 1 and not bottleneck:
        raise UserError("model.cardinality: is of bottlenecks; type model.bottleneck=true, too")
    layers = 9 if bottleneck else 6  # convolutions of a block in each of the three groups
    checks.whole("model.depth", depth, least=layers + 2)
    blocks, rest = divmod(depth - 2, layers)
    if rest:
        wanted = f"is {layers}n + 2; type model.depth={layers * blocks + 2}"
        raise UserError(f"model.depth={depth}: the depth of this Shake-Shake {wanted}")
    channels_in = width if bottleneck else 16
    stem = _conv(channels, channels_in, 3)
    groups: list[list[nn.Module]] = [[*stem, nn.ReLU()] if bottleneck else stem, [], []]
    for i in range(3 * blocks):
        wide = width * 2 ** (i // blocks)
        inner, made = (wide * cardinality, wide * EXPANSION) if bottleneck else (0, wide)
        draws = Coefficients(forward_shake=forward_shake, backward_shake=backward_shake, per=per)
        stride = 2 if i in (blocks, 2 * blocks) else 1
        groups[i // blocks].append(
            ShakeBlock(channels_in, made, stride, inner=inner, groups=cardinality, coefficients=draws)
        )
        channels_in = made
    classifier = nn.Linear(channels_in, classes)
    nn.init.zeros_(classifier.bias)
    last: nn.Module = nn.Identity() if bottleneck else nn.ReLU()
    model = Staged(
        [*(nn.Sequential(*group) for group in groups), nn.Sequential(last, GlobalMean(), classifier)]
    )
    he_fan_out(model)
    return model
