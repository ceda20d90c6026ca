"""Downloads from a server on this machine: whole, cut, resumed, refused, wrong."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from msda_train.core.errors import UserError
from msda_train.data import cifar
from msda_train.data.cifar import Cifar10
from msda_train.data.download import Remote, fetch

BODY = bytes(range(256)) * 4000
MD5 = hashlib.md5(BODY).hexdigest()


class _Server(ThreadingHTTPServer):
    """Serves `body` under any path; the first word of the path is how it behaves."""

    daemon_threads = True
    body = BODY

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, str | None]] = []

    def url(self, behaviour: str, name: str = "file.bin") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{behaviour}/{name}"


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *words: object) -> None:
        pass

    def do_GET(self) -> None:
        behaviour, body, asked = self.path.split("/")[1], self.server.body, self.headers.get("Range")
        self.server.asked.append((behaviour, asked))
        if behaviour == "missing":
            self.send_error(404)
            return
        if behaviour == "wrong":
            body = b"x" * len(body)
        if behaviour == "html":
            body = b"<html>please log in</html>"
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and behaviour != "norange" else 0
        if start >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        # "cut" drops the first connection of each download half way, "dead" every one at once
        stop = len(body) // 2 if behaviour == "cut" and not start else 0 if behaviour == "dead" else len(body)
        self.wfile.write(body[start:stop])


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server() as server:
        thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _remote(*urls: str, size: int | None = len(BODY), **checksum: str) -> Remote:
    return Remote("file.bin", urls, size=size, **(checksum or {"md5": MD5}))


def _left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


@pytest.mark.parametrize("size", [len(BODY), None])
def test_plain(server: _Server, tmp_path: Path, size: int | None) -> None:
    path = fetch(_remote(server.url("good"), size=size), tmp_path / "new" / "folder")
    assert path.read_bytes() == BODY
    assert _left(path.parent) == ["file.bin"]


def test_sha256(server: _Server, tmp_path: Path) -> None:
    path = fetch(_remote(server.url("good"), sha256=hashlib.sha256(BODY).hexdigest()), tmp_path)
    assert path.read_bytes() == BODY


def test_a_file_that_is_there_is_not_fetched_again(server: _Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(BODY)
    fetch(_remote(server.url("good")), tmp_path)
    assert server.asked == []


def test_a_wrong_file_that_is_there_is_the_users(server: _Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(b"mine")
    with pytest.raises(UserError, match=r"file.bin is not the official file .* move it away or delete it"):
        fetch(_remote(server.url("good")), tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == b"mine"


def test_cut_and_resumed_within_a_command(server: _Server, tmp_path: Path) -> None:
    assert fetch(_remote(server.url("cut")), tmp_path).read_bytes() == BODY
    assert server.asked == [("cut", None), ("cut", f"bytes={len(BODY) // 2}-")]


def test_resumed_by_the_next_command(server: _Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(BODY[:1000])
    assert fetch(_remote(server.url("good")), tmp_path).read_bytes() == BODY
    assert server.asked == [("good", "bytes=1000-")]
    assert _left(tmp_path) == ["file.bin"]


def test_server_without_ranges_starts_over(server: _Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(BODY[:1000])
    assert fetch(_remote(server.url("norange")), tmp_path).read_bytes() == BODY


def test_a_whole_part_needs_no_server(server: _Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(BODY)
    assert fetch(_remote(server.url("good")), tmp_path).read_bytes() == BODY
    assert server.asked == []


@pytest.mark.parametrize("part", [b"bad" * 100, b"x" * (len(BODY) + 5)])
def test_a_spoilt_part_is_fetched_anew(server: _Server, tmp_path: Path, part: bytes) -> None:
    (tmp_path / "file.bin.part").write_bytes(part)
    assert fetch(_remote(server.url("good")), tmp_path).read_bytes() == BODY
    assert len(server.asked) == 2


@pytest.mark.parametrize("bad", ["missing", "wrong", "html", "dead"])
def test_next_mirror(server: _Server, tmp_path: Path, bad: str) -> None:
    assert fetch(_remote(server.url(bad), server.url("good")), tmp_path).read_bytes() == BODY
    assert [behaviour for behaviour, _ in server.asked] == [bad, "good"]


def test_all_fail_says_what_to_type(server: _Server, tmp_path: Path) -> None:
    nobody = "http://127.0.0.1:9/file.bin"
    with pytest.raises(UserError) as caught:
        fetch(_remote(nobody, server.url("wrong")), tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    for words in (nobody, server.url("wrong"), "wrong checksum", f"put the file at {tmp_path / 'file.bin'}"):
        assert words in message
    assert "dataset.source=npz dataset.root=FILE.npz" in message
    assert "dataset.source=imagefolder dataset.root=FOLDER" in message
    assert _left(tmp_path) == []
    with pytest.raises(UserError, match="last reason: Connection refused"):
        fetch(_remote(nobody), tmp_path)


def test_folder_that_cannot_be_written(server: _Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"dataset.root: cannot write .* type dataset.root=FOLDER"):
        fetch(_remote(server.url("good")), tmp_path / "file")


def test_dataset_downloads_once_and_outlives_its_archive(
    server: _Server,
    tmp_path: Path,
    data_folder: Path,
    draw: Callable,
    write_cifar10: Callable,
    write_npz: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train, test = draw(50, 20, 10, (32, 32, 3))
    server.body = write_cifar10(tmp_path, train, test).read_bytes()
    name = "cifar-10-python.tar.gz"
    remote = Remote(name, (server.url("cut", name),), md5=hashlib.md5(server.body).hexdigest())
    monkeypatch.setattr(cifar.Cifar10, "remotes", (remote,))
    downloaded = Cifar10("cifar10", "download").examples()
    (data_folder / "cifar10" / name).unlink()
    assert Cifar10("cifar10", "download").examples().content == downloaded.content
    assert len(server.asked) == 2
    npz = Cifar10("cifar10", "npz", str(write_npz(train, test))).examples()
    assert npz.content == downloaded.content
    assert not npz.complete
