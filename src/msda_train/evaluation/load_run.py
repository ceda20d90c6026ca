"""`msda_train.load_run`: a finished run's network, ready to be used in anybody's code."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor, nn
from torchvision.transforms.functional import center_crop, pil_to_tensor, resize

from msda_train.core.errors import UserError
from msda_train.data.decoding import Unreadable, as_shown, opening
from msda_train.evaluation.finished_run import images_of, node_of, recipe_of
from msda_train.models.trained import CHECKPOINT, find_row, read_finished, with_weights
from msda_train.records.rows import Row
from msda_train.training.inputs import Inputs


@dataclass(frozen=True)
class TrainedRun:
    """A finished run in use.

    network: in evaluation mode on the CPU, from what `transform` makes, x (B, C, H, W), to logits (B, K).
    classes: K names in the order of the logits. row: all that is known of the run. mean, std: what
    `transform` subtracts and then divides by. shape: (C, H, W) of a picture, whatever other examples have.
    """

    network: nn.Module
    classes: tuple[str, ...]
    row: Row
    shape: tuple[int, ...]
    pictures: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def transform(self, example: Any) -> Tensor:
        """`example` as the network was trained on it, float32.

        A picture is a PIL image, an encoded file's bytes, an array (H, W), (H, W, C) or (B, H, W, C) of
        uint8, or a tensor (C, H, W) or (B, C, H, W) of uint8 or of floats in [0, 1]. Files and PIL images
        are turned and laid on white as those of a data set (`data.decoding`). As torchvision's transforms
        do, one picture becomes (C, H, W) and a batch stays a batch. A picture of another size is scaled,
        antialiased, until it covers the network's, and its centre is cut out. Other examples are numbers,
        array or tensor (..., *shape).

        Raises UserError for what is no such thing.
        """
        if not self.pictures:
            return self._numbers(example)
        x = self._pixels(example)
        if x.ndim not in (3, 4) or x.shape[-3] != self.shape[0]:
            raise UserError(
                f"transform: pictures of shape {tuple(x.shape)}; the network takes {self.shape[0]} channels, "
                f"(C, H, W) or (B, C, H, W)"
            )
        if x.dtype != torch.uint8 and not x.is_floating_point():
            raise UserError(f"transform: pixels are {x.dtype}; give uint8, or floats in [0, 1]")
        if tuple(x.shape[-2:]) != self.shape[1:]:
            x = self._of_its_size(x)
        x = x.float() / 255 if x.dtype == torch.uint8 else x.float()
        mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (self.mean, self.std))
        return (x - mean.to(x.device)) / std.to(x.device) if self.mean else x

    def _pixels(self, example: Any) -> Tensor:
        """(..., C, H, W)."""
        if isinstance(example, bytes | bytearray):
            try:
                with opening(bytes(example)) as image:
                    example = as_shown(image)
            except Unreadable as error:
                raise UserError(f"transform: these bytes are no picture ({error})") from None
        if isinstance(example, Image):
            made: Tensor = pil_to_tensor(as_shown(example).convert("L" if self.shape[0] == 1 else "RGB"))
            return made
        if isinstance(example, np.ndarray):
            grey = example.ndim == 2 and self.shape[0] == 1
            tensor = torch.from_numpy(np.array(example[..., None] if grey else example))
            return tensor.movedim(-1, -3) if tensor.ndim in (3, 4) else tensor
        if isinstance(example, Tensor):
            return example
        kind = type(example).__name__
        raise UserError(f"transform: {kind} is no picture; give a PIL image, bytes, an array or a tensor")

    def _of_its_size(self, x: Tensor) -> Tensor:
        height, width = self.shape[1:]
        scale = max(height / x.shape[-2], width / x.shape[-1])
        sides = [max(side, round(scale * of)) for side, of in zip((height, width), x.shape[-2:], strict=True)]
        made: Tensor = center_crop(resize(x, sides, antialias=True), [height, width])
        return made

    def _numbers(self, example: Any) -> Tensor:
        try:
            x = torch.as_tensor(example, dtype=torch.float32)
        except (TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"transform: these are no numbers ({' '.join(str(error).split())})") from None
        if x.shape[x.ndim - len(self.shape) :] != self.shape:
            raise UserError(f"transform: examples of shape {tuple(x.shape)}; the network takes {self.shape}")
        mean, std = (torch.tensor(v).view(self.shape) if v else torch.tensor(d) for v, d in self._scaling())
        return (x - mean.to(x.device)) / std.to(x.device)

    def _scaling(self) -> Sequence[tuple[tuple[float, ...], float]]:
        return (self.mean, 0.0), (self.std, 1.0)


def load_run(place: str | PathLike[str], *, trust: bool = False) -> TrainedRun:
    """The finished run at `place`: its folder, its row.json, or a folder of just one run. Both files may come
    from anywhere: nothing that they name is imported unless it is shipped, or you `trust` it.

    Raises UserError of one line: no row, no checkpoint, a damaged one; for checkpoints from before they held
    the names of classes, also where the run's data are not here.
    """
    row = find_row(Path(place))
    state, progress = read_finished(row)
    node = node_of(row, "model", trust=trust)
    try:
        found = Inputs.stored(progress["inputs"]) if "inputs" in progress else None
    except (TypeError, ValueError, LookupError):
        raise UserError(f"{row.path.with_name(CHECKPOINT)}: damaged; train the run again") from None
    if found is None:
        recipe = recipe_of(row, node_of(row, "recipe", trust=trust))
        found = Inputs.of(images_of(row, node_of(row, "dataset", trust=trust)), recipe)
    network = with_weights(row, node, state, found.shape[0])
    return TrainedRun(network=network, row=row, **vars(found))
