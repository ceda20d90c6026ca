"""Where a trained classifier looks: its last feature map as attention over the cells of a grid.

Walawalkar et al., ICASSP 2020, arXiv:2003.13048: the image is enlarged to 224 pixels, where the last feature
map of an ImageNet classifier has 7 x 7 cells of 32 pixels, and the cells with the largest values are the
attentive ones.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from msda_train.core.errors import UserError
from msda_train.core.origin import Origin

IMAGENET = ("resnet50", "resnet18")  # torchvision's names
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CELL = 32  # pixels an ImageNet classifier's last map has for one cell


class Teacher(nn.Module):
    """Frozen, in evaluation mode: normalised images (B, C, H, W) to a feature map (B, C', h, w).

    scale, shift: (C, 1, 1), what turns our normalisation into what the classifier wants to see.
    side: images are enlarged to so many pixels; None leaves them.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, trunk: nn.Module, scale: Tensor, shift: Tensor, side: int | None):
        super().__init__()
        self.trunk, self.side = trunk, side
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)
        self.to(memory_format=torch.channels_last).eval().requires_grad_(False)

    def check_channels(self, channels: int) -> None:
        """UserError where images of so many channels do not suit."""
        taken = next((p.shape[1] for p in self.trunk.parameters() if p.dim() == 4), channels)
        if channels not in ((1, taken) if self.side else (taken,)):
            raise UserError(f"method.teacher: sees images of {taken} channels; these have {channels}")

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """See the class. Grey images become three equal channels for an ImageNet classifier."""
        x = x * self.scale + self.shift
        if self.side is not None:
            x = F.interpolate(x, size=(self.side, self.side), mode="bilinear", align_corners=False)
        features: Tensor = self.trunk(x)
        return features


class Trunk(nn.Module):
    """A network of stages up to its last map: the head's layers, too, while they keep the map's size, so
    that a final BatchNorm and ReLU count."""

    def __init__(self, stages: Sequence[nn.Module]):
        super().__init__()
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', h, w)."""
        *body, head = self.stages
        for stage in body:
            x = stage(x)
        for layer in head.children():
            out = layer(x)
            if out.dim() != 4 or out.shape[2:] != x.shape[2:]:
                break
            x = out
        return x


def imagenet_teacher(
    name: str, weights: str | None, grid: int, seen: str, mean: Sequence[float], std: Sequence[float]
) -> Teacher:
    """torchvision's `name` (one of IMAGENET) without pooling and classifier; `grid` cells a side.

    weights: a file with the state of torchvision's model; None takes the ImageNet weights that torchvision
    keeps or downloads, whose checksum is part of their name. seen: `pixels` in [0, 1], `imagenet`: these with
    ImageNet's normalisation, `normalised`: our images (of `mean`, `std`) as they are. Raises UserError of one
    line where the weights cannot be had. Leaves torch's generator as it was.
    """
    from torchvision import models  # slow to import: only where it is used

    with torch.random.fork_rng(devices=[]):
        network = models.get_model(name)
    published = models.get_model_weights(name)["IMAGENET1K_V1"]
    state = _download(name, published) if weights is None else _read(weights)
    try:
        network.load_state_dict(state)
    except Exception:  # names, shapes or no state at all
        source = f"method.weights={weights}" if weights else f"the weights torchvision keeps for {name}"
        raise UserError(f"{source}: do not fit torchvision's {name}") from None
    trunk = nn.Sequential(*list(network.children())[:-2])
    to_mean, to_std = {
        "pixels": ((0.0,), (1.0,)),
        "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
        "normalised": (mean, std),
    }[seen]
    scale, shift = _renormalise(mean, std, to_mean, to_std)
    return Teacher(trunk, scale.expand(3, 1, 1), shift.expand(3, 1, 1), side=CELL * grid)


def own_teacher(
    network: Any, recipe: Any, folder: Path, mean: Sequence[float], std: Sequence[float]
) -> Teacher:
    """A finished run's `network`, which sees images of the size it was trained on, with its own `recipe`'s
    normalisation. Raises UserError where the recipe does not say it."""
    try:
        scale, shift = _renormalise(mean, std, recipe["mean"], recipe["std"])
    except (KeyError, TypeError, ValueError, RuntimeError):
        raise UserError(
            f"{folder}: its row names no recipe with a mean and std that suit these images"
        ) from None
    return Teacher(Trunk(network.stages), scale, shift, side=None)


