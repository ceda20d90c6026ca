"""One process at a time, with locks and on a file system that has none."""

import errno
import fcntl
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

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
def test_of_another_machine_nobody_knows(lockless, hold, key):
    """Not even that its process is dead: the number means nothing here. The line says what to do."""
    hold()
    claim = _rewrite(lockless, **{key: "elsewhere", "pid": 2**22})
    with pytest.raises(Taken) as caught:
        take(lockless)
    assert "this file system has no locks" in caught.value.hint
    assert caught.value.hint.endswith(f"remove {claim}")
    told = f"another process is training this very run; wait for it .*{claim}"
    with pytest.raises(UserError, match=told), owned(lockless.parent):
        pass
    claim.unlink()
    take(lockless).close()


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
