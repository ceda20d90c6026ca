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

The clean pass costs a third of ERM's step; it runs in the step's precision, there in float32. Needs one
device: the clean pass is about the whole batch.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.mix import Criterion, Mix, OwnLoss, picture_size
from msda_train.core.randomness import Rng
from msda_train.functional.masks import box_mask
from msda_train.methods._class_token import attending, grid_of, look, moved, on_patches
from msda_train.methods._pairwise import FROM_ALL, Pairwise, to_device
from msda_train.methods._spans import Span, check_span
from msda_train.models.second_head import give_second_head, heads, keep_features, take_features
from msda_train.models.vision_transformer import ClassToken


@dataclass(frozen=True)
class SMMix(Pairwise):
    """x~ = M x + (1 - M) moved(x[perm]); alpha is mixup's."""

    alpha: float = 0.8
    pairing: str = "reversal"
    mixup_prob: float = 0.5
    sides: Span = (0.25, 0.75)
    attention: str = "patches"
    fine: float = 1.0
    consistency: float = 1.0
    head: str = "own"

    alone: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.fraction("method.mixup_prob", self.mixup_prob)
        check_span("method.sides", self.sides, most=0.99)
        checks.one_of("method.attention", self.attention, ("patches", "class"))
        checks.non_negative("method.fine", self.fine)
        checks.non_negative("method.consistency", self.consistency)
        checks.one_of("method.head", self.head, ("own", "shared"))
        if self.pairing in FROM_ALL or self.inputs_only:
            raise UserError("method: SMMix pairs a batch with itself, labels too; type method=cutmix")

    def extend(self, network: nn.Module, classes: int) -> None:
        """See `msda_train.core.mix.Extends`."""
        attending(network, "smmix")
        if self.head == "own":
            head = give_second_head(network, classes, ClassToken)
            nn.init.trunc_normal_(head.weight, std=0.02)
            nn.init.zeros_(head.bias)
        else:
            keep_features(network, ClassToken)

    def mix(self, x: Tensor, y: Tensor, lam: np.ndarray, perm: Tensor, model: Any, rng: Rng) -> Mix:
        """See `Pairwise.mix`."""
        if rng.random() < self.mixup_prob:
            weight = to_device(lam, x)
            loss = OwnLoss(self.in_parts, name=repr(self))
            return Mix(perm, weight, weight.view(-1, 1, 1, 1), loss=loss)
        (height, width), (logits, seen) = picture_size(x), look(model, x, "smmix", self.attention)
        rows, columns = grid_of(height, width, seen.shape[1])
        least, most = (max(int(min(rows, columns) * share), 1) for share in self.sides)
        side = int(rng.integers(least, most + 1))
        sums = F.avg_pool2d(seen.view(-1, 1, rows, columns), side, stride=1).flatten(1)
        across, patch = columns - side + 1, height // rows
        here, there = (patch * torch.stack([k // across, k % across]) for k in (sums.argmin(1), sums.argmax(1)))
        edges = torch.stack([here[0], here[0] + patch * side, here[1], here[1] + patch * side], dim=1)
        mask, share = box_mask(edges, height, width, x.device), 1 - side**2 / (rows * columns)
        both = torch.lerp(logits[perm], logits, share)
        loss = OwnLoss(self.in_parts, (y, y[perm], on_patches(mask, seen.shape[1]), both), repr(self))
        sources = (x, moved(x, perm, there[:, perm] - here))
        return Mix(perm, to_device(np.array([share]), x), mask, sources=sources, loss=loss)

    def in_parts(
        self,
        logits: Tensor,
        target: Tensor,
        rows: tuple[Tensor, ...],
        network: nn.Module,
        criterion: Criterion,
    ) -> Tensor:
        """The three losses; see `msda_train.core.mix.OwnLoss`."""
        loss, tokens = criterion(logits, target), take_features(network)[:, 1:]
        head = heads(network)[1]
        if not rows:
            return loss + 0 * head(tokens.mean(dim=1)).sum()
        own, other, kept, both = rows
        for labels, part in ((own, kept), (other, 1 - kept)):
            mean = (tokens * part[:, :, None]).sum(dim=1) / part.sum(dim=1, keepdim=True)
            named = F.one_hot(labels, target.shape[1]).float()
            loss = loss + self.fine / 2 * criterion(head(mean), named)
        agree = F.kl_div(logits.log_softmax(dim=1), both.softmax(dim=1), reduction="batchmean")
        return loss + self.consistency * agree
