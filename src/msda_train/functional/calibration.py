"""Is a network as sure as it is right? Measures of log-probabilities (N, K) and labels y (N,).

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, arXiv:1706.04599 (ECE, MCE, temperature);
Thulasidasan et al., "On Mixup Training", NeurIPS 2019, arXiv:1905.11001 (OE). A prediction is right as in
`metrics.error_count`: a tie for the first place is wrong, so that accuracy here is 1 - error everywhere.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

COLDEST, HOTTEST = 0.05, 20.0  # where a temperature is looked for
_HALVINGS = 48  # of a logarithmic interval of length 6: to 1e-14


@dataclass(frozen=True)
class Bins:
    """M bins of equal width over the confidence; (M,) float64 each.

    Bin m holds the confidences in (m / M, (m + 1) / M]: 1.0 lies in the last one, which the code of
    paganpasta/OnMixup (utils.py) leaves out. confidence, accuracy: means, 0 in an empty bin.
    """

    count: Tensor
    confidence: Tensor
    accuracy: Tensor

    @property
    def share(self) -> Tensor:
        """(M,) share of the predictions."""
        return self.count / self.count.sum()

    @property
    def ece(self) -> float:
        """Expected calibration error: sum of share * |accuracy - confidence|."""
        return float((self.share * (self.accuracy - self.confidence).abs()).sum())

    @property
    def oe(self) -> float:
        """Overconfidence error: sum of share * confidence * max(confidence - accuracy, 0)."""
        return float((self.share * self.confidence * (self.confidence - self.accuracy).clamp(min=0)).sum())

    @property
    def mce(self) -> float:
        """Maximum calibration error: the largest |accuracy - confidence| of a bin that is not empty."""
        return float((self.accuracy - self.confidence).abs().max())  # empty bins have 0 in both


def log_probabilities(logits: Tensor) -> Tensor:
    """(N, K) float64 log softmax of logits (N, K) of any type."""
    return F.log_softmax(logits.double(), dim=1)


def binned(log_p: Tensor, y: Tensor, bins: int) -> Bins:
    """The reliability diagram of `bins` equal-width bins."""
    confidence = log_p.amax(dim=1).exp().double()
    inner = torch.linspace(0, 1, bins + 1, dtype=torch.float64, device=log_p.device)[1:-1]
    place = torch.bucketize(confidence, inner)  # inner[m - 1] < confidence <= inner[m]
    zeros = torch.zeros(bins, dtype=torch.float64, device=log_p.device)
    count = zeros.index_add(0, place, torch.ones_like(confidence))
    some = count.clamp(min=1)
    return Bins(
        count,
        zeros.index_add(0, place, confidence) / some,
        zeros.index_add(0, place, right(log_p, y).double()) / some,
    )


def right(log_p: Tensor, y: Tensor) -> Tensor:
    """(N,) bool: the label alone has the largest probability."""
    return (log_p >= log_p.gather(1, y[:, None])).sum(dim=1) == 1


def brier(log_p: Tensor, y: Tensor) -> float:
    """Brier's score in his own form, the *sum* over classes of (p_k - [k = y])^2, mean over samples: 0 to 2.

    Brier, Monthly Weather Review 78 (1950). Others take the mean over the K classes.
    """
    wanted = F.one_hot(y, log_p.shape[1])
    return float((log_p.double().exp() - wanted).square().sum(dim=1).mean())


def nll(log_p: Tensor, y: Tensor) -> float:
    """Mean negative log-likelihood, nats."""
    return float(-log_p.double().gather(1, y[:, None]).mean())


def mean_confidence(log_p: Tensor) -> float:
    """Mean over samples of the largest probability."""
    return float(log_p.double().amax(dim=1).exp().mean())


def fit_temperature(logits: Tensor, y: Tensor) -> float:
    """The T in [COLDEST, HOTTEST] for which softmax(logits / T) has the smallest NLL of the labels.

    The NLL is convex in 1/T, so the sign of its slope says on which side T lies: halving the interval of
    log T needs no step size and cannot fail. Where every label has the largest logit the NLL falls without
    end as T falls: then T is COLDEST.
    """
    z = logits.double()
    own = z.gather(1, y[:, None])[:, 0]
    low, high = torch.tensor([COLDEST, HOTTEST], dtype=torch.float64, device=z.device).log()
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        expected = (F.softmax(z / middle.exp(), dim=1) * z).sum(dim=1)
        too_cold = (expected - own).mean() > 0  # the slope in 1/T: smaller 1/T, larger T, would be better
        low, high = torch.where(too_cold, middle, low), torch.where(too_cold, high, middle)
    return float(((low + high) / 2).exp())
