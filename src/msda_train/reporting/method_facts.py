"""What the suite says of its methods, read off their own files: nothing about a method is written twice.

The docstring of a method's module says what it does, whose it is and how the authors' code differs; its class
says it as a formula; its yaml holds the options; the published files hold the settings of each paper.
"""

import ast
import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from msda_train.config.method_look import method_order
from msda_train.config.yaml_file import read_yaml
from msda_train.core.paths import BENCH, CONFIGS
from msda_train.records.frame import cells_frame
from msda_train.records.published import Cell, Paper

PACKAGE = Path(__file__).resolve().parents[1]
STEP_COST = BENCH / "step_cost.csv"


@dataclass(frozen=True)
class MethodFacts:
    """One word of `method=`."""

    name: str
    sentence: str  # what it does
    paper: str  # authors, venue, arXiv
    text: str  # all that the module's docstring says after the sentence
    formula: str  # the first paragraph of the class's docstring
    options: tuple[tuple[str, str, str], ...]  # name, default, comment, as in the yaml
    step_cost: float | None  # of a training step, relative to ERM's; None: not measured here


def all_methods() -> list[MethodFacts]:
    """Every method in configs/method, in the order of the tables."""
    costs = step_costs(STEP_COST)
    return [_facts(name, costs.get(name)) for name in method_order()]


def step_costs(path: Path) -> dict[str, float]:
    """Median step time over ERM's by method, as the benchmark wrote it; empty where it has not."""
    if not path.is_file():
        return {}
    with open(path, newline="", encoding="utf-8") as file:
        return {row["method"]: float(row["ratio"]) for row in csv.DictReader(file)}


def _facts(name: str, cost: float | None) -> MethodFacts:
    yaml = CONFIGS / "method" / f"{name}.yaml"
    target = str(read_yaml(yaml)["_target_"])
    module, _, made = target.removeprefix("msda_train.").rpartition(".")
    tree = ast.parse((PACKAGE / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))
    sentence, _, text = _unwrapped(ast.get_docstring(tree) or "").partition("\n\n")
    (built,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == made]
    formula = _unwrapped(ast.get_docstring(built) or "").partition("\n\n")[0]
    paper = re.split(r"\. (?=Code\b|The |That )|; code|, equations? |\n\n", text)[0]
    return MethodFacts(name, sentence, paper.rstrip("."), text, formula, _options(yaml), cost)


def _unwrapped(text: str) -> str:
    """Paragraphs on one line each; lists keep their lines."""
    paragraphs = [re.sub(r"\n(?!- )", " ", part) for part in text.split("\n\n")]
    return "\n\n".join(re.sub(r"  +", " ", part) for part in paragraphs)


def _options(path: Path) -> tuple[tuple[str, str, str], ...]:
    options = []
    for line in path.read_text(encoding="utf-8").splitlines():
        match = re.match(r"(\w+): ([^#]*)(?:#\s*(.*))?$", line)
        if match and match[1] != "_target_":
            options.append((match[1], match[2].strip(), (match[3] or "").strip()))
    return tuple(options)


def settings_of(name: str, papers: Iterable[Paper]) -> list[tuple[str, str, str]]:
    """Paper, its table, and the words of `set` with which the tables run the method, each once."""
    cells = cells_frame(papers)
    cells = cells[(cells["method"] == name) & cells["not_runnable"].isna()]
    titles = [f"{paper.key}: {paper.title}" for paper in cells["in_paper"]]
    groups = cells.groupby([titles, list(map(_words, cells["cell"]))], sort=False)["table_name"]
    return [(title, ", ".join(tables.unique()), words) for (title, words), tables in groups]


def _words(cell: Cell) -> str:
    return " ".join(word for word in cell.set if not word.startswith("recipe.epochs=")) or "the defaults"
