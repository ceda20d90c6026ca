"""Logits of images that are not the test set, as the run itself would compute them."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from msda_train.evaluation.probes.subject import BATCH, Subject, to_pixels


def run_logits(subject: Subject, batches: Iterable[Tensor]) -> Tensor:
    """(N, K) float32 on the CPU, in the run's own precision, of pixels (B, C, H, W) in [0, 1]."""
    made = []
    with torch.no_grad():
        for pixels in batches:
            with subject.autocast():
                made.append(subject.network(subject.normalise(pixels)).float().cpu())
    return torch.cat(made)


def pixel_batches(images: np.ndarray, device: torch.device) -> Iterator[Tensor]:
    """Images (N, H, W, C) uint8 as pixels (B, C, H, W) in [0, 1] on `device`."""
    for start in range(0, len(images), BATCH):
        yield to_pixels(images[start : start + BATCH], device)
