"""Batches of examples that are plain numbers: rows of a table, spectrograms."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from msda_train.core.origin import Origin
from msda_train.data.batches import WHOLE, Batches, Draw, upload

Scaling = tuple[np.ndarray, np.ndarray]  # what is subtracted, then what divides; of the shape of an example


class ArrayLoader(Batches):
    """Examples x (N, ...) of any number type, on `device`; batches are float32, (x - centre) / spread where
    there is a `scaling`."""

    def __init__(
        self,
        x: np.ndarray,
        labels: np.ndarray,
        *,
        batch_size: int,
        device: torch.device | str,
        scaling: Scaling | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(len(x), labels, batch_size=batch_size, device=device, seed=seed)
        if scaling is not None:
            centre, spread = scaling
            x = ((x - centre) / spread).astype(np.float32)
        self._x = torch.from_numpy(x if x.flags.writeable else x.copy()).to(self.device)

    def train_batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Batches`."""
        places = upload(self.order(epoch), self.device)
        for batch in self.train_slices():
            chosen = places[batch]
            yield self._x[chosen].float(), self._labels[chosen]

    def train_pairs(self, epoch: int, partners: Draw) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Batches`."""
        order = self.order(epoch)
        both = [upload(each, self.device) for each in (order, partners(order, self.pairing(epoch)))]
        for batch in self.train_slices():
            chosen = torch.cat([places[batch] for places in both])
            yield self._x[chosen].float(), self._labels[chosen]

    def origins(self, epoch: int) -> Iterator[Origin]:
        """See `Batches`."""
        places = upload(self.order(epoch), self.device)
        for batch in self.train_slices():
            chosen = places[batch]
            nowhere = torch.zeros_like(chosen)
            yield Origin(chosen, nowhere, nowhere, nowhere)

    def test_batches(self, turn: slice = WHOLE) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Batches`."""
        for batch in self.test_slices(turn):
            yield self._x[batch].float(), self._labels[batch]


def find_scaling(x: np.ndarray, how: str | None) -> Scaling | None:
    """What `recipe.scaling` makes of training examples x (N, ...), number by number: `standardise` to mean 0
    and deviation 1, `minmax` to 0..1. What does not vary stays, moved to 0."""
    if how is None:
        return None
    whole = x.astype(np.float64)
    centre = whole.mean(axis=0) if how == "standardise" else whole.min(axis=0)
    spread = whole.std(axis=0) if how == "standardise" else whole.max(axis=0) - centre
    return centre, np.where(spread > 1e-12 * np.abs(whole).max(axis=0, initial=0), spread, 1.0)
