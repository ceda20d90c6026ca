"""The pictures of the probes: which there are, from which runs, in a file and in the report."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType

from msda_train.report.curves import Curve, legend_in_page
from msda_train.report.markup import Markup, join, tag
from msda_train.report.pictures import (
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
from msda_train.report.pictures.data import Probed, numbers_of, probed
from msda_train.report.pictures.picture import Panel, Picture, in_file, in_page, on_paper
from msda_train.report.svg import as_file, stacked
from msda_train.results.table import Block

LARGEST_SECTION = 1_500_000  # bytes of the report's section

Panels = Callable[[Sequence[Probed]], list[Panel]]
Legend = Callable[[Sequence[Probed]], tuple[Curve, ...]]


def _methods(methods: Sequence[Probed]) -> tuple[Curve, ...]:
    return tuple(Curve(method.label, method.look, ()) for method in methods)


@dataclass(frozen=True)
class Kind:
    """One picture. `probe`: whose numbers it needs; None: the row's own epochs."""

    title: str
    probe: str | None
    panels: Panels
    notes: tuple[str, ...]
    legend: Legend = _methods
    by_seed: bool = True  # whether thick lines are means over seeds, thin ones seeds
    option: str = ""  # of the probe, without which it leaves no such data

    def picture(self, methods: Sequence[Probed]) -> Picture | None:
        """Of the methods of one column; None where they hold nothing to draw."""
        drawn = tuple(self.panels(methods))
        several = any(len(method.rows) > 1 for method in methods) and self.by_seed
        seeds = ("Thick: mean over seeds. Thin: each seed.",) if several else ()
        return Picture(self.title, drawn, self.legend(methods), seeds + self.notes) if drawn else None


def _kind(
    title: str, module: ModuleType, legend: Legend = _methods, *, by_seed: bool = True, option: str = ""
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


def kind_file(kind: Kind, blocks: Sequence[Block]) -> str | None:
    """The picture of all blocks that have the data, one below the other, as an SVG file."""
    found = [(block, kind.picture(probed(block))) for block in blocks]
    drawn = [in_file(picture, block.words) for block, picture in found if picture]
    if not drawn:
        return None
    words = "; ".join(block.words for block, picture in found if picture)
    return as_file(on_paper(stacked(*drawn, gap=32)), kind.title, words)


def picture_file(picture: Picture, context: str) -> str:
    """One picture as an SVG file."""
    return as_file(on_paper(in_file(picture, context)), picture.title, context)


def probe_section(blocks: Sequence[Block]) -> Markup | None:
    """The report's section: each block's pictures, but for the learning curves, which stand elsewhere.

    Blocks that do not fit into LARGEST_SECTION are named only.
    """
    parts: list[Markup] = []
    left_out: list[str] = []
    size = 0
    for block in blocks:
        if size > LARGEST_SECTION:
            left_out += [block.words] if _probed(block) else []
            continue
        made = _block(block)
        if made is not None:
            size += len(made.encode())
            if size > LARGEST_SECTION:
                left_out.append(block.words)
            else:
                parts.append(made)
    if left_out:
        said = "Left out to keep this file small; msda-plot RUN all draws them: "
        parts.append(tag("p", said, [join(tag("code", words), " ") for words in left_out], class_="note"))
    return join(parts) if parts else None


def _probed(block: Block) -> bool:
    probes = {kind.probe for kind in KINDS.values() if kind.probe}
    return any(numbers_of(row, probe) for line in block.lines for row in line.rows for probe in probes)


def _block(block: Block) -> Markup | None:
    methods = probed(block)
    kinds = [kind for kind in KINDS.values() if kind.probe]
    pictures = [(kind, picture) for kind in kinds if (picture := kind.picture(methods))]
    if not pictures:
        return None
    drawn = [in_page(picture, legend=kind.legend is not _methods) for kind, picture in pictures]
    return join(tag("h3", tag("code", block.words)), legend_in_page(_methods(methods)), drawn)
