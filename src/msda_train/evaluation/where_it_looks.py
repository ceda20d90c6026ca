"""What `msda-plot cam` shows of a finished run: class activation maps of images, and of two of them mixed by
the run's own method, as in CutMix's figures 1 and 2 (arXiv:1905.04899)."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import ImageOps

from msda_train.config.build import build
from msda_train.config.untrusted import buildable
from msda_train.core.course import in_course
from msda_train.core.errors import UserError
from msda_train.core.mix import Mix, prepared
from msda_train.core.randomness import generator
from msda_train.data.decoding import Unreadable, opening
from msda_train.data.images import Images
from msda_train.data.resize import fitted
from msda_train.evaluation.finished_run import OpenedRun
from msda_train.evaluation.probes.subject import to_pixels
from msda_train.functional.pixel_values import in_255, per_channel
from msda_train.models.class_maps import as_heat, class_maps
from msda_train.training.loaders import normalisation

PLANS = 200  # a coin, a depth or a small box may hide the mixing in the first ones
HALF = 0.3  # of each image at least


@dataclass(frozen=True)
class Look:
    """Of one run. heats: (N, H, W) in [0, 1], of each image for its own class, or the one the network names;
    mixed: (H, W, C) uint8, the first image mixed with the second, None where the method mixes no pixels;
    share: label weight of the first in it; pair: (2, H, W) maps of it for both classes; kind: cam or
    grad_cam."""

    heats: np.ndarray
    mixed: np.ndarray | None
    share: float
    pair: np.ndarray
    kind: str


def chosen_images(images: Images, words: Sequence[str]) -> tuple[np.ndarray, list[int | None]]:
    """(N, H, W, C) uint8 and their labels: `words` are numbers of test images or image files, which have no
    label and are fitted to the size of the set (centre crop). Without words the first test image of each of
    the first four classes. UserError names the word."""
    if not words:
        firsts = [np.flatnonzero(images.y_test == k)[:1] for k in range(images.n_classes)]
        numbers = [str(int(found[0])) for found in firsts if len(found)][:4]
        return chosen_images(images, numbers)
    made: list[np.ndarray] = []
    labels: list[int | None] = []
    for word in words:
        if word.isdecimal():
            if int(word) >= len(images.x_test):
                raise UserError(f"--images {word}: there are {len(images.x_test):,} test images, from 0 on")
            made.append(np.array(images.x_test[int(word)]))
            labels.append(int(images.y_test[int(word)]))
        else:
            made.append(_read(Path(word), images))
            labels.append(None)
    return np.stack(made), labels


def _read(path: Path, images: Images) -> np.ndarray:
    try:
        with opening(path) as image:
            picture = ImageOps.exif_transpose(image).convert("L" if images.channels == 1 else "RGB")
    except Unreadable:
        raise UserError(f"--images {path}: is no image, nor the number of a test image") from None
    return np.asarray(fitted(picture, images.size)).reshape(*images.size, images.channels)


def look(opened: OpenedRun, pixels: np.ndarray, labels: Sequence[int | None]) -> Look:
    """Maps of `pixels` (N, H, W, C) uint8 with `labels`. UserError where the network has no maps, or the row
    names a method that may not be built."""
    device, network, images = opened.run.compute.device, opened.network, opened.run.images
    scale = normalisation(images, opened.run.recipe)
    plain = to_pixels(pixels, device)
    x = (plain - per_channel(scale[0], plain)) / per_channel(scale[1], plain)
    named = class_maps(network, x).logits.argmax(dim=1)
    known = zip(labels, named.tolist(), strict=True)
    y = torch.tensor([own if label is None else label for label, own in known], device=device)
    size = pixels.shape[1:3]
    found = class_maps(network, x, y)
    mix = _plan(opened, x[:2], y[:2]) if len(x) > 1 else None
    if mix is None:
        nothing = np.zeros((2, *size), dtype=np.float32)
        return Look(_numpy(as_heat(found.maps, size)), None, 1.0, nothing, found.kind)
    mixed = mix.pixels(x[:2])[:1]
    pair = class_maps(network, mixed.expand(2, -1, -1, -1), y[:2])
    shown = in_255(mixed, *scale)[0].byte().permute(1, 2, 0)
    share = float(mix.target(y[:2], images.n_classes)[0, y[0]])
    heats, of_pair = (_numpy(as_heat(each.maps, size)) for each in (found, pair))
    return Look(heats, _numpy(shown), share, of_pair, found.kind)


def _numpy(made: torch.Tensor) -> np.ndarray:
    return made.detach().cpu().numpy()


def _plan(opened: OpenedRun, x: torch.Tensor, y: torch.Tensor) -> Mix | None:
    """The first plan for the two images that shows in the pixels of the first and leaves enough of both."""
    node = buildable("method", opened.row.config["method"], trust=False)
    method = in_course(prepared(build("method", node), opened.network, [x]), 1.0)
    network = deepcopy(opened.network).train()  # as methods see it; it may count statistics
    for step in range(PLANS):
        with torch.enable_grad():
            mix: Mix = method.plan(x, y, network, generator(opened.row.seed, "cam", 0, step))
        share = float(mix.target(y, opened.run.images.n_classes)[0, y[0]])
        if mix.depth == 0 and bool((mix.mask < 1).any()) and (share == 1 or HALF <= share <= 1 - HALF):
            return mix
    return None
