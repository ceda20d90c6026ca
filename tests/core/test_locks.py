"""One process at a time, with locks and on a file system that has none."""

import errno
import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from msda_train.core import locks
from msda_train.core.errors import UserError
from msda_train.core.locks import Taken, is_taken, take
from msda_train.training.checkpoint import owned


@pytest.fixture(params=[None, errno.ENOLCK, errno.EOPNOTSUPP])
def path(request, tmp_path, monkeypatch):
    """A file to lock; with locks, or where flock fails in two ways."""
    if request.param is not None:

        def flock(*_):
            raise OSError(request.param, os.strerror(request.param))

        monkeypatch.setattr(fcntl, "flock", flock)
    return tmp_path / "lock"


def test_one_at_a_time(path):
    for _ in range(3):
        assert not is_taken(path)
        with closing(take(path)):
            assert is_taken(path)
            with pytest.raises(Taken):
                take(path)
    assert not is_taken(path)


def test_of_many_at_once_one_wins(path):
    def try_it(_):
        try:
            return take(path)
        except Taken:
            return None

    with ThreadPoolExecutor(16) as pool:
        for _ in range(5):
            (won,) = filter(None, pool.map(try_it, range(16)))
            won.close()


@pytest.fixture
def lockless(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    return tmp_path / "lock"


@pytest.fixture
def hold(lockless):
    """Takes it as another would, to the end of the test."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(closing(take(lockless)))


def _rewrite(path, **changes):
    (claim,) = path.parent.glob("lock.*")
    claim.write_text(json.dumps(json.loads(claim.read_text()) | changes))
    return claim


def test_a_dead_process_holds_nothing(lockless, hold):
    hold()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    _rewrite(lockless, pid=dead.pid)
    take(lockless).close()
    assert sorted(each.name for each in lockless.parent.iterdir()) == ["lock", "lock.1", "lock.2"]


def test_a_process_that_waits_to_be_buried_is_dead(lockless, hold):
    hold()
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    _rewrite(lockless, pid=zombie.pid, started=locks._started(os.getpid()))
    assert not is_taken(lockless)
    zombie.wait()


def test_a_number_used_again_is_another_process(lockless, hold):
    hold()
    assert is_taken(lockless)
    _rewrite(lockless, started="1")
    assert not is_taken(lockless)


@pytest.mark.parametrize("key", ["host", "boot", "namespace"])
def test_of_another_machine_the_age_decides(lockless, hold, key):
    """A process number means nothing here; a claim that is renewed does."""
    hold()
    claim = _rewrite(lockless, **{key: "elsewhere", "pid": 2**22})
    with pytest.raises(Taken) as caught:
        take(lockless)
    assert "pid 4194304 since 20" in caught.value.who
    told = r"another process is training this very run \(host .*\); wait for it"
    with pytest.raises(UserError, match=told), owned(lockless.parent):
        pass
    now = os.stat(claim).st_mtime
    os.utime(claim, (now, now - locks.LEASE_SECONDS + 20))
    assert is_taken(lockless)
    os.utime(claim, (now, now - locks.LEASE_SECONDS - 20))
    assert not is_taken(lockless)
    take(lockless).close()


@pytest.mark.parametrize("wrong", [-7200, 7200])
def test_the_clock_of_the_file_system_counts(lockless, hold, monkeypatch, wrong):
    """Two hours' difference between this machine's clock and the server's: a fresh claim is fresh, an old one
    old."""
    utime = os.utime
    server = lambda path, times=None: utime(path, times or (server.now, server.now))  # noqa: E731
    monkeypatch.setattr(os, "utime", server)
    server.now = time.time() + wrong
    hold()
    claim = _rewrite(lockless, host="elsewhere")
    os.utime(claim)
    assert is_taken(lockless)
    server.now += locks.LEASE_SECONDS - 1
    assert is_taken(lockless)
    server.now += 2
    assert not is_taken(lockless)


def test_a_holder_renews_its_claim(lockless, monkeypatch):
    monkeypatch.setattr(locks, "RENEW_SECONDS", 0.02)
    with closing(take(lockless)) as lock:
        claim = lockless.with_name("lock.1")
        os.utime(claim, (0, 0))
        _wait_for(lambda: os.stat(claim).st_mtime > 0)
        assert not lock.lost


def test_a_file_system_that_is_away_for_a_minute(lockless, monkeypatch):
    """Renewing fails, then goes on: nobody lost anything."""
    monkeypatch.setattr(locks, "RENEW_SECONDS", 0.02)
    utime, refused = os.utime, []

    def away(*_):
        refused.append(1)
        raise OSError(errno.ESTALE, "Stale file handle")

    with closing(take(lockless)) as lock:
        with monkeypatch.context() as patch:
            patch.setattr(os, "utime", away)
            _wait_for(lambda: len(refused) > 3)
        claim = lockless.with_name("lock.1")
        utime(claim, (0, 0))
        _wait_for(lambda: os.stat(claim).st_mtime > 0)
        assert not lock.lost


def test_who_was_away_too_long_knows_that_it_lost(lockless, monkeypatch):
    monkeypatch.setattr(locks, "RENEW_SECONDS", 3600)
    with closing(take(lockless)) as first:
        claim = _rewrite(lockless, host="elsewhere")
        os.utime(claim, (0, 0))
        monkeypatch.setattr(locks, "RENEW_SECONDS", 0.02)
        with closing(take(lockless)) as second:
            threading.Thread(target=first._renew, args=(claim,), daemon=True).start()  # it is back
            _wait_for(lambda: first.lost)
            assert not second.lost
            with pytest.raises(Taken):
                take(lockless)


def _wait_for(true):
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


MOUNTS = r"""
22 1 8:1 / / rw - ext4 /dev/sda1 rw
40 22 0:41 / /home/me rw - nfs4 server:/home rw
41 40 0:42 / /home/me/my\040runs rw - lustre mgs:/scratch rw
42 22 0:43 / /scratch rw - autofs systemd-1 rw
43 42 0:44 / /scratch rw - beegfs beegfs_nodev rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/tmp/lock", "ext4"),
        ("/home/me/lock", "nfs4"),
        ("/home/meg/lock", "ext4"),
        ("/home/me/my runs/s0/lock", "lustre"),
        ("/scratch/lock", "beegfs"),
    ],
)
def test_where_a_path_lies(monkeypatch, path, kind):
    locks._file_system.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", lambda self: MOUNTS.strip())
        assert locks._file_system(0, path) == kind
    locks._file_system.cache_clear()


