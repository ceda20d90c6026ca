"""Being told to stop: by Ctrl-C, by a closed terminal (SIGHUP), by a scheduler or `kill` (SIGTERM).

Ctrl-C ends at once. The other two come from nobody who waits at a screen, so training goes on to the end of
its epoch if that comes within GRACE_SECONDS, and then saves; everything else ends at once, and so does
training at a second signal. None of the three cuts into what must not be cut (`held`), and none is taken for
a failure (`unmasked`).
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from msda_train.core.errors import RunFailed, UserError

GRACE_SECONDS = 8.0  # a container is killed 10 s after SIGTERM, a job of Slurm 30 s after
SAME_SECONDS = 1.0  # a scheduler tells the planner and its trainers, and the planner tells them, too


class Stopped(KeyboardInterrupt):
    """A signal other than Ctrl-C; whoever can be interrupted can be stopped."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def exit_code(error: KeyboardInterrupt) -> int:
    """130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
    return 128 + number_of(error)


def number_of(error: KeyboardInterrupt) -> int:
    """Of the signal behind `error`."""
    return error.number if isinstance(error, Stopped) else signal.SIGINT


class _State:
    """What a handler has to know; signals are of the whole process."""

    patient = False
    asked: int | None = None
    asked_at = 0.0
    held = False
    waiting: KeyboardInterrupt | None = None  # what came while held


_state = _State()


@contextmanager
def heeded() -> Iterator[None]:
    """SIGTERM and SIGHUP raise Stopped in the block, unless they are ignored (nohup) or have a handler
    already; Ctrl-C raises KeyboardInterrupt as ever. Also a decorator of a program's main function."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    free = [n for n in before if before[n] in (signal.SIG_DFL, signal.default_int_handler)]
    screens = [fd for fd in (1, 2) if _is_screen(fd)]

    def handle(number: int, frame: FrameType | None) -> None:
        for fd in screens:
            if not _is_screen(fd):  # a closed terminal refuses all that is still to say
                os.dup2(os.open(os.devnull, os.O_WRONLY), fd)
        if number == signal.SIGINT:
            _interrupt(KeyboardInterrupt())
        else:
            _asked(number)

    for number in free:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in free:
            signal.signal(number, before[number])


def _interrupt(stop: KeyboardInterrupt) -> None:
    """Raises it now, or where `held` ends."""
    if not _state.held:
        raise stop
    _state.waiting = _state.waiting or stop


def _asked(number: int) -> None:
    if _state.asked is not None and time.monotonic() - _state.asked_at < SAME_SECONDS:
        return
    if not _state.patient or _state.asked is not None:
        _interrupt(Stopped(number))
    else:
        _state.asked, _state.asked_at = number, time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS)


class Stop:
    """Inside `patient`: whether somebody asked to stop."""

    def asked(self) -> bool:
        """If so, the time that is left is no longer counted: saving may take what it takes."""
        if _state.asked is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return _state.asked is not None

    def if_asked(self) -> None:
        """Raises Stopped then: everything is saved."""
        if _state.asked is not None:
            raise Stopped(_state.asked)


@contextmanager
def patient() -> Iterator[Stop]:
    """A block that ends by itself soon after it is asked to, and is ended GRACE_SECONDS later at the latest.
    Only where signals are `heeded`."""
    if threading.current_thread() is not threading.main_thread():
        yield Stop()
        return

    def out_of_time(number: int, frame: FrameType | None) -> None:
        _interrupt(Stopped(_state.asked or signal.SIGTERM))

    before = signal.signal(signal.SIGALRM, out_of_time)
    _state.patient, _state.asked = True, None
    try:
        yield Stop()
    finally:
        _state.patient, _state.asked = False, None
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def held() -> Iterator[None]:
    """A block that is not cut short: an interrupt waits for its end, where signals are `heeded`.

    For `torch.save`, which calls our `write` from C++: an exception there becomes a RuntimeError, or aborts.
    """
    if _state.held or threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.held, _state.waiting = True, None
    try:
        yield
    finally:
        _state.held = False
        if _state.waiting is not None:
            raise _state.waiting


def behind(error: BaseException) -> KeyboardInterrupt | None:
    """The interrupt that `error` took the place of: C++ and ends of contexts (a recording on the GPU that is
    cut short) raise errors of their own. What we tell people ourselves has none."""
    if isinstance(error, (RunFailed, UserError)):
        return None
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__cause__ or cause.__context__
    return cause


@contextmanager
def unmasked() -> Iterator[None]:
    """A block whose interrupt stays one; see `behind`."""
    try:
        yield
    except Exception as error:
        if (stop := behind(error)) is not None:
            raise stop from None
        raise


def _is_screen(fd: int) -> bool:
    with suppress(OSError):
        return os.isatty(fd)
    return False
