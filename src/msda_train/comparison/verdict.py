"""Does our mean agree with the published number? One rule, with its words and its numbers.

The rule, in the paper's unit. The difference is our mean minus the published value; its 90 % interval is

- Welch's, where the paper prints a standard deviation over n >= 2 runs (degrees of freedom after
  Welch and Satterthwaite);
- Student's for our mean alone, widened on both sides by half a unit of the last printed digit, where
  the paper prints a bare number, which is then a constant known up to its rounding.

The equivalence margin (MARGINS) cuts the line into three parts, and the word says in which the whole
interval lies:

- `reproduced`: inside the margin. A difference may be there; it is too small to matter.
- `better`, `worse`: beyond the margin on that side, hence also beyond zero.
- `inconclusive`: across an edge of the margin. A difference that surely is not zero but may still be
  smaller than the margin counts here.

These are two one-sided tests at each edge (TOST: Schuirmann 1987) at 5 %, so each of the first three words is
wrong in at most 5 % of repetitions, wherever the truth lies; that is why the interval is the 90 % one.
Both spreads are treated as Gaussian over seeds.
"""

import math
from dataclasses import dataclass

from msda_train.comparison.table import Stat
from msda_train.records.published import RISING, UNKNOWN, Cell

WORDS = (
    "reproduced",
    "better",
    "worse",
    "inconclusive",
    "single run",
    "other protocol",
    "not runnable",
    "not published",
    "not run",
)
CONFIDENCE = 0.90  # two-sided; each side errs in at most 5 %
MOST_SEEDS = 1000  # beyond this many, "more seeds" is no advice

# By unit: at most this much, and at most this share of the published number (of the error, where an
# accuracy is printed). The share binds where numbers are small: 0.5 points at an error of 2.5 would call two
# methods equal that every paper tells apart. A score, of captions, has no best value that is 100.
MARGINS = {"percent": (0.5, 0.1), "nats": (0.05, 0.1), "score": (0.5, 0.1)}


@dataclass(frozen=True)
class Verdict:
    """`difference`, `low`, `high` and `margin` are in the cell's unit; low..high is the 90 % interval."""

    word: str  # one of WORDS
    sentence: str
    margin: float | None = None
    seeds_needed: int | None = (
        None  # of ours in all, if our mean and spread stay; None: decided, or no number
    )
    difference: float | None = None  # ours minus published
    low: float | None = None
    high: float | None = None


def verdict(cell: Cell, ours: Stat | None) -> Verdict:
    """What to say of `cell`, given our number over seeds, in its unit and of its protocol; None: no run."""
    if cell.not_runnable is not None:
        return Verdict("not runnable", f"Cannot be run: {cell.not_runnable}.")
    if cell.not_published is not None:
        return Verdict("not published", f"Nothing to compare with: {cell.not_published}.")
    if not cell.compared_with:
        return Verdict(
            "other protocol", f"Not comparable: {cell.note or 'no row of ours holds this number'}."
        )
    margin = equivalence_margin(cell)
    if ours is None:
        probed = f" has been through probes={cell.probes}" if cell.probes else ""
        said = f"No run of this configuration{probed} yet; margin {_size(cell, margin)}."
        return Verdict("not run", said, margin)
    difference = ours.mean - cell.value
    if ours.std is None:
        place = "within" if abs(difference) <= margin else "beyond"
        said = f"One run, {difference:+.{_digits(cell)}f} {place} the margin of {_size(cell, margin)}"
        sentence = f"{said}: without a spread nothing is decided.{_protocol(cell)}"
        return Verdict("single run", sentence, margin, 2, difference)
    low, high = interval(cell, difference, ours.std, ours.n)
    word = _word(cell, low, high, margin)
    undecided = word == "inconclusive"
    needed = _seeds_needed(cell, difference, ours.std, ours.n, margin) if undecided else None
    sentence = _sentence(cell, word, (difference, low, high), margin, needed)
    return Verdict(word, sentence, margin, needed, difference, low, high)


