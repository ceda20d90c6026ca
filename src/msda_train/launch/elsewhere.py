"""Workers elsewhere: jobs of Slurm, tasks of Ray, or processes of this machine as a rehearsal.

Each worker is one `msda-table run` of the same words on the same folder, and the claims there keep every
worker from the others' runs. So submitit and Ray only start them, and start them again after a pre-emption;
there is nothing to hand out, and a worker that dies leaves its runs to the others.
"""

import errno
import os
import platform
import secrets
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msda_train.core.errors import UserError
from msda_train.core.files import replace_file
from msda_train.core.programs import module_command
from msda_train.core.signals import GRACE_SECONDS
from msda_train.launch.child import start

LAUNCHERS = {"local": "slurm", "slurm": "slurm", "ray": "ray"}  # and the extra that has its package
MINUTES = 240  # of a job of Slurm, where nobody says; then it is requeued
FOREVER = 60 * 24 * 365  # minutes
TRIES = 10  # how often a worker is started that died, or whose file system was away
AWAY = (errno.ESTALE, errno.EIO, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN)
AWAY_SECONDS = 20.0
Ended = tuple[int, str]  # exit code, what it said last


@dataclass(frozen=True)
class Request:
    """What was asked for: so many workers, each with so many GPUs and (None: as the engine likes) CPU cores.

    slurm: further options of sbatch, `time` in minutes.
    """

    launcher: str
    workers: int = 1
    gpus: int = 0
    cpus: int | None = None
    slurm: Mapping[str, Any] = field(default_factory=dict)


