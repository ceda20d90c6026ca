"""What a report shows, found once: tables, columns, epochs, examples. The other modules draw it."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from pandas import DataFrame

from msda_train.comparison.compare import compare, resembling
from msda_train.comparison.config_diff import method_words
from msda_train.comparison.table import lines_frame
from msda_train.config.fingerprint import settled
from msda_train.config.method_look import method_rank
from msda_train.records.external_results import ExternalResult
from msda_train.records.published import Paper
from msda_train.records.rows import Row
from msda_train.reporting import limits
from msda_train.reporting.curves import Curve
from msda_train.reporting.draw import looks
from msda_train.reporting.gallery import Gallery, read_gallery
from msda_train.reporting.history import History, read_history


@dataclass(frozen=True)
class Report:
    """All that a report shows: our lines, published numbers beside them, and what was wrong with files."""

    rows: tuple[Row, ...]
    lines: DataFrame  # of `lines_frame`: all rows, whether or not a published number stands beside them
    compared: DataFrame  # of `compare`
    resembling: DataFrame
    external: tuple[ExternalResult, ...]  # of other programs: shown apart, part of nothing
    complaints: tuple[str, ...]
    made: datetime
    origin: str
    _histories: dict[tuple[str, str, int], History] = field(default_factory=dict)

    def history(self, row: Row) -> History:
        """Read when first asked for: a page of ten thousand rows shows the epochs of few."""
        if row.key not in self._histories:
            self._histories[row.key] = read_history(row.path)
        return self._histories[row.key]

    def block(self, number: int) -> DataFrame:
        """The lines of one block."""
        return self.lines[self.lines["block"] == number]

    def curves(self, block: DataFrame) -> list[Curve]:
        """The lines of a block as curves; their looks are those of the block's other plots, too."""
        found = zip(block["method"], looks(block["method_name"]), block["rows"], strict=True)
        return [
            Curve(name, look, tuple(self.history(row).epochs for row in rows)) for name, look, rows in found
        ]

    @cached_property
    def evident(self) -> DataFrame:
        """The lines whose configurations and epochs the page carries: those of published numbers first."""
        beside = self.lines["fingerprint"].isin(self.compared["fingerprint"][self.compared["block"].notna()])
        blocks = self.lines.groupby("block")
        rest = [at for _, block in blocks for at in limits.best(block, limits.LINES).index]
        seeds = self.lines["seeds"].loc[list(dict.fromkeys([*self.lines.index[beside], *rest]))]
        return self.lines[self.lines.index.isin(seeds.index[seeds.cumsum() <= limits.RUNS])]

    def examples(self) -> DataFrame:
        """dataset, method and gallery of each method config and set of images: the first row's that has mixed
        images, else why the first has none."""
        found: dict[tuple[str, str], tuple[Row, Gallery | str]] = {}
        for row in (row for rows in self.evident["rows"] for row in rows):
            key = json.dumps(settled(row.config["method"]), sort_keys=True), str(row.data["content"])
            if key not in found or isinstance(found[key][1], str):
                gallery = read_gallery(row.path)
                if key not in found or not isinstance(gallery, str):
                    found[key] = row, gallery
        shown = [
            (row.names["dataset"] or "unnamed", method_words(row), gallery, method_rank(row.names["method"]))
            for row, gallery in found.values()
        ]
        frame = DataFrame(shown, columns=["dataset", "method", "gallery", "order"], dtype=object)
        return frame.sort_values(["dataset", "order"])


def make_report(
    papers: Sequence[Paper],
    rows: Sequence[Row],
    *,
    external: Iterable[ExternalResult] = (),
    complaints: Iterable[str] = (),
    made: datetime,
    origin: str = "",
) -> Report:
    """Everything about `rows` beside `papers`."""
    lines = lines_frame(rows)
    compared = compare(papers, lines)
    return Report(
        rows=tuple(rows),
        lines=lines,
        compared=compared,
        resembling=resembling(compared, lines),
        external=tuple(external),
        complaints=tuple(complaints),
        made=made,
        origin=origin,
    )
