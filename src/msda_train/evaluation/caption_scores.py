"""How good captions are, by pycocoevalcap, MS-COCO's own measures (Chen et al., arXiv:1504.00325).

BLEU-1 to 4, METEOR, ROUGE-L and CIDEr of one sentence for each image against all that people wrote of it,
both cut into words by Stanford's PTBTokenizer. That and METEOR are Java programs, which the package brings.
"""

import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

from msda_train.core.errors import RunFailed, UserError

PACKAGES = ("pycocoevalcap", "nltk")
METRICS = ("bleu1", "bleu2", "bleu3", "bleu4", "meteor", "rouge", "cider")


def check_ready() -> None:
    """UserError where a package or Java is missing: before hours of training, not after."""
    for package in PACKAGES:
        if find_spec(package) is None:
            raise UserError(f"probes.captions: needs {package}; type pip install 'msda-train[captions]'")
    if not _java():
        raise UserError(
            "probes.captions: METEOR and the tokenizer need Java; type apt install default-jre-headless, "
            "or put java on the PATH"
        )


def _java() -> bool:
    """Whether it is there, and starts."""
    java = shutil.which("java")
    try:
        return java is not None and not subprocess.run([java, "-version"], capture_output=True).returncode
    except OSError:
        return False


def caption_scores(said: Sequence[str], written: Sequence[Sequence[str]]) -> dict[str, float]:
    """METRICS as the package has them, BLEU-1 0.614 where papers print 61.4; CIDEr is at most 10. said: of
    each image; written: all of each. RunFailed where a Java program fails."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    cut = _tokenised([*([sentence] for sentence in said), *written])  # one start of Java for both
    ours, theirs = dict(enumerate(cut[: len(said)])), dict(enumerate(cut[len(said) :]))
    bleu, _ = Bleu(4).compute_score(theirs, ours, verbose=0)
    found = [*bleu, _meteor(theirs, ours)]
    found += [measure.compute_score(theirs, ours)[0] for measure in (Rouge(), Cider())]
    return {metric: float(value) for metric, value in zip(METRICS, found, strict=True)}


def _tokenised(sentences: Sequence[Sequence[str]]) -> list[list[str]]:
    """Of each image its sentences, in lower case, words apart, without punctuation."""
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    asked = {k: [{"caption": each} for each in some] for k, some in enumerate(sentences)}
    try:
        found: dict[int, list[str]] = PTBTokenizer().tokenize(asked)
    except OSError as error:  # its file lies in the package's own folder
        raise _failed("the tokenizer", error) from None
    if {k: len(some) for k, some in found.items()} != {k: len(some) for k, some in asked.items()}:
        raise _failed("the tokenizer", "it gave too few lines")
    return [found[k] for k in range(len(sentences))]


def _meteor(theirs: dict[int, list[str]], ours: dict[int, list[str]]) -> float:
    from pycocoevalcap.meteor.meteor import Meteor

    meteor = Meteor()
    try:
        return float(meteor.compute_score(theirs, ours)[0])
    except (OSError, ValueError) as error:  # the program ended: a broken pipe, or an empty line for a number
        raise _failed("METEOR", error) from None
    finally:
        _close(meteor)


def _close(meteor: Any) -> None:
    """The package would wait for a lock that a failure leaves locked, and leave pipes open."""
    if meteor.lock.locked():
        meteor.lock.release()
    process = meteor.meteor_p
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        with suppress(OSError):  # what was still to be sent
            pipe.close()


def _failed(what: str, why: object) -> RunFailed:
    return RunFailed(f"probes.captions: {what} of pycocoevalcap failed ({why}); try: java -version")
