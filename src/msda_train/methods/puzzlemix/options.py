"""Puzzle Mix's options and what they demand of the images. What each means: configs/method/puzzlemix.yaml."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.mix import picture_size
from msda_train.methods.puzzlemix.energy import Weights
from msda_train.methods.puzzlemix.transport import Way


@dataclass(frozen=True)
class PuzzleOptions(Way, Weights):
    """What main.py of snu-mllab/PuzzleMix takes, with the values of its README; our names where theirs are
    taken. A method inherits them.

    adv_eps in 1/255 of a pixel's range; mean, std: of the normalisation, per channel, pixels in [0, 1].
    """

    blocks: Sequence[int] = (2, 4, 8, 16)
    solver: str = "batched"
    clean_lam: float = 0.0
    clean_scale: str = "bce"
    adv_p: float = 0.0
    adv_eps: float = 10.0
    mean: Sequence[float] = (0.0,)
    std: Sequence[float] = (1.0,)

    def check_options(self) -> None:
        """Raises UserError for an option that can work on no images."""
        checks.whole("method.levels", self.levels, least=2)
        for option in ("beta", "eta", "clean_lam", "adv_eps"):
            checks.non_negative(f"method.{option}", getattr(self, option))
        checks.positive("method.t_eps", self.t_eps)
        checks.fraction("method.gamma", self.gamma)  # above 1 the energy would no longer be submodular
        checks.fraction("method.adv_p", self.adv_p)
        checks.whole("method.neigh_size", self.neigh_size, least=1)
        if isinstance(self.blocks, str | int) or not self.blocks:
            raise UserError(f"method.blocks={self.blocks}: must be a list; type method.blocks=[2,4,8,16]")
        for n in self.blocks:
            checks.whole("method.blocks", n, least=2)
        checks.one_of("method.solver", self.solver, ("batched", "exact"))
        checks.flag("method.transport", self.transport)
        if self.t_size != -1:
            checks.whole("method.t_size", self.t_size, least=1)
        checks.one_of("method.t_rounds", self.t_rounds, ("all", "first"))
        checks.one_of("method.clean_scale", self.clean_scale, ("bce", "ce"))

    def check_images(self, x: Tensor) -> None:
        """Raises UserError unless images x (B, C, H, W) are square and all grids fit them."""
        height, side = picture_size(x)
        if height != side:
            raise UserError(f"method=puzzlemix: needs square images, these are {height}x{side}")
        for n in self.blocks:
            if side % n:
                fitting = ",".join(str(k) for k in (2, 4, 8, 16) if side % k == 0) or side
                raise UserError(
                    f"method.blocks: {n} does not divide {side} pixels; type method.blocks=[{fitting}]"
                )
        for option, size in (("neigh_size", self.neigh_size), ("t_size", self.t_size)):
            for cell in (side // n for n in self.blocks):
                if 0 < size < cell and cell % size:
                    raise UserError(
                        f"method.{option}={size}: does not divide the {cell} pixels of a cell; "
                        f"type method.{option}=1"
                    )
