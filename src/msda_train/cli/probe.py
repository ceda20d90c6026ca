"""`msda-probe RUN...`: finished runs through probes, at any later time."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from msda_train.cli.guard import answered, tell, told
from msda_train.cli.overrides import as_text, complete
from msda_train.cli.parser import Parser
from msda_train.config.compose import compose
from msda_train.core.errors import UserError


def main() -> None:
    sys.exit(run(sys.argv[1:]))


def run(words: Sequence[str]) -> int:
    """The exit code of `msda-probe WORDS`: 0 done, 1 a probe failed, 2 bad input, 130 interrupted."""
    return answered(
        "msda-probe", lambda: _run(words), "stopped; the same command goes on with what is missing", words
    )


def _run(words: Sequence[str]) -> int:
    made = Parser(
        prog="msda-probe",
        description="Put finished runs through probes; what they find is added to their rows.",
        epilog="probes=NAME chooses a file of configs/probes/, probes.PROBE.OPTION=VALUE changes one of its "
        "options; default probes=standard. What a row has already is not measured again.",
    )
    made.add_argument(
        "words", nargs="+", metavar="RUN|probes=NAME", help="run folders, folders of them, words"
    )
    made.add_argument("--device", metavar="WORD", help="cpu, cuda, cuda:1; default: as the run, if possible")
    made.add_argument(
        "--trust", action="store_true", help="build classes that the row names and we do not have"
    )
    args = made.parse_args(list(words))
    overrides = [word for word in args.words if re.match(r"\+{0,2}probes[^/]*=|~probes", word)]
    places = [Path(word) for word in args.words if word not in overrides]
    if not places:
        raise UserError("which run? type: msda-probe RUN_FOLDER probes=standard")
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
        _say(str(row))
        try:
            codes.append(probe_run(row, probes, _say, device=args.device, trust=args.trust))
        except Exception as error:  # the next run may be better
            codes.append(told("msda-probe", error))
    return max(codes)


def _rows(place: Path) -> list[Path]:
    """The rows of finished runs at or under `place`."""
    if not place.exists():
        raise UserError(f"{place}: there is no such run")
    if place.is_file():
        return [place]
    rows = sorted(place.rglob("row.json"))
    if not rows:
        raise UserError(f"{place}: there is no finished run (no row.json)")
    return rows


def _probes(overrides: Sequence[str]) -> DictConfig:
    chosen = any(word.startswith("probes=") for word in overrides)
    words = overrides if chosen else ["probes=standard", *overrides]
    cfg = compose(*map(as_text, words))
    complete(cfg)
    node: DictConfig = cfg.probes
    return node


def _say(line: str) -> None:
    tell("msda-probe", line)


if __name__ == "__main__":
    main()
