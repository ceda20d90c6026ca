"""Criteria on soft targets, float32. Which one a table was made with is the recipe's business: papers
differ."""

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


def smooth(target: Tensor, epsilon: float) -> Tensor:
    """Label smoothing (1 - epsilon) * target + epsilon / K of targets (B, K)."""
    return target if epsilon == 0 else (1 - epsilon) * target + epsilon / target.shape[1]


def entropy(logits: Tensor) -> Tensor:
    """Mean over the batch of the entropy of softmax(logits), nats; logits (B, K)."""
    log_p = F.log_softmax(logits, dim=1)
    return -(log_p.exp() * log_p).sum(dim=1).mean()


CRITERIA = {"ce": cross_entropy, "bce_softmax": bce_softmax}
