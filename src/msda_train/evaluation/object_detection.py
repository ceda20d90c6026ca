"""How well a detector does that begins with a run's network: trained and tested on Pascal VOC.

CutMix (arXiv:1905.04899, Table 10 and appendix C) and SaliencyMix (arXiv:2006.01791, section 4.2) print it.
Stated are images, batches, learning rates and steps; the rest is that of the programs CutMix names, see
`probes.ssd`, `probes.faster_rcnn` and `models` of the same names. The number is VOC 2007's mean average
precision on its test images (`functional.average_precision`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from msda_train.core import paths
from msda_train.core.paths import typed_path
from msda_train.core.randomness import Rng, generator
from msda_train.data import voc
from msda_train.data.voc import Voc
from msda_train.evaluation.fine_tuning import FineTuning, Schedule, in_order
from msda_train.evaluation.probes.subject import Finding, Subject
from msda_train.functional.average_precision import average_precision

MOMENTUM = 0.9
TEST_BATCH = 8


@dataclass(frozen=True)
class ObjectDetection:
    """steps, batch_size, lr, lr_drops: see `Schedule`; root: the folder of VOCdevkit, null: where data sets
    are kept. A subclass says what the detector is."""

    steps: int
    batch_size: int
    lr: float
    lr_drops: Sequence[int] = ()
    root: str | None = None

    name: ClassVar[str]
    remarks: ClassVar[Sequence[str]] = ()

    def __post_init__(self) -> None:
        self.schedule.check(f"probes.{self.name}")

    def detector(self, subject: Subject, classes: int) -> nn.Module:
        """In training mode: from images (3, H, W) in [0, 1], each of its own size, and their boxes and
        labels to losses by name; without those, to boxes, scores and labels."""
        raise NotImplementedError

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Of what learns in it."""
        raise NotImplementedError

    def augmented(self) -> list[Any]:
        """torchvision's transforms of an image and its boxes, while it is learned from."""
        raise NotImplementedError

    @property
    def schedule(self) -> Schedule:
        """See `Schedule`."""
        return Schedule(self.steps, self.batch_size, self.lr, self.lr_drops)

    def __call__(self, subject: Subject) -> Finding:
        """Key map_STEPSxBATCH_lrLR_DROPS, a fraction, with `_part` behind where the images are not all of
        them. Arrays: ap (20,), of each class; loss, of training."""
        option = f"probes.{self.name}.root"
        root = paths.DATA / "voc" if self.root is None else typed_path(option, self.root)
        train, test = (Voc(root, lists, option) for lists in (voc.TRAIN, voc.TEST))
        whole = (len(train.images), len(test.images)) == (voc.TRAIN_IMAGES, voc.TEST_IMAGES)
        torch.manual_seed(int(generator(subject.seed, f"probe/{self.name}/init").integers(2**62)))
        network = self.detector(subject, 1 + len(voc.CLASSES)).to(subject.device)
        learned = Learned(train, self.augmented())

        def loss(batch: list[Any]) -> Tensor:
            images = [image.to(subject.device) for image, _ in batch]
            told = [{key: value.to(subject.device) for key, value in target.items()} for _, target in batch]
            return torch.stack(list(network(images, told).values())).sum()

        tuning = FineTuning(self.name, f"voc {root.absolute()}", self.schedule)
        losses = tuning.learn(subject, network, self.optimizer(network), learned, loss)
        ap = precision_of(subject, network.eval(), test)
        tuning.done(subject)
        key = f"map_{self.schedule.words}" + ("" if whole else "_part")
        numbers = {key: float(ap.mean()), "train_images": len(learned), "test_images": len(test.images)}
        record = {"name": key, "measure": "map", "steps": self.steps, "batch_size": self.batch_size}
        return Finding(numbers, {"ap": ap, "loss": losses}, self.remarks, [record | {"lr": self.lr}])


class Learned:
    """Training images (3, H, W) float32 in [0, 1] with the `boxes` and `labels` of their objects, but for the
    difficult ones, through the transforms `augmented`."""

    def __init__(self, images: Voc, augmented: Sequence[Any]) -> None:
        from torchvision.transforms import v2

        self.images = images
        count = range(len(images.images))
        self.numbers = [number for number in count if not images.objects(number).difficult.all()]
        steps = [v2.ToImage(), *augmented, v2.SanitizeBoundingBoxes(), v2.ToDtype(torch.float32, scale=True)]
        self.augment = v2.Compose(steps)

    def __len__(self) -> int:
        return len(self.numbers)

    def drawn(self, index: int, rng: Rng) -> tuple[Tensor, dict[str, Tensor]]:
        """See the class; torch's own generator draws."""
        from torchvision import tv_tensors

        number = self.numbers[index]
        picture, objects = self.images.picture(number), self.images.objects(number)
        easy, size = ~objects.difficult, (picture.height, picture.width)
        boxes: Any = tv_tensors.BoundingBoxes(objects.boxes[easy], format="XYXY", canvas_size=size)
        image, target = self.augment(
            picture, {"boxes": boxes, "labels": torch.from_numpy(objects.labels[easy])}
        )
        plain = {"boxes": target["boxes"].as_subclass(Tensor), "labels": target["labels"]}
        return image.as_subclass(Tensor), plain


class Shown(Dataset[Tensor]):
    """Test images (3, H, W) float32 in [0, 1], as they are."""

    def __init__(self, images: Voc) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images.images)

    def __getitem__(self, number: int) -> Tensor:
        from torchvision.transforms.functional import to_tensor

        made: Tensor = to_tensor(self.images.picture(number))
        return made


def precision_of(subject: Subject, network: nn.Module, images: Voc) -> np.ndarray:
    """(20,) average precision of each class, of a detector in evaluation mode."""
    found: list[dict[str, np.ndarray]] = []
    with torch.no_grad():
        for batch in in_order(Shown(images), TEST_BATCH, subject, "test images"):
            made = network([image.to(subject.device) for image in batch])
            found += [{key: value.cpu().numpy() for key, value in each.items()} for each in made]
    places = np.repeat(np.arange(len(found)), [len(each["scores"]) for each in found])
    boxes, scores, labels = (
        np.concatenate([each[key] for each in found]) for key in ("boxes", "scores", "labels")
    )
    truth = [images.objects(number) for number in range(len(found))]
    precisions = []
    for label in range(1, 1 + len(voc.CLASSES)):
        of = labels == label
        masks = [each.labels == label for each in truth]
        true = {
            number: (each.boxes[mask], each.difficult[mask])
            for number, (each, mask) in enumerate(zip(truth, masks, strict=True))
            if mask.any()
        }
        precisions.append(average_precision(places[of], boxes[of], scores[of], true))
    return np.array(precisions)
