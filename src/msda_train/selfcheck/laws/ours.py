"""The methods of the suite as mixers: each makes its plan and applies it, as the training step does."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from msda_train.config.build import build
from msda_train.config.compose import composing
from msda_train.config.method_look import method_order
from msda_train.core.errors import UserError
from msda_train.core.randomness import generator
from msda_train.library.named import check_plan, check_served
from msda_train.methods._attention import own_teacher
from msda_train.methods._pairwise import Pairwise
from msda_train.methods._teacher_guided import TeacherGuided
from msda_train.methods.cutmix import CutMix
from msda_train.methods.fmix import FMix
from msda_train.methods.guidedmixup import GuidedMixup
from msda_train.methods.hmix import HMix
from msda_train.methods.kernel_mixup import KernelMixup
from msda_train.methods.mixup import Mixup
from msda_train.methods.snapmix import SnapMix
from msda_train.selfcheck.laws.coded import coded_batch
from msda_train.selfcheck.laws.subject import CLASSES, DRAWS, Claims, Mixer, Subject

NETWORK = ("model=preactresnet18", "model.width=4", "model.blocks=[1,1,1]", "dataset=cifar10")
BETA, BOX = (Mixup, HMix, FMix), (CutMix,)  # whose label weight, or box, alpha draws
FEWER, FEW = 300, 40  # draws where no distribution is claimed; where a network is asked
TRIES = 20  # batches in which a method that mixes labels shows it


class StepMixer:
    """`method` as `msda_train.training.step.Step` uses it, in float32 and one process, with the draws of
    (seed, step); `network` is what it may look at."""

    def __init__(self, method: Any, network: Any, classes: int, seed: int) -> None:
        self.method, self.network, self.classes, self.seed, self.step = method, network, classes, seed, 0

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, C, H, W), y (B,) -> mixed images, labels (B, K)."""
        mix = self.method.plan(x, y, self.network, generator(self.seed, "mix", 0, self.step))
        check_plan(self.method, mix)
        self.step += 1
        return mix.pixels(x), mix.target(y, self.classes)


def ours(names: Iterable[str] = ()) -> tuple[list[Subject], list[str]]:
    """The methods `names`, all by default, that mix labels; and a line for each that cannot be asked here."""
    subjects, notes = [], []
    with composing() as composed:
        network_config = composed(NETWORK)
        for name in names or method_order():
            words = [f"method={name}", *NETWORK]
            node = composed(words).method
            try:
                subject = _subject(name, node, network_config)
            except UserError as error:
                notes.append(f"{name}: cannot be asked here ({error})")
                continue
            subjects += [subject] if subject is not None else []
    return subjects, notes


def _network(cfg: DictConfig) -> Any:
    torch.manual_seed(0)
    return build("model", cfg.model, classes=CLASSES, channels=3).train()


def _subject(name: str, node: DictConfig, cfg: DictConfig) -> Subject | None:
    """None for a method that leaves labels alone."""
    options: dict[str, Any] = OmegaConf.to_container(node, resolve=True)  # type: ignore[assignment]
    # What is mixed inside a network shows nowhere.
    options |= {key: value for key, value in (("depths", [0]), ("input_prob", 1.0)) if key in options}
    network = _network(cfg)
    asked: list[bool] = []
    network.register_forward_pre_hook(lambda *_: asked.append(True))

    def make(seed: int, num_classes: int, **changed: float) -> Mixer:
        return StepMixer(_method(options | changed, network, cfg), network, num_classes, seed)

    known = frozenset({"alpha", "prob"} & options.keys() | {"seed", "num_classes"})
    method = _method(options, network, cfg)
    check_served(method)
    trial = Subject(name, make, Claims(), known)
    mixer, (x, y) = trial.made(), coded_batch()
    if not any(bool((mixer(x, y)[1].max(dim=1).values < 1).any()) for _ in range(TRIES)):
        return None
    claims = _claims(method)
    draws = FEW if asked else FEWER if claims.lam is None else DRAWS
    return Subject(name, make, claims, known, draws, in_workers=False)


def _method(options: Mapping[str, Any], network: Any, cfg: DictConfig) -> Any:
    method = build("method", OmegaConf.create(dict(options)))
    if isinstance(method, TeacherGuided):  # taught by the small network: none has to be downloaded
        recipe = {"mean": list(cfg.recipe.mean), "std": list(cfg.recipe.std)}
        vars(method)["_teacher"] = own_teacher(network, recipe, Path(), method.mean, method.std)
    return method


def _claims(method: Any) -> Claims:
    """What a method claims by its options."""
    if isinstance(method, GuidedMixup) and method.pairs == "greedy":
        return Claims(fixed="greedy pairs and saliency are functions of the images")
    if not isinstance(method, Pairwise):
        return Claims()
    if isinstance(method, SnapMix):
        why = "weights are shares of class activation maps (arXiv:2012.04846)"
        return Claims(None, method.alpha, labels=why)
    beta = isinstance(method, BETA) and not isinstance(method, KernelMixup)  # which warps its lam
    lam = "beta" if beta else "box" if type(method) in BOX else None
    draws = lam is not None
    return Claims(
        lam,
        method.alpha,
        method.pairing if method.pairing in ("permutation", "reversal") else None,
        method.lam_per if draws and method.lam_per == "batch" else None,
    )
