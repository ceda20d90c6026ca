"""`msda-table run ... --launcher slurm`: its options, and the wait for its workers."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from msda_train.cli.commands.plan_options import Request as Asked
from msda_train.cli.guard import log
from msda_train.cli.parser import Parser
from msda_train.core import signals
from msda_train.core.errors import UserError, nearest
from msda_train.launch.claims import Failure
from msda_train.launch.elsewhere import LAUNCHERS, Ended, Pool, Request, Worker, open_pool, slurm_options
from msda_train.launch.plan import Job

LOOK_SECONDS = 2.0
MOST_WORKERS = 1000


def add_launcher(parser: Parser) -> None:
    """--launcher and what goes with it."""
    group = parser.add_argument_group("on a cluster (docs/clusters.md)")
    group.add_argument(
        "--launcher", choices=list(LAUNCHERS), help="start workers there; local: on this machine, to try it"
    )
    group.add_argument("--workers", type=int, metavar="N", help="jobs of Slurm, tasks of Ray; default: 1")
    group.add_argument("--gpus", type=int, metavar="N", help="of each worker; default: 0")
    group.add_argument("--cpus", type=int, metavar="N", help="cores of each worker; default: its share")
    group.add_argument(
        "--slurm",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="for sbatch: partition=gpu, time=240 (minutes), account=..., qos=...; repeatable",
    )


def read_launcher(args: argparse.Namespace) -> Request | None:
    """What was asked for, None where the runs are to be trained right here. UserError for what makes no
    sense, or what nobody would read."""
    typed = {f"--{name}": getattr(args, name) for name in ("workers", "gpus", "cpus")}
    if args.launcher is None:
        unread = [option for option, value in typed.items() if value is not None] + ["--slurm"] * bool(
            args.slurm
        )
        if unread:
            raise UserError(f"{unread[0]}: without --launcher nobody reads it; type --launcher slurm")
        return None
    if args.slurm and args.launcher != "slurm":
        raise UserError(f"--slurm {args.slurm[0]}: --launcher {args.launcher} does not read it; leave it out")
    for option, least in (("--workers", 1), ("--gpus", 0), ("--cpus", 1)):
        if typed[option] is not None and not least <= typed[option] <= MOST_WORKERS:
            raise UserError(f"{option} {typed[option]}: must be a whole number, {least} to {MOST_WORKERS}")
    workers, gpus, cpus = args.workers or 1, args.gpus or 0, args.cpus
    if cpus is None and args.launcher != "slurm":  # there, what the job is given is what its processes see
        cpus = max(1, len(os.sched_getaffinity(0)) // workers) if args.launcher == "local" else 1
    return Request(args.launcher, workers, gpus, cpus, _slurm(args.slurm))


def _slurm(words: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for word in words:
        key, sign, value = word.partition("=")
        key = key.replace("-", "_")
        try:
            known = slurm_options()
        except ImportError:  # starting will say so
            return {}
        if not sign or key not in known:
            raise UserError(f"--slurm {word}: cannot be read; type KEY=VALUE, {nearest(key, known)}")
        if key == "time" and not value.isdecimal():
            raise UserError(f"--slurm {word}: must be minutes; type --slurm time=240")
        found[key] = int(value) if value.isdecimal() else value
    return found


def run_elsewhere(asked: Asked, launcher: Request, args: argparse.Namespace) -> list[tuple[Job, Failure]]:
    """Starts the workers and waits for them; what failed, by what the disk says then. UserError where they
    cannot work at all. On KeyboardInterrupt they are told to end, but for jobs of Slurm that outlive a closed
    terminal."""
    missing = asked.missing
    if args.retry:
        for job in missing:
            asked.disk.forget(job)
    if not missing:
        return []
    worker = Worker(_words(asked, launcher, args), asked.disk.runs)
    pool = open_pool(launcher, worker)
    log(
        "msda-table",
        f"--launcher {launcher.launcher}: started {', '.join(pool.names)}; logs in {worker.sign.parent}",
    )
    ended: dict[str, Ended] = {}
    try:
        _wait(pool, asked, ended)
    except KeyboardInterrupt as stop:
        if launcher.launcher == "slurm" and signals.number_of(stop) != signal.SIGINT:
            raise
        pool.cancel()
        end = time.monotonic() + 2 * signals.GRACE_SECONDS
        while pool.at_work() and time.monotonic() < end:
            time.sleep(0.1)
        raise
    worker.sign.unlink(missing_ok=True)
    left = asked.missing
    wrong = [line for code, line in ended.values() if code == 2]
    if left and wrong:
        raise UserError(wrong[0].removeprefix("msda-table: "))
    return [(job, failure) for job in left if (failure := asked.disk.failure(job))]


def _wait(pool: Pool, asked: Asked, ended: dict[str, Ended]) -> None:
    """Until all have ended; a bar of the runs that are done."""
    total, left = len(asked.plan.jobs), asked.missing
    seconds = 0.5 if sys.stderr.isatty() else 30  # a log file is not a screen
    with tqdm(total=total, unit="run", mininterval=seconds, dynamic_ncols=True) as bar:
        while len(ended) < len(pool.names):
            time.sleep(LOOK_SECONDS)
            for name, (code, line) in pool.look().items():
                if name not in ended and code not in (0, 2):
                    bar.write(f"msda-table: worker {name}: {line}", file=sys.stderr)
                ended[name] = code, line
            left = [job for job in left if asked.disk.row(job) is None]
            bar.update(total - len(left) - bar.n)
            bar.set_postfix(workers=len(pool.names) - len(ended), refresh=False)


def _words(asked: Asked, launcher: Request, args: argparse.Namespace) -> list[str]:
    """What each worker runs: the words typed, and its share of the machine where they do not say."""
    words = [*asked.options, *["--no-wait"] * args.no_wait]
    named = args.devices is not None or any(word.startswith("device=") for word in args.words)
    if launcher.gpus and not named:
        words += ["--devices", ",".join(f"cuda:{each}" for each in range(launcher.gpus))]
    if launcher.cpus and not any(word.startswith("threads=") for word in args.words):
        jobs = args.jobs or max(1, launcher.gpus)
        words.append(f"threads={max(1, launcher.cpus // jobs)}")
    return words
