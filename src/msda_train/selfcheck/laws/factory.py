"""A mixer of anybody's own, made by what was typed: my_package.my_module:make_mixer."""

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch

from msda_train.config.consent import allow
from msda_train.core.errors import UserError
from msda_train.selfcheck.laws.coded import BATCH, coded_batch, observe
from msda_train.selfcheck.laws.subject import CUTMIX, MIXUP, Claims, Mixer, Subject

OPTIONS = frozenset({"alpha", "prob", "seed", "num_classes"})
KINDS = {"mixup": MIXUP, "cutmix": CUTMIX, "other": Claims()}
TRIES = 50


def typed_mixer(word: str) -> Subject:
    """The mixer of `MODULE:FACTORY` or `MODULE:FACTORY=KIND`, one of KINDS; what it does is looked at where
    no kind is said. The factory is called with those of OPTIONS that it takes. Typing it is consent: the
    module is imported, from the current folder too. Raises UserError where no mixer comes of it."""
    place, sign, kind = word.partition("=")
    if sign and kind not in KINDS:
        raise UserError(f"{word}: {kind!r} is no kind of mixer; type one of {', '.join(KINDS)}")
    factory = _found(word, place)
    subject = Subject(place, factory, KINDS.get(kind, Claims()), _options(factory))
    mixer = _made(word, subject)
    _check_shapes(word, mixer)
    if sign:
        return subject
    return Subject(place, factory, _recognised(subject), subject.options)


def _found(word: str, place: str) -> Callable[..., Mixer]:
    module, _, name = place.partition(":")
    if not (name.isidentifier() and all(part.isidentifier() for part in module.split("."))):
        raise UserError(f"{word}: names no factory; type MODULE:FUNCTION, such as my_code:make_mixer")
    try:
        allow(module.split(".")[0])
        found = getattr(import_module(module), name)
    except Exception as error:  # whatever is in the module
        raise UserError(f"{word}: cannot be imported ({_told(error)})") from None
    if not callable(found):
        raise UserError(f"{word}: is a {type(found).__name__}, which cannot be called; type a function")
    made: Callable[..., Mixer] = found
    return made


def _options(factory: Callable[..., Any]) -> frozenset[str]:
    """Those of OPTIONS that it takes by name."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return frozenset()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return OPTIONS
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return OPTIONS & named


def _made(word: str, subject: Subject) -> Mixer:
    try:
        mixer = subject.made()
    except Exception as error:
        raise UserError(f"{word}: the factory raises {_told(error)}") from None
    if not callable(mixer):
        raise UserError(f"{word}: makes a {type(mixer).__name__}, which cannot be called with (x, y)")
    return mixer


def _check_shapes(word: str, mixer: Mixer) -> None:
    """UserError unless a batch comes back as images of the same shape and labels (B, K)."""
    x, y = coded_batch()
    try:
        answer: Any = mixer(x.clone(), y.clone())
    except Exception as error:
        raise UserError(f"{word}: the mixer raises {_told(error)} for a batch {tuple(x.shape)}") from None
    if not (
        isinstance(answer, tuple | list)
        and len(answer) == 2
        and all(isinstance(each, torch.Tensor) for each in answer)
    ):
        raise UserError(f"{word}: the mixer returns no two tensors; it has to return (images, labels)")
    mixed, labels = answer
    if mixed.shape != x.shape:
        raise UserError(f"{word}: images {tuple(x.shape)} become {tuple(mixed.shape)}; they keep their shape")
    if labels.ndim != 2 or len(labels) != BATCH or labels.shape[1] < BATCH:
        raise UserError(
            f"{word}: labels have shape {tuple(labels.shape)}; they have to be weights (B, K), here (4, K), "
            "K at least 4"
        )


def _recognised(subject: Subject) -> Claims:
    """mixup where each image has one weight everywhere, CutMix where whole boxes are pasted."""
    seen = observe(subject.made(), TRIES)
    if not seen.mixed.any():
        return Claims()
    if seen.blends[seen.mixed].all():
        return MIXUP
    return CUTMIX if seen.boxes[seen.mixed].all() else Claims()


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
