"""docs/notebook.ipynb runs from its first cell to its last, and what it shows is what it computes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import msda_train

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
CODE = [cell for cell in CELLS if cell["cell_type"] == "code"]


def test_it_has_been_executed():
    assert [cell["execution_count"] for cell in CODE] == list(range(1, len(CODE) + 1))
    kinds = {kind for cell in CODE for out in cell["outputs"] for kind in out.get("data", {})}
    assert kinds == {"text/plain", "text/html", "image/png"}
    assert not any(out["output_type"] == "error" for cell in CODE for out in cell["outputs"])
    assert not any(out.get("name") == "stderr" for cell in CODE for out in cell["outputs"])


@pytest.fixture(scope="module")
def variables(tmp_path_factory):
    """What its cells leave behind, run as one program with a fewer epochs; some as JSON."""
    source = "\n\n".join("".join(cell["source"]) for cell in CODE)
    assert source.count("recipe.epochs=6") == 1
    program = source.replace("recipe.epochs=6", "recipe.epochs=2").replace("model.width=8", "model.width=4")
    program += "\nimport json"
    program += (
        "\nlines = [[*map(str, name), *map(float, line)] for name, line in zip(theirs.index, theirs.values)]"
    )
    program += "\ntold = {'seeds': summary['count'].to_dict(), 'theirs': lines, 'found': found.tolist()}"
    program += "\nlast = curves.query('epoch == 2').groupby('method')['error'].mean().to_dict()"
    program += "\nprint(json.dumps(told | {'last': last, 'mean': summary['mean'].to_dict()}))"
    env = os.environ | {"PYTHONPATH": str(Path(msda_train.__file__).parents[1]), "MPLBACKEND": "Agg"}
    folder = tmp_path_factory.mktemp("notebook")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=env, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_it_runs(variables):
    assert variables["seeds"] == {"cutmix": 2, "erm": 2, "mixup": 2}
    assert variables["last"] == pytest.approx(variables["mean"], rel=1e-5)  # history.csv, and the rows
    assert sum(variables["found"]) == pytest.approx(1, abs=1e-5)


def test_the_published_numbers_that_it_shows_are_still_published(variables):
    """Papers that were entered later may be missing."""
    shown = "".join("".join(out["data"]["text/html"]) for out in CODE[3]["outputs"])
    printed = [
        [f"<th>{model}</th>", *(f"<td>{round(value, 2):.2f}</td>" for value in values if value == value)]
        for _, model, *values in variables["theirs"]
    ]
    assert sum(all(word in shown for word in line) for line in printed) >= 8
