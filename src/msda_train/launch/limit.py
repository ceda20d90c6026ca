"""When there is no time left: which runs may still begin, and when those that go on have to stop."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from msda_train.launch.plan import Job


@dataclass
class Limit:
    """end: when all must be over, as time.monotonic() counts; seconds: what is left of each run, as it is
    estimated, by its key; reserve: runs to begin when no other would end in time, the best first; crowd: how
    many times as long a run takes beside others, as long as nobody has seen it."""

    end: float
    seconds: Mapping[str, float]
    reserve: list[Job] = field(default_factory=list)
    crowd: float = 1.0
    seen: dict[str, float] = field(default_factory=dict)  # seconds over estimate: of a kind of work, of all
    began: dict[str, float] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self.end

    def fits(self, job: Job, work: str) -> bool:
        """Whether `job`, which does this kind of `work`, would end in time if it began now: by its estimate,
        times what the last run of its kind, else of any kind, took over its own."""
        factor = self.seen.get(work, self.seen.get("", self.crowd))
        return time.monotonic() + self.seconds.get(job.key, 0.0) * factor <= self.end

    def more(self, work: Mapping[str, str]) -> list[Job]:
        """The first run of the reserve that would end in time, which is taken out of it; `work`: the kind of
        each, by fingerprint."""
        found = [job for job in self.reserve if self.fits(job, work[job.fingerprint])][:1]
        self.reserve = [job for job in self.reserve if job not in found]
        return found

    def begin(self, job: Job) -> None:
        """`job` begins."""
        self.began[job.key] = time.monotonic()

    def done(self, job: Job, work: str) -> None:
        """`job` has its row: so long has it really taken."""
        expected = self.seconds.get(job.key, 0.0)
        if expected > 0 and job.key in self.began:
            self.seen[work] = self.seen[""] = (time.monotonic() - self.began[job.key]) / expected