def _renormalise(
    mean: Sequence[float], std: Sequence[float], to_mean: Sequence[float], to_std: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """(C, 1, 1) float32 scale and shift from one normalisation to another; 1 and 0 where they are equal."""
    m, s, tm, ts = (torch.tensor(list(v)).double().view(-1, 1, 1) for v in (mean, std, to_mean, to_std))
    return (s / ts).float(), ((m - tm) / ts).float()


def _download(name: str, published: Any) -> dict[str, Any]:
    """The first ImageNet weights that torchvision `published`, from its cache or its server."""
    try:
        return dict(published.get_state_dict(progress=False, check_hash=True, weights_only=True))
    except Exception as e:  # no network, another file under this name, a full disk, a damaged cache
        why = " ".join(str(e).split())[:100]
        raise UserError(
            f"method.teacher={name}: its ImageNet weights cannot be had ({why}); run once online, "
            f"or type method.weights=FILE with {Path(published.url).name}"
        ) from None


def _read(path: str) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"method.weights={path}: no such file") from None
    except Exception:  # a cut file fails in the zip reader or the unpickler, each in its own way
        raise UserError(f"method.weights={path}: is no whole file of weights that torch.save wrote") from None


def attend(features: Tensor, kind: str) -> Tensor:
    """(B, h, w) float32 attention of features (B, C, h, w): `channel_mean`, or `last_channel` alone."""
    features = features.float()
    return features.mean(dim=1) if kind == "channel_mean" else features[:, -1]


def of_crops(attention: Tensor, origin: Origin, height: int, width: int) -> Tensor:
    """(B, h, w) float32 attention to the crops of `origin`, from that to their whole images (B, h, w),
    mirrored where the crops are; both are of height x width pixels.

    A cell's value counts for all of its pixels, the image's mean for those of the black frame, and a cell of
    the crop takes the average of its pixels. Where nothing was moved the numbers stay the very same.
    """
    right = torch.where(origin.mirrored > 0, -origin.right, origin.right)
    rows = _moved(attention.shape[1], origin.down * (attention.shape[1] / height))
    columns = _moved(attention.shape[2], right * (attention.shape[2] / width))
    inside = rows.sum(dim=2)[:, :, None] * columns.sum(dim=2)[:, None, :]
    frame = (1 - inside) * attention.mean(dim=(1, 2), keepdim=True)
    return _weighed(rows, attention, columns) + frame


def _moved(cells: int, shift: Tensor) -> Tensor:
    """(B, cells, cells) float32, how much of each cell of a crop, `shift` (B,) cells further on, lies in each
    of its image's: two intervals of length 1."""
    cell = torch.arange(cells, device=shift.device)
    return (1 - ((cell + shift[:, None])[:, :, None] - cell).abs()).clamp(min=0)


def top_cells(attention: Tensor, count: Tensor) -> Tensor:
    """(B, 1, h, w) float32, 1 in the `count` (B,) or (1,) cells of largest attention (B, h, w); of equal ones
    the first in reading order count."""
    order = attention.flatten(1).argsort(dim=1, descending=True, stable=True)
    cells = torch.zeros(order.shape, device=order.device)
    rank = torch.arange(order.shape[1], device=order.device)
    chosen = (rank < count[:, None]).float().expand_as(cells)
    return cells.scatter(1, order, chosen).view(attention.shape)[:, None]


def over_pixels(cells: Tensor, height: int, width: int, borders: str) -> Tensor:
    """(B, 1, height, width) float32 of cells (B, 1, h, w), which need not divide the image.

    `soft`: the share of a pixel's area that lies in cells of 1, so the mean stays that of the cells;
    `hard`: the cell that the pixel's centre lies in.
    """
    rows, columns = (
        _overlap(n, side, borders).to(cells.device, non_blocking=True)
        for n, side in ((cells.shape[2], height), (cells.shape[3], width))
    )
    return _weighed(rows, cells, columns)


def _weighed(rows: Tensor, cells: Tensor, columns: Tensor) -> Tensor:
    """(..., R, C) float32 rows @ cells @ columns.T: weights (..., R, h) and (..., C, w) of cells (..., h, w).
    In doubles, which neither autocast nor TF32 shortens, so that weights of 1 give 1."""
    return (rows.double() @ cells.double() @ columns.double().mT).float()


def _overlap(cells: int, side: int, borders: str) -> Tensor:
    """(side, cells) float64, how much of each pixel lies in each cell; rows sum to 1."""
    pixel = torch.arange(side, dtype=torch.float64)[:, None] * cells / side  # where it begins, in cells
    cell = torch.arange(cells, dtype=torch.float64)[None, :]
    size = cells / side
    if borders == "hard":
        return ((pixel + size / 2).floor() == cell).double()
    common = torch.minimum(pixel + size, cell + 1) - torch.maximum(pixel, cell)
    return common.clamp(min=0) / size
