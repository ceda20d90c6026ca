"""How every command ends: with its exit code, and one line on stderr for whatever went wrong."""

import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from traceback import walk_tb

from msda_train.core import signals
from msda_train.core.errors import RunFailed, UserError
from msda_train.core.programs import follows
from msda_train.records.rows import one_line

FOLLOWER_SECONDS = 5.0
LONGEST = 800  # letters of a message
HYDRA = ("hydra", "omegaconf", "antlr4", "yaml")
NO_MEMORY = ("can't allocate memory", "out of memory", "Unable to allocate")


@signals.heeded()
def run_guarded(
    prog: str, run: Callable[[list[str]], int | None], stopped: str, words: Sequence[str] | None = None
) -> int:
    """The exit code of `run(words)`: its own (None: 0), that of the error it raises, 130 where it is
    interrupted (129 and 143: by SIGHUP and SIGTERM).

    stopped: the line for whoever interrupts; words: as typed, by default those of this process.
    """
    _open_streams()
    typed = list(sys.argv[1:] if words is None else words)
    try:
        with signals.unmasked():
            code = run(typed) or 0
        sys.stdout.flush()
        return code
    except KeyboardInterrupt as stop:
        if not follows():
            log(prog, stopped)
        return signals.exit_code(stop)
    except SystemExit as end:  # --help, --version
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        return code if _flushed() else 2
    except BrokenPipeError:  # `msda-table | head`: the reader has seen enough
        _flushed()
        return 0
    except Exception as error:
        return report_error(prog, error, typed)


def report_error(prog: str, error: Exception, words: Sequence[str] = ()) -> int:
    """Prints what went wrong and returns the exit code; see `explain`."""
    code, told = explain(prog, error, words)
    if told:
        with suppress(OSError, ValueError):  # a full disk behind stderr must not cost the run
            print(told, file=sys.stderr, flush=True)
    return code


def explain(prog: str, error: Exception, words: Sequence[str] = ()) -> tuple[int, str]:
    """The exit code, and what to print: 2 and one line where the input or this machine is at fault, 1 and
    the traceback where it is a bug, ours or of a user's own method. Raises the interrupt behind `error`."""
    if (stop := signals.behind(error)) is not None:
        raise stop from None
    expected = isinstance(error, UserError | RunFailed)
    if (expected or _raised_by_hydra(error)) and follows():
        # The leader says it, and should end first: torchrun then ends the others.
        with suppress(KeyboardInterrupt):  # torchrun's own SIGTERM
            time.sleep(FOLLOWER_SECONDS)
        return 1, ""
    line = str(error) if expected else _describe(error, words)
    if line is None:
        what = f"failed: {' '.join(words)}" if words else "failed; this is a bug"
        return 1, "".join(traceback.format_exception(error)) + _told(prog, what)
    return error.exit_code if isinstance(error, RunFailed) else 2, _told(prog, line)


def log(prog: str, line: str) -> None:
    """One line for the person at the terminal: results go to stdout, all else to stderr."""
    with suppress(OSError, ValueError):  # a full disk behind stderr must not cost the run
        print(_told(prog, line), file=sys.stderr, flush=True)


def _told(prog: str, line: str) -> str:
    return f"{prog}: {_short(one_line(line))}"


def _short(line: str) -> str:
    """Without the middle where somebody typed thousands of letters: which option, and what to type, stay."""
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"


def _describe(error: Exception, words: Sequence[str]) -> str | None:
    """One line for an error that is no bug; None for a bug."""
    if isinstance(error, OSError) and error.errno is not None:  # Hydra has some of its own
        return _describe_os_error(error)
    if isinstance(error, MemoryError) or any(sign in str(error) for sign in NO_MEMORY):
        return "not enough memory; type a smaller model, recipe.batch_size or data set"
    if isinstance(error, RecursionError):
        return "nested too deeply; type OPTION=VALUE with fewer brackets"
    if isinstance(error, ValueError) and "integer string conversion" in str(error):
        return "a number has thousands of digits; type a smaller one"
    if _raised_by_hydra(error):
        from msda_train.cli.overrides import describe  # only once Hydra has been imported anyway

        return describe(error, [word for word in words if "=" in word])
    return None


def _raised_by_hydra(error: Exception) -> bool:
    """Whether Hydra, or what it reads words with, raised it: then it is about the words, whatever it is."""
    names = [str(frame.f_globals.get("__name__")) for frame, _ in walk_tb(error.__traceback__)]
    last = {name.partition(".")[0]: place for place, name in enumerate(names)}
    return max(last.get(each, -1) for each in HYDRA) > last.get("msda_train", -1)


def _describe_os_error(error: OSError) -> str:
    why = error.strerror or str(error)
    try:
        os.getcwd()
    except OSError:
        return "the folder you stand in is gone; type: cd FOLDER"
    if not _flushed() or error.filename is None:  # a write: those of files are told where they happen
        return f"the output cannot be written ({why}); make room, or send it elsewhere"
    return f"{error.filename}: {why}; type a folder or file that you may read and write"


def _open_streams() -> None:
    """A closed stream's number would go to the next file that is opened, and what is printed into it."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r+"))  # noqa: SIM115 (as long as the process)
    if hasattr(sys.stdout, "reconfigure"):  # a terminal that cannot show ± gets a question mark
        sys.stdout.reconfigure(errors="replace")


def _flushed() -> bool:
    """Whether all of stdout has been written; else nothing more is, or Python would complain at its end."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True
