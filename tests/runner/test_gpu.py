"""What only a CUDA device can show: `make test-gpu`."""

import json

import pytest
import torch

from msda_train.build import build
from msda_train.compose import compose

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

METHODS = ["erm", "cutout", "mixup", "manifold_mixup", "cutmix", "hmix", "gmix"]


@pytest.mark.parametrize("method", METHODS)
def test_gpu_equals_cpu(go, tmp_path, method):
    """The same draws, the same pixels, nearly the same float32 numbers."""
    words = [f"method={method}", "precision=fp32", "recipe.lr=0.01"]
    gpu = json.loads(go(*words, "device=cuda", f"runs={tmp_path / 'gpu'}").read_text())
    cpu = json.loads(go(*words, "device=cpu", f"runs={tmp_path / 'cpu'}").read_text())
    for ours, theirs in zip(gpu["history"], cpu["history"], strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=2e-3)
        assert ours["nll"] == pytest.approx(theirs["nll"], rel=2e-2)
    assert gpu["environment"]["device"] == "cuda"


@pytest.mark.parametrize("method", METHODS)
def test_nothing_returns_to_the_host_inside_an_epoch(method):
    from msda_train.data.loader import Loader
    from msda_train.models.preactresnet import preactresnet
    from msda_train.randomness import generator
    from msda_train.runner.device import Compute
    from msda_train.runner.step import Step
    from msda_train.runner.update import Update

    device = torch.device("cuda")
    network = preactresnet([1, 1], 8, "manifold", 1, classes=10, channels=3).to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, fused=True)
    words = ["dataset=cifar10", f"method={method}"]
    words += ["method.depths=[0,1]"] if method == "manifold_mixup" else []
    cfg = compose(*words, "recipe.cutout=8", "recipe.label_smoothing=0.1")
    planner, recipe = build("method", cfg.method), build("recipe", cfg.recipe)
    compute = Compute(device, "bf16", False)
    step = Step(planner, recipe.augment, 10, Update(network, network, recipe.loss, optimizer, compute))
    images = torch.randint(0, 256, (200, 32, 32, 3), dtype=torch.uint8).numpy()
    labels = torch.randint(0, 10, (200,)).numpy()
    loader = Loader(
        images,
        labels,
        batch_size=64,
        mean=[0.5] * 3,
        std=[0.25] * 3,
        device=device,
        crop_padding=4,
        flip=True,
        seed=0,
    )
    batches = iter(loader.train_batches(0))
    step(*next(batches), generator(0, "mix"))  # cuDNN's first calls may wait
    torch.cuda.set_sync_debug_mode("error")
    try:
        for i, (x, y) in enumerate(batches):
            step(x, y, generator(0, "mix", 0, i))
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("method", ["mixup", "manifold_mixup"])
def test_bf16_compiled_learns(go, method):
    words = ["dataset.subset=800", "dataset.test_subset=null", "model.width=8", "recipe.epochs=5"]
    go_words = [
        f"method={method}",
        *words,
        "recipe.batch_size=50",
        "device=cuda",
        "precision=bf16",
        "compile=true",
    ]
    row = json.loads(go(*go_words).read_text())
    assert row["metrics"]["error/best"] < 0.45
