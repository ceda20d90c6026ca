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
from msda_train.core.errors import UserError
from msda_train.core.paths import typed_path
from msda_train.core.randomness import Rng, generator
from msda_train.data import voc
from msda_train.data.voc import Voc
from msda_train.evaluation.fine_tuning import FineTuning, Schedule, in_order, seeded, trained_network
from msda_train.evaluation.probes.subject import Finding, Subject, to_pixels
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
    # Makes it of a trained network, a number of classes, mean and std, as `models.ssd.ssd300` does: from
    # images with their boxes and labels to losses by name; without those, to boxes, scores and labels.
    detector: ClassVar[Any]
    remarks: ClassVar[Sequence[str]] = ()

    def __post_init__(self) -> None:
        self.schedule.check(f"probes.{self.name}")

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Of what learns in it."""
        raise NotImplementedError

    def augmented(self, subject: Subject) -> list[Any]:
        """torchvision's transforms of an image and its boxes, while it is learned from."""
        raise NotImplementedError

    @property
    def schedule(self) -> Schedule:
        """See `Schedule`."""
        return Schedule(self.steps, self.batch_size, self.lr, self.lr_drops)

    def __call__(self, subject: Subject) -> Finding:
        """Key map_STEPSxBATCH_lrLR_DROPS, a fraction, with `_part` behind where the images are not all of
        them. Arrays: ap (20,), of each class; loss, of training."""
        network = self._network(subject)
        option = f"probes.{self.name}.root"
        root = paths.DATA / "voc" if self.root is None else typed_path(option, self.root)
        train, test = (Voc(root, lists, option, self.root is not None) for lists in (voc.TRAIN, voc.TEST))
        counts = len(train.images), len(test.images)
        content = [
            images.checked(subject.progress(iter(range(count)), count, "annotations"))
            for images, count in zip((train, test), counts, strict=True)
        ]
        whole = counts == (voc.TRAIN_IMAGES, voc.TEST_IMAGES)
        learned = Learned(train, self.augmented(subject))
        if not len(learned):
            raise UserError(f"{option}={root}: no training image shows an object that is not difficult")

        def loss(batch: list[Any]) -> Tensor:
            return _loss(network, batch, subject.device)

        tuning = FineTuning(self.name, f"{len(learned)} {content[0]}", self.schedule)
        losses = tuning.learn(subject, network, self.optimizer(network), learned, loss)
        ap = precision_of(subject, network.eval(), test)
        key = f"map_{self.schedule.words}" + ("" if whole else "_part")
        record = {"name": key, "measure": "map", "steps": self.steps, "batch_size": self.batch_size}
        record |= {"lr": self.lr, "train_images": len(learned), "test_images": counts[1]}
        arrays, left = {"ap": ap, "loss": losses}, tuning.leftovers(subject)
        return Finding({key: float(ap.mean())}, arrays, self.remarks, [record], left)

    def _network(self, subject: Subject) -> nn.Module:
        """The new layers are drawn from the run's seed."""
        network, classes = trained_network(subject), 1 + len(voc.CLASSES)
        with seeded(generator(subject.seed, f"probe/{self.name}/init")):
            made: nn.Module = self.detector(network, classes, subject.mean, subject.std)
        return made.to(subject.device).train()


def _loss(network: nn.Module, batch: list[Any], device: torch.device) -> Tensor:
    """The sum of a detector's losses, of examples as `Learned` draws them."""
    images = [_pixels(image, device) for image, _, _ in batch]
    told = [
        {"boxes": torch.from_numpy(boxes).to(device), "labels": torch.from_numpy(labels).to(device)}
        for _, boxes, labels in batch
    ]
    return torch.stack(list(network(images, told).values())).sum()


def _pixels(image: np.ndarray, device: torch.device) -> Tensor:
    """(H, W, 3) uint8 as (3, H, W) float32 in [0, 1] on `device`."""
    return to_pixels(image[None], device)[0]


class Learned:
    """Training images (H, W, 3) uint8 with boxes (N, 4) float32 and labels (N,) of their objects, but for the
    difficult ones, through the transforms `augmented`. Arrays: a tensor from a reader holds a file open."""

    def __init__(self, images: Voc, augmented: Sequence[Any]) -> None:
        from torchvision.transforms import v2

        self.images = images
        count = range(len(images.images))
        self.numbers = [number for number in count if not images.objects(number).difficult.all()]
        self.augment = v2.Compose([v2.ToImage(), *augmented, v2.SanitizeBoundingBoxes()])

    def __len__(self) -> int:
        return len(self.numbers)

    def drawn(self, index: int, rng: Rng) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See the class; torch's own generator draws."""
        from torchvision import tv_tensors

        number = self.numbers[index]
        picture, objects = self.images.picture(number), self.images.objects(number)
        easy, size = ~objects.difficult, (picture.height, picture.width)
        boxes: Any = tv_tensors.BoundingBoxes(objects.boxes[easy], format="XYXY", canvas_size=size)
        image, target = self.augment(
            picture, {"boxes": boxes, "labels": torch.from_numpy(objects.labels[easy])}
        )
        return image.permute(1, 2, 0).numpy(), target["boxes"].numpy(), target["labels"].numpy()


class Shown(Dataset[np.ndarray]):
    """Test images (H, W, 3) uint8, as they are."""

    def __init__(self, images: Voc) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images.images)

    def __getitem__(self, number: int) -> np.ndarray:
        return np.asarray(self.images.picture(number))


def precision_of(subject: Subject, network: nn.Module, images: Voc) -> np.ndarray:
    """(20,) average precision of each class, of a detector in evaluation mode."""
    found: list[dict[str, np.ndarray]] = []
    with torch.no_grad():
        for batch in in_order(Shown(images), TEST_BATCH, subject, "test images"):
            made = network([_pixels(image, subject.device) for image in batch])
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
