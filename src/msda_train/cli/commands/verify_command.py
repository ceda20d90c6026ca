"""`msda-table verify RUN`: evaluates the stored checkpoint again; it must give the stored metrics. The only
subcommand that imports torch."""

from pathlib import Path
from typing import TYPE_CHECKING

from msda_train.cli.files import check_runs
from msda_train.cli.parser import Parser, add_stored_run
from msda_train.records.rows import one_line

if TYPE_CHECKING:
    from msda_train.evaluation.verify import Verification


def main(words: list[str]) -> int:
    """Exit code 0: equal; 1: different. UserError (2) where there is nothing to compare."""
    parser = Parser(
        prog="msda-table verify",
        description="Evaluate a run's checkpoint again and compare with its row.",
        epilog="On the same CPU, precision, threads and torch the numbers must be equal bit for bit, else "
        "within 0.1 % of the test images and 0.1 % of 1 + NLL, with bf16 0.5 % and 1 %.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder (.../s0) or its row.json")
    add_stored_run(parser)
    args = parser.parse(words)
    check_runs([args.run])
    from msda_train.evaluation.verify import verify

    done = verify(args.run, device=args.device, trust=args.trust)
    print(_text(done))
    return 0 if done.equal else 1


def _text(done: "Verification") -> str:
    row = done.row
    how = "bit for bit" if done.exact else "within the tolerances of another device, precision or torch"
    name, epochs = row.names["method"], row.epochs
    lines = [
        f"{name} seed {row.seed}, epoch {epochs} evaluated again on {done.device_name}, {done.precision}",
        f"{'':34}{'stored':>20}  {'again':>20}",
    ]
    for check in done.checks:
        if check.equal and not check.name.endswith("/last"):
            continue  # what the checkpoint remembers is only of interest where it disagrees
        verdict = "equal" if check.stored == check.again else "close enough" if check.equal else "DIFFERENT"
        lines.append(f"{check.name:34}{check.stored:>20.12g}  {check.again:>20.12g}  {verdict}")
    wrong = sum(not check.equal for check in done.checks)
    end = f"equal, {how}" if not wrong else f"different: {wrong} of {len(done.checks)} numbers"
    return "\n".join(one_line(line) for line in [*lines, end])
