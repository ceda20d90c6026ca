"""AdAutoMix mixes three images by learned masks, and every other step its generator learns to make the mix
hard for the classifier's slow copy.

Qin, Jin, Jiang, El-Yacoubi & Gao, ICLR 2024, arXiv:2312.11954. Code: JinXins/Adversarial-AutoMixup
(classifiers/AdAutoMix.py, heads/Ada_mix_pine.py), which we follow, and its copy in Westlake-AI/openmixup. lam
~ Beta(alpha, alpha) for each of `images`, divided by their sum; x~ = sum_i s_i x_i, s = softmax over i of
up(P_i v(z_i)), P_i = softmax(q(z_i)' sum_{j != i} k(z_j) / sqrt(C)). All images of a mix, the first too, are
of permutations of the batch; the generator and the classifier share lam, not the permutations. lam enters no
mask. The classifier's loss: CE of the mix + (1 - mixup_ratio) CE of clean images + mixup_ratio CE of the same
images mixed by lam alone. The generator's: the encoder's CE of the mix in odd steps, and in even ones -
adv_weight CE + (1 - adv_weight) sum_i lam_i cos(logits of the mix, logits of x_i), both as in the code.
- `margin`: the mix is by lam alone where lam_1 <= lam_margin or lam_1 > 1 - lam_margin (`authors`). In
  openmixup the second comparison is turned round, so that nearly all are (`openmixup`).
- The code passes the clean batch through the encoder once more for each image of the mix, in another order:
  the same logits. Here it passes once, with as large a step of the running statistics (`_counted`).
- Its numbers of images drawn anew each step (is_random), and with them its way of mixing two, are not built.
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
from msda_train.methods._mix_block import Generator
from msda_train.methods._pairwise import partners, to_device
from msda_train.methods._several import collage, planned

TINY = 1e-300  # changes no weight but where a small alpha draws 0 for all: then they are equal


@dataclass(frozen=True)
class AdAutoMix(Learned):
    """x~ = sum_i s_i x_i, s = softmax_i(up(P_i v(z_i))), y~ = sum_i lam_i y_i."""

    alpha: float = 1.0
    lam_margin: float = 0.03
    upsample: str = "bilinear"
    images: int = 3
    adv_weight: float = 0.3
    adv_every: int = 2
    mixup_ratio: float = 0.5
    margin: str = "authors"

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.whole("method.images", self.images, least=3)
        checks.fraction("method.adv_weight", self.adv_weight)
        checks.whole("method.adv_every", self.adv_every, least=1)
        checks.fraction("method.mixup_ratio", self.mixup_ratio)
        checks.one_of("method.margin", self.margin, ("authors", "openmixup"))

    def mixer(self, channels: int) -> nn.Module:
        """See `Learned.mixer`."""
        return Generator(channels, up=self.upsample)

    def mixed(self, here: Learner, x: Tensor, y: Tensor, model: Any, rng: Rng) -> Mix:
        """See `Learned.mixed`."""
        drawn = draw_lam(rng, self.alpha, self.images) + TINY
        lam = (drawn / drawn.sum()).tolist()
        theirs, perms = ([partners(rng, "permutation", x) for _ in lam] for _ in range(2))
        maps, clean = here.look(x, again=self.images)
        with torch.no_grad():
            masks = here.mixer([maps[p] for p in perms], x.shape[2:])
        alone = to_device(drawn / drawn.sum(), x).view(1, -1, 1, 1)
        if here.learning:
            plain = collage(x, perms, alone)
            ratio, labels = self.mixup_ratio, [y[p] for p in perms]
            here.teach(
                self._loss(here, x, y, theirs, lam, maps, clean),
                model,
                lambda one: (
                    (1 - ratio) * F.cross_entropy(one(x), y)
                    + ratio * shared_loss(model(plain).float(), labels, lam)
                ),
            )
        return planned(x, perms, alone if self._by_lam_alone(lam[0]) else masks, lam)

    def _by_lam_alone(self, first: float) -> bool:
        above = self.lam_margin > 1 - first if self.margin == "authors" else self.lam_margin < 1 - first
        return self.lam_margin >= first or above

    def _loss(
        self, here: Learner, x: Tensor, y: Tensor, perms: Any, lam: Any, maps: Tensor, clean: Tensor
    ) -> Tensor:
        masks = here.mixer([maps[p] for p in perms], x.shape[2:])
        logits = here.judged(collage(x, perms, masks), again=self.images)
        loss = shared_loss(logits, [y[p] for p in perms], lam)
        if here.steps % self.adv_every:
            return loss
        near = [w * F.cosine_similarity(logits, clean[p]) for p, w in zip(perms, lam, strict=True)]
        return (1 - self.adv_weight) * torch.stack(near).sum(0).mean() - self.adv_weight * loss
