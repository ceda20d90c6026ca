"""Being told to stop: by Ctrl-C, by a closed terminal (SIGHUP), by a scheduler or `kill` (SIGTERM).

Ctrl-C ends at once. The other two come from nobody who waits at a screen, so training goes on to the end of
its epoch if that comes within GRACE_SECONDS, and then saves; everything else ends at once, and so does
training at a second signal.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

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


_state = _State()


@contextmanager
def heeded() -> Iterator[None]:
    """SIGTERM and SIGHUP raise Stopped in the block, unless they are ignored (nohup) or have a handler
    already. Also a decorator of a program's main function."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    free = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is signal.SIG_DFL]
    screens = [fd for fd in (1, 2) if _is_screen(fd)]

    def handle(number: int, frame: FrameType | None) -> None:
        for fd in screens:
            if not _is_screen(fd):  # a closed terminal refuses all that is still to say
                os.dup2(os.open(os.devnull, os.O_WRONLY), fd)
        _asked(number)

    for number in free:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in free:
            signal.signal(number, signal.SIG_DFL)


def _asked(number: int) -> None:
    if _state.asked is not None and time.monotonic() - _state.asked_at < SAME_SECONDS:
        return
    if not _state.patient or _state.asked is not None:
        raise Stopped(number)
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
        raise Stopped(_state.asked or signal.SIGTERM)

    before = signal.signal(signal.SIGALRM, out_of_time)
    _state.patient, _state.asked = True, None
    try:
        yield Stop()
    finally:
        _state.patient, _state.asked = False, None
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _is_screen(fd: int) -> bool:
    with suppress(OSError):
        return os.isatty(fd)
    return False
