"""Laws of who is mixed with whom. In a batch of four there are 24 permutations: all can be counted."""

from collections import Counter
from math import factorial

import numpy as np
from scipy import stats

from msda_train.selfcheck.laws.coded import BATCH, Seen
from msda_train.selfcheck.laws.draws import P
from msda_train.selfcheck.laws.subject import Outcome, Subject, differs, failed, passed, unasked

KNOWN: dict[tuple[int, ...], tuple[str, str]] = {
    (3, 2, 1, 0): ("reversal", "image i always gets image B-1-i (the batch reversed)"),
    (3, 0, 1, 2): ("neighbour", "image i always gets image i-1 (the batch rolled by one)"),
    (1, 2, 3, 0): ("neighbour", "image i always gets image i+1 (the batch rolled by one)"),
    (2, 3, 0, 1): ("half", "image i always gets image i+B/2 (the batch rolled by half)"),
}
STEADY = 0.99  # of all batches: a fixed rule, where a weight of 1 may hide a partner
FIXED = 14 / 23  # of the permutations of four leave one where it is; the identity, which does not show, aside
MANY = 115  # batches, five for each of 23 permutations


def used_once(subject: Subject, seen: Seen) -> Outcome:
    """Every image of the batch is the partner of exactly one."""
    if seen.several:
        return unasked("a sample has more than one partner")
    twice = np.array(list(map(_repeats, seen.partners)))
    if not twice.any():
        return passed(f"no image is the partner of two, in {seen.calls:,} batches")
    return differs(
        "repeats", f"in {twice.mean():.0%} of {seen.calls:,} batches an image is the partner of two"
    )


def own_partner(subject: Subject, seen: Seen) -> Outcome:
    """A sample may be its own partner, as often as a random permutation has it; never, where the paper's
    code reverses the batch."""
    if subject.claims.pairing is None or seen.several:
        return unasked("has partners by another rule")
    found, steady = _permutations(seen)
    if not found:
        return failed("nothing is ever mixed with another image")
    alone = sum(_leaves_one(steady or each) for each in found)
    told = f"in {alone:,} of {len(found):,} mixed batches of four an image is its own partner"
    if subject.claims.pairing == "reversal":
        return differs("yes", told) if alone else passed(told)
    told += f"; {FIXED:.0%} expected"
    if stats.binomtest(alone, len(found), FIXED).pvalue >= P:
        return passed(told)
    if not alone:
        return differs("never", told)
    return differs("rarely" if alone < FIXED * len(found) else "often", told)


def pairing(subject: Subject, seen: Seen) -> Outcome:
    """Partners are found as the paper's code finds them: by a random permutation, or in reverse order."""
    if subject.claims.pairing is None or seen.several:
        return unasked("has partners by another rule")
    found, steady = _permutations(seen)
    if any(map(_repeats, seen.partners)):
        return differs("one by one", "partners are drawn one by one, with repeats")
    if not found:
        return failed("nothing is ever mixed with another image")
    if steady:
        short, words = KNOWN.get(steady, ("fixed", f"partners are always {list(steady)}"))
        right = subject.claims.pairing == short
        return passed(words) if right else differs(short, f"{words}, in {len(found):,} batches")
    counts = Counter(found)
    p = _uniform(counts)
    told = f"{len(counts)} of 23 permutations in {len(found):,} batches of four, chi-square p = {p:.2g}"
    if p < P:
        return differs("uneven", told)
    return passed(told) if subject.claims.pairing == "permutation" else differs("permutation", told)


def _permutations(seen: Seen) -> tuple[list[tuple[int, ...]], tuple[int, ...] | None]:
    """That of each batch in which it shows; the one that nearly all are, if there is such a one."""
    found = [p for p in map(_completed, seen.partners) if p is not None]
    most, times = Counter(found).most_common(1)[0] if found else (None, 0)
    return found, most if times > STEADY * len(found) else None


def _leaves_one(permutation: tuple[int, ...]) -> bool:
    return any(i == p for i, p in enumerate(permutation))


def _uniform(counts: Counter[tuple[int, ...]]) -> float:
    """p of all permutations but the identity being equally frequent; 1 for too few to tell."""
    kinds, total = factorial(BATCH) - 1, sum(counts.values())
    if total < MANY:
        return 1.0
    observed = [*counts.values(), *[0] * (kinds - len(counts))]
    return float(stats.chisquare(observed).pvalue)


def _repeats(partners: np.ndarray) -> bool:
    seen = [int(p) for p in partners if p >= 0]
    return len(set(seen)) < len(seen)


def _completed(partners: np.ndarray) -> tuple[int, ...] | None:
    """The permutation; a sample that shows no partner has the one image that is left, or, where there are
    several such, itself. None where nothing is mixed, or where that makes no permutation."""
    hidden = np.flatnonzero(partners < 0)
    if len(hidden) == len(partners):
        return None
    left = set(range(len(partners))) - {int(p) for p in partners}
    whole = partners.copy()
    whole[hidden] = list(left) if len(hidden) == 1 and len(left) == 1 else hidden
    return tuple(int(p) for p in whole) if len(set(whole.tolist())) == len(whole) else None
