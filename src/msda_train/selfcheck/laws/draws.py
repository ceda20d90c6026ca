"""Laws of what is drawn: how strongly, where, how often, and once for whom."""

from collections.abc import Callable

import numpy as np
from scipy import stats

from msda_train.selfcheck.laws.coded import SEEN, Seen, observe
from msda_train.selfcheck.laws.reference import INSIDE, RULES, kept, paper_boxes
from msda_train.selfcheck.laws.subject import Outcome, Subject, differs, failed, passed, unasked

P = 1e-6  # below, chance is no explanation: a thousand tests raise one false alarm in a thousand
FAR = 5.0  # deviations of a normal variable, of about the same P
LEAST = 20  # draws that a test is made of
SECOND = 0.3  # another alpha, so that one which is ignored is found


def granularity(seen: Seen) -> str:
    """`batch`, `pair` (of rows at opposite ends) or `sample`: for whom a weight is drawn once."""
    own, mixed = seen.own, seen.mixed
    if _equal(own, mixed):
        return "batch"
    ends = np.stack([own, own[:, ::-1]]), mixed & mixed[:, ::-1]
    return "pair" if np.all(np.abs(ends[0][0] - ends[0][1])[ends[1]] < SEEN) else "sample"


def _equal(own: np.ndarray, mixed: np.ndarray) -> bool:
    """Whether all weights (n, B) of a call are one, where anything is mixed."""
    most, least = np.where(mixed, own, -np.inf).max(axis=1), np.where(mixed, own, np.inf).min(axis=1)
    some = mixed.sum(axis=1) > 1
    return bool(np.all(most[some] - least[some] < SEEN))


