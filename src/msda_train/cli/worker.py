"""`python -m msda_train.cli.worker`: trains what the planner tells it, run after run, and keeps for the next
run what that one shares with the last.

Every line of stdin is a run: {"words": [what to type behind msda-train], "log": the file for all it says}. A
line on stdout tells that it went well. The first that does not ends the worker with the run's own exit code,
so that whatever went wrong, the next run begins in a new process.
"""

import ctypes
import json
import os
import sys

from msda_train.cli import train as cli
from msda_train.core import signals
from msda_train.training.run_cache import RunCache


@signals.heeded()
def main() -> int:
    """Exit code: 0 when stdin ends, else that of the run that failed; 130, 129 or 143 where it is stopped."""
    jobs, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")  # what a run starts inherits neither
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    cache = RunCache()
    try:
        for line in jobs:
            job = json.loads(line)
            _redirect_output(job["log"])
            code = cli.run_words(job["words"], cache)
            _flush()
            if code:
                return code
            print("done", file=answers, flush=True)
    except KeyboardInterrupt as stop:  # between two runs
        return signals.exit_code(stop)
    return 0


def _redirect_output(log: str) -> None:
    """Sends stdout and stderr, also of what is not Python, to the end of `log`."""
    with open(log, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def _flush() -> None:
    """What was printed belongs to the run that is over."""
    sys.stdout.flush()
    sys.stderr.flush()
    ctypes.CDLL(None).fflush(None)


if __name__ == "__main__":
    sys.exit(main())
