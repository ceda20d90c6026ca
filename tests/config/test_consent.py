"""Standing in a folder is not consent: of its code only what was typed runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import msda_train

HOSTILE = (
    *(
        "sitecustomize",
        "usercustomize",
        "numpy",
        "yaml",
        "torch",
        "omegaconf",
        "hydra",
        "tqdm",
        "PIL",
        "colorama",
    ),
    *("triton", "optree", "IPython", "matplotlib", "json", "hydra_plugins/evil", "msda_train/__init__"),
)
METHOD = """
from dataclasses import dataclass
from my_helper import WEIGHT
from msda_train.methods.mixup import Mixup

@dataclass(frozen=True)
class Mine(Mixup):
    prob: float = WEIGHT

    def plan(self, x, y, model, rng):
        import my_late_helper
        return super().plan(x, y, model, rng)
"""
COMMANDS = ("train", "table", "data", "probe", "plot")


@pytest.fixture
def run(tmp_path, cache):
    """Runs Python in a folder full of traps; gives (exit code, stderr, what of the folder was executed)."""
    for name in HOSTILE:
        _write(
            tmp_path / f"{name}.py", f"open({str(tmp_path / 'executed')!r}, 'a').write({name!r} + '\\n')\n"
        )
    _write(tmp_path / ".env", "HYDRA_FULL_ERROR=1\n")
    _write(tmp_path / "configs" / "method" / "erm.yaml", "_target_: numpy.trap\n")
    _write(tmp_path / "my_methods.py", METHOD)
    _write(tmp_path / "my_helper.py", "WEIGHT = 0.75\n")
    _write(tmp_path / "my_late_helper.py", "")

    def made(*command):
        environment = {**os.environ, "PYTHONPATH": str(Path(msda_train.__file__).parents[1])}
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        executed = tmp_path / "executed"
        return done.returncode, done.stderr, executed.read_text() if executed.exists() else ""

    return made


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _entry(module, *words):
    """As the console script does it: not the current folder is in front of the path."""
    return ["-P", "-c", f"import sys; from msda_train.cli.{module} import main; sys.exit(main())", *words]


def test_training_probing_and_listing_execute_nothing_of_the_folder(run, small_run, tmp_path):
    assert run(*_entry("train", *small_run, "probes=mixup_fgsm"))[::2] == (0, "")
    assert run(*_entry("table", "runs"))[::2] == (0, "")
    assert run(*_entry("probe", "runs", "probes=mixup_fgsm", "probes.adversarial.images=10"))[::2] == (
        0,
        "",
    )
    assert run(*_entry("plot", "runs", "robustness"))[::2] == (0, "")
    assert run(*_entry("data", "list"))[::2] == (0, "")


@pytest.mark.parametrize("module", [*COMMANDS, "worker"])
def test_as_a_module_too(run, tmp_path, module):
    """Without -P Python itself would take a msda_train/ of the folder; what comes after is ours to say."""
    (tmp_path / "msda_train" / "__init__.py").unlink()
    (tmp_path / "msda_train").rmdir()
    words = [] if module == "worker" else ["--help"]
    assert run("-m", f"msda_train.cli.{module}", *words)[::2] == (0, "")


def test_a_typed_target_is_consent_for_it_and_what_it_imports(run, small_run, tmp_path):
    code, err, executed = run(*_entry("train", *small_run, "method._target_=my_methods.Mine"))
    assert (code, executed) == (0, ""), err
    _write(tmp_path / "mine" / "method" / "half.yaml", "_target_: my_methods.Mine\nalpha: 0.5\n")
    words = ["--config-dir", "mine", "-m", "method=half,erm", *small_run]
    code, err, executed = run(*_entry("train", *words))
    assert (code, executed) == (0, ""), err
    assert "2 of 2 jobs complete" in err


def test_a_typed_name_of_the_folder_runs_a_librarys_is_the_librarys(run, small_run):
    code, err, executed = run(*_entry("train", *small_run, "method._target_=colorama.Mine"))
    assert (code, executed) == (2, "colorama\n"), err
    code, err, executed = run(*_entry("train", *small_run, "method._target_=yaml.Mine"))
    assert (code, executed) == (2, "colorama\n"), err


def test_a_published_file_names_options_only(tmp_path):
    from msda_train.core.errors import UserError
    from msda_train.records.published import read_paper

    text = (Path(__file__).parents[1] / "stored" / "published" / "some.yaml").read_text()
    for word in ("method._target_=os.system", "hydra.launcher=x", "runs=/etc", "recipe.lr=${oc.env:HOME}"):
        path = tmp_path / "some.yaml"
        path.write_text(text.replace("set: [", f"set: ['{word}', ", 1))
        assert path.read_text() != text
        with pytest.raises(UserError, match="nothing else"):
            read_paper(path)