def drawn(seen: Seen) -> np.ndarray:
    """(m, 2) int: call and row of one mixed sample for each weight that was drawn."""
    mixed = seen.mixed
    per = granularity(seen)
    if per == "batch":
        calls = np.flatnonzero(mixed.any(axis=1))
        return np.stack([calls, mixed[calls].argmax(axis=1)], axis=1)
    if per == "pair":
        mixed = mixed.copy()
        mixed[:, mixed.shape[1] // 2 :] = False
    return np.argwhere(mixed)


def weights(seen: Seen) -> np.ndarray:
    """(m,) the sample's own label weight, of each draw that shows: below 1."""
    call, row = drawn(seen).T
    found: np.ndarray = seen.own[call, row]
    return found[found < 1 - SEEN]


def from_beta(values: np.ndarray, alpha: float) -> tuple[float, float]:
    """D and p of the Kolmogorov-Smirnov test of `values` against Beta(alpha, alpha) below 1 - SEEN."""
    whole = stats.beta(alpha, alpha)
    found = stats.ks_1samp(values, lambda v: whole.cdf(v) / whole.cdf(1 - SEEN))
    return float(found.statistic), float(found.pvalue)


def from_boxes(values: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """D and p of the two-sample test; of whole pixels, where p is too large rather than too small."""
    found = stats.ks_2samp(values, reference, method="asymp")
    return float(found.statistic), float(found.pvalue)


def best_rule(test: Callable[[str], tuple[float, float]]) -> tuple[str, float, float]:
    """The rule of rounding that `test` agrees with most, its D and p."""
    found = {rule: test(rule) for rule in RULES}
    rule = max(found, key=lambda each: (found[each][1], -found[each][0]))
    return rule, *found[rule]


def distribution_of_lam(subject: Subject, seen: Seen) -> Outcome:
    """The label weight is distributed as the paper has it, for two values of alpha."""
    claims = subject.claims
    if claims.lam is None:
        return unasked("its weight is none that Beta(alpha, alpha) draws")
    found = [(claims.alpha, seen)]
    if "alpha" in subject.options:
        found.append((SECOND, observe(subject.made(1, alpha=SECOND), subject.draws)))
    answers = [one_alpha(subject, each, alpha) for alpha, each in found]
    told = "; ".join(words for _, _, words in answers)
    if not all(right for right, _, _ in answers):
        return failed(told)
    if any(what == INSIDE for _, what, _ in answers):
        return differs("unclipped", f"the box is never clipped, so the label keeps its whole share: {told}")
    return passed(told)


def one_alpha(subject: Subject, seen: Seen, alpha: float) -> tuple[bool, str, str]:
    """Whether the weights in `seen` are as claimed; the law that they follow best, and the numbers."""
    values, what = weights(seen), "Beta"
    told = f"{len(values):,} draws at alpha {alpha:g}"
    if len(values) < LEAST:
        return False, what, f"almost nothing is ever mixed: {told}"
    d, p = from_beta(values, alpha)
    if subject.claims.lam == "box" and p < P:
        what, d, p = best_rule(lambda rule: share_test(seen, values, rule, alpha))
    against = "Beta" if what == "Beta" else f"the share that its box leaves (nearest rule: {what})"
    return p >= P, what, f"{told} against {against}: D = {d:.3f}, p = {p:.2g}, mean {values.mean():.3f}"


def share_test(seen: Seen, values: np.ndarray, rule: str, alpha: float) -> tuple[float, float]:
    """`values` against what boxes drawn by `rule` leave of the image."""
    shares = kept(paper_boxes(rule, alpha, *seen.size), *seen.size)
    return from_boxes(values, shares[shares < 1 - SEEN])


def lam_kept(subject: Subject, seen: Seen) -> Outcome:
    """The label keeps the lam that was drawn."""
    claims = subject.claims
    if claims.lam is None:
        return unasked("its weight is none that Beta(alpha, alpha) draws")
    values = weights(seen)
    if claims.lam == "beta":
        return passed("the label weight is the lam that was drawn")
    d, p = from_beta(values, claims.alpha)
    if p >= P:
        return passed(f"{len(values):,} draws against Beta: D = {d:.3f}, p = {p:.2g}")
    means = f"mean {values.mean():.3f}; of the lam that was drawn it is 0.5"
    return differs("re-adjusted", f"lam becomes the share that the box leaves in whole pixels ({means})")


def places_of_boxes(subject: Subject, seen: Seen) -> Outcome:
    """Boxes fall as the paper has it: the centre is uniform, and the border cuts off what sticks out."""
    if subject.claims.lam != "box":
        return unasked("pastes no CutMix box")
    call, row = drawn(seen).T
    right, edges = seen.boxes[call, row], seen.edges[call, row]
    if not right.all():
        return failed(f"{(~right).mean():.0%} of {len(right):,} pasted regions are no whole boxes")
    return box_outcome(seen, edges, subject.claims.alpha)


def box_outcome(seen: Seen, edges: np.ndarray, alpha: float) -> Outcome:
    """Kolmogorov-Smirnov tests of the four edges (m, 4), each alone."""

    def test(rule: str) -> tuple[float, float]:
        boxes = paper_boxes(rule, alpha, *seen.size)
        boxes = boxes[kept(boxes, *seen.size) < 1 - SEEN]
        return min((from_boxes(edges[:, side], boxes[:, side]) for side in range(4)), key=lambda one: one[1])

    rule, d, p = best_rule(test)
    if rule == "code" and _odd(edges, seen.size):  # which is too small a difference for the test
        rule, (d, p) = "whole", test("whole")
    told = f"{len(edges):,} boxes, the worst of four edges: D = {d:.3f}, p = {p:.2g}"
    if p >= P and rule != INSIDE:
        return passed(f"{told}; {RULES[rule]}")
    ours, theirs = _at_border(edges, seen.size), _at_border(paper_boxes("code", alpha, *seen.size), seen.size)
    where = f"{ours:.0%} of the boxes touch the border, {theirs:.0%} by the paper's rule"
    if p >= P:
        return differs("inside", f"{RULES[rule]}: {where}; {told}")
    return differs("elsewhere", f"{where}; {told} ({RULES[rule]})")


def _odd(edges: np.ndarray, size: tuple[int, int]) -> bool:
    """Whether a box that nothing clips has a side of an odd number of pixels."""
    inside = edges[~_touching(edges, size)]
    return bool(((inside[:, 1::2] - inside[:, 0::2]) % 2).any())


def _touching(edges: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(m,) bool: which boxes (m, 4) have an edge on the image's border."""
    height, width = size
    found: np.ndarray = (edges[:, ::2] == 0).any(axis=1) | (edges[:, 1::2] == (height, width)).any(axis=1)
    return found


def _at_border(edges: np.ndarray, size: tuple[int, int]) -> float:
    """Share of boxes with an edge on the image's border."""
    return float(_touching(edges[kept(edges, *size) < 1 - SEEN], size).mean())


def one_lam_per_batch(subject: Subject, seen: Seen) -> Outcome:
    """lam, and the box, are drawn once for a batch."""
    if subject.claims.per is None:
        return unasked("draws no lam of its own")
    per = granularity(seen)
    if per == "batch":
        return passed(f"one weight in each of {seen.calls:,} batches")
    return differs(f"each {per}", f"a weight of its own for each {per}, in {seen.calls:,} batches of four")


def probability(subject: Subject, seen: Seen) -> Outcome:
    """Made with prob = 1/2 it mixes half of the batches, all images of one or none; with 0, never."""
    if "prob" not in subject.options:
        return unasked("has no option for it: mixes every batch")
    calls, always = subject.draws, seen.mixed
    half = observe(subject.made(2, prob=0.5), calls).mixed
    if observe(subject.made(3, prob=0.0), max(calls // 5, 5)).mixed.any():
        return failed("mixes with prob 0, too")
    share, usual = float(half.any(axis=1).mean()), float(always.any(axis=1).mean())
    told = f"prob 0.5: {share:.3f} of {calls:,} batches are mixed, {usual / 2:.3f} expected"
    if _halved(share, usual, calls):
        return passed(told)
    if _halved(float(half[:, 0].mean()), float(always[:, 0].mean()), calls):
        return differs("each sample", f"the coin falls for each sample or pair; {told}")
    return failed(told)


def _halved(low: float, high: float, calls: int) -> bool:
    """Whether a rate at prob 1/2 is half of the rate at prob 1, by chance of each in `calls` draws."""
    spread = np.sqrt(low * (1 - low) / calls + high * (1 - high) / calls / 4)
    return bool(abs(low - high / 2) <= FAR * spread)
