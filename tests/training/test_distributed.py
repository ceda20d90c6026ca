"""One run on two processes, on the CPU: the same losses as one process, within float32 rounding."""

import json
import os
import signal
import subprocess
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from msda_train.cli.table import main as table
from msda_train.cli.train import main
from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.config.fingerprint import fingerprint
from msda_train.core.errors import UserError
from msda_train.core.mix import Extends
from msda_train.core.programs import child_environment
from msda_train.methods._input_gradient import input_gradient
from msda_train.models.batchnorm import normalise_parts, shares
from msda_train.models.staged import GlobalMean, Staged
from msda_train.training import processes
from msda_train.training.device import Compute
from msda_train.training.distributed import ALONE, Team, check_shares
from msda_train.training.optimizer import new_update
from msda_train.training.run import Run
from msda_train.training.step import Step, evaluate

CPU = Compute(torch.device("cpu"), "fp32", False)
PREACT = ["model.width=4", "model.blocks=[1,1]"]
DEIT = ["model=deit_s", "model.size=[16,16]", "model.patch=4", "model.width=8", "model.depth=2"]
DEIT += ["model.heads=2", "model.drop_path=0"]
WRN = ["model=wrn28_10", "model.depth=10", "model.width=1"]
PARTS = ["recipe.batchnorm_parts=2"]
SIZES = (8, 7, 5)  # images of three steps; two processes cannot share two of them evenly
CASES = {
    "erm": PREACT,
    "mixup": [*PREACT, "method=mixup"],
    "cutmix, no BatchNorm": ["plain", "method=cutmix", "method.prob=1"],
    "lam per image, no BatchNorm": ["plain", "method=mixup", "method.lam_per=sample"],
    "manifold mixup, no BatchNorm": ["plain", "method=manifold_mixup", "method.depths=[1]"],
    "manifold mixup": [*PREACT, "method=manifold_mixup", "method.depths=[1]"],
    "feature cutmix": [*PREACT, "method=cutmix", "method.prob=1", "method.depths=[1]"],
    "blocked gradients": [
        *PREACT,
        "method=manifold_mixup",
        "method.depths=[1]",
        "method.block_gradients=true",
    ],
    "alignmix": [*PREACT, "method=alignmix", "method.input_prob=0", "method.depth=1"],
    "cutout": [*PREACT, "method=cutout", "recipe.label_smoothing=0.1", "recipe.entropy_weight=0.1"],
    "saliencymix": [*PREACT, "method=saliencymix", "method.prob=1"],
    "puzzlemix": [*PREACT, "method=puzzlemix", "method.blocks=[2]", "method.adv_p=0.5"],
    "puzzlemix, clean": [*PREACT, "method=puzzlemix", "method.blocks=[2]", "method.clean_lam=1"],
    "comixup": [*PREACT, "method=comixup"],
    "regmixup": [*PREACT, "method=regmixup", "method.loss=sum"],
    "transmix": [*DEIT, "method=transmix", "method.mixup_prob=0"],
    "pgd": [*PREACT, "method=pgd_training", "method.steps=2"],
    "padded channels": ["model=pyramidnet110", "model.depth=11", "model.width=4", "model.pad_channels=8"],
    "densenet": ["model=densenet_bc190", "model.depth=10", "model.growth=4", "model.checkpointing=true"],
    "densenet in four parts": [
        *("model=densenet_bc190", "model.depth=10", "model.growth=4", "recipe.batchnorm_parts=4")
    ],
    "dropout": [*WRN, "model.dropout=0.5", "method=mixup"],
    "stochdepth": [*PREACT, "regulariser=stochdepth", "model.regulariser.per=sample"],
    "dropblock": [*PREACT, "regulariser=dropblock", "model.regulariser.block=2"],
    "shake-shake": ["model=shake_shake26", "model.depth=8", "model.width=4", "method=mixup"],
    "shakedrop": [*PREACT, "regulariser=shakedrop", "method=comixup"],
    "parts": [*PREACT, *PARTS, "method=mixup"],
    "parts, pgd": [*PREACT, *PARTS, "method=pgd_training", "method.steps=2"],
    "padded channels in four parts": [
        *("model=pyramidnet110", "model.depth=11", "model.width=4", "model.pad_channels=8"),
        *("recipe.batchnorm_parts=4", "method=comixup"),
    ],
}


def _plain():
    """Without BatchNorm."""
    conv = torch.nn.Conv2d(3, 6, 3, padding=1)
    return Staged([conv, torch.nn.Sequential(torch.nn.ReLU(), GlobalMean(), torch.nn.Linear(6, 10))])


@pytest.fixture(scope="module")
def configs():
    """By name, the config of each case; composing takes longer than training."""
    return {
        name: compose("dataset=cifar10", "recipe.lr=0.05", *(word for word in words if word != "plain"))
        for name, words in CASES.items()
    }


