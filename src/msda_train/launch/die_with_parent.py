"""Becomes another program, which dies with its parent: `python die_with_parent.py PARENT_PID COMMAND...`.

Linux only; elsewhere a trainer may outlive a killed planner, and the next planner waits for its run folder.
A file of its own, run without the package, because Python must not run between fork and exec.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(words: list[str]) -> None:
    """Becomes the command in `words`, PARENT_PID COMMAND...; exit code 1 where the parent is gone."""
    parent, *command = words
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != int(parent):  # it died before this was set
            sys.exit(1)
    # A planner in the background ignores Ctrl-C, and so would its children: they must heed the planner's own.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Slurm warns every process of a job with one of these before it ends; the job's first one decides then.
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
