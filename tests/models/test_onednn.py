"""Strided 1x1 convolutions of few channels: right gradients on every CPU, and everything else untouched."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from msda_train.core.errors import UserError
from msda_train.models.onednn import Thinned, avoid_fault
from msda_train.models.staged import Staged
from msda_train.training.device import Compute
from msda_train.training.optimizer import fit

AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
FLOAT = Compute(torch.device("cpu"), "fp32", False)

GRADIENTS = """
import torch
from torch import nn
from msda_train.models.onednn import avoid_fault

worst = 0.0
for threads in (1, 2):
    torch.set_num_threads(threads)
    for channels in range(1, 18):
        for side in (8, 64):
            torch.manual_seed(channels)
            conv = avoid_fault(nn.Conv2d(channels, 2 * channels, 1, 2)).to(memory_format=torch.channels_last)
            x = torch.randn(5, channels, side, side).to(memory_format=torch.channels_last).requires_grad_()
            g = torch.randn(5, 2 * channels, side // 2, side // 2).to(memory_format=torch.channels_last)
            conv(x).backward(g)
            seen, g = x.detach().double()[:, :, ::2, ::2], g.double()
            weight = torch.einsum("nohw,nihw->oi", g, seen)
            worst = max(worst, ((conv.weight.grad[:, :, 0, 0] - weight).norm() / weight.norm()).item())
            back = torch.einsum("nohw,oi->nihw", g, conv.weight.detach().double()[:, :, 0, 0])
            worst = max(worst, ((x.grad[:, :, ::2, ::2] - back).norm() / back.norm()).item())
            x.grad[:, :, ::2, ::2] = 0
            assert not x.grad.any()
print(worst)
"""


@pytest.mark.parametrize("machine", [{}, AVX2], ids=["here", "avx2"])
def test_gradients_are_those_of_float64(machine):
    """Without the way round, these layers end the process or are wrong by 0.3 to 1."""
    done = subprocess.run(
        [sys.executable, "-c", GRADIENTS],
        env={**os.environ, **machine},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-300:]
    assert float(done.stdout) < 1e-5


def test_state_is_what_it_was():
    plain = nn.Conv2d(3, 6, 1, 2)
    kept = {name: value.clone() for name, value in plain.state_dict().items()}
    assert isinstance(avoid_fault(plain), Thinned)
    assert all(torch.equal(plain.state_dict()[name], value) for name, value in kept.items())
    again = nn.Conv2d(3, 6, 1, 2)
    again.load_state_dict(plain.state_dict())
    assert torch.equal(again(torch.ones(1, 3, 4, 4)), plain(torch.ones(1, 3, 4, 4)))


def test_other_layers_are_left_alone():
    others = [nn.Conv2d(3, 6, 3, 2), nn.Conv2d(16, 32, 1, 2), nn.Linear(3, 6)]
    kinds = [type(layer) for layer in others]
    avoid_fault(nn.Sequential(*others))
    assert [type(layer) for layer in others] == kinds


def test_where_the_fault_cannot_strike_the_layer_is_torchs(monkeypatch):
    layer = avoid_fault(nn.Conv2d(3, 6, 1, 2))
    monkeypatch.setattr(F, "avg_pool2d", None)
    assert layer(torch.ones(2, 3, 7, 7)).shape == (2, 6, 4, 4)
    assert layer.to("meta")(torch.ones(2, 3, 8, 8, device="meta")).shape == (2, 6, 4, 4)


def test_every_network_of_the_suite_goes_round_it():
    assert isinstance(Staged([nn.Sequential(nn.Conv2d(3, 6, 1, 2))]).stages[0][0], Thinned)


def test_a_network_of_ones_own_goes_round_it_too():
    network = nn.Sequential(nn.Conv2d(3, 6, 1, 2))
    fit(network, (3, 8, 8), FLOAT)
    assert isinstance(network[0], Thinned)
    assert network.training


class ByHand(nn.Module):
    """A strided 1x1 convolution that no module stands for."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, channels, 1, 1))

    def forward(self, x):
        return F.conv2d(x, self.weight, stride=2)


def test_what_cannot_be_made_safe_is_refused_in_one_line():
    with pytest.raises(UserError, match=r"1x1 convolution of 3 channels with stride 2") as error:
        fit(ByHand(3), (3, 8, 8), FLOAT)
    assert "\n" not in str(error.value)
    fit(ByHand(16), (16, 8, 8), FLOAT)
    fit(ByHand(3), (3, 7, 7), FLOAT)
    fit(ByHand(3), (3, 8, 8), Compute(torch.device("cuda"), "fp32", False))


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("width", [2, 3, 4, 6])
def test_narrow_networks_train_on_a_cpu_with_avx2(tmp_path, width, threads):
    words = "dataset=digits recipe=smoke dataset.subset=200 dataset.test_subset=100 recipe.batch_size=50"
    words += f" method=erm precision=fp32 model.width={width} threads={threads} runs={tmp_path}"
    done = subprocess.run(
        [sys.executable, "-m", "msda_train.cli.train", *words.split()],
        env={**os.environ, **AVX2},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-300:]
    assert list(tmp_path.rglob("row.json"))
