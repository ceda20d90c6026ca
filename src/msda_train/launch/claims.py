"""What is on the disk about a run: its row, who claims it, how it failed. A plan has no other state.

<runs>/<fingerprint>-<content>/s<seed>/row.json     done
<runs>/claims/<fingerprint>-s<seed>                 locked by the planner whose run it is
<runs>/logs/<fingerprint>-s<seed>.log               what the trainer said
<runs>/failed/<fingerprint>/s<seed>/failure.json    it failed; in a folder where only row.json is a row
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from msda_train.config.groups import probes_of
from msda_train.core.errors import UserError
from msda_train.core.files import replace_file
from msda_train.core.locks import Lock, is_taken, take
from msda_train.launch.half_done import epochs_done
from msda_train.launch.plan import Configuration, Job
from msda_train.records.rows import Row, one_line, read_row

TAIL_BYTES = 4096
START = "\n$ "  # before the command, at the start of each trainer's part of a log


@dataclass(frozen=True)
class Failure:
    """How a run ended: the command typed, its exit code (negative: the signal) and its last lines."""

    command: str
    exit_code: int
    last: tuple[str, ...]
    when: str = field(default_factory=lambda: datetime.now(UTC).isoformat())  # tells two alike apart


@dataclass(frozen=True)
class Disk:
    """The folder of runs, and rows that are kept elsewhere by (fingerprint, seed)."""

    runs: Path
    kept: Mapping[tuple[str, int], Sequence[Row]] = field(default_factory=dict)

    def row(self, job: Job) -> Row | None:
        """The run's sound row, from a run folder or kept; a damaged one is none."""
        for row in self.kept.get((job.fingerprint, job.seed), ()):
            if fits(row, job.configuration):
                return row
        places = [self.runs.glob(f"{name}-*/s{job.seed}/row.json") for name in job.folders]
        for path in sorted(chain.from_iterable(places)):
            try:
                row = read_row(path)
            except UserError:
                continue
            if row.seed == job.seed and fits(row, job.configuration):
                return row
        return None

    def claim(self, job: Job) -> Lock:
        """Held until it is closed; raises Taken while another planner holds it. It dies with the process, so
        a killed planner leaves nothing to clean up."""
        path = self.runs / "claims" / job.key
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return take(path)
        except OSError as error:
            raise UserError(f"--runs {self.runs}: cannot be written ({error.strerror})") from None

    def in_training(self, job: Job) -> bool:
        """Whether a trainer is at work on this run that no living planner started."""
        return any(map(is_taken, self.runs.glob(f"{job.fingerprint}-*/s{job.seed}/lock")))

    def epochs_done(self, job: Job) -> int:
        """How far a run is that has no row: by its checkpoint, 0 where there is none."""
        places = [self.runs.glob(f"{name}-*/s{job.seed}/checkpoint.pt") for name in job.folders]
        return max((epochs_done(path, job.fingerprint) for path in chain.from_iterable(places)), default=0)

    def log(self, job: Job) -> Path:
        """The file for all that the trainer of this job prints."""
        return self.runs / "logs" / f"{job.key}.log"

    def tail(self, job: Job) -> str:
        """The end of what the last trainer of this run said; what a progress bar redraws becomes lines."""
        try:
            with open(self.log(job), "rb") as file:
                file.seek(max(0, file.seek(0, 2) - TAIL_BYTES))
                text = file.read().decode(errors="replace").replace("\r", "\n")
        except OSError:
            return ""
        _, start, last = text.rpartition(START)
        return last.partition("\n")[2] if start else text

    def failure(self, job: Job) -> Failure | None:
        """How the job failed the last time; None where it did not, or has been tried again since."""
        try:
            raw = json.loads(self._failure(job).read_text(encoding="utf-8"))
            return Failure(
                str(raw["command"]), int(raw["exit_code"]), tuple(map(str, raw["last"])), str(raw["when"])
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):  # edited by hand: it failed, whatever it says
            return Failure("unknown", 1, (f"{self._failure(job)} cannot be read",), "")

    def record(self, job: Job, failure: Failure) -> None:
        """Keep a failure, in place of an earlier one. Raises OSError."""
        path = self._failure(job)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, (json.dumps(vars(failure), indent=1) + "\n").encode())

    def forget(self, job: Job) -> None:
        """The run is tried again, or it has a row."""
        self._failure(job).unlink(missing_ok=True)

    def _failure(self, job: Job) -> Path:
        return self.runs / "failed" / job.fingerprint / job.name / "failure.json"


def fits(row: Row, configuration: Configuration) -> bool:
    """Whether `row` answers the plan. Fingerprints leave out where images came from: a row of somebody's own
    few images is not one of the official set, unless the plan, too, reads those. And where the plan wants
    probes, the run has been through all of them."""
    if row.fingerprint != configuration.fingerprint:
        return False
    presets = [word.partition("=")[2] for word in configuration.words if word.startswith("probes=")]
    wanted = {probe for preset in presets for probe in probes_of(preset)}
    if not wanted <= {name.partition("/")[0] for name in row.metrics}:
        return False
    ours, theirs = configuration.config["dataset"], row.config["dataset"]
    same_place = all(ours.get(key) == theirs.get(key) for key in ("source", "root"))
    return bool(row.data["complete"]) or (same_place and _older(ours.get("root"), row.path))


def _older(root: str | None, path: Path) -> bool:
    """Whether the file of one's own data was last written before the row at `path`."""
    try:
        return root is None or not Path(root).is_file() or Path(root).stat().st_mtime <= path.stat().st_mtime
    except OSError:
        return False


def last_lines(text: str, count: int = 5) -> tuple[str, ...]:
    """The last lines of a log that say something, without progress bars."""
    lines = [one_line(line.strip()) for line in text.splitlines()]
    return tuple([line for line in lines if line and "step/s" not in line and "s/step" not in line][-count:])
