"""What `msda-train --help` says: the ten things that most people want, and the words to choose among."""

import textwrap
from collections.abc import Sequence

from msda_train.config.groups import words_of

WIDTH = 100
LISTED = ("method", "dataset", "model", "regulariser", "recipe", "probes", "logger", "task")

EXAMPLES = """\
msda-train trains one network with one mixing method and writes a row; running it again resumes.

  msda-train method=cutmix                                 a run on digits, which come along
  msda-train method=mixup method.alpha=0.2 seed=1          with an option, another seed
  msda-train -m method=mixup,cutmix seed=0,1               a sweep of four runs, ending with its table
  msda-train dataset=cifar10 recipe=mixup                  other data (msda-data prepare cifar10)
  msda-train dataset=own dataset.root=FOLDER               your own images (README: size, test_share)
  msda-train experiment=NAME method=mixup                  one column of a published table (msda-table list)
  msda-train model=wrn28_10 recipe.epochs=30 device=cuda   another network, fewer epochs, on a GPU
  msda-train method=cutmix probes=standard                 then calibration, attacks, shifts (msda-probe)
  msda-train method=cutmix logger=tensorboard              curves and examples in the tools you keep open
  msda-train method=cutmix runs=FOLDER                     where its row goes (msda-table FOLDER)
"""

FLAGS = """\
  -m                  a sweep: one run for each combination of values with commas
  --cfg job           only print what would be run; --info also says where each value is from
  --config-dir DIR    also take words from your own yaml files, DIR/method/NAME.yaml
  --help-all          every group, every option with its value; after words: those they choose
  --hydra-help        flags of Hydra, which reads the words; -sc install=bash, zsh or fish completes them

Other commands: msda-table, msda-data, msda-probe, msda-plot, msda-check, msda-export; each has --help.
"""


def asked(words: Sequence[str]) -> bool:
    """Whether these words want the short help."""
    return not {"--help", "-h"}.isdisjoint(words)


def short_help() -> str:
    """A screen and a half."""
    lists = "".join(_listed(group) for group in LISTED)
    return f"{EXAMPLES}\nWords, GROUP=WORD:\n{lists}\nFlags:\n{FLAGS}"


def _listed(group: str) -> str:
    names = ", ".join(words_of(group))
    return textwrap.fill(names, WIDTH, initial_indent=f"  {group:12}", subsequent_indent=" " * 14) + "\n"
