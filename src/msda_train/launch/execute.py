"""Running what is missing: several trainers at a time, each run claimed, each device given its share. A
trainer does one run after the other, of the same work as long as there are any: it keeps what they share.

Everything that must survive a SIGKILL is on the disk before it matters: a claim is a lock, a result is a row,
a checkpoint is the trainer's. So starting again is all there is to going on.
"""

import re
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import ceil
from typing import Any

from msda_train.config.shared_work import work_key
from msda_train.core import signals
from msda_train.core.locks import Lock, Taken
from msda_train.launch.child import Worker
from msda_train.launch.claims import START, Disk, Failure, last_lines
from msda_train.launch.plan import Job, typed

POLL_SECONDS = 0.1
WAIT_SECONDS = 2.0  # between two looks at a run that another process is doing
GRACE_SECONDS = signals.GRACE_SECONDS + 7  # for trainers to end after a signal, before they are killed
# Somebody stopped the trainer; the run itself is not to blame, so nothing is recorded against it.
STOPPED = {-signal.SIGKILL} | {
    code for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP) for code in (-number, 128 + number)
}
TAKEN = "another process is training this very run"  # says a trainer that finds its run folder locked
UNWRITTEN = "cannot be written ("  # says one whose disk is full: nor is the run to blame for that
_STEPS = re.compile(r"\b(\d+)/(\d+) \[")


@dataclass(frozen=True)
class Devices:
    """`jobs` trainers spread over `names` (words for device=, None: whatever the trainer chooses), at most
    ceil(jobs / devices) on one."""

    names: tuple[str | None, ...]
    jobs: int

    def free(self, running: Sequence[str | None]) -> tuple[bool, str | None]:
        """Whether one more may start beside those on the devices `running`, and on which: the emptiest."""
        if len(running) >= self.jobs:
            return False, None
        share = ceil(self.jobs / len(self.names))
        name = min(self.names, key=lambda each: running.count(each))
        return running.count(name) < share, name


@dataclass
class Running:
    """A job that a worker is training, and the claim that keeps other planners away from it."""

    job: Job
    claim: Lock
    worker: Worker


@dataclass
class Outcome:
    """What became of the jobs: all are in one of these when the planner ends by itself."""

    done: list[Job] = field(default_factory=list)
    failed: list[tuple[Job, Failure]] = field(default_factory=list)
    taken: list[Job] = field(default_factory=list)  # left to other processes (only without waiting)


Words = Callable[[Job, str | None], list[str]]
Watch = Callable[["Executor"], None]


