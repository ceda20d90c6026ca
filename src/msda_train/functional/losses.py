"""Criteria on soft targets, float32. Which one a table was made with is the recipe's business: papers
differ."""

import torch
from torch import Tensor
from torch.nn import functional as F


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean over the batch of -sum_k target_k log softmax(logits)_k; logits and target (B, K). For a two-label
    target it equals lam * CE(y) + (1 - lam) * CE(y[perm])."""
    return -(target * F.log_softmax(logits, dim=1)).sum(dim=1).mean()


def bce_softmax(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy on softmax outputs, mean over batch *and* classes (B, K): what the public code of
    Manifold Mixup and Puzzle Mix trains every CIFAR row with. About K times smaller gradients than
    `cross_entropy`."""
    return F.binary_cross_entropy(F.softmax(logits, dim=1), target)


def bce(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy, each class by itself, mean over batch and classes (B, K): timm's, for labels that
    need not add up to 1."""
    return F.binary_cross_entropy_with_logits(logits, target)


def smooth(target: Tensor, epsilon: float) -> Tensor:
    """Label smoothing (1 - epsilon) * target + epsilon / K of targets (B, K)."""
    return target if epsilon == 0 else (1 - epsilon) * target + epsilon / target.shape[1]


def entropy(logits: Tensor) -> Tensor:
    """Mean over the batch of the entropy of softmax(logits), nats; logits (B, K)."""
    log_p = F.log_softmax(logits, dim=1)
    return -(log_p.exp() * log_p).sum(dim=1).mean()


SIDES = ("both", "more", "less")


def decoupled(logits: Tensor, target: Tensor, power: float = 0.0, side: str = "both") -> Tensor:
    """Decoupled Mixup's term (Liu et al., NeurIPS 2023, arXiv:2203.10761), mean over the batch; logits and
    target (B, K). Each class of a mixed label competes with the classes that are not in it, and not with the
    other one: the sum over classes i of target_i > 0 of

        w_i * -log(exp(z_i) / (exp(z_i) + sum of exp(z_c) over c with target_c = 0)),

    w_i = target_i ** power. The paper's is power 0. Labels of one class get nothing. It goes with any method.

    Code: Westlake-AI/openmixup, `soft_mix_cross_entropy` and ClsMixupHead, which adds it `eta` times: 0.1 for
    ImageNet and DeiT-S (power 0, both classes). Its CIFAR-100 configs have 0.01, powers 0 or 0.5 and one
    class only, of the larger share (`side=more`) or of the smaller one (`less`). That code finds classes by
    comparing shares with those of the batch's first sample, in the order of class numbers, so there the
    other class gets the weight in half of the batches, and nothing at shares below 0.001; ours does not. Its
    variant for binary cross-entropy with rescaled labels is not here.
    """
    named = target > 0
    two = named.sum(dim=1) > 1
    others = logits.masked_fill(named, float("-inf")).logsumexp(dim=1, keepdim=True)
    each = torch.logaddexp(logits, others) - logits
    weight = named * target**power * two[:, None]
    if side != "both":
        weight = weight * (target >= 0.5 if side == "more" else target < 0.5)
    return (weight * each).sum(dim=1).mean()


CRITERIA = {"ce": cross_entropy, "bce_softmax": bce_softmax, "bce": bce}
