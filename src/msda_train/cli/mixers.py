"""`msda-check mixers`: does a mixer, ours or anybody's, do what the papers say? A table of laws."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from msda_train.cli.parser import Parser
from msda_train.core.errors import UserError, nearest

if TYPE_CHECKING:
    from msda_train.selfcheck.laws.subject import Outcome, Subject

EPILOG = """A mixer of your own is MODULE:FACTORY, such as my_code:make_mixer; the module is imported, from
the current folder too. FACTORY gets those of alpha=, prob=, seed= and num_classes= that it takes by name. It
returns what is called with images (B, C, H, W) and classes (B,), and gives images and label weights (B, K).
It is held to the laws of mixup where each image has one weight everywhere, to those of CutMix where whole
boxes are pasted; or say what it is: my_code:make_mixer=cutmix (or mixup, other). Exit code: 0 where laws are
kept, or a difference from the papers is told; 1 where a mixer is wrong; 2 for bad input."""
SHOWN = {"pass": "pass", "fail": "FAIL", "none": "-"}

Found = Mapping["Subject", Mapping[str, "Outcome"]]  # what each mixer does, by the name of the law


def run(words: Sequence[str]) -> int:
    """The exit code of `msda-check mixers WORDS`. Raises UserError for bad input."""
    parser = Parser(
        prog="msda-check mixers",
        description="Hold the methods of the suite, and the mixers that are typed, to the laws of mixing: "
        "labels, draws, partners, tensors. About a minute.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="WORD",
        help="torchvision, timm, kornia, MODULE:FACTORY; names of methods: of ours, these only",
    )
    parser.add_argument("--alone", action="store_true", help="leave the methods of the suite out")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="everything that was found, as JSON")
    form.add_argument("--markdown", action="store_true", help="a page, as docs/mixers.md")
    args = parser.parse(words)
    subjects, notes = chosen(args.words, alone=args.alone)
    found = judged(subjects)
    for note in notes:
        print(f"msda-check: {note}", file=sys.stderr)
    if args.json:
        print(json.dumps(record(found), indent=1))
    else:
        from msda_train.cli.mixers_text import page, text

        print(page(found, notes) if args.markdown else text(found, colour=sys.stdout.isatty()), end="")
    return int(any(one.verdict == "fail" for laws in found.values() for one in laws.values()))


def chosen(words: Sequence[str], *, alone: bool = False) -> tuple[list["Subject"], list[str]]:
    """The mixers that `words` name, after ours; and a line for each of ours that cannot be asked. Raises
    UserError."""
    from msda_train.config.method_look import method_order
    from msda_train.selfcheck.laws.factory import typed_mixer
    from msda_train.selfcheck.laws.libraries import LIBRARIES, library
    from msda_train.selfcheck.laws.ours import ours

    words = list(dict.fromkeys(words))
    names = [word for word in words if word in method_order()]
    others = [word for word in words if word not in names]
    for word in others:
        if word not in LIBRARIES and ":" not in word:
            hint = nearest(word, [*LIBRARIES, *method_order()])
            raise UserError(f"{word}: no library or method that is known, {hint} Your own is MODULE:FACTORY")
    if alone and not others:
        raise UserError("--alone: leaves nothing to check; type a library or MODULE:FACTORY, too")
    theirs = [s for word in others for s in (library(word) if word in LIBRARIES else [typed_mixer(word)])]
    if alone:
        return theirs, []
    own, notes = ours(names)
    if missing := set(names) - {subject.name for subject in own} - {note.split(":")[0] for note in notes}:
        raise UserError(f"{', '.join(sorted(missing))}: leaves labels alone, so no law of mixing applies")
    return [*own, *theirs], notes


def judged(subjects: Sequence["Subject"]) -> Found:
    """What each of `subjects` does, with a bar on stderr; one thread, as batches are small."""
    import torch
    from tqdm import tqdm

    from msda_train.selfcheck.laws.book import LAWS, judge

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tqdm(total=len(subjects) * len(LAWS), unit="law", disable=None, leave=False) as bar:
            return {subject: judge(subject, bar.update) for subject in subjects}
    finally:
        torch.set_num_threads(threads)


def record(found: Found) -> dict[str, object]:
    """Everything, for --json."""
    from msda_train.selfcheck.laws.book import LAWS
    from msda_train.selfcheck.laws.libraries import used_versions

    return {
        "versions": used_versions(subject.name for subject in found),
        "laws": {law.name: law.says for law in LAWS},
        "mixers": [
            {
                "name": subject.name,
                "draws": subject.draws,
                "outcomes": {
                    name: {"verdict": one.verdict, "short": one.short, "found": one.words}
                    for name, one in outcomes.items()
                },
            }
            for subject, outcomes in found.items()
        ],
    }


def cell(outcome: "Outcome") -> str:
    """pass, FAIL, `differs: neighbour`, or - where the law is not asked."""
    return SHOWN.get(outcome.verdict, f"differs: {outcome.short}")
