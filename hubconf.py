"""Names for torch.hub: `torch.hub.load(FOLDER, "resnet18", source="local", classes=10)` is a new network of
the suite, `torch.hub.load(FOLDER, "trained", source="local", run="runs/...")` that of a finished run."""

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from msda_train.config.groups import words_of as _words_of
from msda_train.evaluation.load_run import load_run as _load_run
from msda_train.models.named import model as _model

dependencies = ["torch", "torchvision", "omegaconf", "numpy", "pandas", "orjson"]


def trained(run: str):
    """The network of the finished run in the folder `run`, in evaluation mode."""
    return _load_run(run).network


def _named(name: str):
    made = partial(_model, name)
    made.__doc__ = f"A new network of configs/model/{name}.yaml: classes, channels=3, and its options."
    return made


globals().update({name: _named(name) for name in _words_of("model")})
