"""`msda-table run PAPER/TABLE --seeds 0-4`: trains what is missing. Stopped or killed, it goes on when typed
again."""

import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from msda_train.cli.commands.launcher_options import add_launcher, read_launcher, run_elsewhere
from msda_train.cli.commands.plan_options import Request, plan_parser, read_request
from msda_train.cli.guard import log
from msda_train.core import signals
from msda_train.core.errors import UserError
from msda_train.launch.asking import ask_speed
from msda_train.launch.claims import Failure
from msda_train.launch.execute import Executor, progress
from msda_train.launch.plan import Job
from msda_train.launch.plan_text import head, outcome_text
from msda_train.records.rows import one_line


def main(words: list[str]) -> int:
    """Exit code 0: all rows are there; 1: some are not; 130, 129, 143: interrupted, by SIGHUP, by
    SIGTERM."""
    parser = plan_parser("run", "Train the runs that a published table still needs; type it again to go on.")
    parser.add_argument("--retry", action="store_true", help="try runs again that failed before")
    parser.add_argument(
        "--no-wait", action="store_true", help="leave runs that another process has taken, do not wait"
    )
    add_launcher(parser)
    args = parser.parse(words)
    launcher = read_launcher(args)
    asked = read_request(args)
    missing = asked.missing
    for line in head(asked.plan, asked.disk, missing):
        log("msda-table", line.removeprefix("# "))
    if missing and not launcher:
        _check_devices(asked, missing[0])
    try:
        if launcher:
            failed, waits = run_elsewhere(asked, launcher, args), False
        else:
            failed, waits = _run_here(asked, wait=not args.no_wait, retry=args.retry), True
    except KeyboardInterrupt as stop:
        done = sum(asked.disk.row(job) is not None for job in asked.plan.jobs)
        log(
            "msda-table", f"stopped with {done} of {len(asked.plan.jobs)} runs done; the same command goes on"
        )
        return signals.exit_code(stop)
    except OSError as error:
        where = error.filename or asked.disk.runs
        raise UserError(
            f"{where}: {error.strerror or error}; type --runs FOLDER, a folder you may write"
        ) from None
    return _summarise(asked, failed, waits)


def _run_here(asked: Request, *, wait: bool, retry: bool) -> list[tuple[Job, Failure]]:
    """Trains what is missing; what failed."""
    missing = asked.missing
    executor = Executor(asked.disk, missing, asked.devices, asked.words, wait=wait, retry=retry)
    total = sum(job.configuration.epochs for job in missing)
    seconds = 0.5 if sys.stderr.isatty() else 30  # a log file is not a screen
    with tqdm(total=total, unit="epoch", mininterval=seconds, dynamic_ncols=True, disable=not missing) as bar:
        executor.run(progress(total, bar))
    return executor.outcome.failed


def _summarise(asked: Request, failures: Sequence[tuple[Job, Failure]], here: bool) -> int:
    """What is there now: read off the disk, not remembered. here: whether this process knows why each run
    that is left is left."""
    left = {job.key for job in asked.missing}
    failed = [
        (failure.command, one_line(failure.last[-1] if failure.last else f"exit code {failure.exit_code}"))
        for job, failure in failures
        if job.key in left
    ]
    done = len(asked.plan.jobs) - len(left)
    rest = len(left) - len(failed)
    print(outcome_text(asked.plan, done, failed, rest if here else 0, Path(asked.disk.runs)))
    if rest and not here:
        log("msda-table", f"{rest} left by workers that ended early; the same command goes on")
    return 1 if left else 0


def _check_devices(asked: Request, job: Job) -> None:
    """A device that is not there would fail every run, one after another; ask first."""
    names = [name for name in asked.devices.names if name and name.startswith("cuda")]
    groups = [[*job.configuration.words, f"device={name}"] for name in names]
    for name, answer in zip(names, ask_speed(groups, measure=False), strict=True):
        if str(answer.get("error", "")).startswith(f"device={name}"):
            raise UserError(one_line(answer["error"]))
