"""What changes a trained network's confidence, its weights left alone: temperature scaling, MC dropout.

Guo et al., ICML 2017, arXiv:1706.04599, fit one temperature on held-out images. Gal and Ghahramani, ICML
2016, arXiv:1506.02142: the mean softmax of several passes with dropout on.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.randomness import generator
from msda_train.evaluation.probes.inference import pixel_batches, run_logits
from msda_train.evaluation.probes.subject import Subject
from msda_train.functional import calibration as measures

VALIDATION = 0.1  # of the training images
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
HELD_OUT = 5_000  # as many as Guo et al. take; a run on a small subset leaves far more


def check_options(probe: str, validation: float, mc_dropout: float | None, samples: int) -> None:
    """UserError where one of a probe's options cannot be."""
    checks.fraction(f"{probe}.validation", validation)
    if validation == 0:
        raise UserError(f"{probe}.validation=0: must be greater than 0; type 0.1")
    if mc_dropout is not None:
        checks.fraction(f"{probe}.mc_dropout", mc_dropout)
    checks.whole(f"{probe}.samples", samples, least=1)


def fitted_temperature(subject: Subject, validation: float) -> tuple[float, tuple[str, ...]]:
    """The temperature and what a reader must know of it. It is fitted on the images that the run left out
    (dataset.subset), where there are any, else on the last `validation` of its training images."""
    x, labels, remark = _validation_images(subject, validation)
    held = run_logits(subject, pixel_batches(x, subject.device))
    temperature = measures.fit_temperature(held, torch.from_numpy(np.array(labels, dtype=np.int64)))
    if measures.COLDEST * 1.01 < temperature < measures.HOTTEST / 1.01:
        return temperature, (remark,)
    edge = (
        f"the temperature lies at the end of its range ({temperature:.3g}): the network errs on none "
        f"of the images it is fitted on, or on nearly all"
    )
    return temperature, (remark, edge)


def _validation_images(subject: Subject, validation: float) -> tuple[np.ndarray, np.ndarray, str]:
    """Images (N, H, W, C) uint8, their true labels (N,), and what a reader must know of them."""
    if subject.held_out is not None:
        x, labels = (part[:HELD_OUT] for part in subject.held_out)
        return x, labels, f"temperature fitted on {len(x)} training images that the run left out"
    images = subject.images
    first = min(round(len(images.x_train) * (1 - validation)), len(images.x_train) - 1)
    true = images.y_train if images.y_clean is None else images.y_clean
    seen = (
        f"temperature fitted on {len(true) - first} training images that the network was trained on: T "
        f"is biased low; train with dataset.subset to hold some out"
    )
    return images.x_train[first:], true[first:], seen


def no_dropout_layers(subject: Subject) -> str | None:
    """What to remark where MC dropout cannot be done."""
    if _layers(subject):
        return None
    return "no MC dropout: this network has no dropout layers; train it with model.dropout=0.3"


def mc_log_probabilities(
    subject: Subject,
    batches: Callable[[], Iterator[Tensor]],
    p: float,
    samples: int,
) -> Tensor:
    """(N, K) float64 log of the mean softmax of `samples` passes over the pixels that `batches` gives, with
    every dropout layer dropping with probability `p`."""
    total: Tensor | None = None
    with _dropping(_layers(subject), p, subject):
        for _ in subject.progress(iter(range(samples)), samples, "mc dropout"):
            once = measures.log_probabilities(run_logits(subject, batches())).exp()
            total = once if total is None else total + once
    assert total is not None
    return (total / samples).clamp(min=np.finfo(np.float64).tiny).log()


def _layers(subject: Subject) -> list[nn.Module]:
    return [module for module in subject.network.modules() if isinstance(module, DROPOUTS)]


@contextmanager
def _dropping(layers: Sequence[nn.Module], p: float, subject: Subject) -> Iterator[None]:
    """Inside, these dropout layers drop with probability `p`, in a way that the run's seed decides; nothing
    else of the network is in training mode. Afterwards all is as it was, torch's generators too."""
    before = [layer.p for layer in layers]
    devices = [subject.device] if subject.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(int(generator(subject.seed, "probe/calibration").integers(2**62)))
        try:
            for layer in layers:
                layer.p = p  # type: ignore[assignment]  # a float on every dropout layer
                layer.train()
            yield
        finally:
            for layer, old in zip(layers, before, strict=True):
                layer.p = old
                layer.eval()
