"""What every `msda-table run` does: runs behind a bar, and finished rows that are kept at once."""

import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from msda_train.cli.commands.plan_options import Request
from msda_train.cli.guard import log
from msda_train.launch.claims import Disk
from msda_train.launch.execute import Executor, progress
from msda_train.launch.keep import Keeper
from msda_train.launch.plan import Job
from msda_train.records.rows import Row


def run_to_end(executor: Executor, missing: Sequence[Job]) -> None:
    """Runs it behind a bar of the epochs of `missing`."""
    total = sum(job.configuration.epochs for job in missing)
    seconds = 0.5 if sys.stderr.isatty() else 30  # a log file is not a screen
    with tqdm(total=total, unit="epoch", mininterval=seconds, dynamic_ncols=True, disable=not missing) as bar:
        executor.run(progress(total, bar))


class Keeping:
    """`finished` is for the executor. rows: what became finished in this call; `folder` is that of --keep, or
    None. UserError where nothing can be written there."""

    def __init__(self, folder: Path | None) -> None:
        self.rows: list[Row] = []
        self._keeper = Keeper(folder) if folder else None
        self._disk: Disk | None = None
        if self._keeper:
            self._keeper.check()

    def begin(self, asked: Request) -> None:
        """Keeps what an earlier call has finished."""
        self._disk = asked.disk
        planned = {each.fingerprint for each in asked.plan.configurations}
        for row in asked.rows:
            if row.fingerprint in planned and row.path.is_relative_to(asked.disk.runs):
                self._keep(row)

    def finished(self, job: Job) -> None:
        """A job has its row."""
        assert self._disk is not None
        if row := self._disk.row(job):
            self.rows.append(row)
            self._keep(row)

    def end(self) -> int:
        """The exit code: 2, and a line, where rows could not be kept."""
        trouble = self._keeper.again() if self._keeper else None
        if trouble:
            log("msda-table", f"--keep: not kept: {trouble}")
        return 2 if trouble else 0

    def _keep(self, row: Row) -> None:
        if self._keeper and (trouble := self._keeper.add(row)):
            log("msda-table", f"--keep: {trouble}")