class Worker:
    """What is sent to another machine and called there.

    words: behind `msda-table run`; home: the folder where they were typed; sign: a file that whoever shares
    the folder of runs can see.
    """

    def __init__(self, words: Sequence[str], runs: Path) -> None:
        self.words, self.home = list(words), Path.cwd()
        self.sign = runs.absolute() / "workers" / f"sign-{secrets.token_hex(8)}"
        try:
            self.sign.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self.sign, b"Workers of msda-table see by this file that they share its folder.\n")
        except OSError as error:
            raise UserError(f"--runs {runs}: cannot be written ({error.strerror})") from None

    def __call__(self) -> Ended:
        """Runs the command to its end, and again where the file system was away for a while. Told to stop, it
        stops the command, which saves what it has."""
        for left in reversed(range(TRIES)):
            try:
                code, said = self._run()
            except OSError as error:
                code, said = 1, str(error)
            if not (code and left and any(os.strerror(number) in said for number in AWAY)):
                break
            time.sleep(AWAY_SECONDS)
        return code, (said.splitlines() or [""])[-1]

    def _run(self) -> Ended:
        here = platform.node()
        try:
            os.chdir(self.home)
        except FileNotFoundError:
            return 2, f"{self.home}: not on the machine {here}; type the command in a folder that both share"
        if not self.sign.is_file():
            runs = self.sign.parents[1]
            return 2, f"--runs {runs}: not shared, {here} has another folder there; type --runs FOLDER"
        log = self.sign.with_name(f"{here}-{os.getpid()}.log")
        with open(log, "ab") as errors:
            began = errors.tell()
            process = start(module_command("cli.table", ["run", *self.words]), errors)
            try:
                out, _ = process.communicate()
            finally:
                _stop(process)
        return process.returncode, (out + log.read_bytes()[began:]).decode(errors="replace")

    def checkpoint(self, *_: Any) -> Any:
        """What submitit asks before it requeues a job: the same again, for all there is to keep is on the
        disk."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS + 10)
        process.kill()
        process.wait()


class Pool(ABC):
    """Workers that have been started, by name."""

    names: Sequence[str]

    @abstractmethod
    def look(self) -> dict[str, Ended]:
        """Those that have ended by now; one that died says so."""

    @abstractmethod
    def at_work(self) -> bool:
        """Whether one of them has not ended: quicker than what they said."""

    @abstractmethod
    def cancel(self) -> None:
        """Tells all to end; does not wait."""


class SubmititPool(Pool):
    """Jobs of Slurm, or processes of this machine."""

    def __init__(self, asked: Request, worker: Worker) -> None:
        import submitit

        folder = worker.sign.parent / "%j"
        self._jobs: list[Any] = []
        self._here = asked.launcher == "local"
        self._said: dict[str, Ended] = {}
        if asked.launcher == "slurm":
            executor = submitit.AutoExecutor(folder, cluster="slurm", slurm_max_num_timeout=FOREVER)
            more = {f"slurm_{key}": value for key, value in asked.slurm.items()}
            # Slurm itself starts a job again whose node has failed; submitit, one that is told to end.
            more["slurm_additional_parameters"] = {"requeue": True}
            executor.update_parameters(
                name="msda-table",
                timeout_min=MINUTES,
                nodes=1,
                tasks_per_node=1,
                gpus_per_node=asked.gpus or None,
                cpus_per_task=asked.cpus,
                **more,
            )
            with executor.batch():
                self._jobs = [executor.submit(worker) for _ in range(asked.workers)]
        for each in range(asked.workers if self._here else 0):
            local = submitit.LocalExecutor(folder)
            seen = list(range(each * asked.gpus, (each + 1) * asked.gpus))
            local.update_parameters(timeout_min=FOREVER, gpus_per_node=asked.gpus, visible_gpus=seen)
            self._jobs.append(local.submit(worker))
        self.names = [job.job_id for job in self._jobs]

    def look(self) -> dict[str, Ended]:
        """See Pool. Each job is asked once: submitit waits 15 s for the words of one that died."""
        for job in self._jobs:
            if job.job_id not in self._said and job.done():
                self._said[job.job_id] = self._ended(job)
        return dict(self._said)

    def at_work(self) -> bool:
        """See Pool."""
        return not all(job.done() for job in self._jobs)

    def _ended(self, job: Any) -> Ended:
        """What submitit says of a job that died is a text of many lines. Another machine's words may come
        late; those of a process of this one are there when it ends."""
        from submitit.core.utils import UncompletedJobError

        log = job.paths.stderr
        where = f"its words are in {log}" if log.exists() else f"does its machine share {log.parent}?"
        if self._here and not job.paths.result_pickle.exists():
            return 1, f"died ({job.state}: no outcome); {where}"
        try:
            ended: Ended = job.result()
        except UncompletedJobError as error:
            return 1, f"died ({job.state}: {str(error).splitlines()[0]}); {where}"
        return ended

    def cancel(self) -> None:
        """SIGINT here, scancel there."""
        for job in self._jobs:
            if not job.done():
                job.cancel(check=False)


def _call(worker: Worker) -> Ended:
    return worker()


class RayPool(Pool):
    """Tasks of the Ray cluster that RAY_ADDRESS names or that runs here; else of one that is started here."""

    def __init__(self, asked: Request, worker: Worker) -> None:
        import ray

        self._ray = ray
        ray.init(logging_level="error", log_to_driver=False, ignore_reinit_error=True)
        self._check(asked)
        remote = ray.remote(num_cpus=asked.cpus or 1, num_gpus=asked.gpus, max_retries=TRIES)(_call)
        self._tasks = {f"task {each + 1}": remote.remote(worker) for each in range(asked.workers)}
        self.names = list(self._tasks)

    def _check(self, asked: Request) -> None:
        """ValueError for workers that Ray would wait with for ever."""
        machines = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        for option, name, wanted in (("--gpus", "GPU", asked.gpus), ("--cpus", "CPU", asked.cpus or 1)):
            most = int(max((machine.get(name, 0) for machine in machines), default=0))
            if wanted > most:
                told = f"no machine of this cluster has so many; type {option} {most}"
                raise ValueError(f"{option} {wanted}: {told}")

    def look(self) -> dict[str, Ended]:
        """See Pool."""
        done = self._done()
        return {name: self._ended(task) for name, task in self._tasks.items() if task in done}

    def at_work(self) -> bool:
        """See Pool."""
        return len(self._done()) < len(self._tasks)

    def _done(self) -> list[Any]:
        done, _ = self._ray.wait(list(self._tasks.values()), num_returns=len(self._tasks), timeout=0)
        return list(done)

    def _ended(self, task: Any) -> Ended:
        try:
            ended: Ended = self._ray.get(task)
        except self._ray.exceptions.RayError as error:
            return 1, f"died ({type(error).__name__}: {str(error).splitlines()[0]})"
        return ended

    def cancel(self) -> None:
        """As Ctrl-C would."""
        for task in self._tasks.values():
            self._ray.cancel(task, force=False)


def slurm_options() -> list[str]:
    """What `Request.slurm` may name: the options of sbatch that submitit knows."""
    from submitit.slurm.slurm import SlurmExecutor

    ours = {"job_name", "nodes", "ntasks_per_node", "gpus_per_node", "cpus_per_task", "additional_parameters"}
    return sorted(SlurmExecutor._valid_parameters() - ours - {"setup", "teardown", "srun_args", "use_srun"})


def open_pool(asked: Request, worker: Worker) -> Pool:
    """Starts the workers. Raises UserError where the launcher cannot."""
    try:
        return RayPool(asked, worker) if asked.launcher == "ray" else SubmititPool(asked, worker)
    except ImportError:
        why = f"its package is missing; type pip install 'msda-train[{LAUNCHERS[asked.launcher]}]'"
    except (RuntimeError, ValueError, NameError, OSError) as error:  # no Slurm here; what sbatch refuses
        why = " ".join(str(error).split())
    worker.sign.unlink(missing_ok=True)
    raise UserError(f"--launcher {asked.launcher}: {why}")
