"""`msda-table run --minutes 12`: what decides the most cells in that time, and then what is new."""

import argparse
from collections.abc import Sequence

from msda_train.cli.commands.minutes_options import InMinutes, read_minutes
from msda_train.cli.commands.running import Keeping, run_to_end
from msda_train.cli.files import in_colour
from msda_train.cli.guard import log
from msda_train.comparison.compare import compare
from msda_train.comparison.table import lines_frame
from msda_train.core import signals
from msda_train.core.errors import UserError
from msda_train.launch.execute import Executor
from msda_train.launch.limit import Limit
from msda_train.launch.minutes_text import minutes_head
from msda_train.records.published import load_sound_papers
from msda_train.records.rows import Row, one_line
from msda_train.reporting.grid import draw
from msda_train.reporting.print_table import print_table
from msda_train.reporting.table_view import cells_grid


def run_for_minutes(args: argparse.Namespace, keeping: Keeping, began: float) -> int:
    """The exit code of `msda-table run`; `began`: when the command did, as time.monotonic() counts."""
    made = read_minutes(args, began, probe=True, absent=False, retry=args.retry)
    asked, first = made.asked, made.choice.jobs
    for line in minutes_head(asked.plan, made.choice, made.times):
        log("msda-table", line.removeprefix("# "))
    keeping.begin(asked)
    reserve = [job for group in made.choice.later for job in group.jobs if job not in first]
    end = began + made.seconds - signals.GRACE_SECONDS  # trainers may need that to end their epochs
    limit = Limit(end, made.found.seconds, reserve, made.crowd)
    waiting = {"wait": not args.no_wait, "retry": args.retry}
    executor = Executor(
        asked.disk, first, asked.devices, asked.words, **waiting, limit=limit, finished=keeping.finished
    )
    code = 0
    try:
        run_to_end(executor, first)
    except KeyboardInterrupt as stop:
        code = signals.exit_code(stop)
    except OSError as error:
        where = error.filename or asked.disk.runs
        raise UserError(f"{where}: {error.strerror or error}; type --runs FOLDER") from None
    _tell(made, executor, keeping.rows)
    kept = keeping.end()
    return code or kept or max(asked.code, int(bool(executor.outcome.failed)))


def _tell(made: InMinutes, executor: Executor, new: Sequence[Row]) -> None:
    """The table of what is new, the cells it decides, and what became of the rest."""
    outcome = executor.outcome
    if new:
        print_table([row.path for row in new])
        papers, _ = load_sound_papers(made.published)
        marks = {row.fingerprint for row in new}
        cells = compare(papers, lines_frame([*made.asked.rows, *new]))
        ours = cells[[any(row.fingerprint in marks for row in rows) for rows in cells["rows"]]]
        if len(ours):
            print("\n" + draw([cells_grid(ours)], "text", colour=in_colour()), end="")
    for _, failure in outcome.failed:
        print(f"{failure.command}\n  failed: {one_line((failure.last or ('',))[-1])}")
    words = [f"{len(new)} run{'s' * (len(new) != 1)} finished"]
    for jobs, what in (
        (outcome.failed, f"failed (logs in {made.asked.disk.runs / 'logs'}; again with --retry)"),
        (outcome.stopped, "stopped, the same command goes on from the last checkpoint"),
        (outcome.late, "not begun, would not have ended in time"),
        (outcome.taken, "taken by another process"),
    ):
        words += [f"{len(jobs)} {what}"] if jobs else []
    print(f"{made.asked.plan.name}: {'; '.join(words)}")
