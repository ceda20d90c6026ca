"""Laws of tensors: what comes in comes out in the same form, and what was lent is not written on."""

import torch
from torch import Tensor

from msda_train.selfcheck.laws.coded import BATCH, Seen, coded_batch, decoded
from msda_train.selfcheck.laws.subject import (
    Outcome,
    Subject,
    differs,
    failed,
    listed,
    passed,
    refusal,
    unasked,
)

FLOATS = {torch.float64: 1e-4, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}  # rounding, of pixels and labels
BYTE = 1.5 / 255  # what whole bytes may be off


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _off(mixed: Tensor, labels: Tensor) -> float:
    """How far labels are from the shares of pixels in [0, 1]."""
    shares = decoded(mixed).double().mean(dim=(2, 3))
    return float((labels[:, :BATCH].double() - shares).abs().max())


def float_types(subject: Subject, seen: Seen) -> Outcome:
    """float64, float16 and bfloat16 stay what they are, and labels stay right."""
    worst, kept, notes = 0.0, list[str](), list[str]()
    for dtype, limit in FLOATS.items():
        x, y = coded_batch()
        try:
            mixed, labels = subject.made()(x.to(dtype), y)
        except Exception as error:
            notes.append(refusal(error, _name(dtype)).words)
            continue
        off = _off(mixed, labels)
        if not off <= limit * 3:
            return failed(f"{_name(dtype)}: labels are off by {off:.2g}")
        if mixed.dtype != dtype:
            notes.append(f"{_name(dtype)} comes back as {_name(mixed.dtype)}")
        worst, kept = max(worst, off), [*kept, _name(dtype)]
    if notes:
        short = "refuses" if any("refuses" in note for note in notes) else "another type"
        return differs(short, "; ".join(notes))
    return passed(f"{listed(kept)} stay; labels off by {worst:.1g} at most")


def bytes_in(subject: Subject, seen: Seen) -> Outcome:
    """Images of whole bytes are refused, or mixed to within a byte."""
    x, y = coded_batch()
    worst = 0.0
    mixer = subject.made()
    for _ in range(20 if subject.draws >= 100 else 3):
        try:
            mixed, labels = mixer((x * 255).to(torch.uint8), y.clone())
        except Exception as error:
            return refusal(error, "uint8")
        worst = max(worst, _off(mixed.double() / 255, labels))
    if worst > BYTE:
        whole = bool((labels == labels.round()).all())
        return failed(f"labels are off by up to {worst:.2g}{', all of them 0 or 1' if whole else ''}")
    if mixed.dtype != torch.uint8:
        return differs("another type", f"uint8 comes back as {_name(mixed.dtype)}")
    return passed(f"labels are off by {worst:.2g} at most")


def memory_format(subject: Subject, seen: Seen) -> Outcome:
    """channels_last gives the same values, and stays channels_last."""
    x, y = coded_batch()
    plain, plain_labels = subject.made()(x.clone(), y.clone())
    last = x.contiguous(memory_format=torch.channels_last)
    mixed, labels = subject.made()(last, y.clone())
    off = max(float((mixed - plain).abs().max()), float((labels - plain_labels).abs().max()))
    if off > 1e-4:
        return failed(f"channels_last gives other values, by {off:.2g}")
    if not mixed.is_contiguous(memory_format=torch.channels_last):
        return differs("contiguous", "channels_last comes back contiguous, which costs a copy")
    return passed("channels_last stays, with the same values")


def device(subject: Subject, seen: Seen) -> Outcome:
    """A batch on a GPU stays there, and so do its labels."""
    if not torch.cuda.is_available():
        return unasked("no CUDA device here")
    x, y = coded_batch()
    mixed, labels = subject.made()(x.cuda(), y.cuda())
    if not (mixed.is_cuda and labels.is_cuda):
        where = f"images on {mixed.device}, labels on {labels.device}"
        return differs("moved", f"a batch on the GPU comes back with {where}")
    off = _off(mixed.cpu(), labels.cpu())
    return (passed if off < 1e-4 else failed)(f"on the GPU labels are off by {off:.1g}")


def gradient(subject: Subject, seen: Seen) -> Outcome:
    """Where images need a gradient, each mixed pixel hands on its own, whole."""
    x, y = coded_batch()
    try:
        return _arrives(subject, x.requires_grad_(), y)
    except Exception as error:
        refused = refusal(error, "images that need a gradient")
    computed = x * 1  # no leaf of the graph: this may be written on
    try:
        further = _arrives(subject, computed, y).words
    except Exception:
        further = "computed images, too"
    return differs(refused.short, f"{refused.words}; {further}")


def _arrives(subject: Subject, x: Tensor, y: Tensor) -> Outcome:
    """How much of the gradient of all mixed pixels comes to x, or to what x was computed from."""
    computed = not x.is_leaf
    at = torch.zeros(1, requires_grad=True)
    mixed, _ = subject.made()(x + at if computed else x, y)
    if not mixed.requires_grad:
        return differs("none", "images that need a gradient get none")
    (got,) = torch.autograd.grad(mixed.sum(), at if computed else x)
    share = float(got.sum()) / x.numel()
    told = f"{'of computed images ' if computed else ''}{share:.4g} of the gradient arrives"
    return (passed if abs(share - 1) < 1e-4 else failed)(told)


def not_overwritten(subject: Subject, seen: Seen) -> Outcome:
    """What was given is left as it was."""
    x, y = coded_batch()
    images, classes = x.clone(), y.clone()
    mixer, calls = subject.made(), 10 if subject.draws >= 100 else 3
    for _ in range(calls):
        mixer(images, classes)
        if not torch.equal(classes, y):
            return failed("overwrites the labels it was given")
        if not torch.equal(images, x):
            return differs("overwrites", "overwrites the images it was given")
    return passed(f"images and labels stay as they were, in {calls} calls")
