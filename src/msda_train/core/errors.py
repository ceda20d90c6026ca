"""The two ways a command can end badly. Both are one line for the person who typed it, never a traceback."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Bad input: the message says which option, what is wrong and what to type. Exit code 2."""

    exit_code = 2


class RunFailed(Exception):
    """A run that was asked for correctly but could not finish (a loss that is no longer finite). Exit code
    1."""

    exit_code = 1


def nearest(word: str, known: Iterable[str]) -> str:
    """`did you mean 'cutmix'?` where something is near, else the list of what exists."""
    names = sorted(known)
    close = get_close_matches(word, names, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"choose from: {', '.join(names)}"
