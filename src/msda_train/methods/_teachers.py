"""From the words that name a teacher to the teacher."""

from collections.abc import Sequence
from pathlib import Path

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.methods._attention import IMAGENET, Teacher, imagenet_teacher, own_teacher


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


def _folder(name: str) -> Path:
    if not Path(str(name)).is_dir():
        kinds = f"{', '.join(IMAGENET)} or the folder of a finished run"
        raise UserError(f"method.teacher={name}: no such folder; type {kinds}")
    return Path(name)
