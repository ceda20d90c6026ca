"""`msda-plot RUN... cam`: class activation maps of finished runs on the same images, mixed and unmixed."""

from collections.abc import Callable, Sequence
from functools import partial

from matplotlib.figure import Figure

from msda_train.comparison.config_diff import method_words
from msda_train.config.method_look import method_rank
from msda_train.core.errors import UserError
from msda_train.records.rows import Row
from msda_train.reporting.pictures.looks import Cell, looks_picture
from msda_train.reporting.pictures.picture import figure

CAM = "cam"
MOST_RUNS, MOST_IMAGES = 8, 12
_HOW = {"cam": "Class activation maps (Zhou et al.)", "grad_cam": "Grad-CAM (Selvaraju et al.)"}


def cam(rows: Sequence[Row], words: Sequence[str]) -> Callable[[], Figure]:
    """Opens the runs of `rows` and looks at the images that `words` name (`chosen_images`). UserError where
    they saw other images, or there are too many of them."""
    from msda_train.data.images import Images  # torch: a second, which the other pictures need not wait
    from msda_train.evaluation.finished_run import open_run
    from msda_train.evaluation.where_it_looks import chosen_images, look

    rows = sorted(rows, key=lambda row: method_rank(row.names["method"]))
    if len(rows) > MOST_RUNS or len(words) > MOST_IMAGES:
        raise UserError(f"{CAM}: give at most {MOST_RUNS} runs and {MOST_IMAGES} images")
    if others := [row for row in rows if row.data["content"] != rows[0].data["content"]]:
        raise UserError(f"{others[0].path}: saw other images than {rows[0].path}; give runs of one data set")
    opened = [open_run(row.path) for row in rows]
    images = opened[0].run.images
    if not isinstance(images, Images):
        raise UserError(f"{CAM}: needs pictures, and these are {images.noun}")
    pixels, labels = chosen_images(images, words)
    names = ["no label" if label is None else images.classes[label] for label in labels]
    found = [look(each, pixels, labels) for each in opened]
    mixed = any(each.mixed is not None for each in found)
    columns = [("images", [Cell(name, image) for name, image in zip(names, pixels, strict=True)])]
    if mixed:
        heads = f"{names[0]} with {names[1]}", f"for {names[0]}", f"for {names[1]}"
        columns[0][1].extend(map(Cell, heads))
    for row, each in zip(rows, found, strict=True):
        cells = [Cell("", image, heat) for image, heat in zip(pixels, each.heats, strict=True)]
        if mixed:
            shown = each.mixed
            heats = each.pair if shown is not None else (None, None)
            said = f"{each.share:.2f} of the first" if shown is not None else "mixes no pixels"
            cells += [Cell(said, shown), *(Cell("", shown, heat) for heat in heats)]
        columns.append((method_words(row), cells))
    note = f"{_HOW[found[0].kind]} of each image's own class; each has its own scale, red is its maximum."
    return partial(figure, [(looks_picture(columns, [note]), "")])