def _trained(name, cfg, team):
    """Losses of three steps, a test pass, gradients of images, and the network's state."""
    recipe, method = build("recipe", cfg.recipe), build("method", cfg.method)
    torch.manual_seed(0)
    plain = "plain" in CASES[name]
    network = _plain() if plain else build("model", cfg.model, classes=10, channels=3)
    if isinstance(method, Extends):
        method.extend(network, 10)
    for module in network.modules():  # of a ReLU's input at zero rounding decides, and all differs from there
        if type(module) is torch.nn.ReLU and "densenet" not in name:  # that has another one, fused
            module.__class__ = torch.nn.SiLU
    step = Step(method, recipe.augment, 10, new_update(network, recipe, CPU, team), team=team)
    draw, losses, batches = torch.Generator().manual_seed(1), [], []
    for i, size in enumerate(SIZES):
        x = torch.randn(size, 3, 16, 16, generator=draw).contiguous(memory_format=torch.channels_last)
        y = torch.randint(0, 10, (size,), generator=draw)
        batches.append((x, y))
        step.update.set_lr(0.05)
        losses.append((team.total(step(x, y, np.random.default_rng(i))) / team.size).item())
    step.network.eval()
    tested = evaluate(step.update.forward, batches, CPU, team)
    gradients = input_gradient(*batches[1], step.network)
    return losses, tested, gradients, network.state_dict()


def _second(port, configs):
    torch.set_num_threads(1)
    team = processes.Crew(2, 1, port=port)
    team.join()
    for name, cfg in configs.items():
        _trained(name, cfg, team)
    team.leave()


@pytest.fixture(scope="module")
def together(configs):
    """By name, what two processes made of each case; this one leads."""
    team = processes.Crew(2, 0, port=0)
    team.store = processes.STORE("127.0.0.1", 0, 2, is_master=True, wait_for_workers=False)
    second = get_context("spawn").Process(target=_second, args=(team.store.port, configs), daemon=True)
    second.start()
    team.join()
    made = {name: _trained(name, cfg, team) for name, cfg in configs.items()}
    team.leave()
    second.join(60)
    assert second.exitcode == 0
    return made


@pytest.mark.parametrize("name", CASES)
def test_two_processes_do_what_one_does(together, configs, name):
    one, two = _trained(name, configs[name], ALONE), together[name]
    assert two[0] == pytest.approx(one[0], rel=2e-5)
    assert two[1] == pytest.approx(one[1], rel=2e-5)
    torch.testing.assert_close(two[2:], one[2:], rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("parts", [2, 3])
def test_batchnorm_in_parts_by_hand(parts):
    """Each part by its own mean and variance; running statistics are the first part's."""
    x = torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    one, others = torch.nn.BatchNorm2d(3), torch.nn.BatchNorm2d(3)
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(3))
    normalise_parts(network, lambda n: shares(n, parts))
    pieces = x.chunk(parts)
    expected = torch.cat([one(pieces[0]), *map(others, pieces[1:])])
    assert torch.equal(network(x), expected)
    assert torch.equal(network[0].running_mean, one.running_mean)
    assert torch.equal(network[0].running_var, one.running_var)
    assert network[0].num_batches_tracked == 1
    assert torch.equal(network.eval()(x), one.eval()(x))


def _interrupted(monkeypatch, number):
    whole = Run.epoch

    def epoch(self, index, *rest):
        if index == number:
            raise KeyboardInterrupt
        return whole(self, index, *rest)

    monkeypatch.setattr(Run, "epoch", epoch)


def _history(path):
    keys = ("train_loss", "nll")  # of 30 images an error has too few values
    return [epoch[key] for epoch in json.loads(path.read_text())["history"] for key in keys]


WORDS = ["method=manifold_mixup", "method.depths=[0,1]", "method.alpha=1", "recipe.epochs=4"]


@pytest.fixture(scope="module")
def straight(small_run, tmp_path_factory):
    """The row of one process that was never interrupted."""
    runs = tmp_path_factory.mktemp("straight")
    assert main([*small_run, *WORDS, f"runs={runs}"]) == 0
    return next(runs.rglob("row.json"))


def test_from_one_process_to_two_and_back(go, straight, monkeypatch):
    for epoch, devices in ((2, 1), (3, 2)):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            _interrupted(patch, epoch)
            go(*WORDS, f"devices={devices}")
    row = go(*WORDS)
    sessions = json.loads(row.read_text())["sessions"]
    assert [(s["devices"], s["from_epoch"], s["to_epoch"]) for s in sessions] == [
        (1, 1, 2),
        (2, 3, 3),
        (1, 4, 4),
    ]
    assert row.parent.parent.name == straight.parent.parent.name
    assert _history(row) == pytest.approx(_history(straight), rel=1e-3)


def _followers(pid):
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _start(words, cwd, *before):
    command = [*(before or (sys.executable,)), "-m", "msda_train.cli.train", *words]
    environment = {**child_environment(), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=cwd)


