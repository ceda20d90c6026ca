"""AutoMix learns the masks: a mix block attends from one image's features to the other's, and learns through
a slow copy of the classifier, which judges what it mixes.

Liu, Li, Wu, Liu, Chen, Wu & Li, ECCV 2022, arXiv:2103.13027. Code: Westlake-AI/openmixup
classifiers/automix.py and heads/pmix_block.py. x~ = s * x_i + (1 - s) * x_j, 1 - s = sigmoid(up(P v(z_j))), P
= softmax(q(z_i)' q(z_j) / sqrt(C)); z: the momentum encoder's features before `layer`. The classifier's loss
is that of clean images plus that of mixed ones; the mix block's is mixup's loss of the encoder on a mix of
its own, with its own lam and partners, plus mask_loss * max(|mean(s) - lam| - mask_margin, 0), the mean over
the batch. Where the paper differs from the code, the code's is the default, for it made the numbers:
- lam is joined to the features (`lam_input=concat`); on CIFAR the configs have `none`, so that a mask learns
  of lam by its loss only. In the paper mask_loss falls to 0 over the run, linearly
  (`mask_loss_falls=true`); in the configs for CIFAR it stays, in those for transformers it falls by a cosine.
- `mask_of`: `other` is that of the configs (mask_mode none_v_), `own` is the block's default, s =
  sigmoid(up(P' v(z_i))); the 200-epoch log in JinXins/Adversarial-AutoMixup names none, so it is of `own`.
- mask_adjust (SAMix): with this probability the classifier's masks are scaled to a mean of at most, or at
  least, a lam: in the code it is the mix block's (`adjust_to=mixer`), though labels go by the classifier's.
Order of updates, heads, momentum, what is tested: `methods._learned`. Features of the clean batch are looked
at once for both mixes, as there.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from msda_train.config import checks
from msda_train.core.mix import Mix
from msda_train.core.randomness import Rng, draw_lam
from msda_train.methods._learned import Learned, Learner, shared_loss
from msda_train.methods._mask_loss import adjusted, mask_loss
from msda_train.methods._mix_block import LAM_INPUTS, MixBlock
from msda_train.methods._pairwise import partners


@dataclass(frozen=True)
class AutoMix(Learned):
    """x~ = s x_i + (1 - s) x_j, s = 1 - sigmoid(up(P v(z_j))), y~ = lam y_i + (1 - lam) y_j."""

    lam_input: str = "none"
    joint: bool = False
    deep_value: bool = False
    mask_of: str = "other"
    mask_loss: float = 0.1
    mask_margin: float = 0.1
    mask_variance: float = 0.0
    mask_loss_falls: bool = False
    mask_adjust: float = 0.0
    adjust_to: str = "mixer"

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.one_of("method.lam_input", self.lam_input, LAM_INPUTS)
        checks.one_of("method.mask_of", self.mask_of, ("other", "own"))
        checks.one_of("method.adjust_to", self.adjust_to, ("mixer", "labels"))
        for name in ("mask_loss", "mask_margin", "mask_variance"):
            checks.non_negative(f"method.{name}", getattr(self, name))
        for name in ("joint", "deep_value", "mask_loss_falls"):
            checks.flag(f"method.{name}", getattr(self, name))
        checks.fraction("method.mask_adjust", self.mask_adjust)

    def mixer(self, channels: int) -> nn.Module:
        """See `Learned.mixer`."""
        how: Any = {"joint": self.joint, "deep_value": self.deep_value, "mask_of": self.mask_of}
        return MixBlock(channels, lam_input=self.lam_input, up=self.upsample, **how)

    def mixed(self, here: Learner, x: Tensor, y: Tensor, model: Any, rng: Rng) -> Mix:
        """See `Learned.mixed`."""
        for_mixer, lam = map(float, draw_lam(rng, self.alpha, 2))
        other, perm = (partners(rng, "permutation", x) for _ in range(2))
        adjusts, maps = rng.random() < self.mask_adjust, here.look(x)[0]
        with torch.no_grad():
            mask = here.mixer(maps, maps[perm], lam, x.shape[2:])
        if adjusts:
            mask = adjusted(mask, for_mixer if self.adjust_to == "mixer" else lam)
        if min(lam, 1 - lam) <= self.lam_margin:
            mask = torch.full_like(mask[:1, :, :1, :1], lam)
        if here.learning:
            own = here.mixer(maps, maps[other], for_mixer, x.shape[2:])
            logits = here.judged(own * x + (1 - own) * x[other])
            loss = shared_loss(logits, (y, y[other]), (for_mixer, 1 - for_mixer))
            weight = self.mask_loss * (1 - here.done if self.mask_loss_falls else 1)
            loss = loss + weight * mask_loss(own, for_mixer, self.mask_margin, self.mask_variance)
            here.teach(loss, model, lambda one: F.cross_entropy(one(x), y))
        return Mix(perm, mask.new_full((1,), lam), mask)
