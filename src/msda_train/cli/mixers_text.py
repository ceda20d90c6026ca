"""The table of laws as text for a terminal and as the page docs/mixers.md."""

from collections import Counter
from collections.abc import Iterator, Sequence

from msda_train.cli.mixers import Found, cell
from msda_train.reporting.grid import GREEN, GREY, RED, YELLOW, Grid, draw, escape_markdown
from msda_train.reporting.number_words import many
from msda_train.selfcheck.laws.book import BOOK, LAWS, Law
from msda_train.selfcheck.laws.draws import P
from msda_train.selfcheck.laws.libraries import used_versions

TINTS = {"FAIL": RED, "pass": GREEN, "-": GREY}
DRAWN = "What is drawn"  # the group of laws whose numbers the page has in full
HEAD = """# Mixers and the papers

Written by `make mixers`: `msda-check mixers torchvision timm kornia`, with {versions}. Never edited by hand.

Every method of the suite that mixes labels and needs no loss or training of its own, and mixup and CutMix of
three libraries as their documentation makes them, are called as black boxes on images whose pixels say whose
they are: black, red, green and blue, 32 x 32, four in a batch. From a mixed pixel the weights of the images
follow exactly, so shares of pixels, boxes and partners are counted, not trusted. Distributions are put to the
Kolmogorov-Smirnov test, with the number of draws stated; p below {p:g} counts as a departure, which
chance alone makes once in a million.

**pass**: the law is kept. **differs**: another choice than the paper's code makes, a batch that is refused
with an error, or what most would not expect; nothing that comes out is wrong. **FAIL**: labels and pixels
disagree, or draws are not what was asked for. **-**: not asked.
"""


def text(found: Found, *, colour: bool = False) -> str:
    """The tables, and below them each departure with its numbers and what the paper says."""
    grids = draw(list(_grids(found)), "text", colour=colour)
    lines = [grids]
    for law, groups in _departures(found):
        lines.append(f"{law.name}: {law.says}")
        lines += [f"  {', '.join(names)}: {told}" for told, names in groups]
    counts = _counts(found)
    return "\n".join([*lines, "", counts]) + "\n"


def page(found: Found, left_out: Sequence[str] = ()) -> str:
    """docs/mixers.md; left_out: a line for each method that cannot be asked."""
    versions = ", ".join(f"{name} {v}" for name, v in used_versions(s.name for s in found).items())
    parts = [HEAD.format(versions=versions, p=P), "## The table\n", draw(list(_grids(found)), "markdown")]
    parts.append("## Where mixers depart\n")
    for law, groups in _departures(found):
        parts.append(f"### {law.name}\n\n{escape_markdown(law.says)}\n")
        parts += [f"- **{', '.join(names)}**: {escape_markdown(told)}" for told, names in groups]
        parts.append("")
    parts.append("## What was drawn\n\nThe numbers behind the second table.\n")
    for law in BOOK[DRAWN]:
        parts.append(f"### {law.name}, in numbers\n\n{escape_markdown(law.says)}\n")
        parts += [
            f"- {subject.name}: {escape_markdown(laws[law.name].words)}"
            for subject, laws in found.items()
            if laws[law.name].verdict != "none"
        ]
        parts.append("")
    parts.append("## The laws\n")
    parts += [f"- **{law.name}**: {escape_markdown(law.says)}" for law in LAWS]
    if left_out:
        parts.append("\n## Left out\n")
        parts += [f"- {escape_markdown(line)}" for line in left_out]
    return "\n".join([*parts, "", _counts(found)]) + "\n"


def _grids(found: Found) -> Iterator[Grid]:
    """A table of mixers for each group of laws."""
    from pandas import DataFrame

    for title, laws in BOOK.items():
        rows = [
            [subject.name, *(cell(outcomes[law.name]) for law in laws)] for subject, outcomes in found.items()
        ]
        table = DataFrame(rows, columns=["mixer", *(law.name for law in laws)])
        tints = TINTS | {word: YELLOW for row in rows for word in row[1:] if word.startswith("differs")}
        yield Grid(title, table, left=frozenset(range(len(laws) + 1)), tints=tints)


def _departures(found: Found) -> Iterator[tuple[Law, list[tuple[str, list[str]]]]]:
    """Each law that some mixer does not keep; what those do, one line for all that do the same."""
    for law in LAWS:
        groups: dict[str, list[str]] = {}
        for subject, outcomes in found.items():
            one = outcomes[law.name]
            if one.verdict in ("fail", "differs"):
                groups.setdefault(
                    f"{'FAILS' if one.verdict == 'fail' else 'differs'}: {one.words}", []
                ).append(subject.name)
        if groups:
            yield law, list(groups.items())


def _counts(found: Found) -> str:
    """The last line: how many of what."""
    verdicts = Counter(one.verdict for laws in found.values() for one in laws.values())
    wrong = [s.name for s, laws in found.items() if any(one.verdict == "fail" for one in laws.values())]
    kept = f"{verdicts['pass']} kept, {verdicts['differs']} differ, {verdicts['fail']} fail"
    told = f"{many(len(found), 'mixer')}, {len(LAWS)} laws: {kept}"
    return f"{told} ({', '.join(wrong)})" if wrong else told
