"""`msda-probe RUN...`: finished runs through probes, at any later time."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from msda_train.cli.files import check_runs, no_finished_run
from msda_train.cli.guard import log, report_error, run_guarded
from msda_train.cli.overrides import check_complete, quote_text
from msda_train.cli.parser import Parser, add_stored_run
from msda_train.config.compose import compose
from msda_train.core.errors import UserError


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of `msda-probe`: 0 done, 1 a probe failed, 2 bad input, 130 interrupted."""
    return run_guarded("msda-probe", _run, "stopped; the same command goes on with what is missing", argv)


def _run(words: Sequence[str]) -> int:
    parser = Parser(
        prog="msda-probe",
        description="Put finished runs through probes; what they find is added to their rows.",
        epilog="probes=NAME chooses a file of configs/probes/, probes.PROBE.OPTION=VALUE changes one of its "
        "options; default probes=standard. What a row has already is not measured again.",
    )
    parser.add_argument(
        "words", nargs="+", metavar="RUN|probes=NAME", help="run folders, folders of them, words"
    )
    add_stored_run(parser)
    args = parser.parse(words)
    overrides = [word for word in args.words if re.match(r"\+{0,2}probes[^/]*=|~probes", word)]
    places = [Path(word) for word in args.words if word not in overrides]
    if not places:
        raise UserError("which run? type: msda-probe RUN_FOLDER probes=standard")
    check_runs(places)
    rows = [row for place in places for row in _rows(place)]
    node = _probes(overrides)
    from msda_train.evaluation.probing import build_probes, probe_run
    from msda_train.training.device import known_device  # torch: only once there is work

    if args.device is not None:
        known_device(args.device)
    probes, codes = build_probes(node), [0]
    if not probes:
        raise UserError("probes=none: nothing to do; type probes=standard or probes=full")
    for row in rows:
        _log(str(row))
        try:
            codes.append(probe_run(row, probes, _log, device=args.device, trust=args.trust))
        except Exception as error:  # the next run may be better
            codes.append(report_error("msda-probe", error))
    return max(codes)


def _rows(place: Path) -> list[Path]:
    """The rows of finished runs at or under `place`."""
    rows = [place] if place.is_file() else sorted(place.rglob("row.json"))
    if not rows:
        raise no_finished_run(place)
    return rows


def _probes(overrides: Sequence[str]) -> DictConfig:
    chosen = any(word.startswith("probes=") for word in overrides)
    words = overrides if chosen else ["probes=standard", *overrides]
    cfg = compose(*map(quote_text, words))
    check_complete(cfg)
    node: DictConfig = cfg.probes
    return node


def _log(line: str) -> None:
    log("msda-probe", line)


if __name__ == "__main__":
    sys.exit(main())
