"""All laws, what the papers say of each, and the judge."""

from collections.abc import Callable
from dataclasses import dataclass

from msda_train.selfcheck.laws import draws, edges, labels, partners, repeat, tensors
from msda_train.selfcheck.laws.coded import Seen, observe
from msda_train.selfcheck.laws.subject import Outcome, Subject, differs, failed

Check = Callable[[Subject, Seen], Outcome]


@dataclass(frozen=True)
class Law:
    """name: of a column; says: the law, and where it comes from, the paper's sentence in our words."""

    name: str
    says: str
    check: Check


MIXUP = "mixup (arXiv:1710.09412)"
CUTMIX = "CutMix (arXiv:1905.04899)"
BOOK: dict[str, tuple[Law, ...]] = {
    "Labels and pixels": (
        Law("sum", f"Label weights are at least 0 and sum to 1: {MIXUP}, equation 1.", labels.sum_to_one),
        Law(
            "share",
            f"An image's weight in the label is its share of the pixels: {MIXUP}, equation 1, one lam for "
            f"both; {CUTMIX}, equation 1, labels follow the area.",
            labels.equal_share,
        ),
        Law("whole", "Weights of a pixel sum to 1: a batch of equal images comes back.", labels.whole_pixels),
        Law("range", "A mixed value lies between those that it is mixed of.", labels.inside_range),
        Law(
            "class",
            "Where a batch has one class, so have all mixed images, wholly.",
            edges.one_class,
        ),
        Law("one", "A batch of one image has no partner: it comes back as it was.", edges.batch_of_one),
        Law("odd", "An odd batch is mixed like an even one.", edges.odd_batch),
        Law("oblong", "Images that are not square are mixed alike, with boxes of their form.", edges.oblong),
    ),
    "What is drawn": (
        Law(
            "lam",
            f"lam ~ Beta(alpha, alpha): {MIXUP}, and {CUTMIX}, where the clipped box leaves a share of it.",
            draws.distribution_of_lam,
        ),
        Law(
            "kept",
            f"The label keeps the lam that was drawn: {CUTMIX}, equation 1. The authors' public code "
            "re-adjusts it to the area of the clipped box.",
            draws.lam_kept,
        ),
        Law(
            "boxes",
            f"A box has its centre anywhere in the image, uniformly, and the border clips it: {CUTMIX}, "
            "equation 2, and the authors' code.",
            draws.places_of_boxes,
        ),
        Law(
            "per",
            "lam is drawn once per batch: the authors' code of mixup and of CutMix. (The equations speak of "
            "one pair.)",
            draws.one_lam_per_batch,
        ),
        Law(
            "prob",
            f"A batch is mixed with the given probability, all of it or nothing: {CUTMIX}, authors' code.",
            draws.probability,
        ),
        Law(
            "alpha",
            "Beta(alpha, alpha) has limits: for alpha to 0 a fair coin of 0 and 1, to infinity 1/2.",
            edges.extreme_alpha,
        ),
    ),
    "Who is mixed with whom": (
        Law(
            "pairs",
            f"Partners are found by a random permutation of the batch: {MIXUP}, two examples drawn at "
            "random, and the authors' code of mixup and of CutMix. (HMix and GMix reverse the batch.)",
            partners.pairing,
        ),
        Law(
            "self",
            "A random permutation may leave an image where it is: it is its own partner then, as in the "
            "code of mixup and of CutMix.",
            partners.own_partner,
        ),
        Law("once", "A permutation makes each image the partner of one.", partners.used_once),
        Law("seed", "The same seed draws the same, other seeds and calls draw others.", repeat.by_seed),
        Law("workers", "Workers of a DataLoader, and epochs, draw independently.", repeat.between_workers),
    ),
    "Tensors": (
        Law("floats", "float64, float16 and bfloat16 stay, and labels stay right.", tensors.float_types),
        Law("bytes", "uint8 images are mixed to within a byte, or refused.", tensors.bytes_in),
        Law("format", "channels_last stays, with the same values.", tensors.memory_format),
        Law("device", "A batch on a GPU stays there.", tensors.device),
        Law("gradient", "Images that need a gradient get it, whole.", tensors.gradient),
        Law("inputs", "What was given is not overwritten.", tensors.not_overwritten),
    ),
}
OF_LABELS = frozenset({"sum", "share", "class", "one", "odd", "oblong", "alpha"})
LAWS = tuple(law for laws in BOOK.values() for law in laws)


def judge(subject: Subject, done: Callable[[], object] = lambda: None) -> dict[str, Outcome]:
    """What `subject` does under each law, by its name; a mixer that raises where nothing is unusual fails.
    `done` hears of each law."""
    outcomes = {}
    try:
        seen = observe(subject.made(), subject.draws)
    except Exception as error:
        return {law.name: _raised(error) for law in LAWS}
    for law in LAWS:
        try:
            outcomes[law.name] = _as_claimed(law, subject, law.check(subject, seen))
        except Exception as error:
            outcomes[law.name] = _raised(error)
        done()
    return outcomes


def _as_claimed(law: Law, subject: Subject, outcome: Outcome) -> Outcome:
    """What is not wrong where the mixer's paper says so."""
    claims = subject.claims
    if outcome.verdict == "fail" and law.name in OF_LABELS and claims.labels:
        return differs("own weights", f"{outcome.words}: {claims.labels}")
    if outcome.verdict == "fail" and law.name == "seed" and claims.fixed:
        return differs("draws nothing", claims.fixed)
    return outcome


def _raised(error: Exception) -> Outcome:
    return failed(f"raises {type(error).__name__}: {' '.join(str(error).split())[:200]}")
