"""Files that are there whole or not at all: rows, checkpoints, arrays, reports."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A new binary file that appears as `path` when the block ends well, and not at all when it does not.

    It is written as `.NAME.*.tmp` beside `path`, flushed to the disk and renamed, so it survives a power cut
    and two writers at once; a killed process leaves the temporary file behind. Raises OSError.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def replace_file(path: Path, content: bytes) -> None:
    """Puts `content` at `path` in one step; see `whole_file`."""
    with whole_file(path) as file:
        file.write(content)
