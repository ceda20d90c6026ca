"""The pictures of the probes: which there are, and from which runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType

from pandas import DataFrame

from msda_train.reporting.pictures import (
    confidence,
    deformation,
    evolution,
    features,
    gradient,
    in_between,
    reliability,
    robustness,
    singular,
)
from msda_train.reporting.pictures.data import Probed, probed
from msda_train.reporting.pictures.picture import Legend, Panel, Picture

Panels = Callable[[Sequence[Probed]], list[Panel]]
Legends = Callable[[Sequence[Probed]], tuple[Legend, ...]]


def _methods(methods: Sequence[Probed]) -> tuple[Legend, ...]:
    return tuple(Legend(method.label, method.look) for method in methods)


@dataclass(frozen=True)
class Kind:
    """One picture. `probe`: whose numbers it needs; None: the row's own epochs."""

    title: str
    probe: str | None
    panels: Panels
    notes: tuple[str, ...]
    legend: Legends = _methods
    by_seed: bool = True  # whether thick lines are means over seeds, thin ones seeds
    option: str = ""  # of the probe, without which it leaves no such data

    def picture(self, methods: Sequence[Probed]) -> Picture | None:
        """Of the methods of one column; None where they hold nothing to draw."""
        drawn = tuple(self.panels(methods))
        several = any(len(method.rows) > 1 for method in methods) and self.by_seed
        seeds = ("Thick: mean over seeds. Thin: each seed.",) if several else ()
        return Picture(self.title, drawn, self.legend(methods), seeds + self.notes) if drawn else None


def _kind(
    title: str, module: ModuleType, legend: Legends = _methods, *, by_seed: bool = True, option: str = ""
) -> Kind:
    return Kind(title, module.PROBE, module.panels, module.NOTES, legend, by_seed, option)


KINDS = {
    "reliability": _kind("Reliability: accuracy by confidence", reliability, by_seed=False),
    "confidence": _kind(
        "Confidence on test images and on images of other kinds",
        confidence,
        confidence.legend,
        by_seed=False,
    ),
    "robustness": _kind("Test error under attack", robustness),
    "deformation": _kind("Test error of deformed images", deformation),
    "in_between": _kind("Between two images", in_between),
    "features": _kind(
        "Features of two classes and of their blends",
        features,
        features.legend,
        by_seed=False,
        option="probes.in_between.pca=[0,1]",
    ),
    "gradient": _kind("Input gradients of pixel pairs by distance", gradient),
    "singular": _kind("Singular values of hidden features", singular),
    "evolution": _kind("Test error by epoch", evolution, evolution.legend),
}


def kind_pictures(kind: Kind, lines: DataFrame) -> list[tuple[Picture, str]]:
    """The picture of every block of `lines_frame` that has the data, with the words of the block."""
    blocks = lines.groupby(["block", "words"])
    found = [(kind.picture(probed(block)), words) for (_, words), block in blocks]
    return [(picture, words) for picture, words in found if picture]
