"""Who was started by whom, on Linux."""

from pathlib import Path


def below(pid):
    """The ids of all processes below one, each after its own children."""
    try:
        children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:  # it has ended
        return []
    return [each for child in children for each in [*below(child), child]]
