"""Write docs/methods/: a page and a picture of every method. `make cards`.

The pages come from the methods' own files. The pictures show the methods at work on pairs of crops of two
photographs (scikit-learn's sample images: china.jpg by Tzuhsun Hsu, flower.jpg by dany13, both CC BY); a
small network that has learned to tell the two apart is what saliency methods look at, and what teaches
Attentive CutMix and TokenMix; SMMix looks at a small transformer. Factor mixup shows drawn digits, which have
factors. `method_cards.py FILE.npz FOLDER` shows two classes of other images, pictures only.
"""

import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from sklearn.datasets import load_sample_images

from msda_train.comparison.compare import compare
from msda_train.comparison.table import lines_frame
from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.mix import Mix, Remembers
from msda_train.core.origin import Drawn, Origin
from msda_train.data.slanted_digits import draw, draw_factors
from msda_train.evaluation.finished_run import OpenedRun, open_run
from msda_train.methods._history import Pasted
from msda_train.methods._learned import Learned
from msda_train.methods.factor_mixup import FactorMixup
from msda_train.records.published import load_papers
from msda_train.records.rows import load_rows
from msda_train.reporting.draw import rendered
from msda_train.reporting.method_card import card
from msda_train.reporting.method_facts import all_methods
from msda_train.training.train import train

REPO = Path(__file__).resolve().parents[1]
DOCS, ROWS = REPO / "docs" / "methods", REPO / "results" / "rows"
SIDE, PAIRS = 64, 4
CELL = 0.68  # inches of an image
NETWORK = ["model.width=8", "model.stem_stride=2", "recipe=short", "recipe.epochs=4"]
PATCHES = ["model=deit_s", f"model.size=[{SIDE},{SIDE}]", "model.patch=8", "model.width=64", "model.depth=2"]
PATCHES += ["model.heads=4", "recipe=short", "recipe.epochs=3", "recipe.optimizer=adamw", "recipe.momentum=0"]
PATCHES += ["recipe.nesterov=false", "recipe.lr=0.002", "recipe.batch_size=32"]
WORDS = {
    "attentive_cutmix": ["method.k=4"],
    "mixpro": ["method.mixup_prob=0", "method.cutmix_prob=0"],
    "puzzlemix": ["method.blocks=[8]"],
}
# What learns to mix first does: in a network whose features are normalised, by many small batches.
TAUGHT = ["model=resnet18", "recipe.batch_size=32", "recipe.lr=0.05", "recipe.epochs=8"]
TAUGHT += ["method.momentum=0.99", "method.end_momentum=0.999"]
DIGITS, _ = draw_factors(np.random.default_rng(1), 2 * PAIRS, "A", "train", "free")


def photographs(path: Path) -> None:
    """Square crops of both photographs as an npz: 400 of each to learn, 40 to show."""
    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    for split, n in (("train", 400), ("test", 40)):
        crops = []
        for photo in load_sample_images().images:
            for side in rng.integers(150, 300, n):
                top, left = rng.integers(0, photo.shape[0] - side), rng.integers(0, photo.shape[1] - side)
                square = Image.fromarray(photo[top : top + side, left : left + side])
                crops.append(np.asarray(square.resize((SIDE, SIDE), Image.Resampling.BICUBIC)))
        arrays |= {f"x_{split}": np.stack(crops), f"y_{split}": np.repeat([0, 1], n)}
    np.savez(path, **arrays)  # type: ignore[arg-type]


def trained(npz: Path, folder: str, network: list[str]) -> OpenedRun:
    """A small network that has learned the images of `npz`."""
    words = ["dataset=own", "dataset.source=npz", f"dataset.root={npz}", f"dataset.cache={folder}/cache"]
    cfg = compose(*words, *network, f"runs={folder}/runs", "threads=1", "device=cpu")
    names = dict.fromkeys(("dataset", "model", "method", "recipe", "experiment"))
    row = train(cfg, names, lambda line: None)
    assert row is not None  # only profile=true leaves none
    return open_run(row)


