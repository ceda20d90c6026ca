"""Vision transformer with a class token, as DeiT trains it: DeiT-S and its relatives.

Dosovitskiy et al., ICLR 2021, arXiv:2010.11929, equations (1) to (4); Touvron et al., ICML 2021,
arXiv:2012.12877, without distillation. Patches are embedded by a convolution, a class token goes first, a
learned position is added; blocks x + attention(LN(x)), x + MLP(LN(x)) with GELU and an MLP four times as
wide; the classifier reads the class token behind a last LayerNorm (eps 1e-6). Both branches of a block are
dropped per sample, at a rate that rises linearly from 0 in the first block to `drop_path` in the last, and
what stays is divided by its probability (timm's drop_path).
First weights: linear layers, class token and positions truncated normal of deviation 0.02, biases 0. The
convolution: `init=deit`, as torch draws it (facebookresearch/deit on timm 0.3.2); `init=openmixup`, like
the linear layers.
DeiT-S is width 384, 12 blocks, 6 heads: 22.05 M parameters for 1,000 classes (22,050,664).
Depths for mixing: 0 pixels, then the tokens (B, 1 + N, width) after each quarter of the blocks, so 2 is
after six.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import gcd

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.models.staged import Pooling, Staged, check_size

TOKENS_A_SIDE = 14  # of 224 pixels in patches of 16: what a hint comes near to


class DropPath(nn.Module):
    """Zero for a sample's whole branch (B, N, C) with probability `rate`, else divided by 1 - rate; nothing
    in evaluation."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, h: Tensor) -> Tensor:
        """(B, N, C) -> the same shape and type."""
        if not self.training or self.rate == 0:
            return h
        kept = torch.rand(h.shape[0], 1, 1, device=h.device) >= self.rate
        return h * (kept / (1 - self.rate)).to(h.dtype)


class SelfAttention(nn.Module):
    """Multi-head self-attention over tokens (B, N, C). With `attend` it keeps, of its latest call, what the
    class token looked at: see `Attends` in core/mix.py."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.attend = False
        self.attention: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> the same."""
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if self.attend:
            self.attention = _of_class_token(q.detach(), k.detach())
        mixed = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(batch, tokens, width))
        return out


def _of_class_token(q: Tensor, k: Tensor) -> Tensor:
    """q, k (B, heads, 1 + N, d) -> (B, N) float32. One row of the attention matrix; no matmul, which autocast
    would round."""
    scores = (q[:, :, :1].float() * k.float()).sum(-1) * q.shape[-1] ** -0.5
    shares: Tensor = scores.softmax(-1)[..., 1:].mean(1)
    return shares


class Block(nn.Module):
    """x + attention(LN(x)), then x + MLP(LN(x))."""

    def __init__(self, width: int, heads: int, rate: float):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attention = SelfAttention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.drop = DropPath(rate)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> the same."""
        x = x + self.drop(self.attention(self.norm1(x)))
        out: Tensor = x + self.drop(self.mlp(self.norm2(x)))
        return out


class Embed(nn.Module):
    """Images (B, C, H, W) of one size to tokens (B, 1 + N, width), the class token first."""

    def __init__(self, channels: int, size: tuple[int, int], patch: int, width: int):
        super().__init__()
        self.size = size
        self.patches = nn.Conv2d(channels, width, patch, patch)
        count = (size[0] // patch) * (size[1] // patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.zeros(1, 1 + count, width))

    def forward(self, x: Tensor) -> Tensor:
        """See the class; raises UserError for images of another size."""
        if x.ndim != 4 or tuple(x.shape[2:]) != self.size:
            raise UserError(_other_size(self.size, x))
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        return torch.cat([self.token.expand(x.shape[0], -1, -1).to(tokens.dtype), tokens], 1) + self.position


class ClassToken(Pooling):
    """(B, N, C) -> (B, C): the first token."""

    def pool(self, x: Tensor) -> Tensor:
        """See the class."""
        return x[:, 0]


class VisionTransformer(Staged):
    """Stages as the head of this file says. `Attends` (core/mix.py)."""

    @property
    def attend(self) -> bool:
        """Whether the last block keeps what its class token looks at."""
        return self._last.attend

    @attend.setter
    def attend(self, on: bool) -> None:
        """Forgets what was kept."""
        self._last.attend, self._last.attention = on, None

    @property
    def attention(self) -> Tensor | None:
        """(B, N) float32 of the latest call, without a gradient; None where `attend` is off."""
        return self._last.attention

    @property
    def _last(self) -> SelfAttention:
        found = self.stages[-2][-1].attention  # type: ignore[index]
        assert isinstance(found, SelfAttention)
        return found


def vision_transformer(
    size: Sequence[int],
    patch: int,
    width: int,
    depth: int,
    heads: int,
    drop_path: float,
    init: str,
    *,
    classes: int,
    channels: int,
) -> VisionTransformer:
    """A transformer of `depth` blocks for images of `size` (height, width) in patches of `patch` pixels a
    side; raises UserError where they do not divide."""
    height, wide = check_size(size, least=1)
    checks.whole("model.patch", patch, least=1)
    checks.whole("model.width", width, least=1)
    checks.whole("model.depth", depth, least=1)
    checks.whole("model.heads", heads, least=1)
    checks.fraction("model.drop_path", drop_path)
    checks.one_of("model.init", init, ("deit", "openmixup"))
    if drop_path == 1:
        raise UserError("model.drop_path=1: no block would be left; type model.drop_path=0.1")
    if width % heads:
        raise UserError(f"model.heads={heads}: must divide model.width={width}; type model.heads=1")
    if height % patch or wide % patch:
        fit = fitting_patch(height, wide)
        raise UserError(
            f"model.patch={patch}: does not divide images of {height}x{wide} pixels; type model.patch={fit}"
        )
    rates = [drop_path * i / max(depth - 1, 1) for i in range(depth)]
    blocks = [Block(width, heads, rate) for rate in rates]
    quarters = min(4, depth)
    cuts = [round(depth * i / quarters) for i in range(quarters + 1)]
    stages = [nn.Sequential(*blocks[a:b]) for a, b in pairwise(cuts)]
    stages[0].insert(0, Embed(channels, (height, wide), patch, width))
    head = nn.Sequential(nn.LayerNorm(width, eps=1e-6), ClassToken(), nn.Linear(width, classes))
    network = VisionTransformer([*stages, head])
    _start(network, init)
    return network


def _start(network: nn.Module, init: str) -> None:
    for module in network.modules():
        if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and init == "openmixup"):
            nn.init.trunc_normal_(module.weight, std=0.02)
            assert module.bias is not None
            nn.init.zeros_(module.bias)
        elif isinstance(module, Embed):
            nn.init.trunc_normal_(module.token, std=0.02)
            nn.init.trunc_normal_(module.position, std=0.02)


def fitting_patch(height: int, width: int) -> int:
    """The patch that divides images of this size and gives about as many tokens a side as 16 of 224."""
    common = gcd(height, width)
    largest = max(min(height, width) // TOKENS_A_SIDE, 1)
    return max(d for d in range(1, largest + 1) if common % d == 0)


def _other_size(size: tuple[int, int], x: Tensor) -> str:
    if x.ndim != 4:
        return "model: a transformer of patches needs pictures; type model=mlp"
    height, width = x.shape[2:]
    return (
        f"model.size=[{size[0]},{size[1]}]: the images have {height}x{width} pixels; type "
        f"model.size=[{height},{width}] model.patch={fitting_patch(height, width)}"
    )
