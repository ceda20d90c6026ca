"""Where the class of an image is in it: by a teacher's class maps, or the class token's attention."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.methods._class_token import attending, look
from msda_train.methods._pairwise import Pairwise
from msda_train.methods._teachers import DenseTeacher, find_dense_teacher, finished_teacher


@dataclass(frozen=True)
class Activation(Pairwise):
    """activation: of the `teacher`, the folder of a finished run; the trained network's class token's
    `attention`; or `area`: nobody is asked. mean, std: of our normalisation."""

    activation: str = "teacher"
    teacher: str | None = None
    mean: Sequence[float] = (0.0,)
    std: Sequence[float] = (1.0,)

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.one_of("method.activation", self.activation, ("teacher", "attention", "area"))
        if self.activation != "teacher" and self.teacher is not None:
            raise UserError(
                f"method.teacher={self.teacher}: is asked with method.activation=teacher only; type both"
            )

    @property
    def alone(self) -> bool:
        """Whether it looks at the network's whole batch, for which there has to be one device."""
        return self.activation == "attention"

    def teacher_run(self) -> str | None:
        """See `msda_train.core.mix.HasTeacher`."""
        return None if self.teacher is None else finished_teacher(self.teacher)

    def prepare(self, network: nn.Module, batches: Iterable[Tensor]) -> "Activation":
        """See `msda_train.core.mix.Prepares`: loads the teacher. UserError where there is none."""
        if self.activation == "teacher":
            self._teacher.check(next(iter(batches)), network)
        return self

    def extend(self, network: nn.Module, classes: int) -> None:
        """See `msda_train.core.mix.Extends`."""
        if self.activation == "attention":
            attending(network, type(self).__name__.lower())

    def seen(self, x: Tensor, y: Tensor, model: Any, rows: int, columns: int) -> Tensor:
        """(B, rows, columns) float32: the activation of each clean image of x (B, C, H, W) with its label of
        y (B,), at the places of a grid; it adds up to 1."""
        if self.activation == "attention":
            maps = look(model, x, type(self).__name__.lower(), "class")[1].view(len(x), 1, rows, columns)
        else:
            maps = self._teacher.to(x.device)(x)[torch.arange(len(x), device=x.device), y][:, None]
            maps = F.interpolate(maps, (rows, columns), mode="bilinear", align_corners=False)
        return maps[:, 0] / (maps[:, 0].sum(dim=(1, 2), keepdim=True) + 1e-8)

    @cached_property
    def _teacher(self) -> DenseTeacher:  # no field: neither compared nor printed
        if self.teacher is None:
            raise UserError(
                "method.activation=teacher: whose? type method.teacher=RUN, the folder of a finished run, or "
                "method.activation=area"
            )
        return find_dense_teacher(self.teacher, self.mean, self.std)
