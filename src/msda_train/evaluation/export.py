"""A finished run's network in a file that other programs read, checked to give the same logits.

Every format carries one text, `msda_train`: JSON with the names of the classes, shape and normalisation of
the input, and which run it is. The number of examples in a batch stays free.
"""

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from msda_train.core.errors import RunFailed, UserError
from msda_train.evaluation.load_run import TrainedRun

TOLERANCE = 1e-4  # of the largest logit; other programs add up in another order
BATCHES = (1, 3)
NOTE = "msda_train"  # the name of the text
Run = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Format:
    """How a network becomes the content of a file, and that content a function again.

    write: (network, example batch, text) to bytes; read: (bytes, network) to a function of a batch, which may
    use the network's classes but not its weights.
    """

    suffix: str
    needs: tuple[str, ...]
    write: Callable[[nn.Module, Tensor, str], bytes]
    read: Callable[[bytes, nn.Module], Run]


def exported(run: TrainedRun, name: str) -> bytes:
    """The content of a file in the format `name` of FORMATS.

    Raises UserError where a package is missing, RunFailed where the network cannot be written in this format
    or does not give the same logits on noise when it is read again.
    """
    kind = FORMATS[name]
    for package in kind.needs:
        if find_spec(package) is None:
            raise UserError(f"--format {name}: needs {package}; type pip install 'msda-train[export]'")
    draw = torch.Generator().manual_seed(0)
    batches = [torch.randn(size, *run.shape, generator=draw) for size in BATCHES]
    try:
        with torch.no_grad(), _quiet():
            content = kind.write(run.network, batches[-1], text_of(run))
            again = kind.read(content, run.network)
            pairs = [(run.network(x), again(x)) for x in batches]
    except Exception as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise RunFailed(f"--format {name}: this network cannot be written so ({why})") from None
    for ours, theirs in pairs:
        off = (ours - theirs).abs().max().item() if ours.shape == theirs.shape else float("nan")
        if not off <= TOLERANCE * max(1.0, ours.abs().max().item()):
            raise RunFailed(f"--format {name}: gives other logits, {off:.3g} off; nothing is written")
    return content


def text_of(run: TrainedRun) -> str:
    """The JSON that every file carries."""
    return json.dumps(
        {
            "classes": run.classes,
            "input": {
                "layout": "NCHW" if run.pictures else "N...",
                "shape": run.shape,
                "mean": run.mean,
                "std": run.std,
                "of": "pixels in [0, 1], by channel" if run.pictures else "numbers, one by one",
            },
            "run": {"fingerprint": run.row.fingerprint, "seed": run.row.seed, **run.row.names},
        }
    )


def _write_torch(network: nn.Module, x: Tensor, text: str) -> bytes:
    out = io.BytesIO()
    program = torch.export.export(network, (x,), dynamic_shapes=_dynamic(x))
    torch.export.save(program, out, extra_files={NOTE: text})
    return out.getvalue()


def _read_torch(content: bytes, _: nn.Module) -> Run:
    found: Run = torch.export.load(io.BytesIO(content)).module()
    return found


def _write_torchscript(network: nn.Module, x: Tensor, text: str) -> bytes:
    out = io.BytesIO()
    plain = torch.export.export(
        network, (x,), dynamic_shapes=_dynamic(x)
    ).module()  # no Python in it any more
    torch.jit.save(torch.jit.trace(plain, (x,), check_trace=False), out, _extra_files={NOTE: text})
    return out.getvalue()


def _read_torchscript(content: bytes, _: nn.Module) -> Run:
    found: Run = torch.jit.load(io.BytesIO(content))
    return found


def _write_onnx(network: nn.Module, x: Tensor, text: str) -> bytes:
    names: dict[str, Any] = {"input_names": ["input"], "output_names": ["logits"]}
    program = torch.onnx.export(
        network, (x,), dynamo=True, dynamic_shapes=_dynamic(x), verbose=False, **names
    )
    assert program is not None
    model = program.model_proto
    entry = model.metadata_props.add()
    entry.key, entry.value = NOTE, text
    content: bytes = model.SerializeToString()
    return content


def _read_onnx(content: bytes, _: nn.Module) -> Run:
    from onnxruntime import InferenceSession

    session = InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(None, {"input": x.numpy()})[0])


def _write_safetensors(network: nn.Module, _: Tensor, text: str) -> bytes:
    from safetensors.torch import save

    state = {key: value.contiguous().clone() for key, value in network.state_dict().items()}
    return save(state, metadata={NOTE: text})


def _read_safetensors(content: bytes, network: nn.Module) -> Run:
    from safetensors.torch import load

    again = deepcopy(network)
    for value in again.state_dict().values():
        value.zero_()
    again.load_state_dict(load(content))
    return again


def _dynamic(x: Tensor) -> Any:
    return ({0: torch.export.Dim("batch")},)


@contextmanager
def _quiet() -> Iterator[None]:
    """What exporters tell of themselves while they work helps nobody here."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


FORMATS = {
    "torch": Format(".pt2", (), _write_torch, _read_torch),
    "onnx": Format(".onnx", ("onnx", "onnxscript", "onnxruntime"), _write_onnx, _read_onnx),
    "torchscript": Format(".ts", (), _write_torchscript, _read_torchscript),
    "safetensors": Format(".safetensors", ("safetensors",), _write_safetensors, _read_safetensors),
}
