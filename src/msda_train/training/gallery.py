"""Examples of what the method made of this run's own batches, kept beside the row: a report shows them and
imports no torch.

gallery.json holds `images`, each a `png` in base64 and its `labels`, [[own class, weight], [another class,
weight], ...]; `epoch` and `step`, both counted from 1; the plan's `depth`, null where nothing is mixed.
`mixed` is false where no plan that was tried shows in pixels (ERM; mixing at deeper stages only): then the
pixels are the batch itself. `every` is k where every k-th pixel is kept.
"""

import base64
import io
import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from msda_train.core.course import does_change
from msda_train.core.files import NotWritten, replace_file
from msda_train.core.mix import NOWHERE, Mix, Remembers
from msda_train.core.randomness import generator
from msda_train.data.images import Images
from msda_train.functional.pixel_values import in_255
from msda_train.training.logger import Picture
from msda_train.training.run import Run
from msda_train.training.step import Step

NAME = "gallery.json"
IMAGES = 8
LARGEST_SIDE = 64  # pixels; of larger images every second, third, ... pixel is kept
LARGEST_FILE = 60_000  # bytes; then fewer images
MOST_PLANS = 32  # a coin or a depth may hide the mixing in the first batches, but hardly in all of these


def keep(run: Run, step: Step, log: Callable[[str], None]) -> None:
    """Writes gallery.json for a run whose training is over, so nothing here can change its result; and what
    goes wrong here must not cost it."""
    if not isinstance(run.images, Images):  # nothing to look at
        return
    cuda = [run.compute.device] if run.compute.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=cuda), torch.no_grad():
            replace_file(run.folder / NAME, _as_json(_examples(run, step)))
    except NotWritten:  # the row would not be, either; once there is room the same command writes both
        raise
    except Exception as error:  # out of memory, a method that cannot plan once more
        log(f"no {NAME}: {' '.join(str(error).split())[:200]}")


def pictures(folder: Path) -> list[Picture]:
    """Those that a run keeps in `folder`; none where it kept none that can be read."""
    try:
        kept = json.loads((folder / NAME).read_bytes())["images"]
        return [
            Picture(
                base64.b64decode(each["png"]),
                ", ".join(f"{word} {share:g}" for word, share in each["labels"]),
            )
            for each in kept
        ]
    except (OSError, ValueError, LookupError, TypeError):
        return []


def _examples(run: Run, step: Step) -> dict[str, Any]:
    """The first batch, in the order of training, whose plan shows in pixels; else the first of all."""
    first = None
    for epoch, i, here, x, y in islice(_batches(run, step), MOST_PLANS):
        rng = generator(run.seed, "mix", epoch, i)
        x = step.augment(x, rng)
        with torch.enable_grad(), run.compute.autocast():  # a saliency may need gradients
            mix = here.method.plan(x, y, step.network, rng)
        if mix.depth == 0:
            break
        if isinstance(here.method, Remembers):
            target = mix.target(y, len(run.images.classes))
            here.method.remember(x, target, target)  # what was predicted does not show
        first = first or (epoch, i, x, y, mix)
    else:
        assert first is not None  # a run has at least one batch
        epoch, i, x, y, mix = first
    every = -(-max(x.shape[-2:]) // LARGEST_SIDE)
    pixels = _pixels(run, mix.pixels(x))[:IMAGES, ::every, ::every]
    labels = _labels(run, mix, y)
    return {
        "schema": 1,
        "epoch": epoch + 1,
        "step": i + 1,
        "depth": None if mix.depth == NOWHERE else mix.depth,
        "mixed": mix.depth == 0,
        "every": every,
        "images": [{"png": _png(p), "labels": words} for p, words in zip(pixels, labels, strict=False)],
    }


def _batches(run: Run, step: Step) -> Iterator[tuple[int, int, Step, Tensor, Tensor]]:
    """Epoch, number, the step there and the very batch that it was trained on. A method that changes in the
    course of training is shown as it was in the end."""
    epochs = range(run.recipe.erm_epochs, run.recipe.epochs)
    for epoch in reversed(epochs) if does_change(step.method) else epochs:
        for i, (here, x, y) in enumerate(step.over(run.train_loader, epoch)):
            yield epoch, i, here.at((epoch + i / run.steps) / run.recipe.epochs), x, y


def _pixels(run: Run, x: Tensor) -> Any:
    """(B, H, W, C) uint8 from normalised x (B, C, H, W)."""
    shown = in_255(x[:IMAGES].float(), run.recipe.mean, run.recipe.std).to(torch.uint8)
    return shown.permute(0, 2, 3, 1).cpu().numpy()


def _labels(run: Run, mix: Mix, y: Tensor) -> list[list[tuple[str, float]]]:
    """The words and weights of each sample's label, its own class first; a weight of 0 is left out."""
    classes, own = run.images.classes, y.tolist()
    labels = []
    for a, weights in zip(own, mix.target(y, len(classes)).tolist(), strict=False):  # partners follow
        order = sorted(range(len(classes)), key=lambda k: (k != a, -weights[k]))
        labels.append([(classes[k], round(weights[k], 4)) for k in order if weights[k] > 0])
    return labels


def _png(pixels: Any) -> str:
    """(H, W, C) uint8 as a base64 PNG."""
    out = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(out, "png", optimize=True)
    return base64.b64encode(out.getvalue()).decode()


def _as_json(gallery: dict[str, Any]) -> bytes:
    """With as many images as the file may hold."""
    while True:
        text = json.dumps(gallery).encode()
        if len(text) <= LARGEST_FILE or len(gallery["images"]) == 1:
            return text
        gallery["images"].pop()