def test_on_a_network_flock_is_not_trusted(tmp_path, monkeypatch):
    """A mount may keep it to the machine without a word; so another machine's, here one that sees no locks,
    finds the claim."""
    monkeypatch.setattr(locks, "_file_system", lambda device, path: "nfs4")
    path = tmp_path / "lock"
    with closing(take(path)):
        assert json.loads((tmp_path / "lock.1").read_text())["pid"] == os.getpid()
        monkeypatch.setattr(fcntl, "flock", lambda *_: None)
        assert is_taken(path)
        with pytest.raises(Taken):
            take(path)
    assert not is_taken(path)


def test_a_claim_without_a_word_is_somebodys(lockless):
    """Its holder is writing this moment."""
    lockless.with_name("lock.1").touch()
    with pytest.raises(Taken):
        take(lockless)


def test_a_full_disk_leaves_no_claim(lockless, monkeypatch):
    def dumps(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(locks.json, "dumps", dumps)
        take(lockless)
    take(lockless).close()
    assert sorted(each.name for each in lockless.parent.iterdir()) == ["lock", "lock.1"]


def test_other_trouble_is_not_called_a_lock(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(UserError, match=r"cannot be written \(Input/output error\)"), owned(tmp_path):
        pass


def test_who_only_looks_stops_nobody(tmp_path):
    """A planner that looks holds a shared lock for a moment."""
    path = tmp_path / "lock"
    with open(path, "w") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        with ThreadPoolExecutor(1) as pool:
            taken = pool.submit(take, path)
            fcntl.flock(looking, fcntl.LOCK_UN)
            taken.result(10).close()
