"""How much of the training set is known by heart (mixup, arXiv:1710.09412, Table 2).

Error on the training images, neither cropped nor flipped, with respect to their real labels and, where
`dataset.label_noise` replaced some, to the labels the network was given. A network that memorises has a low
error on the given labels, one that generalises on the real ones.
"""

from dataclasses import dataclass

import torch

from msda_train.config import checks
from msda_train.evaluation.probes.subject import BATCH, Finding, Subject


@dataclass(frozen=True)
class Memorisation:
    """`images`: how many training images; null: all."""

    images: int | None = None

    def __post_init__(self) -> None:
        if self.images is not None:
            checks.whole("probes.memorisation.images", self.images, least=1)

    def __call__(self, subject: Subject) -> Finding:
        """train_error_given: as trained; train_error_real: true labels; train_error_wrong: only images whose
        label is wrong, with respect to that wrong label."""
        total = len(subject.images.y_train) if self.images is None else self.images
        batches = subject.batches("train", limit=self.images)
        with torch.no_grad():
            guesses = [
                subject.logits(pixels).argmax(1).cpu()
                for pixels, _ in subject.progress(batches, -(-total // BATCH), "memorisation")
            ]
        guess, given = torch.cat(guesses), subject.labels("train", self.images)
        numbers = {"train_error_given": _share(guess != given)}
        if subject.images.y_clean is not None:
            real = torch.from_numpy(subject.images.y_clean[: self.images])
            numbers["train_error_real"] = _share(guess != real)
            if (wrong := given != real).any():
                numbers["train_error_wrong"] = _share((guess != given)[wrong])
        records = [
            {"name": name, "measure": "train_error", "labels": name.removeprefix("train_error_")}
            for name in numbers
        ]
        return Finding(numbers, records=records)


def _share(where: torch.Tensor) -> float:
    return where.double().mean().item()
