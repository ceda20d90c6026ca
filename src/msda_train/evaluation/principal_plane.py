"""Blends of two images in the plane of the first two principal components of their classes' images.

After the picture that introduces mixup on MNIST, CIFAR-10 and Fashion-MNIST: classes as clouds, and between
two images what a method makes of them. The components are those of the pixels in [0, 1] of the training
images of the two classes, none of them mixed. A blend of mixup lies on the straight line between its two
images; what pastes, bends or resizes leaves it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor

from msda_train.config.build import build
from msda_train.core.course import in_course
from msda_train.core.errors import UserError, nearest
from msda_train.core.mix import Mix
from msda_train.core.randomness import generator
from msda_train.data.images import Images
from msda_train.methods._pairwise import FROM_ALL, Pairwise
from msda_train.methods._teacher_guided import TeacherGuided
from msda_train.methods.puzzlemix.method import PuzzleMix

MOST = 1000  # training images of a class
DRAWS, STRIP = 120, 7  # plans that are drawn; blends that are shown as pictures
TRIES = 20 * DRAWS  # a coin may say no


def classes_of(images: Images, words: Sequence[str]) -> tuple[int, int]:
    """The two classes that are named, by name or number; the first two with images where none is. Raises
    UserError."""
    counts = np.bincount(images.y_train, minlength=images.n_classes)
    if not words:
        first, second = np.flatnonzero(counts)[:2].tolist()
        return first, second
    numbers = [str(k) for k in range(images.n_classes)]
    found = []
    for word in words:
        known = images.classes if word in images.classes else numbers
        if word not in known:
            raise UserError(f"--classes {word}: unknown; {nearest(word, images.classes)}")
        found.append(known.index(word))
        if not counts[found[-1]]:
            raise UserError(f"--classes {word}: no training image of this class; name another one")
    if found[0] == found[1]:
        raise UserError(f"--classes {' '.join(words)}: name two different classes")
    return found[0], found[1]


def plane(images: Images, pair: tuple[int, int]) -> dict[str, np.ndarray]:
    """places (N, 2) of the training images of the two classes, labels (N,) 0 or 1, share (2,) of the variance
    that each component has; mean (P,) and components (2, P) of the flat pixels; ends (2,), the places in
    this list of the two images to mix, one of each class: of their class's images, as they lie along the line
    from the other class's middle to its own, nine tenths are nearer; own and other (H, W, C) uint8, these
    two."""
    from sklearn.decomposition import PCA  # a second to import

    chosen = [np.flatnonzero(images.y_train == k)[:MOST] for k in pair]
    if (count := sum(map(len, chosen))) < 3:
        raise UserError(f"these two classes have {count} training images; a plane needs three")
    x = np.concatenate([images.x_train[each] for each in chosen])
    flat = x.reshape(len(x), -1) / 255.0
    fitted = PCA(2, svd_solver="arpack", random_state=0).fit(flat)
    places, labels = fitted.transform(flat), np.repeat([0, 1], [len(each) for each in chosen])
    ends = _ends(places, labels)
    return {
        "places": places,
        "labels": labels,
        "share": fitted.explained_variance_ratio_,
        "mean": fitted.mean_,
        "components": fitted.components_,
        "ends": ends,
        "own": x[ends[0]],
        "other": x[ends[1]],
    }


def _ends(places: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Two images that lie apart, so that there is room to see between them, and are no outliers."""
    middles = [places[labels == k].mean(axis=0) for k in (0, 1)]
    along = places @ (middles[0] - middles[1])
    found = []
    for k, side in ((0, along), (1, -along)):
        members = np.flatnonzero(labels == k)
        found.append(members[np.argsort(side[members], kind="stable")][int(0.9 * (len(members) - 1))])
    return np.array(found)


def blends(cfg: DictConfig, found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What cfg.method makes of the two images of `plane`, in draws of seed 0: places (n, 2), lam (n,) the
    label weight of the first, shown (STRIP, H, W, C) uint8 from little to much of it. Raises UserError for a
    method that mixes no pairs of pixels, or looks at a network."""
    method = in_course(build("method", cfg.method), 1.0)
    name = str(cfg.method._target_).rpartition(".")[2]
    if not isinstance(method, Pairwise) or isinstance(method, PuzzleMix | TeacherGuided):
        raise UserError(
            f"{name} mixes no pairs, or asks a network where; type method=mixup, method=cutmix or another "
            f"one that does"
        )
    if method.pairing in FROM_ALL:
        raise UserError(f"method.pairing={method.pairing}: the two images are given here; leave it out")
    x = torch.from_numpy(np.stack([found["own"], found["other"]])).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(cfg.recipe[key]).view(1, -1, 1, 1) for key in ("mean", "std"))
    lam, made = [], []
    for draw in range(TRIES):
        plan: Mix = method.plan((x - mean) / std, torch.tensor([0, 1]), None, generator(0, "plane", 0, draw))
        if plan.depth == 0 and int(plan.perm[0]) == 1:
            lam.append(float(plan.lam[0]))
            made.append((plan.pixels((x - mean) / std) * std + mean)[0])
        if len(made) == DRAWS:
            break
    if not made:
        raise UserError(f"{name}: none of {TRIES} draws mixed the two images; type a larger method.prob")
    return {"lam": np.array(lam), **_seen(torch.stack(made), lam, found)}


def _seen(made: Tensor, lam: Sequence[float], found: dict[str, np.ndarray]) -> dict[str, Any]:
    pixels = made.permute(0, 2, 3, 1).numpy()
    flat = pixels.reshape(len(pixels), -1).astype(np.float64)
    order = np.argsort(lam, kind="stable")
    shown = order[np.linspace(0, len(order) - 1, min(STRIP, len(order))).round().astype(int)]
    return {
        "places": (flat - found["mean"]) @ found["components"].T,
        "shown": (pixels[shown] * 255).round().clip(0, 255).astype(np.uint8),
    }
