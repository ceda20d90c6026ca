"""From the words that name a teacher to the teacher."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.methods._attention import IMAGENET, Teacher, imagenet_teacher, own_teacher
from msda_train.models.last_linear import last_linear
from msda_train.models.second_head import heads


def check_words(name: str, weights: str | None, grid: int, seen: str) -> None:
    """UserError where method.teacher, .weights, .grid or .teacher_input make no sense; loads nothing."""
    checks.whole("method.grid", grid, least=1)
    checks.one_of("method.teacher_input", seen, ("pixels", "imagenet", "normalised"))
    if weights is not None and name not in IMAGENET:
        kinds = " or ".join(IMAGENET)
        raise UserError(f"method.weights={weights}: is for method.teacher={kinds} only")


def find_teacher(
    name: str, weights: str | None, grid: int, seen: str, mean: Sequence[float], std: Sequence[float]
) -> Teacher:
    """One of torchvision's ImageNet classifiers (see `methods._attention.imagenet_teacher`), or the network
    in the folder `name` of a finished run. Raises UserError where it cannot be had."""
    if name in IMAGENET:
        return imagenet_teacher(name, weights, grid, seen, mean, std)
    from msda_train.models.trained import load_network  # reads configs by OmegaConf: only who needs it waits

    network, config = load_network(_folder(name))
    return own_teacher(network, config.get("recipe"), Path(name), mean, std)


def finished_teacher(name: str) -> str | None:
    """Which run lies in the folder `name`: fingerprint, images, seed; None for an ImageNet classifier. Raises
    UserError where no finished run lies there."""
    if name in IMAGENET:
        return None
    from msda_train.models.trained import find_row

    row = find_row(_folder(name))
    return f"{row.fingerprint}-{row.data['content'][:8]}-s{row.seed}"


def _folder(name: str, others: Sequence[str] = IMAGENET) -> Path:
    if not Path(str(name)).is_dir():
        kinds = " or ".join(filter(None, [", ".join(others), "the folder of a finished run"]))
        raise UserError(f"method.teacher={name}: no such folder; type {kinds}")
    return Path(name)


def find_dense_teacher(name: str, mean: Sequence[float], std: Sequence[float]) -> "DenseTeacher":
    """What the network in the folder `name` of a finished run says of each place of an image. Raises
    UserError where there is none, or one whose last map no linear layer reads."""
    from msda_train.models.trained import load_network  # as above

    network, config = load_network(_folder(name, ()))
    teacher = own_teacher(network, config.get("recipe"), Path(name), mean, std)
    return DenseTeacher(teacher, heads(network)[0])


class DenseTeacher(nn.Module):
    """Probabilities of the classes at each place: the classifier reads every cell of the last map."""

    def __init__(self, teacher: Teacher, classifier: nn.Linear):
        super().__init__()
        self.teacher, self.classifier = teacher, classifier

    def check(self, x: Tensor, network: nn.Module) -> None:
        """UserError unless it names the classes of `network` on images like x (B, C, H, W)."""
        self.teacher.check_channels(x.shape[1])
        known, linear = self.classifier.out_features, last_linear(network)
        if linear is not None and linear.out_features != known:
            raise UserError(
                f"method.teacher: names {known} classes, these data have {linear.out_features}; "
                f"type the folder of a run on the same data"
            )

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) in our normalisation -> (B, K, h, w) float32."""
        scores: Tensor = self.classifier(self.teacher(x).permute(0, 2, 3, 1))
        return scores.float().softmax(dim=3).permute(0, 3, 1, 2)
