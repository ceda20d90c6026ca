"""The pictures of the probes: every module of `pictures` that says which PROBE it needs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from pandas import DataFrame

from msda_train.reporting import pictures
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


def _kind(module: ModuleType) -> Kind:
    legend: Legends = getattr(module, "legend", _methods)
    by_seed, option = getattr(module, "BY_SEED", True), getattr(module, "OPTION", "")
    return Kind(module.TITLE, module.PROBE, module.panels, module.NOTES, legend, by_seed, option)


def _found() -> dict[str, Kind]:
    modules = {
        each.name: import_module(f"{pictures.__name__}.{each.name}")
        for each in iter_modules(pictures.__path__)
    }
    return {name: _kind(module) for name, module in modules.items() if hasattr(module, "PROBE")}


KINDS = _found()


def kind_pictures(kind: Kind, lines: DataFrame) -> list[tuple[Picture, str]]:
    """The picture of every block of `lines_frame` that has the data, with the words of the block."""
    blocks = lines.groupby(["block", "words"])
    found = [(kind.picture(probed(block)), words) for (_, words), block in blocks]
    return [(picture, words) for picture, words in found if picture]
