"""Starting this package's own programs as other processes: trainers and speed probes."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from msda_train.core.programs import child_environment, module_command

DIE_WITH_PARENT = Path(__file__).with_name("die_with_parent.py")
DONE = b"done\n"


def start(command: Sequence[str], errors: IO[Any]) -> "subprocess.Popen[bytes]":
    """`command` in a process group of its own, so that Ctrl-C reaches the planner only; it dies with
    this thread's process. Its stdin and stdout are pipes."""
    mortal = [sys.executable, "-I", "-S", str(DIE_WITH_PARENT), str(os.getpid()), *command]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        mortal,
        bufsize=0,
        stdin=pipe,
        stdout=pipe,
        stderr=errors,
        env=child_environment(),
        process_group=0,
    )


class Worker:
    """A process that trains run after run (see `msda_train.cli.worker`) on one device, a word for device=.

    work: the `work_key` of the last run it was given; errors: where it speaks before it has one.
    """

    def __init__(self, device: str | None, errors: IO[Any]) -> None:
        self.device, self.work = device, ""
        self.process = start(module_command("cli.worker", []), errors)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._jobs, self._answers = self.process.stdin, self.process.stdout
        os.set_blocking(self._answers.fileno(), False)

    def give(self, words: Sequence[str], log: Path, work: str) -> None:
        """A run to train, as the words behind `msda-train`; what it says goes to the end of `log`."""
        self.work = work
        with suppress(BrokenPipeError):  # it died this moment, which `result` will say
            self._jobs.write(json.dumps({"words": list(words), "log": str(log.absolute())}).encode() + b"\n")

    def result(self) -> int | None:
        """The exit code of the run it was given, None while that goes on. It answers after each that went
        well; any other is its last."""
        return 0 if DONE in (self._answers.read(4096) or b"") else self.process.poll()

    def dismiss(self) -> None:
        """It gets no more runs, and ends after the one it has."""
        self._jobs.close()

    @property
    def dismissed(self) -> bool:
        """Whether `dismiss` has been called."""
        return self._jobs.closed

    def end(self, seconds: float) -> bool:
        """Dismisses it, waits so long for its end, then kills it; False where it had to be killed, because
        of the time or a second Ctrl-C."""
        self.dismiss()
        try:
            self.process.wait(seconds)
            return True
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            self.process.kill()
            self.process.wait()
            return False
        finally:
            self._answers.close()
