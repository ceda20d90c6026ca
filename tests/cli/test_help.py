"""`msda-train --help`, short; --help-all, everything; completion of words in the shells that are here."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import msda_train
from msda_train.cli.train import main
from msda_train.config.compose import compose
from msda_train.core.paths import CONFIGS

SCREEN = 55  # lines: one and a half of 36


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["method=cutmix", "--help"], ["-m", "--help"]])
def test_help_is_short_and_names_every_word(capsys, words):
    assert main(words) == 0
    told = capsys.readouterr().out
    lines = told.splitlines()
    assert len(lines) <= SCREEN
    assert max(map(len, lines)) <= 110
    for group in ("method", "dataset", "model", "recipe", "logger"):
        for path in (CONFIGS / group).glob("*.yaml"):
            assert path.stem in told


def test_what_it_tells_to_type_composes(capsys):
    main(["--help"])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    typed = [line.split("  ")[0] for line in lines if line.startswith("msda-train ") and "  " in line]
    assert len(typed) == 10
    for line in typed:
        words = [word.partition(",")[0] for word in line.split()[1:] if word != "-m"]
        compose(*(word.replace("NAME", "mixup_iris_mlp") for word in words))


def test_help_all_has_every_option_of_the_words_before(capsys):
    assert main(["method=cutmix", "--help-all"]) == 0
    told = capsys.readouterr().out
    assert "corners: integer" in told
    assert "experiment: comixup_cifar100" in told
    assert "msda-train --help\n" in told.replace(".\n", "\n")


# What each shell prints for a line that was begun, once Hydra's completion is installed as the README says.
SHELLS = {
    "bash": """
        eval "$(msda-train -sc install=bash)"
        COMP_LINE="$LINE" COMP_POINT=${#LINE} COMP_WORDS=($LINE) COMP_CWORD=1
        hydra_bash_completion; printf '%s\n' "${COMPREPLY[@]}"
    """,
    "zsh": """
        autoload -Uz compinit bashcompinit; compinit -u; bashcompinit
        eval "$(msda-train -sc install=zsh)"
        export COMP_LINE="$LINE" COMP_POINT=${#LINE} COMP_CWORD=1; words=(${=LINE}); CURRENT=2
        COMP_WORDS=(${=LINE})
        compgen -F hydra_bash_completion -- method=cu
    """,
    "fish": 'msda-train -sc install=fish | source; complete -C "$LINE"',
}


@pytest.mark.parametrize("shell", SHELLS)
def test_words_are_completed(tmp_path, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"without {shell}")
    program = tmp_path / "bin" / "msda-train"
    program.parent.mkdir()
    code = "import sys\nfrom msda_train.cli.train import main\nsys.exit(main())\n"
    program.write_text(f"#!{sys.executable}\n{code}")
    program.chmod(0o755)
    env = os.environ | {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(msda_train.__file__).parents[1]),
        "HOME": str(tmp_path),
        "LINE": "msda-train method=cu",
    }
    done = subprocess.run([shell, "-c", SHELLS[shell]], env=env, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["method=cutmix", "method=cutout"], done.stderr
