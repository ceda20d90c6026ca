"""Files of float32 numbers made smaller, exactly.

The four bytes of such numbers are of different kinds: signs and exponents repeat, the rest of a trained
weight is noise. So bytes 0, 4, 8, ... are stored together, then bytes 1, 5, 9, ..., and each of the four
parts is compressed by zlib where that helps. Any file may be packed; one of other content only gains less.
"""

import io
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

MAGIC = b"msda-train packed 1\n"
WIDTH = 4  # bytes of a float32
SAMPLE = 1 << 16  # bytes by which to see whether a part is noise
MOST_BYTES = 1 << 33  # of an unpacked file: a small file that says more would fill the memory


def pack(content: bytes) -> bytes:
    """`content`, smaller; `unpack` gives it back."""
    padded = content + bytes(-len(content) % WIDTH)
    planes = np.frombuffer(padded, np.uint8).reshape(-1, WIDTH).T
    parts, packed = [], []
    for plane in planes:
        raw = plane.tobytes()
        middle = raw[len(raw) // 2 :][:SAMPLE]
        helps = len(zlib.compress(middle, 1)) < 0.97 * len(middle)
        parts.append(zlib.compress(raw, 1) if helps else raw)
        packed.append(helps)
    head = {"bytes": len(content), "parts": [len(part) for part in parts], "packed": packed}
    return b"".join([MAGIC, json.dumps(head).encode(), b"\n", *parts])


def unpack(content: bytes) -> bytes:
    """What was packed. ValueError where `content` is not whole, or would become larger than it says."""
    line, _, rest = content.removeprefix(MAGIC).partition(b"\n")
    head = json.loads(line)
    size, lengths = int(head["bytes"]), [int(each) for each in head["parts"]]
    if not content.startswith(MAGIC) or not 0 <= size <= MOST_BYTES or sum(lengths) != len(rest):
        raise ValueError("not a packed file, or cut off")
    long = -(-size // WIDTH)
    planes = []
    for length, packed in zip(lengths, head["packed"], strict=True):
        part, rest = rest[:length], rest[length:]
        plane = zlib.decompressobj().decompress(part, long + 1) if packed else part
        if len(plane) != long:
            raise ValueError("a part has another length than its file says")
        planes.append(np.frombuffer(plane, np.uint8))
    return np.stack(planes, axis=1).tobytes()[:size]


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file at `path` to read from, unpacked if it is packed. Raises OSError, and what `unpack` does."""
    with open(path, "rb") as file:
        packed = file.read(len(MAGIC)) == MAGIC
        file.seek(0)
        yield io.BytesIO(unpack(file.read())) if packed else file
