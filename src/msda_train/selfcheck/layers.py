"""What the networks of the suite consist of: every convolution, linear layer and BatchNorm with its shape.

A network is built without memory (torch's meta device) and watched while it looks at images that are not
there; so what counts is what it really calls, not what it declares.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig
from torch.utils._python_dispatch import TorchDispatchMode

from msda_train.comparison.config_diff import experiment_choices
from msda_train.config.build import build
from msda_train.config.compose import composing
from msda_train.config.groups import words_of

# What a network is shown: what its data set holds, or what it was made for; colour of 32 pixels a side else.
LARGE = (3, 224, 224)
SHAPES = {"digits": (1, 8, 8), "tinyimagenet": (3, 64, 64), "speech_commands": (1, 161, 101)}
SHAPES |= {"imagenet": LARGE, "cub200_files": LARGE}
MADE_FOR: dict[str, tuple[int, ...]] = {"model=mlp": (10,)}
MADE_FOR |= dict.fromkeys(("model=resnet50", "model=deit_s", "model=swin_t", "model=vgg_gap"), LARGE)
MADE_FOR |= dict.fromkeys(("model=lenet_speech", "model=vgg11_speech"), SHAPES["speech_commands"])
CLASSES = {"cifar100": 100, "tinyimagenet": 200, "speech_commands": 30, "imagenet": 1000, "cub200_files": 200}

# As the demo, `make smoke` and the tests make networks narrow: few channels are where libraries go wrong.
NARROW = (
    *(f"model=preactresnet18 model.width={width} dataset=digits" for width in (8, 4, 3, 2)),
    *(f"model=preactresnet18 model.width={width}" for width in (8, 4)),
    "model=wrn28_10 model.depth=10 model.width=1",
    "model=pyramidnet110 model.depth=11 model.alpha=6",
    "model=pyramidnet110 model.depth=11 model.alpha=6 model.pad_channels=8",
    *("model=resnet18 model.width=4", "model=resnet110 model.width=4 model.blocks=[1,1,1]"),
    "model=resnet50 model.width=4 model.blocks=[1,1,1,1]",
    *(
        "model=resnet50 model.width=4 model.blocks=[1,1,1,1] model.last_stride=1",
        "model=vgg_gap model.width=4",
    ),
    *("model=densenet_bc190 model.depth=10 model.growth=4", "model=vgg16_bn model.width=4 model.hidden=8"),
    "experiment=mixup_speech_lenet model.width=4 model.hidden=8",
    "experiment=mixup_speech_vgg11 model.width=4 model.hidden=8",
)


def suite_networks() -> list[str]:
    """The words of every network there is: an experiment for each that a paper trained, each model that none
    trained, and the narrow ones."""
    trained: dict[tuple[str, ...], str] = {}
    for experiment in words_of("experiment"):
        chosen, changed = experiment_choices(experiment)
        network = (
            chosen["model"],
            chosen["dataset"],
            str(changed.get("model")),
            str(changed.get("regulariser")),
        )
        trained.setdefault(network, f"experiment={experiment}")
    alone = [f"model={name}" for name in words_of("model") if name not in {network[0] for network in trained}]
    return [*trained.values(), *alone, *NARROW]


@dataclass(frozen=True)
class Layer:
    """kind: conv, linear or norm; shapes as torch has them, `side` the (H, W) of a map that comes in."""

    kind: str
    channels_in: int
    channels: int
    side: tuple[int, ...] = ()
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1
    bias: bool = False

    def __str__(self) -> str:
        if self.kind == "linear":
            return f"linear layer, {self.channels_in} to {self.channels}"
        where = "x".join(map(str, self.side))
        if self.kind == "norm":
            return f"BatchNorm of {self.channels} channels, {where} pixels"
        what = "x".join(map(str, self.kernel))
        groups = f" in {self.groups} groups" if self.groups > 1 else ""
        strided = f" with stride {max(self.stride)}" if max(self.stride) > 1 else ""
        return (
            f"{what} convolution{strided}, {self.channels_in} to {self.channels} channels{groups}, "
            f"{where} pixels"
        )


class _Seen(TorchDispatchMode):
    """Notes each distinct layer that is called."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.layers: dict[Layer, None] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        aten = torch.ops.aten
        if func is aten.convolution.default and not args[6] and args[0].dim() == 4:
            x, w, bias, stride, padding, dilation, _, _, groups = args
            side, kernel, steps, pad, gaps = map(tuple, (x.shape[2:], w.shape[2:], stride, padding, dilation))
            has_bias = bias is not None
            layer = Layer("conv", x.shape[1], w.shape[0], side, kernel, steps, pad, gaps, groups, has_bias)
            self.layers[layer] = None
        elif func is aten.addmm.default:
            inside, outside = args[2].shape
            self.layers[Layer("linear", inside, outside, bias=True)] = None
        elif func is aten.native_batch_norm.default and args[0].dim() == 4:
            x = args[0]
            self.layers[Layer("norm", x.shape[1], x.shape[1], tuple(x.shape[2:]))] = None
        return func(*args, **(kwargs or {}))


def layers_of(cfg: DictConfig, words: str) -> tuple[Layer, ...]:
    """The distinct layers of the network in `cfg`, as `words` made it; UserError for wrong options."""
    chosen = "experiment=" in words or "dataset=" in words  # else the images that the network is made for
    known = SHAPES.get(cfg.dataset.name) if chosen else MADE_FOR.get(words.split()[0])
    shape: tuple[int, ...] = known or (3, 32, 32)
    classes = CLASSES.get(cfg.dataset.name, 10)
    with torch.device("meta"):
        network = build("model", cfg.model, classes=classes, channels=shape[0]).train()
        x = torch.empty(3, *shape)
        x = x.to(memory_format=torch.channels_last) if x.ndim == 4 else x
        with torch.no_grad(), _Seen() as seen:
            network(x)
    return tuple(seen.layers)


def networks(wanted: Sequence[str]) -> Iterator[tuple[str, tuple[Layer, ...]]]:
    """Words and layers of each network in `wanted`."""
    with composing() as composed:
        for words in wanted:
            yield words, layers_of(composed(words.split()), words)
