"""`msda-table methods [NAME]`: the words of `method=`, a line each; or one of them on a page."""

from pandas import DataFrame

from msda_train.cli.files import existing_folders, sound_papers, sound_rows
from msda_train.cli.parser import Parser, add_published
from msda_train.comparison.compare import compare
from msda_train.comparison.table import lines_frame
from msda_train.core.errors import UserError, nearest
from msda_train.reporting.grid import Grid, draw
from msda_train.reporting.method_card import card
from msda_train.reporting.method_facts import all_methods


def main(words: list[str]) -> int:
    """Print the list, or one method's card in markdown."""
    parser = Parser(prog="msda-table methods", description="The mixing methods of the suite.")
    parser.add_argument("name", nargs="?", metavar="NAME", help="one method: paper, options, settings, cost")
    add_published(parser)
    args = parser.parse(words)
    methods = {facts.name: facts for facts in all_methods()}
    if args.name is None:
        said = [(each.name, each.sentence, each.step_cost) for each in methods.values()]
        shown = DataFrame(said, columns=["method", "what it does", "step"])
        shown["step"] = shown["step"].map("{:.2f}".format, na_action="ignore").fillna("-")
        facts = ["msda-table methods NAME: paper, options, settings of the papers; step: its time over ERM's"]
        print(draw([Grid("methods", shown, facts, left=frozenset({0, 1}))], "text"), end="")
        return 0
    if args.name not in methods:
        raise UserError(f"method '{args.name}': unknown; {nearest(args.name, methods)}")
    papers, slips = sound_papers(args.published)
    rows, damaged = sound_rows(existing_folders([]))
    compared = compare(papers, lines_frame(rows))
    print(card(methods[args.name], papers, compared=compared), end="")
    return slips or damaged
