"""Every published number that can be run: its words compose, its network can be built, and it trains."""

import json
from copy import deepcopy
from functools import cache

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torchvision.models import resnet18

from msda_train.comparison.match import compose_configs
from msda_train.config.build import build
from msda_train.config.compose import composing
from msda_train.config.fingerprint import NODES
from msda_train.core.mix import Extends
from msda_train.core.origin import Drawn, Origin
from msda_train.core.paths import PUBLISHED
from msda_train.data.uci import UciTable
from msda_train.methods.factor_mixup import FactorMixup
from msda_train.records.published import load_papers
from msda_train.training.device import Compute
from msda_train.training.optimizer import new_update
from msda_train.training.step import Step

PAPERS = sorted(path.stem for path in PUBLISHED.glob("*.yaml"))
CLASSES = {"cifar10": 10, "cifar100": 100, "svhn": 10, "tinyimagenet": 200, "speech_commands": 30}
CLASSES |= {"stl10": 10, "imagenet": 1000, "cub200_files": 200, "slanted_digits": 2}
SHAPES = {"tinyimagenet": (3, 64, 64), "speech_commands": (1, 161, 101)}  # the others have (3, 32, 32)
SHAPES |= {"stl10": (3, 96, 96), "imagenet": (3, 64, 64), "cub200_files": (3, 64, 64)}  # smaller than it is
SHAPES |= {"slanted_digits": (1, 64, 64)}
TABLES = {kind.__name__.lower(): kind for kind in UciTable.__subclasses__()}
CLASSES |= {name: kind.n_classes for name, kind in TABLES.items()}
SHAPES |= {name: kind.shape for name, kind in TABLES.items()}
# What makes a network of each builder small; everything else of it stays as published.
SMALL = {
    "preactresnet": {"width": 4},
    "resnet": {"width": 4},
    "resnet50": {"width": 4},
    "wide_resnet": {"depth": 10, "width": 1},
    "pyramidnet": {"depth": 11, "alpha": 6, "width": 4},
    "densenet": {"depth": 10, "growth": 4},
    "vgg16_bn": {"width": 2, "hidden": 8},
    "vgg_gap": {"width": 2, "units": 8},
    "lenet": {"width": 4, "hidden": 8},
    "vgg11": {"width": 4, "hidden": 8},
    "shake_shake": {"width": 4},
    "mlp": {},
    "strided_convnet": {"widths": [4, 4]},
}
FLOAT = Compute(torch.device("cpu"), "fp32", False)


@cache
def _configs():
    """The resolved config of every runnable cell's words, by paper; words of two papers count once."""
    papers = reversed(load_papers())
    cells = {cell.overrides: (paper.key, cell) for paper in papers for cell in _runnable(paper)}
    configs = {paper: {} for paper in PAPERS}
    with composing() as composed:
        composed_once = cache(lambda word: composed([word]))
        for words, (paper, cell) in cells.items():
            configs[paper][words] = _of_parts(composed_once, cell)
    return configs


def _of_parts(composed, cell):
    """What Hydra makes of all words at once, made of what it makes of the experiment, of the method and of
    each other file: it needs 0.15 s a call, and there are 200 sets of words."""
    config = deepcopy(composed(f"experiment={cell.experiment}"))
    OmegaConf.set_struct(config, False)
    config.method = composed(f"method={cell.method}").method
    for word in cell.set:
        if word.startswith("regulariser="):
            config.model.regulariser = composed(word).model.regulariser
    OmegaConf.set_struct(config, True)  # so that a slip in an option's name is an error
    config.merge_with_dotlist([word for word in cell.set if not word.startswith("regulariser=")])
    made = OmegaConf.to_container(config, resolve=True)
    return {node: made[node] for node in NODES}


def _runnable(paper):
    return [cell for cell in paper.cells if cell.not_runnable is None]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file that stands in for a teacher's ImageNet weights."""
    path = tmp_path_factory.mktemp("teacher") / "resnet18.pth"
    torch.manual_seed(0)
    torch.save(resnet18(weights=None).state_dict(), path)
    return str(path)


