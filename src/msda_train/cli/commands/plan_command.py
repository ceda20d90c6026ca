"""`msda-table plan PAPER/TABLE --seeds 0-4`: the missing runs, their commands, how long they take."""

from msda_train.cli.commands.plan_options import Request, plan_parser, read_request
from msda_train.cli.guard import log
from msda_train.launch.asking import MOST_SECONDS
from msda_train.launch.estimate import Estimate, estimates
from msda_train.launch.plan_text import plan_text


def main(words: list[str]) -> int:
    """Exit code 0, or 2 where a stored row is damaged. Nothing is run but short probes."""
    parser = plan_parser(
        "plan", "Print the runs that a published table still needs; the output is a shell script."
    )
    parser.add_argument(
        "--no-probe", action="store_true", help="measure nothing; times from stored rows only"
    )
    args = parser.parse(words)
    asked = read_request(args)
    missing = asked.missing
    commands = {job.key: asked.words(job, asked.devices.names[0]) for job in missing}
    for number, job in enumerate(missing):  # the devices in turn, as `run` would begin
        names = asked.devices.names
        commands[job.key] = asked.words(job, names[number % len(names)])
    times = _times(asked, probe=not args.no_probe) if missing else {}
    print(plan_text(asked.plan, asked.disk, times, commands, ["run", *asked.options]), end="")
    return asked.code


def _times(asked: Request, *, probe: bool) -> dict[str, Estimate]:
    """Of the first device; the others are taken to be like it."""
    device, threads = asked.devices.names[0], asked.threads
    words = [f"device={device}"] if device else []
    words += [f"threads={threads}"] if threads else []
    if probe:
        limit = f"at most {MOST_SECONDS:g} s each"
        log("msda-table", f"measuring a few training steps of each model, {limit} ...")
    return estimates(asked.plan, asked.rows, words, probe=probe)
