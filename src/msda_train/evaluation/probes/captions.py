"""A captioner that starts from the run's network (CutMix, arXiv:1905.04899, Table 10, appendix D).

The paper: NIC (Vinyals et al., arXiv:1411.4555) with a ResNet-50 on MS-COCO, by the program
stevehuanghe/image_captioning, batches of 20, lr 0.001, 100 epochs, beams of 20. All else is that program's
defaults: word vectors of 100, an LSTM of 300, dropout 0.1, Adam. Of it:

- The network is frozen, but in training mode while the captioner learns; see `models.captioner`.
- An example is a caption with its image: 414,113 in an epoch, not 82,783. The loss is divided by all places
  of the padded batch, not by words.
- Test images, too, are random windows, perhaps mirrored: test_crop=center takes the middle.
- No beam ends at an end word: 20 words are always searched, and the sentence is cut at its first end word.

What deviates from it: words are cut without nltk's sentence splitter (`data.coco_captions`); pixels are
normalised by the run's mean and deviation (ImageNet's for such runs, as the program has them); the network
computes in the run's precision, the captioner in float32; the last epoch counts. Which epoch, how many runs,
and which images were tested on, the paper does not state: ours are the whole val2014, one sentence each.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.paths import DATA, typed_path
from msda_train.core.randomness import generator
from msda_train.data.coco_captions import (
    END,
    SIZE,
    START,
    Examples,
    Pictures,
    Seen,
    Shown,
    Vocabulary,
    read_part,
    words_of,
)
from msda_train.evaluation.caption_scores import METRICS, caption_scores, check_ready
from msda_train.evaluation.fine_tuning import (
    FineTuning,
    Schedule,
    batches_of,
    in_order,
    seeded,
    trained_network,
)
from msda_train.evaluation.probes.subject import Finding, Subject, to_pixels
from msda_train.models.captioner import Captioner, word_loss

BATCH = 32  # test images at once, each with all its beams
NAMED = ("embed", "hidden", "dropout", "least", "words", "test_crop")  # in a number's name where changed


@dataclass(frozen=True)
class Captions:
    """root: the folder of the files (`data.coco_captions`); null: coco2014 beside the other downloads.
    embed, hidden, dropout: of the captioner; least: how often a word has to occur; beams, words: of the
    search, and of a sentence at most."""

    root: str | None = None
    epochs: int = 100
    batch_size: int = 20
    lr: float = 0.001
    embed: int = 100
    hidden: int = 300
    dropout: float = 0.1
    least: int = 4
    beams: int = 20
    words: int = 20
    test_crop: str = "random"

    def __post_init__(self) -> None:
        for option in ("epochs", "embed", "hidden", "least", "beams", "words"):
            checks.whole(f"probes.captions.{option}", getattr(self, option), least=1)
        checks.whole("probes.captions.batch_size", self.batch_size, least=2)  # BatchNorm needs two
        checks.positive("probes.captions.lr", self.lr)
        checks.fraction("probes.captions.dropout", self.dropout)
        checks.one_of("probes.captions.test_crop", self.test_crop, ("random", "center"))

    def __call__(self, subject: Subject) -> Finding:
        """Keys METRIC_EPOCHSepochs_BATCH_lrLR_beamsBEAMS of `evaluation.caption_scores`, with what else is
        not as usual, and `_part` where these are not all of COCO 2014's images; how many images were tested
        and words known. Arrays: the training loss, the sentences, in the order of the file."""
        size = subject.pictures.size  # other examples are left out
        check_ready()
        root = DATA / "coco2014" if self.root is None else typed_path("probes.captions.root", self.root)
        train, test = read_part(root, "train"), read_part(root, "val")
        count = len(train.captions)
        cut = [words_of(each) for each in subject.progress(iter(train.captions), count, "words of captions")]
        vocabulary = Vocabulary(cut, self.least)
        captioner = self._captioner(subject, size, len(vocabulary))
        examples = Examples(train, cut, vocabulary)
        tuning = self._tuning(len(examples), train.content)
        losses = tuning.learn(
            subject,
            captioner.train(),
            torch.optim.Adam(captioner.learned, self.lr),
            examples,
            lambda batch: _loss(subject, captioner, batch),
        )
        said = self._said(subject, captioner.eval(), test, vocabulary)
        scores = caption_scores(said, test.captions_of)
        ending = self._ending(complete=train.complete and test.complete)
        numbers = {f"{metric}_{ending}": value for metric, value in scores.items()}
        asked = {field.name: getattr(self, field.name) for field in fields(self)}
        setting = {name: value for name, value in asked.items() if name != "root"}
        setting |= {"images": len(test), "vocabulary": len(vocabulary)}
        records = [{"name": f"{metric}_{ending}", "measure": metric, **setting} for metric in METRICS]
        remarks = ["CutMix does not state which images were tested on, which epoch, and how many runs"]
        arrays = {"loss": losses, "said": np.array(said)}
        return Finding(numbers, arrays, remarks, records, tuning.leftovers(subject))

    def _captioner(self, subject: Subject, size: tuple[int, int], vocabulary: int) -> Captioner:
        """A new one. UserError where the network cannot take such images."""
        with seeded(generator(subject.seed, "probe/captions/weights")):
            made = Captioner(trained_network(subject), vocabulary, self.embed, self.hidden, self.dropout)
        made.to(subject.device).eval()
        try:
            features = _features(subject, made, torch.zeros(1, 3, SIZE, SIZE, device=subject.device))
            made(features, torch.full((1, 1), START, device=subject.device))
        except (RuntimeError, ValueError, IndexError) as error:  # another size, grey, features of many places
            why = " ".join(str(error).split())[:100]
            raise UserError(
                f"probes.captions: the network, of images of {size[0]}x{size[1]} pixels, cannot take colour "
                f"ones of {SIZE}x{SIZE} ({why}); probe a run of experiment=cutmix_imagenet_resnet50"
            ) from None
        return made

    def _tuning(self, examples: int, content: str) -> FineTuning:
        learned = ("embed", "hidden", "dropout", "least")
        options = {option: getattr(self, option) for option in learned}
        steps = self.epochs * batches_of(examples, self.batch_size)
        schedule = Schedule(steps, self.batch_size, self.lr)
        return FineTuning("captions", f"{options} {content}", schedule)

    def _ending(self, *, complete: bool) -> str:
        made = f"{self.epochs}epochs_{self.batch_size}_lr{self.lr:g}_beams{self.beams}"
        usual = {field.name: field.default for field in fields(self)}
        changed = [f"_{name}{getattr(self, name)}" for name in NAMED if getattr(self, name) != usual[name]]
        return made + "".join(changed) + ("" if complete else "_part")

    def _said(
        self, subject: Subject, captioner: Captioner, test: Pictures, vocabulary: Vocabulary
    ) -> list[str]:
        """A sentence for each picture."""
        pictures = Shown(test, subject.seed if self.test_crop == "random" else None)
        said = []
        for batch in in_order(pictures, BATCH, subject, "captions of test images"):
            features = _features(subject, captioner, _pixels(subject, batch))
            numbers = captioner.say(features, START, self.beams, self.words).tolist()
            said += [vocabulary.sentence(each) for each in numbers]
        return said


def _features(subject: Subject, captioner: Captioner, pixels: Tensor) -> Tensor:
    """(B, C) of pixels (B, 3, 224, 224) in [0, 1], in the run's own precision."""
    with subject.autocast():
        return captioner.features(subject.normalise(pixels))


def _pixels(subject: Subject, batch: Sequence[Seen]) -> Tensor:
    """(B, 3, 224, 224) in [0, 1]."""
    return to_pixels(np.stack([each.pixels for each in batch]), subject.device)


def _loss(subject: Subject, captioner: Captioner, batch: Sequence[Seen]) -> Tensor:
    """After the start word each word is to be said, then the end word."""
    features = _features(subject, captioner, _pixels(subject, batch))
    words = [[START, *each.words.tolist(), END] for each in batch]
    read, targets = _padded([each[:-1] for each in words]), _padded([each[1:] for each in words])
    lengths = torch.tensor([len(each) - 1 for each in words])
    said = torch.arange(targets.shape[1]) < lengths[:, None]
    read, targets, said = (each.to(subject.device) for each in (read, targets, said))
    return word_loss(captioner(features, read), targets, said)


def _padded(words: Sequence[list[Any]]) -> Tensor:
    """(B, longest), with PAD, which is 0, behind the shorter ones."""
    return pad_sequence([torch.tensor(each) for each in words], batch_first=True)