def _small(config):
    """The same with a small network and without what two steps cannot show: epochs, batches left alone."""
    model, recipe = dict(config["model"]), dict(config["recipe"])
    model |= SMALL[model["_target_"].rpartition(".")[2]]
    if model.get("basic") or model.get("bottleneck") is False:
        model["depth"] = 8
    if model.get("bottleneck"):
        model["depth"] = 11
    if "blocks" in model:
        model["blocks"] = [1] * len(model["blocks"])
    for key in ("epochs", "drops", "erm_epochs"):
        recipe.pop(key, None)
    method = {key: 1.0 if key == "prob" else value for key, value in config["method"].items()}
    return {"model": model, "method": method, "recipe": recipe, "dataset": config["dataset"]["name"]}


def _two_steps(words, config, *, batch, weights):
    """Trains the network of a config; the test fails with the words it came from."""
    dataset = config["dataset"]
    classes, shape = CLASSES[dataset], SHAPES.get(dataset, (3, 32, 32))
    method = config["method"] | ({"weights": weights} if "weights" in config["method"] else {})
    method = build("method", OmegaConf.create(method))
    recipe = build("recipe", OmegaConf.create({"epochs": 1, "drops": []} | config["recipe"]))
    torch.manual_seed(0)
    network = build("model", OmegaConf.create(config["model"]), classes=classes, channels=shape[0])
    if isinstance(method, Extends):
        method.extend(network, classes)
    if hasattr(method, "check"):
        method.check(network)
    if isinstance(method, FactorMixup):  # of noise, in place of digits
        still = torch.zeros(batch, dtype=torch.int64)
        drawn = Drawn(np.zeros((batch, 7)), lambda factors: torch.randn(batch, *shape))
        method = method.at(Origin(still, still, still, still, drawn))
    step = Step(method, recipe.augment, classes, new_update(network, recipe, FLOAT)).at(1.0)  # the end
    before = [parameter.detach().clone() for parameter in network.parameters()]
    rng = np.random.default_rng(0)
    for _ in range(2):
        x, y = torch.randn(batch, *shape), torch.randint(0, classes, (batch,))
        loss = step(x, y, rng)
        assert torch.isfinite(loss), words
    after = list(network.parameters())
    assert all(torch.isfinite(parameter).all() for parameter in after), words
    changed = [not torch.equal(*pair) for pair in zip(before, after, strict=True)]
    assert changed[-1], words  # the classifier's bias
    assert sum(changed) > len(changed) / 2, words


@pytest.mark.parametrize("paper", PAPERS)
def test_the_network_and_what_trains_it_are_built(paper):
    """At full size, on the meta device: without memory and without time."""
    built = set()
    for words, config in _configs()[paper].items():
        made = json.dumps([config["model"], config["dataset"]["name"]])
        if made not in built:
            built.add(made)
            with torch.device("meta"):
                name = config["dataset"]["name"]
                facts = {"classes": CLASSES[name], "channels": SHAPES.get(name, (3,))[0]}
                network = build("model", OmegaConf.create(config["model"]), **facts)
            least = 10_000 if name in TABLES else 250_000
            assert sum(parameter.numel() for parameter in network.parameters()) > least, words
        build("method", OmegaConf.create(config["method"]))
        name = config["dataset"]["name"]
        few = {"speech_commands": 30, "imagenet": 90, "slanted_digits": 1}
        least = 10 if name in TABLES else few.get(name, 160)
        recipe = build("recipe", OmegaConf.create(config["recipe"]))
        assert recipe.epochs >= (20 if recipe.first_weights else least), words  # less where it goes on


@pytest.mark.parametrize("paper", PAPERS)
def test_two_steps_of_everything_made_small(paper, weights):
    """Each distinct method, regulariser, recipe and kind of network, once in all papers."""
    before = PAPERS[: PAPERS.index(paper)]
    seen = {_key(config) for each in before for config in _configs()[each].values()}
    for words, config in _configs()[paper].items():
        if _key(config) not in seen:
            seen.add(_key(config))
            _two_steps(words, _small(config), batch=4, weights=weights)


def _key(config):
    return json.dumps(_small(config), sort_keys=True)


@pytest.mark.slow
@pytest.mark.parametrize("paper", PAPERS)
def test_the_parts_are_what_hydra_composes(paper):
    configs = _configs()[paper]
    assert configs == compose_configs(configs)


@pytest.mark.slow
@pytest.mark.parametrize("paper", PAPERS)
def test_two_steps_at_full_size(paper, weights):
    trained = set()
    for words, config in _configs()[paper].items():
        made = json.dumps([config["model"], config["dataset"]["name"]])
        if made not in trained:
            trained.add(made)
            _two_steps(words, config | {"dataset": config["dataset"]["name"]}, batch=2, weights=weights)
