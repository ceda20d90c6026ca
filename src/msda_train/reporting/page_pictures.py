"""Pictures within the page: SVG in an image of its own, where words of a row can be nothing but words."""

import base64
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from markupsafe import Markup
from matplotlib.figure import Figure

from msda_train.reporting import limits
from msda_train.reporting.draw import rendered
from msda_train.reporting.pictures.picture import Picture, figure, legend_figure
from msda_train.reporting.template import render

Make = Callable[[], Figure]


@dataclass(frozen=True)
class Image:
    """source: an SVG in base64; pixels; words in its place."""

    source: str
    width: int
    height: int
    words: str


@dataclass
class PagePictures:
    """Draws for one page, until its share of the file is full."""

    drawn: int = 0
    size: int = 0
    left_out: int = 0

    def show(self, picture: Picture | None, words: str, *, title: bool = False) -> Markup | None:
        """The picture's panels, each an image that a narrow page puts below the last, its legend first.
        `words`: what is compared, for those who do not see it."""
        if picture is None:
            return None
        if self.drawn >= limits.PICTURES or self.size >= limits.PICTURE_BYTES:
            self.left_out += 1
            return render(
                "left_out", words=f"A picture is left out to keep this page small: {picture.title}."
            )
        images = []
        if picture.legend:
            labels = ", ".join(each.label for each in picture.legend)
            images.append(self._image(partial(legend_figure, picture), f"What the looks mean: {labels}"))
        for panel in picture.panels:
            alone = replace(picture, panels=(panel,), legend=())
            said = ". ".join(filter(None, (picture.title, panel.caption, words)))
            make = partial(figure, [(alone, "")], titled=False)
            images.append(self._image(make, said))
        return render("picture", title=picture.title if title else None, images=images, notes=picture.notes)

    def _image(self, make: Make, words: str) -> Image:
        found: list[Figure] = []

        def kept() -> Figure:
            found.append(make())
            return found[0]

        content = rendered(kept, ("svg",))["svg"]
        source = base64.b64encode(content).decode()
        self.drawn += 1
        self.size += len(source)
        width, height = (round(96 * float(side)) for side in found[0].get_size_inches())
        return Image(source, width, height, words)