@pytest.mark.skipif(sys.platform != "linux", reason="finds the other process in /proc")
def test_a_process_that_dies_ends_the_run_and_the_checkpoint_is_good(small, go, tmp_path):
    words = ["recipe.epochs=4000"]
    run = _start(small(*words, "devices=2"), tmp_path)
    while not (saved := list((tmp_path / "runs").rglob("checkpoint.pt"))) and run.poll() is None:
        time.sleep(0.1)
    os.kill(_followers(run.pid)[0], signal.SIGKILL)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 1
    lines = [line for line in said.splitlines() if line.startswith("msda-train: ")]
    assert lines == [f"msda-train: process 2 of 2 ended: signal 9; {processes.KEPT}"]
    assert "Traceback" not in said
    progress = json.loads(torch.load(saved[0], weights_only=True)["progress"])
    assert progress["history"]
    assert not list((tmp_path / "runs").rglob("row.json"))


def test_torchrun(small_run, straight, tmp_path):
    words = [*small_run, *WORDS, f"runs={tmp_path / 'runs'}"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    run = _start(words, tmp_path, *torchrun)
    _, said = run.communicate(timeout=120)
    assert run.returncode == 0, said
    row = next((tmp_path / "runs").rglob("row.json"))
    assert json.loads(row.read_text())["environment"]["devices"] == 2
    assert _history(row) == pytest.approx(_history(straight), rel=1e-3)
    assert said.count("complete: ") == 1  # one of them speaks


REFUSED = {
    "devices=0": "devices=0: must be a whole number, at least 1",
    "devices=9": "devices=9: there are 8 CPU core(s) here; type a number up to 8",
    "devices=2 compile=true": "compile=true: not with devices=2; type compile=false",
    "devices=2 profile=true": "profile=true: not with devices=2; type profile=false",
    "devices=3 recipe.batch_size=29": "devices=3: the smallest batch of an epoch has 2 images",
    "devices=3 recipe.batchnorm_parts=2": "recipe.batchnorm_parts=2: devices=3 cannot share them",
    "recipe.batchnorm_parts=1": "recipe.batchnorm_parts=1: one part is the whole batch; type 0",
    "recipe.batchnorm_parts=6": "recipe.batchnorm_parts=6: the smallest batch of an epoch has 10 images",
}


@pytest.mark.parametrize("words", REFUSED)
def test_one_line_for_what_cannot_be(go, tmp_path, monkeypatch, words):
    monkeypatch.setattr(processes, "_cores", lambda: 8)
    with pytest.raises(UserError) as refused:
        go(*words.split())
    assert str(refused.value).startswith(REFUSED[words])
    assert not (tmp_path / "runs").exists()


def test_one_line_for_a_graph_and_for_one_device_of_many(monkeypatch):
    """On a machine with GPUs."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    for index, graph, line in (
        (None, True, "graph=true: not with devices=2"),
        (1, False, "device=cuda:1: is one device; with devices=2 type device=cuda"),
    ):
        cfg = compose("devices=2", f"graph={graph}", "device=cuda:1")
        with pytest.raises(UserError, match=line):
            processes.enlist(cfg, Compute(torch.device("cuda", index), "fp32", False), None)
    with pytest.raises(UserError, match=r"devices=5: there are 4 CUDA device\(s\) here"):
        processes.enlist(compose("devices=5"), Compute(torch.device("cuda"), "fp32", False), None)


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({}, "devices=2: torchrun --nproc-per-node 4 started another number"),
        ({"LOCAL_WORLD_SIZE": "2"}, "processes on several machines are not supported"),
    ],
)
def test_one_line_under_torchrun(monkeypatch, more, line):
    started = {"TORCHELASTIC_RUN_ID": "x", "RANK": "0", "WORLD_SIZE": "4", **more}
    for key, value in started.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(UserError, match=line):
        processes.enlist(compose(*([] if more else ["devices=2"])), CPU, None)


def test_no_sweep_and_no_planner(small, capsys, tmp_path):
    assert main(["-m", *small("seed=0,1", "devices=2")]) == 2
    assert "devices=2: one run at a time" in capsys.readouterr().err
    assert not list(tmp_path.rglob("row.json"))
    assert table(["plan", "mixup/cifar", "devices=2"]) == 2
    assert "devices=2: not here; each run has one device" in capsys.readouterr().err


def test_devices_are_not_in_the_fingerprint_and_parts_are():
    def mark(*words):
        cfg = OmegaConf.to_container(compose(*words), resolve=True)
        return fingerprint(cfg)

    assert mark() == mark("devices=8")
    assert mark() != mark("recipe.batchnorm_parts=8")
    assert mark("recipe=cutmix") != mark("recipe=cutmix", "recipe.batchnorm_parts=0")


def test_shares_are_even_and_fit_in_one_another():
    assert shares(10, 4) == [2, 3, 2, 3]
    for count in range(1, 30):
        for parts in (1, 2, 3):
            fine = shares(count, 2 * parts)
            assert shares(count, parts) == [a + b for a, b in zip(fine[::2], fine[1::2], strict=True)]
            assert max(fine) - min(fine) <= 1
    check_shares(Team(8), 4, 64, 50000)