def equivalence_margin(cell: Cell) -> float:
    """In the cell's unit; never finer than the paper's own rounding."""
    most, share = MARGINS[cell.unit]
    size = 100 - cell.value if cell.metric in RISING and cell.unit == "percent" else cell.value
    return max(min(most, share * size), rounding(cell))


def rounding(cell: Cell) -> float:
    """Half a unit of the last printed digit."""
    return 0.5 * 10.0**-cell.digits


def interval(cell: Cell, difference: float, std: float, n: int) -> tuple[float, float]:
    """The 90 % interval of ours minus published, from our `n` >= 2 seeds of sample deviation `std`."""
    ours = std**2 / n
    if is_welch(cell):
        theirs = (cell.std or 0.0) ** 2 / (cell.n or 1)
        total, parts = ours + theirs, ours**2 / (n - 1) + theirs**2 / ((cell.n or 2) - 1)
        half = _quantile(total**2 / parts) * math.sqrt(total) if parts else 0.0
    else:
        half = half_width(std, n) + rounding(cell)
    return difference - half, difference + half


def is_welch(cell: Cell) -> bool:
    """Whether the paper prints what Welch's interval needs; otherwise its number is a constant."""
    return cell.std is not None and cell.n is not None and cell.n > 1


def half_width(std: float, n: int) -> float:
    """Half of the 90 % interval of a mean, Student's, from `n` >= 2 values of sample deviation `std`."""
    return _quantile(n - 1) * (std / math.sqrt(n))


def _quantile(freedom: float) -> float:
    from scipy.special import stdtrit  # a quarter of a second, and a table without runs needs none of it

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))


def _word(cell: Cell, low: float, high: float, margin: float) -> str:
    if -margin <= low and high <= margin:
        return "reproduced"
    if low > margin:
        return "better" if cell.metric in RISING else "worse"
    if high < -margin:
        return "worse" if cell.metric in RISING else "better"
    return "inconclusive"


def _seeds_needed(cell: Cell, difference: float, std: float, n: int, margin: float) -> int | None:
    """The fewest seeds that would decide if mean and spread stayed; None if not even MOST_SEEDS would."""

    def decides(count: int) -> bool:
        return _word(cell, *interval(cell, difference, std, count), margin) != "inconclusive"

    if not decides(MOST_SEEDS):
        return None
    few, many = n, MOST_SEEDS  # the interval shrinks with every seed, so halving finds the edge
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if decides(middle) else (middle, many)
    return many


def _sentence(
    cell: Cell, word: str, numbers: tuple[float, float, float], margin: float, needed: int | None
) -> str:
    digits = _digits(cell)
    difference, low, high = (f"{number:+.{digits}f}" for number in numbers)
    basis = "Welch" if is_welch(cell) else "published value as a constant with its rounding"
    where = {
        "reproduced": "inside",
        "better": "beyond",
        "worse": "beyond",
        "inconclusive": "across an edge of",
    }[word]
    said = f"Ours - published {difference}, 90 % interval {low} to {high} ({basis})"
    sentence = f"{said}, {where} the margin of {_size(cell, margin)}."
    if word == "inconclusive":
        sentence += f" {_advice(needed)}"
    return sentence + _protocol(cell)


def _advice(needed: int | None) -> str:
    if needed is None:
        return "More seeds of ours would not decide: the difference lies too near an edge of the margin."
    return f"{needed} seeds in all would decide if mean and spread stayed."


def _protocol(cell: Cell) -> str:
    return f" The paper does not state its protocol; ours is {cell.rule}." if cell.protocol == UNKNOWN else ""


def _size(cell: Cell, margin: float) -> str:
    name = {"percent": "points", "nats": "nats", "score": "points"}[cell.unit]
    return f"±{margin:.{_digits(cell)}f} {name}"


def _digits(cell: Cell) -> int:
    return max(cell.digits, 2)
