"""The pictures of `msda-plot` that show methods at work, with no run needed: boundary and pca.

They take words as `msda-train` does: `dataset=` and its options for the images of pca, and any number of
methods, each with the options that follow it.
"""

import re
from collections.abc import Callable, Sequence

from matplotlib.figure import Figure

from msda_train.comparison.config_diff import differences
from msda_train.core.errors import UserError
from msda_train.records.rows import Row
from msda_train.reporting.draw import looks
from msda_train.reporting.pictures.boundary import boundary_picture
from msda_train.reporting.pictures.picture import figure
from msda_train.reporting.pictures.principal import principal_picture

BOUNDARY, PCA = "boundary", "pca"
KINDS = (BOUNDARY, PCA)
POINTS = ("spirals", "moons")
TOYS = ("erm", "mixup", "manifold_mixup")  # drawn where none is asked for
CAN_MIX_POINTS = (*TOYS, "gaussian_noise")
BLENDS = ("mixup", "cutmix")
Make = Callable[[], Figure]  # called where the style is known
_OPTION = re.compile(r"method\.[a-z]\w*=([\w.+-]+|\[[\d, ]*\])")
_WORD = re.compile(r"\+?(dataset|method)(\.\w+)*=.*", re.DOTALL)


def without_words(typed: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words of a config among those typed, and the others."""
    words = [word for word in typed if _WORD.fullmatch(word)]
    return words, [word for word in typed if not _WORD.fullmatch(word)]


def _methods(words: Sequence[str], shipped: Sequence[str]) -> list[tuple[str, ...]]:
    """The words of each method: `method=` and the options behind it; one for each of `shipped` if none is
    named."""
    found: list[list[str]] = []
    for word in words:
        if word.startswith("method="):
            found.append([word])
        elif word.lstrip("+").startswith("method."):
            if not found:
                raise UserError(f"{word}: of which method? type method=NAME before it")
            found[-1].append(word)
    return [tuple(each) for each in found] or [(f"method={name}",) for name in shipped]


def boundary(rows: Sequence[Row], words: Sequence[str], shape: str) -> Make:
    """Trains the toy with each method of `words`, or each of the rows that can mix points; seed 0."""
    if others := [word for word in words if word.startswith("dataset")]:
        raise UserError(f"{others[0]}: {BOUNDARY} has points of its own; type --points {' or '.join(POINTS)}")
    if rows and words:
        raise UserError(f"{words[0]}: give runs or methods, not both")
    if rows:
        found = list({made: None for row in rows if (made := _toy_words(row))})
    else:
        found = _methods(words, TOYS)
    if not found:
        raise UserError(f"none of these runs has a method that mixes points; type: msda-plot {BOUNDARY}")
    from msda_train.evaluation.decision_boundary import toy  # torch: only for these pictures

    drawn = [(_label(each), toy(each, shape=shape)) for each in found]
    points = len(drawn[0][1]["labels"])
    return lambda: figure([(boundary_picture(drawn), f"Two {shape}, {points} points, seed 0")])


def pca(words: Sequence[str], classes: Sequence[str]) -> Make:
    """Draws blends of two images of `dataset=`; the digits where none is named."""
    from msda_train.config.build import build
    from msda_train.config.compose import compose
    from msda_train.data.images import Images
    from msda_train.evaluation.principal_plane import blends, classes_of, plane

    data = [word for word in words if word.lstrip("+").startswith("dataset")]
    methods = _methods(words, BLENDS)
    configs = [compose(*data, *each) for each in methods]
    images = build("dataset", configs[0].dataset).examples()
    if not isinstance(images, Images):
        raise UserError(
            f"{images.name}: {PCA} draws pictures, and this data set has none; type dataset=digits"
        )
    pair = classes_of(images, classes)
    found = plane(images, pair)
    names = [each[0].removeprefix("method=") for each in methods]
    drawn = [
        (_label(each), look, blends(cfg, found))
        for each, look, cfg in zip(methods, looks(names), configs, strict=True)
    ]
    count = len(found["labels"])
    context = f"{images.name}: {count} training images of two classes"
    one, other = (images.classes[k] for k in pair)
    return lambda: figure([(principal_picture(found, (one, other), drawn), context)])


def _toy_words(row: Row) -> tuple[str, ...]:
    """What to type for a row's method; nothing where it cannot mix points. Rows are from anywhere: only
    options of known methods are passed on, and no class that a row names."""
    name, options = row.names["method"], differences(row, "method", {})
    if name not in CAN_MIX_POINTS or not all(_OPTION.fullmatch(word) for word in options):
        return ()
    return (f"method={name}", *options)


def _label(words: Sequence[str]) -> str:
    return " ".join(words).replace("method=", "").replace("method.", "")
