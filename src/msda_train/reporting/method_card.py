"""A method on one page: docs/methods/NAME.md, and `msda-table methods NAME`."""

from collections.abc import Sequence

from pandas import DataFrame

from msda_train.comparison.disagreement import SAME, numbers_frame
from msda_train.records.published import Paper
from msda_train.reporting.method_facts import MethodFacts, settings_of


def card(
    facts: MethodFacts, papers: Sequence[Paper], picture: str | None = None, compared: DataFrame | None = None
) -> str:
    """Markdown; `picture` is the file beside the page, `compared` (of `compare`) holds our numbers."""
    parts = [f"# `method={facts.name}`", facts.sentence]
    if picture:
        parts.append(f"![{facts.name} on pairs of photographs]({picture})")
    parts += [f"**In a formula.** {facts.formula}", _cost(facts), "## Paper and code", facts.text]
    parts += ["## Options", _table(("option", "default", ""), [_option(*option) for option in facts.options])]
    settings = [(title, tables, f"`{words}`") for title, tables, words in settings_of(facts.name, papers)]
    if settings:
        parts += ["## In the published tables", _table(("paper", "tables", "run with"), settings)]
    errors = _errors(facts.name, papers, compared)
    if errors:
        parts += ["## Test errors, published and ours", _table(_ERRORS, errors)]
    parts += ["## Cite", f"{facts.paper}."]
    return "\n\n".join(parts) + "\n"


def _cost(facts: MethodFacts) -> str:
    if facts.name == "erm":
        return "**Cost.** The step that all others are compared with."
    said = "not measured" if facts.step_cost is None else f"{facts.step_cost:.2f} times ERM's"
    return f"**Cost.** A training step: {said} (`results/bench/step_cost.csv`, `make bench`)."


_ERRORS = ("data set", "network", "published, %", "by", "ours, %", "verdict")


def _errors(name: str, papers: Sequence[Paper], compared: DataFrame | None) -> list[list[str]]:
    """A line for each data set and network: the span of what papers printed, copies apart, and ours."""
    numbers = numbers_frame(papers, [name])
    ours = {} if compared is None else dict(zip(compared["id"], compared["ours"], strict=True))
    verdicts = {} if compared is None else dict(zip(compared["id"], compared["verdict"], strict=True))
    lines = []
    for (data, model, _), group in numbers[numbers["copied"].isna()].groupby(SAME):
        least, most = group["error"].min(), group["error"].max()
        run = [key for key in group["id"] if ours.get(key) is not None]
        means = [f"{ours[key].words(2)} (n={ours[key].n})" for key in run]
        by = ", ".join(
            f"{paper} ({count})" if count > 1 else paper
            for paper, count in group.groupby("paper", sort=False).size().items()
        )
        span = f"{least:g}" if least == most else f"{least:g} to {most:g}"
        lines.append(
            [data, model, span, by, "; ".join(means) or "-", "; ".join(verdicts[key] for key in run) or "-"]
        )
    return lines


def _option(name: str, default: str, comment: str) -> tuple[str, str, str]:
    return f"`method.{name}`", f"`{default}`", comment


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(word.replace("|", "\\|") for word in line) + " |" for line in lines)
