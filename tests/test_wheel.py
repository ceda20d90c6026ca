"""The built wheel, in a fresh environment, from an empty folder."""

import json
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import msda_train

REPO = Path(msda_train.__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not (REPO / "pyproject.toml").exists(), reason="not a checkout")


def _run(*command, cwd):
    done = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    _run(*pip, "--wheel-dir", out, REPO, cwd=out)
    return next(out.glob("*.whl"))


def test_the_wheel_carries_configs_and_published_numbers(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for folder, inside in ((REPO / "configs", "configs"), (REPO / "results" / "published", "published")):
        for path in folder.rglob("*.yaml"):
            assert f"msda_train/{inside}/{path.relative_to(folder).as_posix()}" in names
    assert not [n for n in names if "tests" in n or n.endswith((".pt", ".npz"))]


def test_an_installed_wheel_trains_from_an_empty_folder(wheel, tmp_path):
    """The environment's own site-packages hold the wheel and nothing else. The dependencies, gigabytes of
    them, are lent from this environment by path, which does not make an editable install of ours
    visible."""
    home, empty = tmp_path / "env", tmp_path / "empty"
    empty.mkdir()
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    site = Path(
        _run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=empty).strip()
    )
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index"]
    _run(*pip, wheel, cwd=empty)
    (site / "lent.pth").write_text("\n".join({sysconfig.get_path(p) for p in ("purelib", "platlib")}))
    where = _run(python, "-c", "import msda_train; print(msda_train.__file__)", cwd=empty).strip()
    assert Path(where).is_relative_to(home)
    words = ["method=cutmix", "recipe=smoke", "model.width=4", "dataset.subset=100", "threads=1"]
    words += [f"dataset.cache={tmp_path / 'cache'}", "recipe.batch_size=50"]
    _run(home / "bin" / "msda-train", *words, cwd=empty)
    (row,) = empty.rglob("row.json")
    environment = json.loads(row.read_text())["environment"]
    assert environment["commit"] is None
    assert "cutmix" in _run(home / "bin" / "msda-table", cwd=empty)
    assert "digits" in _run(home / "bin" / "msda-data", "list", cwd=empty)
    assert "experiment" in _run(home / "bin" / "msda-train", "--help", cwd=empty)
