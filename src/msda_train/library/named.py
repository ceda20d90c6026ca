"""From a name and options to a method, by the files of configs/method/ and without Hydra; and the one
place that says which methods a call can stand for."""

from collections.abc import Mapping
from dataclasses import fields
from importlib import import_module
from typing import Any, get_type_hints

import torch
from torch import Tensor, nn

from msda_train.config import checks
from msda_train.config.groups import check_known, options_of, words_of
from msda_train.core import course, learns
from msda_train.core import mix as protocols
from msda_train.core.course import Changes
from msda_train.core.errors import UserError, nearest
from msda_train.core.mix import HasTeacher, Method, Mix, OfOrigin, PicksPartners, Prepares

OURS = "msda_train.methods."
# What a call knows how to do for a method, and what it does with a plan.
SERVED = {Method, Prepares, HasTeacher, OfOrigin, PicksPartners, Changes}
PLANNED = {"perm", "lam", "mask", "depth", "sources", "shares", "box", "blocked"}


def named(name: str, given: Mapping[str, Any]) -> Method:
    """The method `name` with the options `given`; the others are as in its file. A teacher may be a network.

    Raises UserError that names the option where it is unknown, missing or of no use. A default `${...}` is
    another group's to say, so here the caller has to.
    """
    file = options_of("method", name)
    check_known(given, file, name)
    target = file.pop("_target_")
    options = {**file, **given}
    for option, value in options.items():
        if isinstance(value, str) and value.startswith("${"):
            raise UserError(f"{option}: {name} has to be told; {_example(option)}")
    teacher = options.get("teacher")
    if isinstance(teacher, nn.Module):
        options["teacher"] = file["teacher"]
    module, _, kind = target.rpartition(".")
    made = getattr(import_module(module), kind)
    hints = get_type_hints(made.__init__)
    for option, value in options.items():
        checks.kind(option, value, hints[option])
    method = made(**options)
    found: Method = method.taught_by(teacher) if isinstance(teacher, nn.Module) else method
    return found


def _example(option: str) -> str:
    if option in ("mean", "std"):
        return (
            "type how the images are normalised, mean=[0.5, 0.5, 0.5], std=[0.25, 0.25, 0.25]; "
            "where pixels lie in [0, 1], mean=[0.0], std=[1.0]"
        )
    return f"type {option}=16"


def check_served(method: Method) -> None:
    """UserError where a training step does more for this method than mix one batch and its labels. What a
    method may be has a protocol in `core/`: `mix.py`, `learns.py`, `course.py`; what is not served here is
    refused."""
    who = type(method).__name__
    if not hasattr(method, "plan"):
        raise UserError(f"method={who}: makes no plan of a batch; {nearest('', words_of('method'))}")
    for name, protocol in (vars(protocols) | vars(learns) | vars(course)).items():
        unknown = getattr(protocol, "_is_runtime_protocol", False) and protocol not in SERVED
        if unknown and isinstance(method, protocol):
            raise UserError(
                f"method={who}: is more than a mixer ({name}); train it by msda-train, not by a call"
            )
    if isinstance(method, PicksPartners) and method.among():
        raise UserError(
            f"pairing={getattr(method, 'pairing', who)}: draws partners from all training images, and a call "
            f"sees a batch; type pairing='permutation'"
        )
    if course.does_change(method):
        raise UserError(
            f"prob_schedule={getattr(method, 'prob_schedule', who)}: changes in the course of training, and "
            f"a call does not know how far that is; type prob_schedule='constant'"
        )


def check_plan(method: Method, plan: Mix) -> None:
    """UserError where `plan` says more than who is mixed with whom, where and how much."""
    known = [field.name for field in fields(Mix) if field.name not in PLANNED]
    more = [name for name in known if getattr(plan, name) is not None]
    if more:
        raise UserError(
            f"method={type(method).__name__}: its plan says more than a mixer can do ({', '.join(more)}); "
            f"train it by msda-train, not by a call"
        )


def check_numbers(method: Method, x: Tensor) -> None:
    """UserError where x (B, ...) holds whole numbers that `method` cannot work with."""
    if x.dtype == torch.uint8 and getattr(method, "whole_numbers", False):
        return
    who = type(method).__name__
    if x.dtype == torch.uint8:
        raise UserError(f"x: {who} needs normalised floats, and these are uint8; type x.float() / 255")
    raise UserError(f"x: {who} mixes floats or uint8, and these are {str(x.dtype).removeprefix('torch.')}")
