"""What a machine lent for minutes can confirm: `make evidence MINUTES=12`, or without make
`python scripts/evidence.py --minutes 12 --keep FOLDER [WORD ...]`.

On a bare machine with Python and torch it (1) looks which packages are missing and installs them from wheels
that lie in --wheels FOLDER, into an environment of its own that sees the torch that is there, (2) checks the
network at hand against float64 and runs the tests marked `gpu`, a minute at most each, (3) measures whether
eager, recorded or compiled steps, and one, two or three trainers, do most in the minutes there are, and (4)
spends the rest on `msda-table run --minutes`. Rows go to the folder of --keep the moment they are done, and
all that is said to evidence.log there. WORDs are those of `msda-table run --minutes`: papers, PAPER/TABLE,
dataset=cifar10, dataset.root=FOLDER, and may make a rehearsal: model.width=4 recipe.epochs=2.
"""

import argparse
import importlib.metadata
import os
import re
import signal
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

REPO = Path(__file__).resolve().parents[1]
PLACE = REPO / ".evidence"  # the environment that it makes where packages are missing
CHECK_SECONDS = 60.0  # for each of the two checks, and at most a tenth of the time
MEASURING = 0.2  # of the time, for measuring ways to train


def missing(dependencies: Sequence[str]) -> list[str]:
    """Those of `dependencies`, as pyproject.toml has them, of which no version is installed here."""
    absent = []
    for each in dependencies:
        name = re.match(r"[\w.-]+", each)
        try:
            importlib.metadata.version(name[0] if name else each)
        except importlib.metadata.PackageNotFoundError:
            absent.append(each)
    return absent


def dependencies() -> list[str]:
    """Of the package; pytest is for the tests only."""
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return list(project["dependencies"])


def equipped(absent: Sequence[str], wheels: Path | None) -> str:
    """A Python that has all of them: a new environment, with `wheels` on top of what is installed here.
    Exit code 2 with one line where they are not given, or do not do."""
    typed = " ".join(f"'{each}'" for each in absent)
    torch = [each for each in absent if each.startswith("torch")]
    if wheels is None or torch:
        todo = "" if torch else ", or with their wheels in a folder: --wheels FOLDER"
        _refuse(f"missing here; type: {sys.executable} -m pip install {typed}{todo}")
    python = PLACE / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--system-site-packages", str(PLACE)], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--no-index", "--find-links", str(wheels)]
    if subprocess.run([*pip, *absent]).returncode:
        _refuse(f"--wheels {wheels}: lacks some of what is missing here (pip says what): {typed}")
    return str(python)


def _refuse(line: str) -> NoReturn:
    print(f"evidence: {line}", file=sys.stderr)
    raise SystemExit(2)


class Log:
    """What is said goes to the screen and to a file, with the seconds since the start."""

    def __init__(self, path: Path, began: float) -> None:
        self._began, self.last = began, ""
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 (as long as the program)

    def close(self) -> None:
        """Nothing more is said."""
        self._file.close()

    def say(self, line: str) -> None:
        """A line of ours."""
        self.write(f"[{time.monotonic() - self._began:6.1f} s] evidence: {line}\n")

    def write(self, text: str) -> None:
        """Anything."""
        self.last = text.strip() or self.last
        print(text, end="", flush=True)
        self._file.write(text)
        self._file.flush()

    def run(self, command: Sequence[str], seconds: float | None) -> int | None:
        """Its exit code, None where it had to be ended after `seconds`; all that it says is written."""
        self.say("$ " + " ".join(command))
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        late = threading.Event()
        timer = threading.Timer(seconds or 0.0, _end, (child, late))
        if seconds is not None:
            timer.start()
        assert child.stdout is not None
        try:
            for line in child.stdout:
                self.write(line.decode(errors="replace").replace("\r", "\n"))
            code = child.wait()
        except KeyboardInterrupt:
            os.killpg(child.pid, signal.SIGTERM)
            self.write(child.communicate()[0].decode(errors="replace"))
            raise
        finally:
            timer.cancel()
            child.stdout.close()
        return None if late.is_set() else code


def _end(child: "subprocess.Popen[bytes]", late: threading.Event) -> None:
    late.set()
    os.killpg(child.pid, signal.SIGKILL)


def main() -> int:
    """Exit code: 0; 1 where a check or a run failed; 2 for bad input."""
    began = time.monotonic()
    parser = argparse.ArgumentParser(prog="evidence", description=__doc__, allow_abbrev=False)
    parser.add_argument("--minutes", default="12", metavar="N")
    parser.add_argument("--keep", type=Path, default=Path("evidence"), metavar="FOLDER")
    parser.add_argument("--wheels", type=Path, metavar="FOLDER")
    parser.add_argument("--device", default="auto", metavar="WORD", help="cpu, cuda, cuda:1")
    for option in ("--published", "--runs", "--seeds"):
        parser.add_argument(option, metavar="...", help="as for msda-table run")
    parser.add_argument("--since", type=float, default=0.0, help=argparse.SUPPRESS)  # seconds spent before
    parser.add_argument("words", nargs="*", metavar="WORD")
    args = parser.parse_intermixed_args()
    if absent := missing(dependencies()):
        python = equipped(absent, args.wheels)
        spent = ["--since", str(time.monotonic() - began)]
        os.execv(python, [python, __file__, *sys.argv[1:], *spent])
    sys.path[:0] = [str(REPO / "src"), str(REPO / "scripts")]
    from msda_train.cli.guard import run_guarded  # all its packages are there only now

    return run_guarded("evidence", lambda _: gather(args, began - args.since), "stopped", [])


