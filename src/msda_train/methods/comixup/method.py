"""Co-Mixup makes every image of a batch a collage of salient blocks of several others, all chosen together.

Kim, Choo, Jeong & Song, ICLR 2021, arXiv:2102.03065. Code: snu-mllab/Co-Mixup main.py, which we follow:
saliency is the root mean square over channels of the input gradient of cross-entropy on the clean batch
(`methods._input_gradient`); `comixup.solver` chooses the blocks and says where it differs (how a grid is
solved, no early end); labels are weighted by counted blocks. With `clean_lam` > 0 that one pass, in training
mode, also trains: its loss is cross-entropy times 2 * clean_lam / K beside BCE (main.py; `clean_scale=bce`)
or times clean_lam beside soft cross-entropy (comix-imagenet; `ce`). With 0 the pass is in evaluation mode and
leaves no trace. `prob` (ours) skips all of it, the clean loss too. Not built: random block numbers
(m_block_num -1), the soft threshold, their worker processes.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from msda_train.config import checks
from msda_train.core.mix import Mix, picture_size
from msda_train.core.randomness import Rng
from msda_train.methods._input_gradient import channel_norm, input_gradient
from msda_train.methods.comixup.batch import Settings, choose_grids, collage, label_shares


@dataclass(frozen=True)
class CoMixup(Settings):
    """x_i~ = sum_j M_ij x_j, y_i~ = sum_j mean(M_ij) y_j; the masks M of all outputs are chosen together.

    Fields: the solver's settings, when to mix, and how much the clean batch trains.
    """

    prob: float = 1.0
    clean_lam: float = 1.0
    clean_scale: str = "bce"

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.fraction("method.prob", self.prob)
        checks.non_negative("method.clean_lam", self.clean_lam)
        checks.one_of("method.clean_scale", self.clean_scale, ("bce", "ce"))

    def plan(self, x: Tensor, y: Tensor, model: Any, rng: Rng) -> Mix:
        """The plan for x (B, C, H, W), y (B,); see `msda_train.core.mix.Method`."""
        picture_size(x)
        if rng.random() >= self.prob:
            return Mix.identity(x)
        gradient = input_gradient(x, y, model, clean_lam=self.clean_lam, clean_scale=self.clean_scale)
        grids = choose_grids(self, channel_norm(gradient), rng)
        shares = torch.from_numpy(label_shares(grids)).to(x.device, non_blocking=True)
        mixed = collage(x, torch.from_numpy(grids).to(x.device, non_blocking=True))
        perm = torch.arange(len(x), device=x.device)
        return Mix(
            perm, shares.diagonal(), x.new_ones(1, 1, 1, 1), sources=(mixed, x.new_zeros(())), shares=shares
        )
