"""A method on one page: docs/methods/NAME.md, and `msda-table methods NAME`."""

from collections.abc import Sequence

from msda_train.records.published import Paper
from msda_train.reporting.method_facts import MethodFacts, settings_of


def card(facts: MethodFacts, papers: Sequence[Paper], picture: str | None = None) -> str:
    """Markdown; `picture` is the file beside the page."""
    parts = [f"# `method={facts.name}`", facts.sentence]
    if picture:
        parts.append(f"![{facts.name} on pairs of photographs]({picture})")
    parts += [f"**In a formula.** {facts.formula}", _cost(facts), "## Paper and code", facts.text]
    parts += ["## Options", _table(("option", "default", ""), [_option(*option) for option in facts.options])]
    settings = [(title, tables, f"`{words}`") for title, tables, words in settings_of(facts.name, papers)]
    if settings:
        parts += ["## In the published tables", _table(("paper", "tables", "run with"), settings)]
    parts += ["## Cite", f"{facts.paper}."]
    return "\n\n".join(parts) + "\n"


def _cost(facts: MethodFacts) -> str:
    if facts.name == "erm":
        return "**Cost.** The step that all others are compared with."
    said = "not measured" if facts.step_cost is None else f"{facts.step_cost:.2f} times ERM's"
    return f"**Cost.** A training step: {said} (`results/bench/step_cost.csv`, `make bench`)."


def _option(name: str, default: str, comment: str) -> tuple[str, str, str]:
    return f"`method.{name}`", f"`{default}`", comment


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(word.replace("|", "\\|") for word in line) + " |" for line in lines)
