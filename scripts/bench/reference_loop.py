"""The training loop that one finds in repositories of papers, written plainly, as something to compare with.

Per-image PIL transforms in a DataLoader, float32, NCHW, eager, an optimizer with its defaults, and the loss
and two counts fetched from the device in every step, which is the order of events of `train()` in
facebookresearch/mixup-cifar10 train.py (that code itself does not run on current torch). On a CPU there are
no worker processes; beside a GPU there are 8, as there.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from bench.settings import CIFAR_MEAN, CIFAR_STD

WORKERS = 8  # beside a GPU


class PilImages(Dataset[tuple[Tensor, int]]):
    """Images (N, H, W, 3) uint8, one by one through PIL, and their labels."""

    def __init__(self, x: np.ndarray, y: np.ndarray, transform: Any):
        self.x, self.y, self.transform = x, y, transform

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.x[i])), int(self.y[i])


def pil_batches(
    x: np.ndarray, y: np.ndarray, batch: int, *, train: bool, device: torch.device
) -> "DataLoader[Any]":
    """Batches (B, C, H, W) float32 in NCHW and (B,) int64; in training shuffled, padded by 4, cropped and
    flipped."""
    steps = [transforms.ToTensor(), transforms.Normalize(CIFAR_MEAN, CIFAR_STD)]
    if train:
        steps = [transforms.RandomCrop(x.shape[1], padding=4), transforms.RandomHorizontalFlip(), *steps]
    images = PilImages(x, y, transforms.Compose(steps))
    workers = WORKERS if device.type == "cuda" else 0
    return DataLoader(images, batch_size=batch, shuffle=train, num_workers=workers)


def train_step(
    network: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, lam: float, perm: Tensor
) -> tuple[float, float, float]:
    """One mixup step on x (B, C, H, W), y (B,) with partners perm (B,): the loss, and how many predictions
    are the own and how many the partner's label; three values, each fetched by itself."""
    mixed = lam * x + (1 - lam) * x[perm]
    partner = y[perm]
    logits = network(mixed)
    loss = lam * F.cross_entropy(logits, y) + (1 - lam) * F.cross_entropy(logits, partner)
    predicted = logits.argmax(dim=1)
    fetched = loss.item(), float(predicted.eq(y).sum().cpu()), float(predicted.eq(partner).sum().cpu())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return fetched


def train_epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[tuple[Tensor, Tensor]],
    device: torch.device,
) -> float:
    """The mean loss; lam ~ Beta(1, 1) and a permutation for each batch."""
    network.train()
    total, seen = 0.0, 0
    for x, y in batches:
        x, y = x.to(device), y.to(device)
        lam, perm = float(np.random.beta(1.0, 1.0)), torch.randperm(len(x)).to(device)  # noqa: NPY002
        loss, _, _ = train_step(network, optimizer, x, y, lam, perm)
        total, seen = total + loss * len(x), seen + len(x)
    return total / seen


@torch.no_grad()
def reference_error(
    network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], device: torch.device
) -> float:
    """The share of wrong predictions; loss and count are fetched in every step."""
    network.eval()
    wrong, seen, total = 0.0, 0, 0.0
    for x, y in batches:
        x, y = x.to(device), y.to(device)
        logits = network(x)
        total += F.cross_entropy(logits, y).item()
        wrong += float(logits.argmax(dim=1).ne(y).sum().cpu())
        seen += len(x)
    return wrong / seen
