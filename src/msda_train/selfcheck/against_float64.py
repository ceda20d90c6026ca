"""One layer on the device at hand, forward and both gradients, against the same in float64 on the CPU.

A process of its own (`python -m msda_train.selfcheck.against_float64`) works through a list, because a broken
layer may end it: a job comes in as one line of JSON, an answer goes out per layer.
"""

import faulthandler
import json
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from msda_train.models.onednn import avoid_fault
from msda_train.selfcheck.layers import Layer
from msda_train.training.device import Compute, choose

BATCH = 3  # odd: then two threads share an image
WORK = 1e8  # multiplications; a layer that needs more sees one image
PATIENCE = 300  # seconds a layer may take; the fault of oneDNN can also make threads wait for ever
Pairs = dict[str, tuple[Tensor, Tensor]]


def errors(layer: Layer, compute: Compute, *, plain: bool = False, full: bool = False) -> dict[str, float]:
    """What a training step needs of `layer`, and its relative error in Frobenius norm, NaN where it is NaN.

    plain: as torch computes it, without the way round oneDNN's fault; full: of all channels, not of some.
    """
    torch.manual_seed(0)
    made = {"conv": _convolution, "linear": _linear, "norm": _norm}[layer.kind]
    pairs = made(layer, compute, plain, full)
    return {name: ((ours - true).norm() / true.norm()).item() for name, (ours, true) in pairs.items()}


def _convolution(layer: Layer, compute: Compute, plain: bool, full: bool) -> Pairs:
    sizes = (layer.kernel, layer.stride, layer.padding, layer.dilation)
    conv = nn.Conv2d(layer.channels_in, layer.channels, *sizes, layer.groups, layer.bias)  # type: ignore
    if not plain:
        avoid_fault(conv)
    pixels = layer.side[0] * layer.side[1] / (layer.stride[0] * layer.stride[1])
    work = BATCH * pixels * conv.weight.numel()
    x, g, ours = _step(conv, (BATCH if full or work < WORK else 1, layer.channels_in, *layer.side), compute)
    some = full or layer.groups > 1
    outs = torch.arange(layer.channels) if some else _ends(layer.channels)
    ins = torch.arange(layer.channels_in) if some else _ends(layer.channels_in)
    weight = _seen(conv.weight, compute)
    pairs = {
        "output": (ours["output"][:, outs], _forward(x, weight[outs], layer)),
        "weight gradient": (ours["weight"][outs], _weight_gradient(x, g[:, outs], layer)),
        "input gradient": (ours["input"][:, ins], _input_gradient(g, weight, layer, ins)),
    }
    if layer.bias:
        bias = _seen(conv.bias, compute)[outs].view(1, -1, 1, 1)
        pairs["output"] = (pairs["output"][0], pairs["output"][1] + bias)
        pairs["bias gradient"] = (ours["bias"], g.sum((0, 2, 3)))
    return pairs


