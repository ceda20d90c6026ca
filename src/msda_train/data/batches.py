"""One split in batches: what loaders of all kinds of examples share."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from msda_train.core.errors import UserError
from msda_train.core.origin import Origin
from msda_train.core.randomness import Rng, generator

WHOLE = slice(None)
Draw = Callable[[np.ndarray, Rng], np.ndarray]  # from the numbers (N,) of examples to those of their partners


class Batches:
    """Examples and labels of one split, in batches.

    n: how many examples; labels: (n,) integers. With a `seed` it gives training batches; without one
    `test_batches` only.
    """

    def __init__(
        self,
        n: int,
        labels: np.ndarray,
        *,
        batch_size: int,
        device: torch.device | str,
        seed: int | None = None,
    ) -> None:
        self.n, self.batch_size, self.seed = n, batch_size, seed
        self.device = torch.device(device)
        least, most = (1, None) if seed is None else (2, n)  # one example has no partner
        if batch_size < least:
            raise UserError(f"recipe.batch_size={batch_size}: give {least} or more")
        if most is not None and batch_size > most:
            raise UserError(
                f"recipe.batch_size={batch_size}: there are {most} training examples; give {most} or less"
            )
        self._labels = torch.from_numpy(np.array(labels, dtype=np.int64)).to(self.device)

    def __len__(self) -> int:
        """Batches of an epoch."""
        full, rest = divmod(self.n, self.batch_size)
        made: int = full + (rest > (0 if self.seed is None else 1))
        return made

    def train_batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """x (B, ...) float32, y (B,) int64: each example once, in the order of (seed, epoch).

        The last batch may be smaller; one of a single example is left out: it has no partner to mix with, and
        batch normalisation cannot take it.
        """
        raise NotImplementedError

    def train_pairs(self, epoch: int, partners: Draw) -> Iterator[tuple[Tensor, Tensor]]:
        """`train_batches(epoch)`, each followed by as many rows again: x (2B, ...), y (2B,). Those are the
        examples that `partners` draws for the first ones."""
        raise NotImplementedError

    def origins(self, epoch: int) -> Iterator[Origin]:
        """Where the examples of each of `train_batches(epoch)` come from: the same draws, made once more."""
        raise NotImplementedError

    def test_batches(self, turn: slice = WHOLE) -> Iterator[tuple[Tensor, Tensor]]:
        """x and y as above, but in order, not augmented, and all of them; with a `turn` those batches alone
        that it takes of their list."""
        raise NotImplementedError

    def order(self, epoch: int) -> np.ndarray:
        """(n,) int64: which example comes when; ValueError without a seed."""
        if self.seed is None:
            raise ValueError("a loader without a seed has no training batches")
        return generator(self.seed, "order", epoch).permutation(self.n)

    def pairing(self, epoch: int) -> Rng:
        """The generator that partners of an epoch are drawn from; ValueError without a seed."""
        if self.seed is None:
            raise ValueError("a loader without a seed has no training batches")
        return generator(self.seed, "partners", epoch)

    def train_slices(self) -> Iterator[slice]:
        """Of `order`, batch by batch."""
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield slice(start, min(start + self.batch_size, self.n))

    def test_slices(self, turn: slice = WHOLE) -> Iterator[slice]:
        """Of the stored order, batch by batch, to the end."""
        for start in range(0, self.n, self.batch_size)[turn]:
            yield slice(start, min(start + self.batch_size, self.n))


def upload(array: np.ndarray, device: torch.device) -> Tensor:
    """`array` on the device, without waiting: only from pinned memory is a copy really asynchronous."""
    host = torch.from_numpy(array)
    return (host.pin_memory() if device.type == "cuda" else host).to(device, non_blocking=True)
