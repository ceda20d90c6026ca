"""What turns the feature maps of the images of a mix into masks: cross-attention between their positions.

`MixBlock` is AutoMix's and SAMix's (PixelMixBlock of openmixup/models/heads/pmix_block.py), `Generator` is
AdAutoMix's (AdaptiveMask of heads/adaptive_mask.py). Weights begin as N(0, 0.01^2), biases as 0. Everything
here is float32, whatever the caller's autocast says: so the authors do.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from msda_train.core.exact import exact

STD = 0.01  # of initial weights
LAM_INPUTS = ("none", "concat", "scale")
CURVE = 1.25  # SAMix's k + 1, k = 0.25 on CIFAR


def _initial(block: nn.Module) -> None:
    for module in block.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=STD)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def lam_curve(lam: float) -> float:
    """SAMix's lam for its features, flat in the middle: (4/3 lam^3 - 2 lam^2 + k lam) / (k - 2/3), which is 0
    at 0 and 1 at 1; k = CURVE."""
    return (4 / 3 * lam**3 - 2 * lam**2 + CURVE * lam) / (CURVE - 2 / 3)


def attention(query: Tensor, key: Tensor) -> Tensor:
    """softmax over key positions of query . key / sqrt(C): (B, C, h, w) twice -> (B, hw, hw)."""
    q, k = query.flatten(2), key.flatten(2)
    scores: Tensor = q.transpose(1, 2) @ k / q.shape[1] ** 0.5
    return scores.softmax(dim=-1)


class MixBlock(nn.Module):
    """Maps z (own) and z' (partner) and lam -> the share of the own image at every pixel.

    lam_input: how features learn lam: not at all, as one more channel (lam for z, 1 - lam for z'), or scaled
    by 1 + lam_curve. joint: queries and keys are of both maps joined (SAMix), else of one each, by one
    convolution. deep_value: a hidden layer in the value (SAMix). mask_of: `other`, sigmoid of P v(z') is the
    partner's share (openmixup's configs), or `own`, sigmoid of P^T v(z) the own one (its default).
    """

    def __init__(
        self, channels: int, *, lam_input: str, joint: bool, deep_value: bool, mask_of: str, up: str
    ):
        super().__init__()
        self.lam_input, self.mask_of, self.up = lam_input, mask_of, up
        wide = channels + (lam_input == "concat")
        inner = max(channels // 2, 1)
        self.query = nn.Conv2d(2 * wide if joint else wide, inner, 1)
        self.key = nn.Conv2d(2 * wide, inner, 1) if joint else None
        self.value: nn.Module = nn.Conv2d(wide, 1, 1)
        if deep_value:
            hidden = nn.Conv2d(wide, inner, 1, bias=False)
            last = nn.Conv2d(inner, 1, 1, bias=False)
            by_batch = nn.BatchNorm2d(inner, track_running_stats=False)  # nobody asks it after training
            self.value = nn.Sequential(hidden, by_batch, nn.ELU(), last)
        _initial(self)

    def forward(self, own: Tensor, other: Tensor, lam: float, size: tuple[int, int]) -> Tensor:
        """own, other (B, C, h, w) -> (B, 1, H, W) float32 in (0, 1), (H, W) = size."""
        with exact(own):
            own, other = self._told(own.float(), lam), self._told(other.float(), 1 - lam)
            if self.key is None:
                weights = attention(self.query(own), self.query(other))
            else:
                both = torch.cat([own, other], dim=1)
                weights = attention(self.query(both), self.key(both))
            if self.mask_of == "own":
                return torch.sigmoid(self._seen(weights.transpose(1, 2), own, size))
            return 1 - torch.sigmoid(self._seen(weights, other, size))

    def _told(self, z: Tensor, lam: float) -> Tensor:
        if self.lam_input == "concat":
            return torch.cat([z, torch.full_like(z[:, :1], lam)], dim=1)
        return z * (1 + lam_curve(lam)) if self.lam_input == "scale" else z

    def _seen(self, weights: Tensor, z: Tensor, size: tuple[int, int]) -> Tensor:
        seen = (weights @ self.value(z).flatten(2).transpose(1, 2)).transpose(1, 2)
        return enlarged(seen.view(len(z), 1, *z.shape[2:]), size, self.up)


class Generator(nn.Module):
    """Maps of N images -> the share of each at every pixel. An image attends to all the others at once; its
    queries and keys are rectified (mmcv's ConvModule), and shares are a softmax over the images."""

    def __init__(self, channels: int, *, up: str):
        super().__init__()
        inner, self.up = max(channels // 2, 1), up
        self.query, self.key = nn.Conv2d(channels, inner, 1), nn.Conv2d(channels, inner, 1)
        self.value = nn.Conv2d(channels, 1, 1)
        _initial(self)

    def forward(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """N maps (B, C, h, w) -> (B, N, H, W) float32, which sum to 1 over the images; (H, W) = size."""
        with exact(maps[0]):
            maps = [z.float() for z in maps]
            keys = [F.relu(self.key(z)) for z in maps]
            total = torch.stack(keys).sum(dim=0)  # of q . k over the others it is the sum of keys that counts
            seen = []
            for z, key in zip(maps, keys, strict=True):
                weights = attention(F.relu(self.query(z)), total - key)
                value = self.value(z).flatten(2).transpose(1, 2)
                seen.append((weights @ value).transpose(1, 2).view(len(z), 1, *z.shape[2:]))
            return enlarged(torch.cat(seen, dim=1), size, self.up).softmax(dim=1)


def enlarged(z: Tensor, size: tuple[int, int], up: str) -> Tensor:
    """(B, N, h, w) -> (B, N, H, W), `nearest` or `bilinear`."""
    return F.interpolate(z, size=size, mode=up, align_corners=False if up == "bilinear" else None)
