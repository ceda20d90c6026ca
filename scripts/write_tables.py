"""Write results/tables/ and the README's table from the rows in results/rows: `make tables`.

No number in either is typed by hand; tests/test_tables.py fails when they are not what the rows say.
"""

import sys
from functools import partial
from pathlib import Path

from pandas import DataFrame

from msda_train.comparison.compare import compare
from msda_train.comparison.table import lines_frame
from msda_train.config.method_look import method_order
from msda_train.core.errors import UserError
from msda_train.records.published import load_papers
from msda_train.records.rows import Row, load_rows
from msda_train.records.summary import CLASSIFICATION
from msda_train.reporting.disagreement import disagreement_grids, disagreement_picture
from msda_train.reporting.draw import rendered
from msda_train.reporting.grid import draw
from msda_train.reporting.pictures.picture import figure
from msda_train.reporting.render import render
from msda_train.reporting.table_view import cells_grid

REPO = Path(__file__).resolve().parents[1]
ROWS = REPO / "results" / "rows"
TABLE = REPO / "results" / "tables" / "measured.md"
DISAGREEMENT = REPO / "docs" / "disagreement.md"
PROBED = REPO / "results" / "tables" / "probes.md"
README = REPO / "README.md"
COLUMNS = (  # of probes.md: one or two numbers of each probe
    *("calibration/ece_15", "calibration/oe_15", "calibration/temperature", "ood/mean_of_2/auroc"),
    *("adversarial/fgsm_linf_pixel_8_255_n500/error", "adversarial/fgsm_linf_normalised_0.03_n500/error"),
    *("in_between/train_mixup/error_half", "in_between/train_mixup/gradient_half"),
    *("deformations/rotation_40/error", "gradients/test_each_near_over_far"),
    *("representation/knn_5_cosine/error", "memorisation/train_error_given"),
)
VERDICTS = "<!-- verdicts: begin, written by `make tables` -->\n", "<!-- verdicts: end -->"
BEGIN, END = "<!-- measured: begin, written by `make tables` -->\n", "<!-- measured: end -->"


def tables() -> str:
    """Every kept row as markdown tables."""
    return render(_rows(), "markdown", "error")


def probed_tables() -> str:
    """The kept rows that have been through probes, with COLUMNS."""
    probed = [row for row in _rows() if any(name in row.metrics for name in COLUMNS)]
    return render(probed, "markdown", "error", columns=COLUMNS)


def verdict_table() -> str:
    """Every published number that kept rows are of, with its verdict."""
    return draw([cells_grid(_published())], "markdown").partition("\n\n")[2]


def disagreement() -> str:
    """docs/disagreement.md: the published numbers of the same baselines, from the published files alone."""
    picture = "![Every paper's number of the same baseline](disagreement.svg)"
    head = "# How much do papers disagree?\n\nWritten by `make tables`; `msda-table disagree` prints it."
    return f"{head}\n\n{picture}\n\n{draw(disagreement_grids(load_papers()), 'markdown')}"


def other_tables() -> str:
    """Of the kept rows that are of no published number, those of the narrow PreActResNet-18."""
    published = set(_published()["fingerprint"])
    rows = [row for row in _rows() if row.fingerprint not in published]
    return render([row for row in rows if row.names["model"] == "preactresnet18"], "markdown", "error")


def _published() -> DataFrame:
    rows = [row for row in _rows() if row.task == CLASSIFICATION]
    found = compare(load_papers(), lines_frame(rows))
    return found[found["rows"].map(bool)]


def _rows() -> list[Row]:
    rows, complaints = load_rows([ROWS], task=None)
    if complaints:
        raise UserError(complaints[0])
    return rows


METHODS = "<!-- methods: begin -->", "<!-- methods: end -->"
EXAMPLE = "<!-- example: begin -->\n", "<!-- example: end -->"


def example() -> str:
    """What a small sweep ends with: three methods on the digits, without the heading."""
    digits = [
        row for row in _rows() if row.names["dataset"] == "digits" and row.config["model"]["width"] == 8
    ]
    networks = [row for row in digits if row.names["model"] == "preactresnet18"]
    chosen = [row for row in networks if row.names["method"] in ("erm", "mixup", "cutmix")]
    table = render(chosen, "text", "error").split("\n\n")[1]  # of the first block
    return f"```\n{table.rstrip()}\n```\n"


def with_table(readme: str, table: str) -> str:
    """`readme` with its tables and the list of methods written anew."""
    methods = " ".join(f"`{name}`" for name in method_order())
    readme = _between(_between(readme, BEGIN, END, table), *METHODS, methods)
    readme = _between(readme, *VERDICTS, verdict_table())
    return _between(readme, *EXAMPLE, example())


def _between(readme: str, begin: str, end: str, text: str) -> str:
    head, found_begin, rest = readme.partition(begin)
    _, found_end, tail = rest.partition(end)
    if not found_begin or not found_end:
        raise UserError(f"README.md: the marks {begin.strip()} and {end} are gone")
    return f"{head}{begin}{text}{end}{tail}"


def main() -> int:
    """Exit code 0, or 2 where a kept row is damaged."""
    try:
        table, probed = tables(), probed_tables()
        readme = with_table(README.read_text(), other_tables())
    except UserError as error:
        print(f"write_tables: {error}", file=sys.stderr)
        return 2
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text(table)
    PROBED.write_text(probed)
    DISAGREEMENT.write_text(disagreement())
    picture = partial(figure, [(disagreement_picture(load_papers()), "")])
    DISAGREEMENT.with_suffix(".svg").write_bytes(rendered(picture, ("svg",))["svg"])
    README.write_text(readme)
    print(f"{TABLE.relative_to(REPO)}, {PROBED.relative_to(REPO)} and README.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
