"""`msda-check machine`: it sees every layer, right ones pass, wrong and deadly ones are named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import msda_train
from msda_train.cli.check import main as run
from msda_train.comparison.config_diff import experiment_choices
from msda_train.core.paths import CONFIGS
from msda_train.selfcheck import against_float64, machine
from msda_train.selfcheck.against_float64 import errors
from msda_train.selfcheck.layers import Layer, networks, suite_networks
from msda_train.selfcheck.machine import LIMITS, Setting, advice, measured
from msda_train.training.device import Compute

FLOAT, BF16 = (Compute(torch.device("cpu"), precision, False) for precision in ("fp32", "bf16"))
CONV = Layer("conv", 5, 10, (8, 8), (3, 3), (2, 2), (1, 1), (1, 1), 1, bias=True)
ONE = Layer("conv", 5, 10, (32, 32), (1, 1), (2, 2), (0, 0), (1, 1))
CRASHES = {"SIGSEGV": float("inf")}
KINDS = [
    CONV,
    ONE,
    Layer("conv", 6, 12, (7, 9), (3, 1), (1, 2), (1, 0), (2, 1), 3),
    Layer("conv", 8, 8, (6, 6), (3, 3), (1, 1), (1, 1), (1, 1), 8, bias=True),
    Layer("linear", 7, 11, bias=True),
    Layer("norm", 5, 5, (4, 4)),
]


def test_layers_are_those_of_the_network():
    ((_, found),) = networks(["model=preactresnet18 model.width=8 dataset=digits"])
    assert Layer("conv", 1, 8, (8, 8), (3, 3), (1, 1), (1, 1), (1, 1)) in found  # the stem
    assert Layer("conv", 8, 16, (8, 8), (1, 1), (2, 2), (0, 0), (1, 1)) in found  # the first projection
    assert Layer("linear", 64, 10, bias=True) in found
    assert Layer("norm", 64, 64, (1, 1)) in found
    assert len(found) == 16


def test_padded_channels_are_seen_as_they_are_computed():
    words = "model=pyramidnet110 model.depth=11 model.alpha=6 model.pad_channels=8"
    ((_, found),) = networks([words])
    assert all(layer.channels % 8 == 0 for layer in found if layer.kind == "conv")


@pytest.mark.parametrize("compute", [FLOAT, BF16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("layer", KINDS, ids=str)
def test_right_layers_are_right(layer, full, compute):
    found = errors(layer, compute, full=full)
    assert set(found) >= {"output", "weight gradient", "input gradient"}
    assert max(found.values()) < LIMITS[compute.precision]
    assert max(found.values()) > 0


def test_a_wrong_gradient_is_found(monkeypatch):
    def spoil(conv):
        conv.weight.register_hook(lambda grad: grad * torch.tensor([1.0] * 9 + [1.01]).view(-1, 1, 1, 1))

    monkeypatch.setattr(against_float64, "avoid_fault", spoil)
    found = errors(CONV, FLOAT)
    assert found.pop("weight gradient") == pytest.approx(0.01 / 6**0.5, rel=0.5)  # one of six channels
    assert max(found.values()) < LIMITS["fp32"]


def test_nan_and_the_end_of_a_process_are_wrong():
    setting = Setting("cpu", "fp32", 1)
    assert setting.wrong({"output": float("nan")})
    assert setting.wrong(CRASHES)
    assert not setting.wrong({"output": 1e-6})


def test_a_process_that_dies_is_no_end_of_the_check():
    """An impossible device ends every process with an error, as a broken layer does with a signal."""
    ((how, error),) = measured([CONV], Setting("nowhere", "fp32", 1))[CONV].items()
    assert error == float("inf")
    assert "device=nowhere: unknown" in how


def test_only_the_deadly_layer_is_blamed(monkeypatch):
    def answers(layers, setting):
        return "SIGSEGV" if ONE in layers else [{"output": 0.0} for _ in layers]

    monkeypatch.setattr(machine, "_answers", answers)
    found = measured(KINDS, Setting("cpu", "fp32", 1))
    assert [layer for layer, errors in found.items() if errors == CRASHES] == [ONE]
    assert len(found) == len(KINDS)


def test_advice_names_what_helps():
    fp32, alone, bf16 = Setting("cpu", "fp32", 2), Setting("cpu", "fp32", 1), Setting("cpu", "bf16", 2)
    right, wrong = {CONV: {"output": 0.0}}, {CONV: {"output": 1.0}}
    assert advice({fp32: right, alone: right, bf16: right}).startswith("fine")
    assert advice({fp32: right, alone: right, bf16: wrong}).endswith("type precision=fp32")
    assert advice({fp32: wrong, alone: right, bf16: wrong}).endswith("type threads=1")
    assert "another version of torch" in advice({fp32: wrong, alone: wrong, bf16: right})


def test_what_torch_alone_gets_wrong_is_no_word_on_rows():
    plain = Setting("cpu", "fp32", 1, plain=True)
    assert advice({plain: {CONV: {"output": 1.0}}}).endswith("type msda-check machine")


def test_the_command_checks_one_network(capsys):
    words = "machine model=preactresnet18 model.width=2 model.blocks=[1,1] dataset=digits --threads 1"
    assert run([*words.split(), "--device", "cpu"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-1].startswith("fine")
    assert out[1].split()[:3] == ["network", "layers", "fp32"]


def test_the_command_says_what_is_wrong(monkeypatch, capsys):
    def wrong(layers, setting, done):
        return {layer: CRASHES if layer.kind == "linear" else {"output": 0.5} for layer in layers}

    monkeypatch.setattr(machine, "measured", wrong)
    assert run(["machine", "model=vgg16_bn", "model.width=2", "model.hidden=4", "--threads", "1"]) == 1
    out = capsys.readouterr().out
    assert "CRASHES 3" in out
    assert "output wrong by 0.5" in out
    assert "crashes (SIGSEGV)" in out
    assert out.splitlines()[-1].startswith("wrong: ")


@pytest.mark.parametrize(
    "words",
    [
        *("machine seed=1", "machine model=resnt18", "machine model.widht=4", "machine --threads 0"),
        *("machine --device nowhere", "machine model.width=0", "", "mixers of another kind"),
    ],
)
def test_bad_input_is_one_line(words, capsys):
    assert run(words.split()) == 2
    err = capsys.readouterr().err
    assert err.startswith("msda-check: ")
    assert len(err.splitlines()) == 1


def test_no_network_is_forgotten():
    words = suite_networks()
    assert any("densenet" in each for each in words if each.startswith("experiment="))
    trained = {experiment_choices(each.removeprefix("experiment="))[0].get("model") for each in words}
    models = {path.stem for path in (CONFIGS / "model").glob("*.yaml")}
    alone = {each.removeprefix("model=") for each in words if each.startswith("model=")}
    assert models <= trained | alone
    assert len(words) == len(set(words))


@pytest.mark.slow
def test_every_layer_of_every_network_is_right_here():
    found = {layer: None for _, layers in networks(suite_networks()) for layer in layers}
    setting = Setting("cpu", "fp32", 2)
    wrong = {str(layer): e for layer, e in measured(list(found), setting).items() if setting.wrong(e)}
    assert not wrong


@pytest.mark.slow
def test_narrow_networks_are_right_with_avx2():
    done = subprocess.run(
        [sys.executable, "-m", "msda_train.cli.check", "machine", "model=preactresnet18", "model.width=3"],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_package_beside_the_user_is_not_what_is_checked(tmp_path):
    """`python -m` puts the current folder first, where anybody's msda_train would be run instead of ours."""
    (tmp_path / "msda_train").mkdir()
    (tmp_path / "msda_train" / "__init__.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')")
    words = ["machine", "model=preactresnet18", "model.width=4", "model.blocks=[1]", "--threads", "1"]
    call = "import sys; from msda_train.cli.check import main; sys.exit(main())"
    environment = {**os.environ, "PYTHONPATH": str(Path(msda_train.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-P", "-c", call, *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, "fine" in done.stdout) == (0, True), done.stderr
    assert not (tmp_path / "executed").exists()
