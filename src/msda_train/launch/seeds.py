"""Seeds as people type them: `0-4`, `0,2,5`, `0-2,7`."""

import re

from msda_train.core.errors import UserError

MOST = 1000  # seeds of one plan; more is a slip of the finger
_PART = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")


def parse_seeds(text: str) -> tuple[int, ...]:
    """Every seed that `text` names, once each, ascending; UserError where it names none or too many."""
    found: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part.strip())
        if not match:
            raise UserError(f"--seeds {text}: cannot be read; type --seeds 0-4 or --seeds 0,2,5")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise UserError(f"--seeds {text}: {first}-{last} runs backwards; type --seeds {last}-{first}")
        if last - first >= MOST or len(found) > MOST:
            raise UserError(f"--seeds {text}: more than {MOST} seeds; type --seeds 0-4")
        found.update(range(first, last + 1))
    return tuple(sorted(found))
