"""`msda-data`: list the data sets, prepare one (download, decode, cache), verify what is cached."""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msda_train.cli.guard import run_guarded
from msda_train.cli.parser import Parser
from msda_train.config.groups import words_of
from msda_train.core.errors import UserError, nearest
from msda_train.core.paths import CONFIGS, DATA

if TYPE_CHECKING:
    from msda_train.data.dataset import Dataset
    from msda_train.data.examples import Examples

VERBS = """  list     each data set: its size, where its files are expected, whether it is prepared
  prepare  download if need be, decode, and keep the arrays in the cache
  verify   hash every cached image again and compare with the official set"""
EXAMPLES = """examples:
  msda-data list
  msda-data prepare cifar10
  msda-data prepare cifar10 dataset.source=npz dataset.root=cifar10.npz
  msda-data prepare own dataset.name=birds dataset.root=/data/birds dataset.size=64 dataset.test_share=0.2
  msda-data verify cifar10
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of `msda-data`: 0 well; 1 the cached images are not what they should be; 2 bad input; 130
    interrupted."""
    return run_guarded("msda-data", _command, "interrupted; type the command again to go on", argv)


def _command(words: Sequence[str]) -> int:
    parser = Parser(
        prog="msda-data",
        description=f"{__doc__}\n\n{VERBS}",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("verb", choices=("list", "prepare", "verify"), metavar="{list,prepare,verify}")
    parser.add_argument("name", nargs="?", metavar="NAME", help=f"one of: {', '.join(words_of('dataset'))}")
    parser.add_argument(
        "words",
        nargs="*",
        metavar="dataset.KEY=VALUE",
        help="as on msda-train's command line: dataset.source, dataset.root, dataset.cache ...",
    )
    parser.add_argument("--rebuild", action="store_true", help="decode again, whatever the cache holds")
    args = parser.parse(words)
    if args.rebuild and args.verb != "prepare":
        parser.error("--rebuild goes with prepare")
    if args.verb == "list":
        if args.name:
            raise UserError(f"unknown word '{args.name}'; type msda-data list")
        return _list()
    if not args.name:
        parser.error("the following arguments are required: NAME")
    dataset = _dataset(args.name, args.words)
    return _prepare(dataset, rebuild=args.rebuild) if args.verb == "prepare" else _verify(dataset)


def _list() -> int:
    from omegaconf import OmegaConf

    rows: list[tuple[str, ...]] = [("name", "train / test", "size", "classes", "prepared", "files")]
    for name in words_of("dataset"):
        config: Any = OmegaConf.to_container(OmegaConf.load(CONFIGS / "dataset" / f"{name}.yaml"))
        rows.append(_row(_class(config.pop("_target_"))(**config)))
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _class(target: str) -> type["Dataset"]:
    from importlib import import_module

    module, _, name = target.rpartition(".")
    made: type[Dataset] = getattr(import_module(module), name)
    return made


def _row(dataset: "Dataset") -> tuple[str, ...]:
    try:
        paths = dataset.files()  # all in one folder, which is said once
        files = ", ".join([*map(_short, paths[:1]), *(path.name for path in paths[1:])])
        files = files or dataset.comes
    except UserError:
        files = f"yours: {dataset.example}"
        if "npz" in dataset.sources:
            files = "yours: dataset.root=FOLDER, or dataset.source=npz dataset.root=FILE.npz"
    return (
        dataset.name,
        _splits(dataset) or "-",
        "x".join(str(side) for side in dataset.shape) if dataset.shape else "-",
        str(dataset.n_classes or "-"),
        "yes" if dataset.source == "embedded" or dataset.prepared() else "no",
        files,
    )


def _short(path: Path) -> str:
    home = DATA.parents[1]
    return str("~" / path.relative_to(home)) if path.is_relative_to(home) else str(path)


def _dataset(name: str, words: Sequence[str]) -> "Dataset":
    """The object that `dataset=NAME` and `words` make, as msda-train makes it."""
    from msda_train.cli.overrides import quote_text
    from msda_train.config.build import build
    from msda_train.config.compose import compose

    if name not in words_of("dataset"):
        raise UserError(f"unknown data set '{name}'; {nearest(name, words_of('dataset'))}")
    for word in words:
        if not re.fullmatch(r"dataset\.\w+=.+", word):
            raise UserError(f"'{word}': only dataset.KEY=VALUE counts here")
    overrides = [f"dataset={name}", *map(quote_text, words)]
    made: Dataset = build("dataset", compose(*overrides).dataset)
    return made


def _prepare(dataset: "Dataset", *, rebuild: bool) -> int:
    from msda_train.data.images import Images

    images = dataset.prepare(rebuild=rebuild)
    chosen = dataset.select(images)  # so that a wrong subset or cap is found now, not by the first run
    print(f"{images.name}: {_counts(images)}, content {images.content}")
    print(f"{images.name}: {_official_status(dataset, images)}")
    if dataset.n_train is None and isinstance(images, Images):
        print(f"{images.name}: {_moments(chosen)}")
    return 0


def _moments(images: "Examples") -> str:
    """Of one's own pictures, as it is typed."""
    from msda_train.data.moments import measured

    found = measured(images.x_train)
    words = [f"dataset.{key}=[{','.join(map(str, numbers))}]" for key, numbers in found.items()]
    return f"its training images measured: {' '.join(words)}, as auto does"


def _verify(dataset: "Dataset") -> int:
    verdict = dataset.verify()
    images = verdict.examples
    print(f"{images.name}: {_counts(images)}, content {images.content}")
    if not verdict.intact:
        raise UserError(f"{images.name}: the cache is damaged; type: {dataset.command('prepare')} --rebuild")
    print(f"{images.name}: {dataset.verified}")
    print(f"{images.name}: {_official_status(dataset, images)}")
    claims = (images.n_train, images.n_test) == (dataset.n_train, dataset.n_test)
    return 1 if verdict.official is False and claims else 0


def _counts(images: "Examples") -> str:
    size = "x".join(map(str, images.x_train.shape[1:]))
    return f"{_splits(images)} {images.noun} {size}, {images.n_classes} classes"


def _splits(counted: "Dataset | Examples") -> str:
    """How many examples there are to train, where there is such a split to validate, and to test on."""
    return " / ".join(f"{n:,}" for n in (counted.n_train, counted.n_validation, counted.n_test) if n)


def _official_status(dataset: "Dataset", images: "Examples") -> str:
    """How these images stand to the official set."""
    if dataset.n_train is None:
        return "your own set; there is no official one to compare with"
    if not images.complete:
        official = f"{_splits(dataset)} {images.noun}, {dataset.n_classes} classes"
        return f"NOT the official set ({official}); do not compare with published numbers"
    if images.content == dataset.official_content:
        return "the official set, pixel for pixel"
    if dataset.checksummed():
        return "the official set, from files with the official checksums"
    return f"as many {images.noun} and classes as the official set; its content hash is not known here"


if __name__ == "__main__":
    sys.exit(main())
