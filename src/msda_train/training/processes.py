"""The processes of one run: who they are, how they find each other, what happens when one of them dies.

`devices=N` makes this process the leader, which starts N - 1 followers once it knows that there is something
to train: `training/follower.py`, with the config on their stdin. `torchrun` starts all of them alike; then
each reads the same words, and a follower waits for the leader's word. Only the leader heeds signals; it
tells the others after each epoch whether to stop.
"""

import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from subprocess import PIPE, STDOUT, Popen
from typing import IO, Any

import torch
import torch.distributed as dist
from omegaconf import DictConfig, OmegaConf

from msda_train.config import checks
from msda_train.core.errors import RunFailed, UserError
from msda_train.core.programs import child_environment, module_command, torchrun
from msda_train.training.device import Compute
from msda_train.training.distributed import ALONE, Team

HOST = "127.0.0.1"
STORE: Any = dist.TCPStore  # type: ignore[attr-defined]
LOST_SECONDS = 5.0  # after a follower's death, for the leader to notice by itself
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# How torch says that another process is gone.
_GONE = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "NCCL", "Socket")


@dataclass(eq=False)
class Crew(Team):
    """A team of several. port: where the leader of followers of ours listens; None where torchrun did it."""

    port: int | None = None
    store: Any = None
    followers: list[tuple["Popen[bytes]", IO[bytes]]] = field(default_factory=list)

    def called(self) -> bool:
        """See `Team`."""
        return self.leads or self.join()

    def dismissed(self) -> None:
        """See `Team`."""
        if self.port is None:
            self.join(train=False)

    def join(self, train: bool = True) -> bool:
        """Connects this process with the others, and returns the leader's word: whether to `train`."""
        in_main = threading.current_thread() is threading.main_thread()
        if not self.leads and in_main:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a wait for a leader that failed ends at once
        backend = "nccl" if self.device.type == "cuda" else "gloo"
        if self.port is not None and self.store is None:
            self.store = STORE(HOST, self.port, self.size)
        dist.init_process_group(backend, store=self.store, rank=self.rank, world_size=self.size)
        self.joined = True
        for number in SIGNALS if not self.leads and in_main else ():
            signal.signal(number, signal.SIG_IGN)
        word = self.told(train)
        if not word:
            self.leave()
        return word

    def leave(self) -> None:
        """This process is alone again."""
        if self.joined:
            self.joined = False
            dist.destroy_process_group()

    def start(self, cfg: DictConfig) -> None:
        """Starts the followers, unless torchrun did."""
        if self.port is None:
            return
        self.store = STORE(HOST, 0, self.size, is_master=True, wait_for_workers=False)
        self.port = self.store.port
        text = json.dumps(OmegaConf.to_container(cfg, resolve=True)).encode() + b"\n"
        for rank in range(1, self.size):
            said = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the follower lives)
            command = module_command("training.follower", [str(rank), str(self.port)])
            process = Popen(command, stdin=PIPE, stdout=said, stderr=STDOUT, env=child_environment())
            self.followers.append((process, said))
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.write(text)  # and stays open: its end is ours
                process.stdin.flush()

    def lost(self, patience: float = 0.0) -> str | None:
        """A line about the follower that ended badly, within so many seconds; None where none has."""
        end = time.monotonic() + patience
        while True:
            ended = [(n, process.poll()) for n, (process, _) in enumerate(self.followers)]
            bad = [(code >= 0, n, code) for n, code in ended if code]
            if bad:
                _, n, code = min(bad)  # one that was killed, before those that noticed
                why = f"signal {-code}" if code < 0 else _last_line(self.followers[n][1])
                return f"process {n + 2} of {self.size} ended: {why}"
            if time.monotonic() >= end:
                return None
            time.sleep(0.05)

    def end(self) -> None:
        """No follower is left."""
        for process, said in self.followers:
            process.kill()
            process.wait()
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.close()
            said.close()
        self.followers.clear()


KEPT = "the last checkpoint is kept, and the same command goes on from it"


@contextmanager
def together(team: Team, cfg: DictConfig, log: Any) -> Iterator[None]:
    """A block that all processes of `team` go through together. RunFailed where one of them dies."""
    if not isinstance(team, Crew):
        yield
        return
    done = threading.Event()
    try:
        if team.leads:
            team.start(cfg)
            threading.Thread(target=_watch, args=(team, done, log), daemon=True).start()
            team.join()
        yield
        done.set()
        team.leave()
    except RuntimeError as error:
        line = team.lost(LOST_SECONDS) if team.followers else None
        if line is None and any(sign in str(error) for sign in _GONE):
            line = "another process of this run is gone"
        if line is None:
            raise
        raise RunFailed(f"{line}; {KEPT}") from None
    finally:
        done.set()
        team.end()
        with suppress(RuntimeError):
            team.leave()


def _watch(team: Crew, done: threading.Event, log: Any) -> None:
    """Ends this process where a follower died and torch does not notice: a CUDA device, or a first meeting,
    waits for minutes, and no signal reaches Python meanwhile."""
    while not done.wait(0.5):
        if (line := team.lost()) and not done.wait(LOST_SECONDS):
            log(f"msda-train: {line}; {KEPT}")
            os._exit(1)


def _last_line(said: IO[bytes]) -> str:
    said.seek(0)
    lines = [line for line in said.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"


def enlist(cfg: DictConfig, compute: Compute, seat: tuple[int, int] | None) -> tuple[Team, Compute]:
    """The team of this run and the device of this process in it. seat: (rank, port) of a follower of ours.

    Raises UserError where there cannot be such a team.
    """
    if cfg.devices is not None:
        checks.whole("devices", cfg.devices, least=1)
    started = torchrun()
    size, rank = cfg.devices or 1, seat[0] if seat else 0
    typed = f"devices={size}"
    if started is not None:
        rank, size = started
        typed = f"torchrun --nproc-per-node {size}"
        if cfg.devices not in (None, size):
            raise UserError(f"devices={cfg.devices}: {typed} started another number; leave devices= out")
        if os.environ.get("LOCAL_WORLD_SIZE", str(size)) != str(size):
            raise UserError(f"{typed}: processes on several machines are not supported; type --nnodes 1")
    if size == 1:
        return ALONE, compute
    _check(cfg, compute, size, typed)
    device = compute.device
    if device.type == "cuda":
        device = torch.device("cuda", rank)
        torch.cuda.set_device(device)
    elif cfg.threads is None:
        torch.set_num_threads(max(1, _cores() // size))
    port = None if started else seat[1] if seat else 0
    return Crew(size, rank, device, port=port), replace(compute, device=device, devices=size)


def _check(cfg: DictConfig, compute: Compute, size: int, typed: str) -> None:
    for option in ("compile", "graph", "profile"):
        if cfg[option]:
            raise UserError(f"{option}=true: not with {typed}; type {option}=false")
    if not dist.is_available():
        raise UserError(f"{typed}: this torch was built without torch.distributed; leave it out")
    if compute.device.index is not None:
        raise UserError(f"device={cfg.device}: is one device; with {typed} type device=cuda")
    cuda = compute.device.type == "cuda"
    there = torch.cuda.device_count() if cuda else _cores()
    if size > there:
        what = "CUDA device(s)" if cuda else "CPU core(s)"
        raise UserError(f"{typed}: there are {there} {what} here; type a number up to {there}")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
