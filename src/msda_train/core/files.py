"""Files that are there whole or not at all: rows, checkpoints, arrays, reports."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

from msda_train.core.errors import UserError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class NotWritten(UserError, OSError):
    """The disk would not take a file: full, read-only, not ours. One line for whoever typed the command, and
    still an OSError with its `errno`, `strerror` and `filename`."""

    def __init__(self, error: OSError, path: Path) -> None:
        reason = error.strerror or str(error)
        OSError.__init__(self, error.errno, reason, str(path))
        todo = "make room there" if error.errno in _FULL else "make it writable"
        self.line = f"{path}: cannot be written ({reason}); {todo}, then type the same command again"

    def __str__(self) -> str:
        return self.line


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an OSError of the block, which makes `path` or its folders, into NotWritten."""
    try:
        yield
    except NotWritten:
        raise
    except OSError as error:
        raise NotWritten(error, path) from None


class _Target:
    """A file that remembers why it could not be written: torch and NumPy tell it in words of their own,
    without the reason. Not a real file, or NumPy would write past it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, content: Any) -> int:
        try:
            return self._file.write(content)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A new binary file that appears as `path` when the block ends well, and not at all when it does not.

    It is written as `.NAME.*.tmp` beside `path`, flushed to the disk and renamed, so it survives a power cut
    and two writers at once; a killed process leaves the temporary file behind. Raises NotWritten.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    with writing(path):
        try:
            with temporary.open("xb") as file:
                target = _Target(file)
                try:
                    yield cast("IO[bytes]", target)
                except Exception:
                    if target.error is not None:
                        raise target.error from None
                    raise
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):  # the folder is no longer ours: the first trouble is the one to tell
                temporary.unlink(missing_ok=True)
            raise


def replace_file(path: Path, content: bytes) -> None:
    """Puts `content` at `path` in one step; see `whole_file`."""
    with whole_file(path) as file:
        file.write(content)
