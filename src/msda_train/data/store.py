"""The cache of decoded arrays: `.npy` files named by their content, and one small JSON entry per source.

The entry of a source (`index/SIGNATURE.json`) names the content and the size and checksum of its files, two
for each split, and that of boxes where there are some.
Every file is written under a temporary name and then renamed, so a file that is there is a whole one; two
processes that write the same content at once write the same bytes.
"""

import hashlib
import json
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from msda_train.core.errors import UserError
from msda_train.core.files import whole_file
from msda_train.data.examples import Arrays

FORMAT = 1
_STALE_SECONDS = 24 * 3600


def signature(*facts: Any) -> str:
    """What names a source: a hash of `facts`, anything that JSON can write."""
    text = json.dumps([FORMAT, *facts], separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Store:
    """`folder` holds the cache; `repair` is the command to type when a file of it is damaged."""

    folder: Path
    repair: str

    def has(self, signature: str) -> bool:
        """Whether this source seems to be here, by file sizes alone: fast, for listings."""
        try:
            entry = self._entry(signature)
            return entry is not None and all(
                self._path(entry["content"], key).stat().st_size == facts["bytes"]
                for key, facts in entry["files"].items()
            )
        except (UserError, OSError):
            return False

    def open(self, signature: str) -> tuple[Arrays, str] | None:
        """Read-only maps of the arrays of this source and their content hash; None where it was never
        decoded.

        Every byte is compared with its checksum (0.1 s for CIFAR): a damaged file raises UserError.
        """
        entry = self._entry(signature)
        if entry is None:
            return None
        content, files = entry["content"], entry["files"]
        if not all(self._path(content, key).exists() for key in files):
            return None  # somebody made room; that is no damage, decode again
        for key, facts in files.items():
            path = self._path(content, key)
            if path.stat().st_size != facts["bytes"] or _crc32(path) != facts["crc32"]:
                raise self._damaged(path)
        arrays = {key: np.load(self._path(content, key), mmap_mode="r", allow_pickle=False) for key in files}
        return Arrays(**arrays, classes=tuple(entry["classes"])), content

    def save(self, signature: str, arrays: Arrays, content: str) -> None:
        """Keep `arrays` (canonical order, named by `content`); the entry is written last."""
        files = {}
        try:
            (self.folder / "index").mkdir(parents=True, exist_ok=True)
            self._sweep()
            named = [
                (f"{axis}_{split}", each)
                for split, *both in arrays.splits()
                for axis, each in zip("xy", both, strict=True)
            ]
            named += [] if arrays.boxes_test is None else [("boxes_test", arrays.boxes_test)]
            for key, array in named:
                path = self._path(content, key)
                with whole_file(path) as file:
                    np.save(file, array, allow_pickle=False)
                files[key] = {"bytes": path.stat().st_size, "crc32": _crc32(path)}
            entry = {"content": content, "classes": list(arrays.classes), "files": files}
            text = json.dumps({"entry": entry, "crc32": _entry_crc(entry)}, indent=1)
            with whole_file(self._index(signature)) as file:
                file.write(text.encode())
        except OSError as error:
            raise UserError(
                f"dataset.cache: cannot write in {self.folder} ({error.strerror or error}); "
                f"type dataset.cache=FOLDER with room to write"
            ) from error

    def _entry(self, signature: str) -> dict[str, Any] | None:
        path = self._index(signature)
        try:
            raw = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise UserError(
                f"dataset.cache: cannot read {path} ({error.strerror}); type dataset.cache=FOLDER"
            ) from error
        try:
            whole = json.loads(raw)
            entry = whole["entry"]
            good = whole["crc32"] == _entry_crc(entry)
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged(path) from error
        if not good:
            raise self._damaged(path)
        made: dict[str, Any] | None = entry
        return made

    def _path(self, content: str, key: str) -> Path:
        return self.folder / f"{content}.{key}.npy"

    def _index(self, signature: str) -> Path:
        return self.folder / "index" / f"{signature}.json"

    def _damaged(self, path: Path) -> UserError:
        return UserError(f"cache {path} is damaged; type: {self.repair}")

    def _sweep(self) -> None:
        """Remove what killed processes left behind; a day old, so that no living writer loses its file."""
        for path in [*self.folder.glob(".*.tmp"), *(self.folder / "index").glob(".*.tmp")]:
            with suppress(FileNotFoundError):  # its writer has just renamed it
                if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                    path.unlink()


def _crc32(path: Path) -> int:
    return zlib.crc32(np.memmap(path, dtype=np.uint8, mode="r").data)


def _entry_crc(entry: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(entry, sort_keys=True).encode())
