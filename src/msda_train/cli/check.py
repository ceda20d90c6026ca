"""`msda-check machine`: does this machine compute the suite's networks rightly? Before a long sweep.

`msda-check mixers` is in `msda_train.cli.mixers`.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from math import isnan
from typing import TYPE_CHECKING

from msda_train.cli.guard import run_guarded
from msda_train.cli.overrides import hydra_errors
from msda_train.cli.parser import Parser
from msda_train.core.errors import UserError

if TYPE_CHECKING:
    from msda_train.selfcheck.layers import Layer
    from msda_train.selfcheck.machine import Errors, Setting

LIMIT = 12  # wrong layers named one by one


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of `msda-check`: 0 all is right, 1 something is wrong, 2 bad input, 130 interrupted."""
    return run_guarded("msda-check", _run, "stopped; nothing is kept, type it again", argv)


def _run(words: Sequence[str]) -> int:
    if words[:1] == ["mixers"]:
        from msda_train.cli.mixers import run

        return run(words[1:])
    parser = Parser(
        prog="msda-check",
        description="machine: compare each distinct layer of each network, as published and as the demo has "
        "it narrow, with float64: output and both gradients, in every precision used here. A few minutes. "
        "mixers: hold mixers to the laws of mixing; msda-check mixers --help.",
        epilog="msda-check machine model=wrn28_10 model.width=4 dataset=digits checks that network only.",
    )
    parser.add_argument("verb", choices=("machine", "mixers"), metavar="machine")
    parser.add_argument("words", nargs="*", metavar="model=NAME", help="one network, as msda-train has it")
    parser.add_argument("--device", default="auto", metavar="WORD", help="auto, cpu, cuda, cuda:1")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads; default: 1, and all cores")
    parser.add_argument("--full", action="store_true", help="compare all channels, and 3 images of each")
    parser.add_argument(
        "--plain", action="store_true", help="as torch computes it, without our way round oneDNN's fault"
    )
    args = parser.parse(words)
    for word in args.words:
        if word.partition("=")[0].partition(".")[0] not in ("model", "regulariser", "dataset"):
            raise UserError(f"{word}: only a network can be chosen; type model=NAME model.OPTION=VALUE")
    return _machine(args.words, args.device, args.threads, plain=args.plain, full=args.full)


def _machine(words: Sequence[str], device: str, threads: int | None, *, plain: bool, full: bool) -> int:
    from tqdm import tqdm

    from msda_train.selfcheck.layers import networks, suite_networks  # torch: only once there is work
    from msda_train.selfcheck.machine import advice, measured

    settings = _settings(device, threads, plain=plain, full=full)
    with hydra_errors(words):
        layers = dict(networks([" ".join(words)] if words else suite_networks()))
    distinct = list(dict.fromkeys(layer for found in layers.values() for layer in found))
    found = {}
    with tqdm(total=len(distinct) * len(settings), unit="layer", disable=None, leave=False) as bar:
        for setting in settings:
            found[setting] = measured(distinct, setting, bar.update)
    _print(layers, found)
    verdict = advice(found)
    print(f"{verdict} ({len(distinct)} distinct layers)")
    return 0 if verdict.startswith("fine") else 1


def _settings(device: str, threads: int | None, *, plain: bool, full: bool) -> list["Setting"]:
    """fp32, and bf16 where `precision=auto` means that; on a CPU with one thread and with many."""
    from msda_train.selfcheck.machine import Setting
    from msda_train.training.device import choose

    best = choose(device, "auto", False, threads)
    kind, several = str(best.device), threads or os.cpu_count() or 1
    who = "torch" if plain else "msda-train"
    print(f"{kind}: {best.name}, as {who} computes it; the worst relative error of any output or gradient")
    settings = [Setting(kind, "fp32", several, plain, full)]
    if best.device.type == "cpu" and several > 1 and threads is None:
        settings.append(Setting(kind, "fp32", 1, plain, full))
    if best.precision == "bf16":
        settings.append(Setting(kind, "bf16", several, plain, full))
    return settings


def _print(
    layers: Mapping[str, Sequence["Layer"]], found: Mapping["Setting", Mapping["Layer", "Errors"]]
) -> None:
    """A line per network, then the wrong layers one by one."""
    width = max(len(words) for words in layers)
    print("  ".join([f"{'network':{width}}", "layers", *(f"{setting!s:>14}" for setting in found)]))
    for words, own in layers.items():
        cells = [_cell(setting, [of[layer] for layer in own]) for setting, of in found.items()]
        print("  ".join([f"{words:{width}}", f"{len(own):6}", *(f"{cell:>14}" for cell in cells)]))
    bad = [
        (*_worst(errors), layer, setting)
        for setting, of in found.items()
        for layer, errors in of.items()
        if setting.wrong(errors)
    ]
    bad.sort(key=lambda one: one[1], reverse=True)  # crashes first
    for what, error, layer, setting in bad[:LIMIT]:
        what = f"crashes ({what})" if error == float("inf") else f"{what} wrong by {error:.2g}"
        print(f"{layer}, {setting}: {what}")
    if len(bad) > LIMIT:
        print(f"and {len(bad) - LIMIT} more")


def _worst(errors: "Errors") -> tuple[str, float]:
    """Name and size of the largest error; NaN counts as wholly wrong."""
    name = max(errors, key=lambda name: 1.0 if isnan(errors[name]) else errors[name])
    return name, 1.0 if isnan(errors[name]) else errors[name]


def _cell(setting: "Setting", errors: Sequence["Errors"]) -> str:
    """The worst error of a network in one setting, or how many of its layers are wrong."""
    wrong = [e for e in errors if setting.wrong(e)]
    crashes = sum(float("inf") in e.values() for e in wrong)
    if crashes:
        return f"CRASHES {crashes}"
    return f"WRONG {len(wrong)}" if wrong else f"{max(_worst(e)[1] for e in errors):.0e}"


if __name__ == "__main__":
    sys.exit(main())