def _ends(count: int) -> Tensor:
    """Which channels are looked at: both ends, where blocks are cut, and the middle."""
    return torch.tensor(sorted({0, 1 % count, count // 2, max(count - 3, 0), max(count - 2, 0), count - 1}))


def _columns(x: Tensor, layer: Layer) -> Tensor:
    """(B, C, H, W) -> (B, groups, C / groups * k * k, positions)."""
    columns = F.unfold(x, layer.kernel, layer.dilation, layer.padding, layer.stride)
    return columns.reshape(len(x), layer.groups, -1, columns.shape[-1])


def _grouped(g: Tensor, layer: Layer) -> Tensor:
    """(B, C', H', W') -> (B, groups, C' / groups, positions)."""
    return g.flatten(2).reshape(len(g), layer.groups, -1, g.shape[2] * g.shape[3])


def _forward(x: Tensor, weight: Tensor, layer: Layer) -> Tensor:
    rows = weight.reshape(layer.groups, len(weight) // layer.groups, -1)
    out = torch.einsum("gok,bgkl->bgol", rows, _columns(x, layer)).flatten(1, 2)
    height = [
        (side + 2 * pad - gap * (kernel - 1) - 1) // step + 1
        for side, pad, gap, kernel, step in zip(
            layer.side, layer.padding, layer.dilation, layer.kernel, layer.stride, strict=True
        )
    ]
    made: Tensor = out.unflatten(2, height)
    return made


def _weight_gradient(x: Tensor, g: Tensor, layer: Layer) -> Tensor:
    grad = torch.einsum("bgol,bgkl->gok", _grouped(g, layer), _columns(x, layer))
    return grad.reshape(g.shape[1], -1, *layer.kernel)


def _input_gradient(g: Tensor, weight: Tensor, layer: Layer, ins: Tensor) -> Tensor:
    if layer.groups == 1:
        weight = weight[:, ins]
    rows = weight.reshape(layer.groups, len(weight) // layer.groups, -1)
    columns = torch.einsum("gok,bgol->bgkl", rows, _grouped(g, layer)).flatten(1, 2)
    return F.fold(columns, layer.side, layer.kernel, layer.dilation, layer.padding, layer.stride)


def _linear(layer: Layer, compute: Compute, plain: bool, full: bool) -> Pairs:
    linear = nn.Linear(layer.channels_in, layer.channels, layer.bias)
    x, g, ours = _step(linear, (BATCH, layer.channels_in), compute)
    weight = _seen(linear.weight, compute)
    return {
        "output": (ours["output"], x @ weight.T + _seen(linear.bias, compute)),
        "weight gradient": (ours["weight"], g.T @ x),
        "input gradient": (ours["input"], g @ weight),
    }


def _norm(layer: Layer, compute: Compute, plain: bool, full: bool) -> Pairs:
    norm = nn.BatchNorm2d(layer.channels)
    nn.init.uniform_(norm.weight, 0.5, 1.5)
    few = max(2, min(8, 64 // (layer.side[0] * layer.side[1])))  # images; statistics need some values
    x, g, ours = _step(norm, (few, layer.channels, *layer.side), compute)
    x.requires_grad_()
    weight = norm.weight.detach().double().cpu().view(1, -1, 1, 1)
    away = x - x.mean((0, 2, 3), keepdim=True)
    whitened = away / (away.square().mean((0, 2, 3), keepdim=True) + norm.eps).sqrt()
    (back,) = torch.autograd.grad(whitened * weight, x, g)
    return {
        "output": (ours["output"], (whitened * weight).detach()),
        "weight gradient": (ours["weight"], (whitened * g).sum((0, 2, 3)).detach()),
        "input gradient": (ours["input"], back),
    }


def _step(
    layer: nn.Module, size: tuple[int, ...], compute: Compute
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """One forward and backward pass as in training: what came in at both ends, and what came out, float64."""
    order = torch.channels_last if len(size) == 4 else torch.contiguous_format
    layer.to(compute.device).to(memory_format=order)
    kind = torch.bfloat16 if compute.precision == "bf16" else torch.float32
    x = torch.randn(size).to(compute.device, kind, memory_format=order).requires_grad_()
    with compute.autocast():
        out = layer(x)
    g = torch.randn(out.shape).to(compute.device, out.dtype, memory_format=order)
    out.backward(g)
    found = {"output": out, "input": x.grad, **{name: p.grad for name, p in layer.named_parameters()}}
    ours = {name: value.detach().double().cpu() for name, value in found.items() if value is not None}
    return x.detach().double().cpu(), g.double().cpu(), ours


def _seen(weight: Tensor | None, compute: Compute) -> Tensor:
    """A parameter as the layer sees it: autocast rounds it first."""
    assert weight is not None
    value = weight.detach().cpu()
    return (value.bfloat16() if compute.precision == "bf16" else value).double()


def _answers(job: dict[str, Any]) -> Iterator[dict[str, float]]:
    compute = choose(job["device"], job["precision"], False, job["threads"])
    for fields in job["layers"]:
        shapes: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in fields.items()}
        layer = Layer(**shapes)
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        yield errors(layer, compute, plain=job["plain"], full=job["full"])


if __name__ == "__main__":
    for answer in _answers(json.loads(sys.stdin.readline())):
        print(json.dumps(answer), flush=True)