def gather(args: argparse.Namespace, began: float) -> int:
    """Checks, measures, runs. Raises UserError."""
    from bench.ways import fastest
    from msda_train.cli.commands.minutes_options import parse_minutes
    from msda_train.launch.keep import Keeper
    from msda_train.training.device import choose

    end = began + parse_minutes(args.minutes)
    Keeper(args.keep).check()
    compute = choose(args.device, "auto", False, None)
    log = Log(args.keep / "evidence.log", began)
    path = os.pathsep.join(filter(None, [*sys.path[:2], os.environ.get("PYTHONPATH")]))
    os.environ |= {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}  # of all that is started from here
    log.say(f"{datetime.now(UTC).isoformat(timespec='seconds')}, {args.minutes} minutes, {compute.name}")
    options = [
        word
        for name in ("published", "runs", "seeds")
        if getattr(args, name) is not None
        for word in (f"--{name}", getattr(args, name))
    ]
    words, model, checked = network_at_hand([*args.words, *options, "--minutes", args.minutes], args.keep)
    log.say(f"the network at hand: {' '.join(words)}")
    seconds = min(CHECK_SECONDS, (end - time.monotonic()) / 10)
    if not _checked(log, seconds, str(compute.device), checked):
        return 1
    cuda, left = compute.device.type == "cuda", end - time.monotonic()
    bounds = {"limit": MEASURING * left, "left": left}
    way = fastest(
        [*words, f"device={compute.device}"], cuda=cuda, cores=os.cpu_count() or 1, log=log.say, **bounds
    )
    option, jobs = (way.words, way.jobs) if way else ((), 1)
    log.say(f"chosen: {way}" if way else "nothing was measured: eager, one trainer")
    run = [sys.executable, "-m", "msda_train.cli.table", "run", *args.words, *options, *option]
    run += [model] if model not in args.words else []
    run += ["--keep", str(args.keep), "--device", str(compute.device), "--jobs", str(jobs)]
    code = log.run([*run, "--minutes", f"{max(0.01, (end - time.monotonic()) / 60):.2f}"], None)
    log.say(f"over: rows and this log are in {args.keep}")
    return 1 if code is None else code


def network_at_hand(typed: Sequence[str], keep: Path) -> tuple[list[str], str, list[str]]:
    """Of all that the words of `msda-table run` leave, the network that promises the most cells: words of a
    run of it, the word that chooses it, and what `msda-check machine` is told. Raises UserError."""
    from msda_train.cli.commands.minutes_options import by_promise, everything
    from msda_train.cli.commands.plan_options import plan_parser
    from msda_train.core.errors import UserError
    from msda_train.launch.candidates import candidates

    parser = plan_parser("run", "")
    parser.add_argument("--keep", type=Path)
    asked, remarks, _ = everything(parser.parse([*typed, "--keep", str(keep)]))
    found = candidates(asked.plan, asked.disk, {}, retry=False)
    if not found.wanted:
        raise UserError(f"nothing to run: {'; '.join([*remarks, *found.remarks])}")
    first = by_promise(found.wanted)[0]
    model = f"model={first.choice('model')}"
    own = [word for word in typed if word.startswith(("model.", "regulariser"))]
    return list(first.words), model, [model, *own, f"dataset={first.choice('dataset')}"]


def _checked(log: Log, seconds: float, device: str, words: Sequence[str]) -> bool:
    """False where this machine computes wrongly, or a test fails; what is not over in time is only told."""
    check = [sys.executable, "-m", "msda_train.cli.check", "machine", *words, "--device", device]
    tests = [sys.executable, "-m", "pytest", "-o", "addopts=", "-p", "no:cacheprovider"]
    marked = [path for path in (REPO / "tests").rglob("test_*.py") if "mark.gpu" in path.read_text()]
    tests += ["-q", "-m", "gpu", *map(str, sorted(marked))]
    for what, command in (("the numeric check", check), ("the tests marked gpu", tests)):
        code = log.run(command, seconds)
        if code is None:
            log.say(f"{what} took more than {seconds:.0f} s and was ended; going on")
        elif (code == 1 or code < 0) and "No module named pytest" not in log.last:
            log.say(f"{what} failed: numbers of this machine would be worth nothing")
            return False
    return True


if __name__ == "__main__":
    sys.exit(main())
