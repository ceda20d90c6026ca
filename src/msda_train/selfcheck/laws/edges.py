"""Laws of unusual batches: of one, of an odd number, of one class, not square; and of extreme alpha."""

import math

import numpy as np
import torch

from msda_train.selfcheck.laws.coded import OBLONG, Seen, coded_batch, observe
from msda_train.selfcheck.laws.draws import FAR, box_outcome, drawn, one_alpha, weights
from msda_train.selfcheck.laws.labels import EXACT, share_outcome
from msda_train.selfcheck.laws.subject import Outcome, Subject, differs, failed, passed, refusal, unasked

TINY, HUGE = 1e-6, 1e6
NEAR = 0.01  # how far lam may be from its limit: at alpha = 1e6 it is within 0.002


def _few(subject: Subject) -> int:
    return 200 if subject.draws >= 100 else 5


def batch_of_one(subject: Subject, seen: Seen) -> Outcome:
    """A single image has no partner but itself: it comes back as it was."""
    mixer = subject.made()
    for _ in range(5):
        x, y = coded_batch(2)
        x, y = x[1:], y[1:]
        try:
            mixed, labels = mixer(x.clone(), y.clone())
        except Exception as error:
            return refusal(error, "a batch of one")
        if mixed.shape != x.shape or len(labels) != 1:
            return failed(f"one image becomes {tuple(mixed.shape)}, labels {tuple(labels.shape)}")
        off = max(float((mixed - x).abs().max()), float((labels[0, 1] - 1).abs()))
        if not off <= EXACT:
            return failed(f"one image, or its label, is changed by {off:.2g}")
    return passed("comes back as it was")


def odd_batch(subject: Subject, seen: Seen) -> Outcome:
    """Three images are mixed like four: labels have the shares of pixels."""
    mixer = subject.made()
    try:
        found = observe(mixer, _few(subject), batch=3)
    except Exception as error:
        return refusal(error, "a batch of three")
    return share_outcome(found)


def one_class(subject: Subject, seen: Seen) -> Outcome:
    """Where all images are of one class, so are all mixed ones, wholly."""
    mixer, worst = subject.made(), 0.0
    for _ in range(min(_few(subject), 20)):
        x, _ = coded_batch()
        _, labels = mixer(x, torch.full((4,), 2))
        worst = max(worst, float((labels[:, 2] - 1).abs().max()))
    if worst > EXACT:
        return failed(f"the weight of the only class is off by {worst:.2g}")
    return passed(f"its weight is 1, off by {worst:.1g} at most")


def extreme_alpha(subject: Subject, seen: Seen) -> Outcome:
    """alpha = 1e-6 takes lam = 0 or 1 by a fair coin; alpha = 1e6 takes lam = 1/2."""
    if "alpha" not in subject.options:
        return unasked("has no option for it")
    told, right = list[str](), True
    for alpha in (TINY, HUGE):
        try:
            found = observe(subject.made(4, alpha=alpha), 2 * _few(subject))
        except Exception as error:
            return refusal(error, f"alpha {alpha:g}")
        share = share_outcome(found)
        if share.verdict == "fail":
            return failed(f"alpha {alpha:g}: labels are {share.words}")
        if subject.claims.lam is not None:
            kept, words = _limit(subject, found, alpha, float(seen.mixed[:, 0].mean()))
            told, right = [*told, words], right and kept
    if not told:
        return passed("both give labels with the shares of pixels")
    return passed("; ".join(told)) if right else differs("another limit", "; ".join(told))


def _limit(subject: Subject, found: Seen, alpha: float, usual: float) -> tuple[bool, str]:
    """Whether lam has its limit. usual: how often the first image is mixed at an ordinary alpha; where lam is
    0 or 1 it is half of that."""
    rate, expected = float(found.mixed[:, 0].mean()), usual / 2 if alpha == TINY else usual
    right = abs(rate - expected) <= FAR * math.sqrt(0.25 / found.calls)
    told = f"alpha {alpha:g}: {rate:.0%} of {found.calls} first images are mixed, {expected:.0%} expected"
    if subject.claims.lam == "box":
        matches, _, words = one_alpha(subject, found, alpha)
        return right and matches, f"{told}, {words}"
    values = weights(found)
    off = np.abs(values - (0 if alpha == TINY else 0.5))
    limit, mean = "0" if alpha == TINY else "1/2", values.mean() if len(values) else 0.0
    right = right and bool((off < NEAR).all())
    return right, f"{told}, with weights of {mean:.2g} on average, {limit} expected"


def oblong(subject: Subject, seen: Seen) -> Outcome:
    """Images of 24 x 40 pixels: labels have the shares of pixels, and boxes have the image's proportions."""
    mixer = subject.made()
    try:
        found = observe(mixer, _few(subject) * (5 if subject.claims.lam == "box" else 1), size=OBLONG)
    except Exception as error:
        return refusal(error, "images that are not square")
    share = share_outcome(found)
    if share.verdict != "pass" or subject.claims.lam != "box":
        return share
    call, row = drawn(found).T
    inside = box_outcome(found, found.edges[call, row], subject.claims.alpha)
    return share if inside.verdict == "pass" else inside
