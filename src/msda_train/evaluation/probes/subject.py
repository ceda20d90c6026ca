"""What a probe looks at, and what it gives back."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from msda_train.core.errors import UserError
from msda_train.data.examples import Examples
from msda_train.data.images import Images

BATCH = 500


def _unseen(items: Iterator[Any], total: int, label: str) -> Iterator[Any]:
    return items


class NeedsPictures(UserError):
    """The probe says nothing of such examples."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A trained network with the examples it was trained and tested on. Of other examples than pictures
    "pixels" are the stored numbers (B, ...).

    network: in evaluation mode on `device`, from normalised images (B, C, H, W) to logits (B, K).
    mean, std: of its normalisation, one number per channel, of pixels in [0, 1]; of other examples one for
    each of their numbers.
    autocast: the precision of the run; used where a number has to be the run's own (logits).
    seed: of the run; a probe draws from `generator(seed, "probe/NAME", ...)`.
    config: the run's resolved dataset, model, method and recipe.
    stored_logits: (N, K) of the test set where an earlier probe left them; None: they are computed.
    progress: wraps an iterator of batches, given how many and a label, with a bar.
    readers: processes that read files for a probe; 0: none beside this one.
    folder: of the run, where a long probe keeps what it has so far; None: nowhere.
    """

    network: nn.Module
    images: Examples
    mean: Sequence[float]
    std: Sequence[float]
    device: torch.device
    autocast: Callable[[], AbstractContextManager[Any]]
    seed: int
    config: Mapping[str, Mapping[str, Any]]
    stored_logits: np.ndarray | None = None
    progress: Callable[[Iterator[Any], int, str], Iterator[Any]] = _unseen
    readers: int = 0
    folder: Path | None = None

    def normalise(self, pixels: Tensor) -> Tensor:
        """Pixels (B, C, H, W) in [0, 1] as the network takes them."""
        shape = (-1, 1, 1) if isinstance(self.images, Images) else self.images.shape
        mean, std = (torch.tensor(v, device=pixels.device).view(shape) for v in (self.mean, self.std))
        return (pixels - mean) / std

    @property
    def pictures(self) -> Images:
        """The images; UserError where the examples are none."""
        if not isinstance(self.images, Images):
            raise NeedsPictures(f"needs pictures, and these are {self.images.noun}")
        return self.images

    def logits(self, pixels: Tensor) -> Tensor:
        """Logits (B, K) of pixels in [0, 1], differentiable; float32 but inside `autocast`."""
        made: Tensor = self.network(self.normalise(pixels))
        return made

    @property
    def held_out(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Training images and labels that the run was not trained on; None where it saw them all."""
        return self.images.held_out

    def batches(
        self, split: str = "test", limit: int | None = None, batch: int = BATCH
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Pixels (B, C, H, W) float32 in [0, 1], channels_last, and labels (B,), on the device, in the stored
        order, neither cropped nor flipped. `limit`: only the first so many images (the stored order is
        random with respect to class)."""
        x, y = getattr(self.images, f"x_{split}"), getattr(self.images, f"y_{split}")
        n = len(x) if limit is None else min(limit, len(x))
        for start in range(0, n, batch):
            chosen = slice(start, min(start + batch, n))
            yield to_pixels(x[chosen], self.device), torch.from_numpy(np.array(y[chosen])).to(self.device)

    def labels(self, split: str = "test", limit: int | None = None) -> Tensor:
        """(N,) int64 on the CPU."""
        return torch.from_numpy(np.array(getattr(self.images, f"y_{split}")[:limit], dtype=np.int64))

    @cached_property
    def test_logits(self) -> Tensor:
        """(N, K) float32 on the CPU, of the whole test set, computed once, in the run's own precision."""
        if self.stored_logits is not None:
            return torch.from_numpy(self.stored_logits.astype(np.float32))
        made, batches = [], -(-len(self.images.x_test) // BATCH)
        with torch.no_grad():
            for pixels, _ in self.progress(self.batches(), batches, "test logits"):
                with self.autocast():
                    made.append(self.logits(pixels).float().cpu())
        return torch.cat(made)


@dataclass(frozen=True)
class Finding:
    """What a probe found. numbers: name to finite float, errors as fractions; arrays: for plots; remarks:
    what a reader must know (a protocol that no source states); records: of each number its `name` and the
    columns of its setting (measure, attack, eps, bins, ...), plain values; see `results.probe_records`;
    leftovers: files that nobody needs once all this is in the row."""

    numbers: Mapping[str, float]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    remarks: Sequence[str] = ()
    records: Sequence[Mapping[str, Any]] = ()
    leftovers: Sequence[Path] = ()


class Probe(Protocol):
    """A frozen dataclass whose fields are its options; one file each, listed in configs/probes/*.yaml."""

    def __call__(self, subject: Subject) -> Finding:
        """Raises UserError where it cannot be done (no such data set); the other probes go on."""
        ...


def to_pixels(images: np.ndarray, device: torch.device) -> Tensor:
    """(B, H, W, C) uint8 as (B, C, H, W) float32 in [0, 1], channels_last, on `device`; other examples as
    they are, float32."""
    raw = torch.from_numpy(np.array(images)).to(device, non_blocking=True)  # a copy: maps are read-only
    if raw.dtype != torch.uint8:
        return raw.float()
    return raw.permute(0, 3, 1, 2).float() / 255
