"""`msda-table disagree [METHOD...]`: how far apart papers are about the same baseline, without any run."""

from msda_train.cli.files import print_grids, sound_papers
from msda_train.cli.parser import Parser, add_published, add_styles
from msda_train.comparison.disagreement import METHODS
from msda_train.config.method_look import method_order
from msda_train.core.errors import UserError, nearest
from msda_train.reporting.disagreement import disagreement_grids


def main(words: list[str]) -> int:
    """Print errors, gains and the numbers behind them. Exit code 2 if there are bad files."""
    parser = Parser(
        prog="msda-table disagree",
        description="The same data set, network and method in different papers: how far apart they are.",
    )
    parser.add_argument("methods", nargs="*", metavar="METHOD", help=f"default: {' '.join(METHODS)}")
    add_published(parser)
    add_styles(parser)
    args = parser.parse(words)
    known = method_order()
    for name in args.methods:
        if name not in known:
            raise UserError(f"method '{name}': unknown; {nearest(name, known)}")
    papers, code = sound_papers(args.published)
    grids = disagreement_grids(papers, tuple(dict.fromkeys(args.methods)) or METHODS)
    print_grids(grids, args.style, lambda: grids[-1].table.to_dict("records"))
    return code
