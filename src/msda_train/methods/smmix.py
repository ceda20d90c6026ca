"""SMMix moves a partner's most attended square onto an image's least attended one, and trains on both parts.

Chen, Lin, Lin, Zhang, Chao & Ji, ICCV 2023, arXiv:2212.12977. Code: ChenMnZ/SMMix smmix.py, engine.py and
deit.py, which we follow. The network, in evaluation mode, looks at the clean images first: their logits and
the attention to their patches. Per batch a side of int(0.25 g) to int(0.75 g) of the g patches a side is
drawn; the square of it with the least attention takes what lies in the square with the most of the partner,
patch by patch; labels are mixed by area. The loss is a sum of three, each of weight 1:
- the criterion on the mixed label;
- `fine`: half the criterion of each part's mean output token on the part's own label, by a second linear head
  (`head=own`, first weights as the transformer's; the authors find that a shared one does as well);
- `consistency`: KL(p || q) to the class token's softmax q from p, the softmax of lam z + (1 - lam) z', with
  z and z' the logits of the clean images (mixed as logits there, so here).
Half of the batches are mixed by mixup with alpha 0.8 instead and have the criterion alone; the batch is
reversed. `attention=patches` is the authors': what patches get from patches. Westlake-AI/openmixup's smmix.py
has the class token's (`class`) and none of the two other losses (fine=0 consistency=0).

With the clean pass a step takes 1.4 times ERM's; it runs in the step's precision, there in float32. Needs one
device: the clean pass is about the whole batch.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from msda_train.config import checks
from msda_train.core.mix import Criterion, Mix, OwnLoss, Rows, one_hot, picture_size
from msda_train.core.randomness import Rng
from msda_train.functional.masks import box_mask
from msda_train.methods._class_token import attending, grid_of, look, moved, on_patches, squares
from msda_train.methods._or_mixup import OrMixup
from msda_train.methods._pairwise import to_device
from msda_train.methods._spans import Span, check_span
from msda_train.models.second_head import give_second_head, said_nothing, said_of_patches
from msda_train.models.vision_transformer import ClassToken


@dataclass(frozen=True)
class SMMix(OrMixup):
    """x~ = M x + (1 - M) moved(x[perm])."""

    sides: Span = (0.25, 0.75)
    attention: str = "patches"
    fine: float = 1.0
    consistency: float = 1.0
    head: str = "own"

    alone: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_span("method.sides", self.sides, most=0.99)
        checks.one_of("method.attention", self.attention, ("patches", "class"))
        checks.non_negative("method.fine", self.fine)
        checks.non_negative("method.consistency", self.consistency)
        checks.one_of("method.head", self.head, ("own", "shared"))

    def extend(self, network: nn.Module, classes: int) -> None:
        """See `msda_train.core.mix.Extends`."""
        attending(network, "smmix")
        head = give_second_head(network, classes, ClassToken, shared=self.head == "shared")
        nn.init.trunc_normal_(head.weight, std=0.02)
        nn.init.zeros_(head.bias)

    def mix(self, x: Tensor, y: Tensor, lam: np.ndarray, perm: Tensor, model: Any, rng: Rng) -> Mix:
        """See `Pairwise.mix`: where mixup mixes, the second head is not asked."""
        mix = super().mix(x, y, lam, perm, model, rng)
        return mix if mix.loss else replace(mix, loss=OwnLoss(self.in_parts, name=repr(self)))

    def cut(self, x: Tensor, y: Tensor, lam: np.ndarray, perm: Tensor, model: Any, rng: Rng) -> Mix:
        """See `OrMixup.cut`."""
        (height, width), (logits, seen) = picture_size(x), look(model, x, "smmix", self.attention)
        rows, columns = grid_of(height, width, seen.shape[1])
        least, most = (max(int(min(rows, columns) * share), 1) for share in self.sides)
        side = int(rng.integers(least, most + 1))
        here, there = (height // rows * place for place in squares(seen.view(-1, rows, columns), side))
        edges = torch.stack([here, here + height // rows * side], dim=2).flatten(1)
        mask, share = box_mask(edges, height, width, x.device), 1 - side**2 / (rows * columns)
        both = torch.lerp(logits[perm], logits, share)
        loss = OwnLoss(self.in_parts, (y, y[perm], on_patches(mask, seen.shape[1]), both), repr(self))
        sources = (x, moved(x, perm, (there[perm] - here).T))
        return Mix(perm, to_device(np.array([share]), x), mask, sources=sources, loss=loss)

    def in_parts(
        self, logits: Tensor, target: Tensor, rows: Rows, network: nn.Module, criterion: Criterion
    ) -> Tensor:
        """The three losses; see `msda_train.core.mix.OwnLoss`."""
        loss = criterion(logits, target)
        if not rows:
            return loss + said_nothing(network)
        own, other, kept, both = rows
        said = said_of_patches(network, kept, 1 - kept)
        for answer, labels in zip(said, (own, other), strict=True):
            loss = loss + self.fine / 2 * criterion(answer, one_hot(labels, target.shape[1]))
        agree = F.kl_div(logits.log_softmax(dim=1), both.softmax(dim=1), reduction="batchmean")
        return loss + self.consistency * agree