def planned(name: str, opened: OpenedRun, x: torch.Tensor, y: torch.Tensor) -> Mix:
    """The first plan that shows and has label weights near a half; partners in reverse order."""
    node = compose("dataset=own", f"method={name}", *WORDS.get(name, [])).method
    for key, value in (("pairing", "reversal"), ("teacher", str(opened.row.path.parent))):
        if key in node:
            node[key] = value
    method = build("method", node)
    if isinstance(method, Remembers):  # the same pairs, one step apart
        label = torch.nn.functional.one_hot(y.flip(0), 2).float()
        method.remember(x.flip(0), label, label)
    if isinstance(method, Learned):
        method = method.prepare(opened.network, ())
        method.load(torch.load(opened.row.path.with_name("checkpoint.pt"), weights_only=True)["learned"])
    if isinstance(method, FactorMixup):
        place = torch.zeros(len(x), dtype=torch.int64)
        method = method.at(Origin(place, place, place, place, Drawn(DIGITS, pen)))
    for seed in range(60):
        mix: Mix = method.plan(x, y, opened.network.train(), np.random.default_rng(seed))
        if mix.depth == 0 and 0.35 < mix.lam[-len(x) :].mean() < 0.65:
            break
    return mix


def pen(factors: np.ndarray) -> torch.Tensor:
    """Digits (n, 3, 64, 64), drawn from factors (n, 7)."""
    return (torch.from_numpy(draw(factors)).permute(0, 3, 1, 2).expand(-1, 3, -1, -1) / 255 - 0.5) / 0.5


def picture(mix: Mix, x: torch.Tensor, recipe: object) -> Figure:
    """Own image, partner, own weight (white is 1), mixed image: a row each, a column for each pair."""
    mean, std = (torch.tensor(getattr(recipe, v)).view(1, -1, 1, 1) for v in ("mean", "std"))
    pixels = x * std + mean
    mask = mix.mask[-len(x) :].expand(len(x), 1, *x.shape[-2:]).expand_as(x)  # clean images may come first
    rows = {
        "own": pixels,
        "partner": pixels.flip(0) if isinstance(mix, Pasted) else pixels[mix.perm[-len(x) :]],
        "own weight": mask,
        "mixed": mix.pixels(x)[-len(x) :] * std + mean,
    }
    made = Figure(figsize=(0.3 + PAIRS * CELL, len(rows) * CELL))
    grid = made.subplots(len(rows), PAIRS)
    made.subplots_adjust(left=0.3 / (0.3 + PAIRS * CELL), right=1, bottom=0, top=1, wspace=0.04, hspace=0.04)
    for line, (name, images) in zip(grid, rows.items(), strict=True):
        line[0].set_ylabel(name)
        for axes, image in zip(line, images, strict=False):
            axes.imshow(image.permute(1, 2, 0).clamp(0, 1).numpy(), interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.grid(False)
            axes.spines[:].set(visible=True, color="#d5dae0")  # a white mask has an edge
    return made


def main(words: list[str]) -> None:
    """Trains for half a minute, then writes everything."""
    out = Path(words[1]) if words else DOCS
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        npz = Path(words[0] if words else f"{folder}/photographs.npz")
        if not words:
            photographs(npz)
        opened, patches = trained(npz, folder, NETWORK), trained(npz, folder, PATCHES)
        images, recipe = opened.run.images, opened.run.recipe
        one, two = (np.flatnonzero(images.y_test == k)[:PAIRS] for k in (0, 1))
        shown = np.concatenate([one, two[::-1]])
        x = (torch.from_numpy(images.x_test[shown]).permute(0, 3, 1, 2) / 255 - 0.5) / 0.5  # own.yaml's
        papers = load_papers()
        compared = compare(papers, lines_frame(load_rows([ROWS])[0]))
        for facts in all_methods():
            seen = patches if facts.name == "smmix" else opened
            if "end_momentum" in compose("dataset=own", f"method={facts.name}").method:
                seen = trained(npz, folder, [*NETWORK, f"method={facts.name}", *TAUGHT])
            own = pen(DIGITS) if facts.name == "factor_mixup" else x
            mix = planned(facts.name, seen, own, torch.from_numpy(images.y_test[shown]))
            png = rendered(partial(picture, mix, own, recipe), ("png",))["png"]
            (out / f"{facts.name}.png").write_bytes(png)
            if not words:
                page = card(facts, papers, f"{facts.name}.png", compared)
                (out / f"{facts.name}.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
