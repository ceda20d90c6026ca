"""A published cell in words: its number, the epoch it is of, what its paper calls the method."""

from msda_train.records.published import OTHER, UNKNOWN, Cell

RULES = {"last": "last", "best": "best", "median_last10": "median10"}  # which epoch; the last: of ten


def printed_value(cell: Cell) -> str:
    """As printed in the paper."""
    digits = cell.digits if cell.std_digits is None else cell.std_digits
    spread, kind = (cell.std, "") if cell.spread is None else (cell.spread, f" ({cell.spread_kind})")
    return f"{cell.value:.{cell.digits}f}" + ("" if spread is None else f" ± {spread:.{digits}f}{kind}")


def protocol_words(cell: Cell) -> str:
    """Which epoch the paper reports; where it does not say, which of ours stands beside it."""
    if cell.protocol == OTHER:
        return "another"
    rule = RULES.get(cell.rule, cell.rule if "/" in cell.rule else cell.rule.replace("_", " "))
    if cell.protocol != UNKNOWN:
        return rule
    return f"unknown (ours: {rule})" if rule else "unknown"


def cell_method(cell: Cell) -> str:
    """The paper's word, with the settings that tell its cells apart: `Input Mixup alpha=1.0`."""
    words = [word.removeprefix("method.") for word in cell.set]
    words += [] if cell.alpha is None else [f"alpha={cell.alpha}"]
    return " ".join([cell.label, *words])
