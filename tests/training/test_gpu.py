"""What only a CUDA device can show: `make test-gpu`."""

import json

import pytest
import torch

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.mix import Extends
from msda_train.core.paths import CONFIGS

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

METHODS = ["erm", "cutout", "mixup", "manifold_mixup", "cutmix", "hmix", "gmix"]
# Co-Mixup solves its batch on the host: one transfer a step, as its file says.
WAITING_FOR_NOTHING = sorted(
    p.stem
    for p in (CONFIGS / "method").glob("*.yaml")
    if p.stem not in ("comixup", "kernel_mixup", "factor_mixup")
)


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


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("method", WAITING_FOR_NOTHING)
def test_nothing_returns_to_the_host_inside_an_epoch(method, graph, teacher):
    from msda_train.core.randomness import generator
    from msda_train.data.loader import Loader
    from msda_train.models.preactresnet import preactresnet
    from msda_train.training.device import Compute
    from msda_train.training.step import Step
    from msda_train.training.update import Replay, Update

    device = torch.device("cuda")
    if method in ("mixpro", "transmix", "smmix"):
        patches = ["model.size=[32,32]", "model.patch=4", "model.width=16", "model.heads=2"]
        network = build("model", compose("model=deit_s", *patches).model, classes=10, channels=3)
    else:
        network = preactresnet([1, 1], 8, "manifold", 1, classes=10, channels=3)
    words = ["dataset=cifar10", f"method={method}"]
    words += ["method.depths=[0,1]"] if method == "manifold_mixup" else []
    words += [f"method.teacher={teacher}"] if method in ("attentive_cutmix", "tokenmix") else []
    cfg = compose(*words, "recipe.cutout=8", "recipe.label_smoothing=0.1")
    planner, recipe = build("method", cfg.method), build("recipe", cfg.recipe)
    if isinstance(planner, Extends):
        planner.extend(network, 10)
    network.to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, fused=True)
    compute = Compute(device, "bf16", False, graph=graph)
    kind = Replay if graph else Update
    step = Step(planner, recipe.augment, 10, kind(network, network, recipe.loss, optimizer, compute))
    images = torch.randint(0, 256, (640, 32, 32, 3), dtype=torch.uint8).numpy()
    labels = torch.randint(0, 10, (640,)).numpy()
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
    for i, (x, y) in enumerate(loader.train_batches(0)):
        step.update.set_lr(0.1)
        step(
            x, y, generator(0, "mix", 0, i)
        )  # the first calls may wait, and what is recorded is recorded here
    torch.cuda.set_sync_debug_mode("error")
    try:
        for i, (x, y) in enumerate(loader.train_batches(3)):
            step.update.set_lr(0.1 / (1 + i))
            step(x, y, generator(0, "mix", 3, i))
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("graph", ["false", "true"])
@pytest.mark.parametrize("method", ["mixup", "manifold_mixup"])
def test_bf16_compiled_learns(go, method, graph):
    words = ["dataset.subset=800", "dataset.test_subset=null", "model.width=8", "recipe.epochs=5"]
    go_words = [
        f"method={method}",
        *words,
        "recipe.batch_size=50",
        "device=cuda",
        "precision=bf16",
        "compile=true",
        f"graph={graph}",
    ]
    row = json.loads(go(*go_words).read_text())
    assert row["metrics"]["error/best"] < 0.45


@pytest.mark.parametrize(
    "method", ["erm", "manifold_mixup", "cutmix", "puzzlemix", "regmixup", "recursivemix"]
)
def test_a_replayed_run_is_the_run(go, tmp_path, method):
    """Every step after the third of its shape comes from a recording; the kernels are the same."""
    words = [f"method={method}", "precision=fp32", "deterministic=true", "recipe.lr=0.01", "device=cuda"]
    words += ["recipe.batch_size=10", "recipe.epochs=3"]
    plain = json.loads(go(*words, f"runs={tmp_path / 'plain'}").read_text())
    replayed = json.loads(go(*words, "graph=true", f"runs={tmp_path / 'replayed'}").read_text())
    for ours, theirs in zip(replayed["history"], plain["history"], strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-5)
        assert ours["nll"] == pytest.approx(theirs["nll"], rel=1e-4)
    assert replayed["environment"]["graph"]


@pytest.mark.parametrize("method", METHODS)
def test_deterministic_runs_are_equal_to_the_bit(go, tmp_path, method):
    words = [f"method={method}", "deterministic=true", "device=cuda"]
    histories = []
    for name in ("one", "two"):
        row = json.loads(go(*words, f"runs={tmp_path / name}").read_text())
        histories.append([(h["train_loss"], h["nll"], h["error"]) for h in row["history"]])
    assert histories[0] == histories[1]
