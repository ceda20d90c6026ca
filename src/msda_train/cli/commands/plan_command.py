"""`msda-table plan PAPER/TABLE --seeds 0-4`: the missing runs, their commands, how long they take."""

import sys

from msda_train.cli.commands.plan_words import Request, parser, request
from msda_train.launch.asking import MOST_SECONDS
from msda_train.launch.estimate import Estimate, estimates
from msda_train.launch.text import plan_text


def main(words: list[str]) -> int:
    """Exit code 0, or 2 where a stored row is damaged. Nothing is run but short probes."""
    made = parser("plan", "Print the runs that a published table still needs; the output is a shell script.")
    made.add_argument("--no-probe", action="store_true", help="measure nothing; times from stored rows only")
    args = made.parse_intermixed_args(words)
    asked = request(args)
    missing = asked.missing
    commands = {job.key: asked.words(job, asked.devices.names[0]) for job in missing}
    for number, job in enumerate(missing):  # the devices in turn, as `run` would begin
        names = asked.devices.names
        commands[job.key] = asked.words(job, names[number % len(names)])
    times = _times(asked, probe=not args.no_probe) if missing else {}
    print(plan_text(asked.plan, asked.disk, times, commands, ["run", *asked.again]), end="")
    return asked.code


def _times(asked: Request, *, probe: bool) -> dict[str, Estimate]:
    """Of the first device; the others are taken to be like it."""
    device, threads = asked.devices.names[0], asked.threads
    words = [f"device={device}"] if device else []
    words += [f"threads={threads}"] if threads else []
    if probe:
        limit = f"at most {MOST_SECONDS:g} s each"
        print(
            f"msda-table: measuring a few training steps of each model, {limit} ...",
            file=sys.stderr,
            flush=True,
        )
    return estimates(asked.plan, asked.rows, words, probe=probe)