class Executor:
    """One planner's work: `jobs` wait, run, or are in the outcome.

    words: a job's words on a device; wait: whether to stay until other processes have done what they took;
    watch is called after every look around, for a progress bar.
    """

    def __init__(
        self, disk: Disk, jobs: Sequence[Job], devices: Devices, words: Words, *, wait: bool, retry: bool
    ) -> None:
        self.disk, self.devices, self.words, self.wait = disk, devices, words, wait
        self.pending, self.waiting = list(jobs), list[Job]()
        self.running: list[Running] = []
        self.workers: list[Worker] = []  # those who run something, and those who wait for more
        self.work = {job.fingerprint: work_key(job.configuration.config) for job in jobs}
        self.outcome = Outcome()
        # Each failure from before is forgiven once, when its turn comes; one of meanwhile is not.
        self.forgiven = {job.key: disk.failure(job) if retry else None for job in jobs}
        self._looked = time.monotonic()

    def run(self, watch: Watch = lambda executor: None) -> Outcome:
        """Until nothing is left. On KeyboardInterrupt the trainers get the same signal and are waited
        for, then it is raised again."""
        number: int = signal.SIGINT
        try:
            while self.pending or self.running or (self.waiting and self.wait):
                self._reap()
                self._fill()
                self._look_again()
                watch(self)
                time.sleep(POLL_SECONDS)
        except KeyboardInterrupt as stop:
            number = signals.number_of(stop)
            raise
        finally:  # also after a mistake of ours: no trainer is left behind unseen
            self._stop(number)
        self.outcome.taken += self.waiting
        return self.outcome

    def fraction(self, running: Running) -> float:
        """How much of its steps a running job has done, from the bar in its log; 0 to 1."""
        steps = _STEPS.findall(self.disk.tail(running.job))
        if not steps or int(steps[-1][1]) == 0:
            return 0.0
        return min(1.0, int(steps[-1][0]) / int(steps[-1][1]))

    def _fill(self) -> None:
        while self.pending:
            idle: list[Worker | None] = [each for each in self._idle() if not each.dismissed]
            free, device = self.devices.free([each.device for each in self.workers])
            if not idle and not free:
                return
            # Of pairs that suit as well, the first: the order of the plan.
            worker, job = min(product(idle or [None], self.pending), key=lambda pair: self._rank(*pair))
            self.pending.remove(job)
            self._take(job, worker, device)
        for each in self._idle():  # the memory of their devices may be wanted by others
            each.dismiss()

    def _idle(self) -> list[Worker]:
        busy = [each.worker for each in self.running]
        return [each for each in self.workers if each not in busy]

    def _rank(self, worker: Worker | None, job: Job) -> int:
        """How badly `job` suits `worker`, None for a new one: 0 where it has just done the like, 2 where
        another has, who may soon do this one, too."""
        work = self.work[job.fingerprint]
        if worker is not None and worker.work == work:
            return 0
        return 2 if any(each.work == work for each in self.workers) else 1

    def _take(self, job: Job, worker: Worker | None, device: str | None) -> None:
        """Gives `job` to the worker, or to a new one on `device`, unless it is done, has failed, or is
        somebody else's."""
        if self.disk.row(job):
            self.outcome.done.append(job)
            return
        try:
            claim = self.disk.claim(job)
        except Taken:
            self.waiting.append(job)
            return
        # Only now is it ours alone: it may have ended, either way, while we looked.
        failure = self.disk.failure(job)
        if self.disk.row(job):
            self.outcome.done.append(job)
        elif failure and failure != self.forgiven[job.key]:
            self.outcome.failed.append((job, failure))
        elif self.disk.in_training(job):  # an orphan of a killed planner, or somebody's own msda-train
            self.waiting.append(job)
        else:
            self.forgiven[job.key] = None
            self.disk.forget(job)
            self.running.append(Running(job, claim, self._give(job, worker, device)))
            return
        claim.close()

    def _give(self, job: Job, worker: Worker | None, device: str | None) -> Worker:
        words = self.words(job, worker.device if worker else device)
        log = self.disk.log(job)
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "ab") as output:
            output.write(f"{START}{typed(words)}\n".encode())
            output.flush()
            if worker is None:
                worker = Worker(device, output)
                self.workers.append(worker)
        worker.give(words, log, self.work[job.fingerprint])
        return worker

    def _reap(self) -> None:
        ended = [(each, each.worker.result()) for each in self.running]
        for each, code in ended:
            if code is None:
                if each.claim.lost:  # this machine was away for long, and another trains it now
                    each.worker.process.terminate()
                continue
            self.running.remove(each)
            text = self.disk.tail(each.job)
            if self.disk.row(each.job):
                self.outcome.done.append(each.job)
            elif each.claim.lost or (code == 2 and TAKEN in text):
                self.waiting.append(each.job)
            else:
                self._failed(each, code, last_lines(text))
            each.claim.close()
        for worker in [each for each in self._idle() if each.process.poll() is not None]:
            self.workers.remove(worker)
            worker.end(0)

    def _failed(self, each: Running, code: int, last: tuple[str, ...]) -> None:
        command = typed(self.words(each.job, each.worker.device))
        if code in STOPPED:
            last = (*last, f"stopped by signal {-code if code < 0 else code - 128}")
        elif not last:
            last = (f"exit code {code} and not a word",)
        failure = Failure(command, code, last)
        if code not in STOPPED and not (code == 2 and any(UNWRITTEN in line for line in last)):
            self.disk.record(each.job, failure)
        self.outcome.failed.append((each.job, failure))

    def _look_again(self) -> None:
        """Now and then jobs of other processes get another turn: they are done, failed, or free again."""
        if self.waiting and self.wait and time.monotonic() - self._looked > WAIT_SECONDS:
            self._looked = time.monotonic()
            self.pending, self.waiting = self.pending + self.waiting, []

    def _stop(self, number: int) -> None:
        for each in self.running:
            each.worker.process.send_signal(number)
        for worker in self.workers:
            worker.dismiss()
        end = time.monotonic() + GRACE_SECONDS
        for worker in self.workers:
            if not worker.end(max(0.0, end - time.monotonic())):
                end = 0.0
        for each in self.running:
            each.claim.close()


def progress(total_epochs: float, bar: Any) -> Watch:
    """A watch that shows epochs and runs on a tqdm `bar` of `total_epochs`."""

    def watch(executor: Executor) -> None:
        ended = [*executor.outcome.done, *(job for job, _ in executor.outcome.failed)]
        epochs = float(sum(job.configuration.epochs for job in ended))
        epochs += sum(executor.fraction(each) * each.job.configuration.epochs for each in executor.running)
        bar.update(min(total_epochs, int(epochs)) - bar.n)
        bar.set_postfix(
            runs=len(executor.outcome.done),
            failed=len(executor.outcome.failed),
            running=len(executor.running),
            waiting=len(executor.waiting),
            refresh=False,
        )

    return watch
