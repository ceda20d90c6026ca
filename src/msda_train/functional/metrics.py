"""Test metrics on plain tensors: logits (B, K), labels y (B,). Errors are fractions; percent exists in
tables only."""

from torch import Tensor
from torch.nn import functional as F


def error_count(logits: Tensor, y: Tensor, k: int = 1) -> Tensor:
    """How many of B labels are not among the k largest logits. A row with NaN counts as wrong."""
    own = logits.gather(1, y[:, None])
    # Rank by counting, so ties count against the model: a constant output does not score.
    rank = (logits >= own).sum(dim=1) - 1
    return ((rank >= k) | logits.isnan().any(dim=1)).sum()


def nll_sum(logits: Tensor, y: Tensor) -> Tensor:
    """Sum over the batch of the negative log-likelihood, nats."""
    return F.cross_entropy(logits, y, reduction="sum")
