"""`msda-export RUN`: a finished run's network for other programs."""

import sys
from collections.abc import Sequence
from pathlib import Path

from msda_train.cli.guard import log, run_guarded
from msda_train.cli.parser import Parser
from msda_train.core.errors import UserError
from msda_train.core.files import replace_file

KINDS = {"torch": ".pt2", "onnx": ".onnx", "torchscript": ".ts", "safetensors": ".safetensors"}


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of `msda-export`: 0 written, 1 the network gives other logits there, 2 bad input, 130
    interrupted."""
    return run_guarded("msda-export", _export, "stopped; nothing was written", argv)


def _export(words: Sequence[str]) -> None:
    parser = Parser(
        prog="msda-export",
        description="Write the network of a finished run for other programs, and check that it gives the "
        "same logits there. Its input is normalised; the file carries JSON, `msda_train`, with the names of "
        "the classes, the shape of the input and how it is normalised.",
        epilog="torch: torch.export.load(FILE).module(), without msda-train. onnx: any runtime. torchscript: "
        "torch.jit.load, also from C++. safetensors: the weights alone.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's folder, or its row.json")
    parser.add_argument("--format", choices=list(KINDS), default="torch", help="default: torch")
    parser.add_argument("--to", type=Path, metavar="FILE", help="default: RUN/network.pt2, .onnx, ...")
    parser.add_argument(
        "--trust", action="store_true", help="build a model that the row names and msda-train does not have"
    )
    args = parser.parse(words)
    if not args.run.exists():
        raise UserError(f"{args.run}: there is no such run")
    if args.to is not None:
        _check_target(args.to)
    from msda_train.evaluation.export import exported
    from msda_train.evaluation.load_run import load_run  # torch: only once there is work

    run = load_run(args.run, trust=args.trust)
    target = args.to or run.row.path.with_name(f"network{KINDS[args.format]}")
    _check_target(target)
    content = exported(run, args.format)
    replace_file(target, content)
    log("msda-export", f"{len(content) / 1e6:.3g} MB, same logits as the run's network")
    print(target)


def _check_target(path: Path) -> None:
    """UserError where something is there already, or nothing can be."""
    if path.is_dir():
        raise UserError(f"--to {path}: is a folder; type --to {path / 'network.onnx'}")
    if path.exists():
        raise UserError(f"{path}: is there already; move it away, or type --to FILE")
    if not path.parent.is_dir():
        raise UserError(f"--to {path}: there is no folder {path.parent}; make it first")


if __name__ == "__main__":
    sys.exit(main())
