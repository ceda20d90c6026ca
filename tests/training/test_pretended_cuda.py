"""Whole runs on a CUDA device that is not there (pretended_cuda.py): nothing mixes devices, nothing inside a
step waits for the device, and recorded graphs hold nothing of the host."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from msda_train.core.paths import CONFIGS

ON_THE_HOST = ("comixup", "kernel_mixup")  # one transfer a step, as their files say
METHODS = sorted(path.stem for path in (CONFIGS / "method").glob("*.yaml"))
PATCHES = ["model=deit_s", "model.size=[32,32]", "model.patch=8", "model.width=8", "model.heads=2"]
SLANTED = ["dataset=slanted_digits", "dataset.subset=60", "dataset.test_subset=30"]
OF_METHODS = {
    **{name: ["method.layer=1"] for name in ("adautomix", "automix", "samix")},
    **{name: PATCHES for name in ("mixpro", "smmix", "transmix")},
    "manifold_mixup": ["method.depths=[0,1]"],
    "factor_mixup": [*SLANTED, "model=strided_convnet"],
}
MODELS = {
    "densenet_bc190": ["model.depth=40"],
    "pyramidnet110": ["recipe=cutmix"],
    "resnet50": [],
    "resnet_preact20": ["recipe=hysts"],
    "shake_shake26": ["recipe=shake_shake", "method=cutout"],
    "swin_t": ["recipe=openmixup_vits"],
    "vgg16_bn": ["recipe=on_mixup_training"],
    "wrn28_2": ["recipe=manifold_mixup", "method=manifold_mixup"],
}
AT_THE_END = {"run.py:epoch", "step.py:evaluate", "gallery.py:_labels", "gallery.py:_pixels"}


def _told(lines):
    script = Path(__file__).with_name("pretended_cuda.py")
    text = "\n".join(json.dumps(line) for line in lines)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script], input=text, capture_output=True, text=True, timeout=600
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(lines), done.stderr[-3000:]
    return answers


@pytest.fixture(scope="module")
def words(tmp_path_factory, cache):
    """Of a run on the pretended device: sixty pictures of noise, five steps, recorded from the fourth on."""
    folder = tmp_path_factory.mktemp("pretended")
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (80, 32, 32, 3), dtype=np.uint8)
    y = np.arange(80) % 10
    np.savez(folder / "noise.npz", x_train=x[:60], y_train=y[:60], x_test=x[60:], y_test=y[60:])
    shared = ["dataset=cifar10", "dataset.source=npz", f"dataset.root={folder / 'noise.npz'}", "recipe=smoke"]
    shared += ["recipe.batch_size=12", "recipe.epochs=1", "device=cuda", "graph=true", "threads=1"]
    shared += [f"runs={folder}", f"dataset.cache={cache}"]

    def make(*more):
        groups = {word.partition("=")[0] for word in more if "." not in word.partition("=")[0]}
        kept = [word for word in shared if word.partition("=")[0] not in groups]
        kept = [word for word in kept if "dataset" not in groups or not word.startswith("dataset.")]
        tiny = [] if "model" in groups else ["model.width=4", "model.blocks=[1,1]"]
        return [*kept, *tiny, *more]

    return make


@pytest.fixture(scope="module")
def of_methods(words, teacher):
    taught = {name: [f"method.teacher={teacher}"] for name in ("attentive_cutmix", "tokenmix")}
    lines = [words(f"method={name}", *(OF_METHODS | taught).get(name, [])) for name in METHODS]
    return dict(zip(METHODS, _told(lines), strict=True))


@pytest.fixture(scope="module")
def of_models(words):
    lines = [words(f"model={name}", *more) for name, more in MODELS.items()]
    return dict(zip(MODELS, _told(lines), strict=True))


def _check(told):
    assert told["code"] == 0, told["said"]
    assert "pretended" in told["said"]
    assert told["recorded"] == []
    assert {place[-1] for place in told["asked"]} <= AT_THE_END
    assert not any("step.py:__call__" in place for place in told["asked"])


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ON_THE_HOST])
def test_a_run_of_every_method(of_methods, name):
    _check(of_methods[name])


@pytest.mark.parametrize("name", ON_THE_HOST)
def test_methods_that_solve_on_the_host_ask_once_a_step(of_methods, name):
    """Also what makes the test above able to fail."""
    told = of_methods[name]
    assert told["code"] == 0, told["said"]
    assert told["recorded"] == []
    in_steps = [place for place in told["asked"] if "step.py:__call__" in place]
    assert len(in_steps) == 5


@pytest.mark.parametrize("name", MODELS)
def test_a_run_of_every_network(of_models, name):
    _check(of_models[name])
