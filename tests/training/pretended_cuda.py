"""A CUDA device for machines without one: its tensors have a device and a shape, and no numbers.

torch's FakeTensorMode refuses operations on two devices, as CUDA does. Whole commands run in it. Whoever asks
a tensor of that device for its numbers gets zeros, and is written down, as is all that a CUDA graph would
record although it is not on the device. Kernels, numbers and speed are beyond it. Autograd wants a real
device for its way back: here every leaf's gradient is zeros.

A program of its own, since nothing is put back: `python pretended_cuda.py`, lists of words for msda-train as
lines of JSON on stdin, for each a line of JSON on stdout.
"""

import contextlib
import gc
import io
import json
import os
import sys
import traceback

import numpy as np
import torch
from torch import nn
from torch._subclasses import fake_tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

asked, recorded = [], []  # places, outermost function first


def _place():
    frames = [f for f in traceback.extract_stack() if f"{os.sep}msda_train{os.sep}" in f.filename]
    return [f"{os.path.basename(f.filename)}:{f.name}" for f in frames]


class _Host(TorchDispatchMode):
    """Inside a recording: writes down what touches the host's memory. Numbers of no dimension are allowed:
    a graph keeps them as they are."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        both = [t for t in tree_leaves((args, kwargs, out)) if isinstance(t, torch.Tensor)]
        if any(t.device.type == "cpu" and t.ndim for t in both):
            recorded.append([str(func), *_place()])
        return out


class _Graph:
    def replay(self):
        pass


@contextlib.contextmanager
def _recording(graph, pool=None):
    before = len(asked)
    torch.cuda.is_current_stream_capturing = lambda: True  # optimizers look whether they may be recorded
    with _Host():
        yield
    torch.cuda.is_current_stream_capturing = lambda: False
    recorded.extend(asked[before:])


def _zeros(tensor):
    dtype = torch.float32 if tensor.dtype == torch.bfloat16 else tensor.dtype
    return np.zeros(tuple(tensor.shape), dtype=str(dtype).removeprefix("torch."))


def _answer(name, made):
    real = getattr(torch.Tensor, name)

    def answer(tensor, *args, **kwargs):
        if not isinstance(tensor, FakeTensor):
            return real(tensor, *args, **kwargs)
        if tensor.device.type == "cuda":
            asked.append(_place())
        return made(_zeros(tensor))

    setattr(torch.Tensor, name, answer)


def _cpu(tensor, *args):
    asked.extend([_place()] if tensor.device.type == "cuda" else [])
    return tensor.to("cpu")


def _moved(network, *where, **how):
    """`nn.Module.to`, which swaps tensors, and fake ones will not be swapped."""
    device, dtype, _, memory = torch._C._nn._parse_to(*where, **how)
    for module in network.modules():
        for name, held in [*module._parameters.items(), *module._buffers.items()]:
            if held is None:
                continue
            new = held.detach().to(device, dtype if held.is_floating_point() else None)
            if memory is not None and new.ndim == 4:
                new = new.to(memory_format=memory)
            if name in module._parameters:
                module._parameters[name] = nn.Parameter(new, held.requires_grad)
            else:
                module._buffers[name] = new
    return network


def _leaves(roots):
    seen, todo = set(), [root.grad_fn for root in roots]
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        todo += [other for other, _ in node.next_functions]


def _backward(roots, *args, **kwargs):
    with torch.no_grad():
        for leaf in _leaves([roots] if isinstance(roots, torch.Tensor) else roots):
            new = torch.zeros_like(leaf)
            leaf.grad = new if leaf.grad is None else leaf.grad.add_(new)


def _grad(roots, inputs, *args, **kwargs):
    inputs = [inputs] if isinstance(inputs, torch.Tensor) else inputs
    return tuple(torch.zeros_like(each) for each in inputs)


def pretend():
    """From now on there is a CUDA device, in the mode that comes back."""
    cuda = {"is_available": True, "device_count": 1, "current_device": 0, "is_bf16_supported": True}
    cuda |= {"is_current_stream_capturing": False}
    cuda |= {"get_device_name": "pretended", "get_device_capability": (9, 0), "max_memory_allocated": 0}
    nothing = ("_lazy_init", "synchronize", "reset_peak_memory_stats", "manual_seed", "manual_seed_all")
    states = ("get_rng_state", "set_rng_state", "get_rng_state_all", "set_rng_state_all")
    for name, value in (cuda | dict.fromkeys((*nothing, *states, "graph_pool_handle"))).items():
        setattr(torch.cuda, name, lambda *args, value=value, **kwargs: value)
    torch.cuda.CUDAGraph, torch.cuda.graph = _Graph, _recording
    torch.amp.autocast_mode.amp_definitely_not_available = lambda: False
    for name in ("item", "__bool__", "__float__", "__int__"):
        _answer(name, lambda zeros: zeros.item())
    _answer("numpy", lambda zeros: zeros)
    torch.Tensor.cpu = _cpu
    torch.Tensor.pin_memory = lambda tensor, *args: tensor
    for name in ("_fused_sgd_", "_fused_adam_", "_fused_adamw_"):  # unknown to the mode
        setattr(torch, name, lambda *args, **kwargs: None)
    nn.Module.to, torch.autograd.backward, torch.autograd.grad = _moved, _backward, _grad
    torch.save = lambda state, file: file.write(b"no numbers, no checkpoint")
    fake_tensor.init_gpu_context = lambda device: None
    FakeTensorMode.avoid_device_init = property(lambda mode: True)
    return FakeTensorMode(allow_non_fake_inputs=True)


def _answered(mode, words, answers):
    """In a process of its own: some torch crash on collecting what hangs together here."""
    if (child := os.fork()) != 0:
        return os.waitpid(child, 0)
    from msda_train.cli.train import main

    gc.disable()
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), mode:
        code = main(words)
    found = {"code": code, "said": said.getvalue(), "asked": asked, "recorded": recorded}
    print(json.dumps(found), file=answers, flush=True)
    os._exit(0)


def main():
    mode = pretend()
    import msda_train.cli.train
    import msda_train.evaluation.probing
    import msda_train.training.train  # noqa: F401 (once, for all)

    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        _answered(mode, json.loads(line), answers)


if __name__ == "__main__":
    main()
