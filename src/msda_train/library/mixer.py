"""`Mixer`: any method of this suite in anybody's training loop.

    mix = Mixer("cutmix", alpha=1.0, num_classes=100, seed=0)
    for x, y in loader:                       # x (B, C, H, W), y (B,)
        x, target = mix(x, y)                 # target (B, 100)
        loss = torch.nn.functional.cross_entropy(model(x), target)

What is mixed is bit for bit what a training step of msda-train mixes with the same method, seed, epoch and
step; each method's file in `msda_train.methods` names its paper and equation.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from msda_train.config import checks
from msda_train.config.groups import options_of
from msda_train.core.errors import UserError
from msda_train.core.mix import HasTeacher, Method, Mix, OfOrigin, prepared
from msda_train.core.origin import Origin
from msda_train.library.choice import OneOf
from msda_train.library.draws import Draws
from msda_train.library.layers import Network, NoNetwork
from msda_train.library.named import check_numbers, check_plan, check_served, named

Name = str | tuple[str, dict[str, Any]] | Method


class Mixer:
    """Mixes batches: x, target = mix(x, y). Everything that cannot be is a ValueError that names the option.

    method: a name, as behind `method=` on the command line; a list of names, or of (name, options), from
    which one is drawn for each batch; or an object with a `plan` of your own (`msda_train.core.mix.Method`).
    options: those of the method, by the same words and with the same defaults as on the command line. Of a
    list each goes to all methods that have it, `weights` are those of the draw, and `prob` is the probability
    that a batch is mixed at all: the methods' own coins then always say yes, unless their options say other.

    num_classes: K, the columns of targets.
    seed, generator: what decides the draws, see `msda_train.library.draws.Draws`.
    model: the network that is trained, for methods that ask it (a saliency, an attack) or mix inside it.
    layers: names of its modules whose input is mixed at depth 1, 2, ... (Manifold Mixup).
    train_images: batches (B, C, H, W) of all training images, in order, for methods that want to see them.
    inplace: x may be overwritten, which saves time and memory; use what is returned.

    A method with `clean_lam` above 0 (Co-Mixup's default) also trains on the clean batch: the call adds to
    the model's gradients, so clear those before it and not after.
    """

    def __init__(
        self,
        method: Name | Sequence[Name],
        *,
        num_classes: int | None = None,
        seed: int | None = None,
        generator: torch.Generator | None = None,
        model: nn.Module | None = None,
        layers: Sequence[str] | None = None,
        train_images: Iterable[Tensor] | None = None,
        inplace: bool = False,
        **options: Any,
    ) -> None:
        with _value_errors():
            if num_classes is None:
                raise UserError("num_classes: how many are there? type num_classes=10")
            checks.whole("num_classes", num_classes, least=1)
            checks.flag("inplace", inplace)
            self.num_classes, self.inplace = num_classes, inplace
            self.draws = Draws(seed, generator)
            if model is not None and not isinstance(model, nn.Module):
                raise UserError(f"model: must be a torch.nn.Module, and is a {type(model).__name__}")
            if layers is not None and model is None:
                raise UserError("layers: of which network? type model=your_network, too")
            chosen = _chosen(method, options)
            self.network = NoNetwork(_channels(chosen)) if model is None else Network(model, layers)
            images: Iterable[Tensor] = _NoImages() if train_images is None else train_images
            self.method = prepared(chosen, self.network, images)  # type: ignore[arg-type]
            self._remembers = isinstance(self.method, OfOrigin)
        self._plan: Mix | None = None

    def __call__(
        self, x: Tensor, y: Tensor, *, step: int | None = None, origin: Origin | None = None
    ) -> tuple[Tensor, Tensor]:
        """Mixed images (B, C, H, W) and their target (B, K) float32, whose rows sum to 1 (but SnapMix's and
        TokenMix's, whose papers weigh otherwise).

        x (B, C, H, W), or of another shape (B, ...) where the method does not ask for pictures: floats of any
        precision, mixed in float32 at least; or uint8, for methods that do not look at values, mixed in
        float32 and rounded to the nearest. Device, type, memory format and gradients are kept. x itself is
        left alone, but for `inplace`, and returned as it is where nothing is mixed.
        y (B,): integer labels below K. step: draws those of this step, in place of the next one's.
        origin: where x comes from, for a method that saw `train_images` (`msda_train.core.origin.Origin`).
        torch.compile leaves the call out of its graph.
        """
        if torch.compiler.is_compiling():
            return _uncompiled(self, x, y, step, origin)
        return self._mix(x, y, step, origin)

    def _mix(self, x: Tensor, y: Tensor, step: int | None, origin: Origin | None) -> tuple[Tensor, Tensor]:
        try:
            y = self._checked(x, y)
            plan = self._planned(x, y, step, origin)
            target = self._target(plan, y)
            if isinstance(self.network, Network):
                self.network.set(plan)
        except UserError as error:
            raise _value_error(error, x) from None
        self._plan = plan
        mixed = plan.pixels(x, owned=self.inplace)
        return (mixed.contiguous() if x.is_contiguous() else mixed), target

    def collate(self, samples: Sequence[Any]) -> tuple[Tensor, Tensor]:
        """A DataLoader's `collate_fn`: pairs of image and label become a mixed batch. Each worker draws its
        own numbers. Not for methods that ask the network, which is elsewhere."""
        if isinstance(self.network, Network):
            raise ValueError(
                "model: a collate_fn has no network at hand; call the mixer in the training loop"
            )
        x, y = default_collate(list(samples))[:2]
        return self(x, y)

    @property
    def plan(self) -> Mix:
        """Of the last call: `perm` (B,), each image's partner; `lam` (B,) or (1,), the weight of its own
        label; `mask` (B or 1, 1, H or 1, W or 1), the weight of its own pixels; `apply(h)` mixes anything
        else (B, C, H, W) in the same way. See `msda_train.core.mix.Mix`."""
        if self._plan is None:
            raise ValueError("plan: nothing has been mixed yet")
        return self._plan

    @property
    def epoch(self) -> int:
        """Which epoch the draws are of; setting it begins with its step 0."""
        return self.draws.epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        """Raises ValueError where it is no whole number."""
        with _value_errors():
            checks.whole("epoch", epoch, least=0)
        self.draws.epoch, self.draws.step = epoch, 0

    @property
    def step(self) -> int:
        """The number of the next call in this epoch; set it to go on where a run was interrupted."""
        return self.draws.step

    @step.setter
    def step(self, step: int) -> None:
        """Raises ValueError where it is no whole number."""
        with _value_errors():
            checks.whole("step", step, least=0)
        self.draws.step = step

    def __repr__(self) -> str:
        return f"Mixer({self.method!r}, num_classes={self.num_classes})"

    def _checked(self, x: Tensor, y: Tensor) -> Tensor:
        """y as int64. UserError where x or y cannot be mixed."""
        if not isinstance(x, Tensor) or x.ndim < 1:
            raise UserError("x: must be a tensor (B, C, H, W)")
        if not isinstance(y, Tensor):
            what = "y is missing" if y is None else f"y is a {type(y).__name__}"
            raise UserError(f"y: a batch needs labels, a tensor (B,) of whole numbers; {what}")
        if y.ndim != 1 or y.dtype.is_floating_point:
            what = f"{str(y.dtype).removeprefix('torch.')} {tuple(y.shape)}"
            raise UserError(f"y: must be class numbers (B,), not yet mixed or smoothed; these are {what}")
        if x.shape[0] != y.shape[0] or x.device != y.device:
            raise UserError(
                f"y: has to go with x; they are {len(y)} labels on {y.device}, {len(x)} images on {x.device}"
            )
        if not x.dtype.is_floating_point:
            check_numbers(self.method, x)
        return y.long()

    def _planned(self, x: Tensor, y: Tensor, step: int | None, origin: Origin | None) -> Mix:
        method = self.method
        if self._remembers:
            if origin is None:
                raise UserError("origin: this method remembers the training images; say which these are")
            method = method.at(origin)  # type: ignore[attr-defined]
        try:
            plan = method.plan(x, y, self.network, self.draws.next(step))
        except (IndexError, RuntimeError):
            self._check_labels(y)
            raise
        check_plan(method, plan)
        return plan

    def _target(self, plan: Mix, y: Tensor) -> Tensor:
        try:
            return plan.target(y, self.num_classes)
        except (IndexError, RuntimeError):  # torch looks at every label anyway; on CUDA it says so later
            self._check_labels(y)
            raise

    def _check_labels(self, y: Tensor) -> None:
        if y.device.type == "cpu" and len(y) and not 0 <= int(y.min()) <= int(y.max()) < self.num_classes:
            raise UserError(
                f"num_classes={self.num_classes}: labels must be 0 to {self.num_classes - 1}, and these go "
                f"from {int(y.min())} to {int(y.max())}"
            )


def _uncompiled(mixer: Mixer, *batch: Any) -> tuple[Tensor, Tensor]:
    """Draws are Python's work, of which a compiler would make pieces. As a decorator `disable` would import
    the compiler with this module."""
    mixed: tuple[Tensor, Tensor] = torch.compiler.disable(Mixer._mix)(mixer, *batch)
    return mixed


def _chosen(method: Name | Sequence[Name], options: dict[str, Any]) -> Method:
    """The method, or one of several, with its options; checked."""
    if not isinstance(method, list):
        made = _one(method, options)  # type: ignore[arg-type]
        check_served(made)
        return made
    if not method:
        raise UserError("method=[]: name one at least; type ['mixup', 'cutmix']")
    shared = {key: value for key, value in options.items() if key not in ("weights", "prob")}
    unused, methods = set(shared), []
    for item in method:
        if isinstance(item, str | tuple):
            name, own = (item, {}) if isinstance(item, str) else _pair(item)
            known = options_of("method", name)
            coin = {"prob": 1.0} if "prob" in known else {}
            unused -= set(known)
            item = named(name, {**coin, **{k: v for k, v in shared.items() if k in known}, **own})
        check_served(item)
        methods.append(item)
    if unused:
        raise UserError(f"{sorted(unused)[0]}: no method of the list has such an option")
    return OneOf(methods, options.get("weights", [1.0] * len(methods)), options.get("prob", 1.0))


def _one(method: Name, options: dict[str, Any]) -> Method:
    if isinstance(method, tuple):
        name, own = _pair(method)
        return named(name, {**own, **options})
    if isinstance(method, str):
        return named(method, options)
    if options:
        raise UserError(f"{sorted(options)[0]}: the method is made already; give it its options there")
    return method


def _pair(item: tuple[Any, ...]) -> tuple[str, dict[str, Any]]:
    """A method's name and options."""
    if len(item) != 2 or not isinstance(item[0], str) or not isinstance(item[1], dict):
        raise UserError(
            f"method={item!r}: is no name with its options; type ('cutmix', {{'alpha': 0.5}}), and a list of "
            f"several, ['mixup', 'cutmix']"
        )
    return item[0], item[1]


def _channels(method: Method) -> int:
    """Of the images, as a method with a teacher knows it."""
    of_choice = method.methods if isinstance(method, OneOf) else [method]
    return next((len(getattr(m, "mean", ())) for m in of_choice if isinstance(m, HasTeacher)), 3)


class _NoImages:
    """Stands where no training images were given."""

    def __iter__(self) -> Iterator[Tensor]:
        raise UserError("train_images: this method looks at all of them first; give their batches")


def _value_error(error: UserError, x: Any = None) -> ValueError:
    """The same in the words of a call: options without their group's name in front."""
    text = str(error).replace("method.", "")
    if text.startswith("method: this one needs pictures") and isinstance(x, Tensor):
        text = f"x: this method needs pictures (B, C, H, W); these are {tuple(x.shape)}"
    return ValueError(text)


@contextmanager
def _value_errors() -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise _value_error(error) from None
