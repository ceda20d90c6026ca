"""Error against cost: the frontier by hand, from stored rows with errors and speeds of our choosing."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from msda_train.cli.table import main as run
from msda_train.comparison.frontier import frontier_frame
from msda_train.comparison.table import lines_frame
from msda_train.comparison.verdict import half_width
from msda_train.records.bench import step_costs
from msda_train.reporting.frontier import frontier_picture

KEPT = Path(__file__).resolve().parents[2] / "results" / "rows"


@pytest.fixture
def made(rows):
    """`made(method, epochs, errors, speed)`: one row per error, of the digits."""
    some = next(row for row in rows if row.names["dataset"] == "digits" and row.names["method"] == "erm")

    def make(method, epochs, errors, speed=100.0):
        name = {"method": method}
        node = {"_target_": f"msda_train.methods.{method}.{method.title()}"}
        config = some.config | {"method": node, "recipe": some.config["recipe"] | {"epochs": epochs}}
        return [
            replace(
                some,
                fingerprint=f"{method}{epochs}",
                column=f"column{epochs}",
                seed=seed,
                names=some.names | name,
                config=config,
                metrics=some.metrics | {"error/last": error},
                images_per_second=speed,
            )
            for seed, error in enumerate(errors)
        ]

    return make


def test_the_frontier_by_hand(made):
    rows = [
        *made("erm", 10, [0.30, 0.30]),
        *made("mixup", 10, [0.20, 0.20]),  # beats ERM at its cost
        *made("cutmix", 10, [0.10, 0.50]),  # undecided: its interval holds everything
        *made("erm", 20, [0.25, 0.25]),  # dearer and worse than mixup
        *made("mixup", 20, [0.15, 0.15]),
        *made("manifold_mixup", 20, [0.40]),  # a single run has no interval
    ]
    found = frontier_frame(lines_frame(rows)).set_index(["method_name", "cost"])["on"].to_dict()
    assert found["erm", 10] == "no"
    assert found["mixup", 10] == "yes"
    assert found["cutmix", 10] == "perhaps"
    assert found["erm", 20] == "no"
    assert found["mixup", 20] == "yes"
    assert {group for group in frontier_frame(lines_frame(rows))["group"]} == {0}


def test_the_cost_of_steps_is_the_benchmarks(made):
    (line,) = frontier_frame(lines_frame(made("puzzlemix", 10, [0.1]))).itertuples()
    ratio = step_costs()["puzzlemix"]
    assert line.cost == pytest.approx(10 * ratio, abs=10 * 0.025 + 1e-9)
    assert math.isnan(line.half)
    assert frontier_frame(lines_frame(made("nobody_measured", 10, [0.1]))).empty


def test_the_cost_in_seconds_is_the_runs_own(made):
    rows = [*made("erm", 10, [0.2, 0.4], speed=50.0), *made("nobody_measured", 10, [0.1], speed=100.0)]
    images = rows[0].data["train_images"]
    cheap, dear = frontier_frame(lines_frame(rows), "seconds").itertuples()
    assert (cheap.cost, dear.cost) == (10 * images / 100, 10 * images / 50)
    assert dear.half == pytest.approx(half_width(math.sqrt(0.02), 2))


def test_a_recipe_without_epochs_costs_nobody_knows_what(made):
    rows = made("erm", "many", [0.1])
    assert frontier_frame(lines_frame(rows)).empty
    assert frontier_picture(frontier_frame(lines_frame(rows)), "steps") is None


def test_the_command(capsys):
    assert run(["frontier", str(KEPT)]) == 0
    assert "epochs of ERM" in capsys.readouterr().out
    assert run(["frontier", str(KEPT), "--cost", "seconds", "--csv"]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("group,method,trained by,seconds of training")
    assert run(["frontier", "--cost", "money", str(KEPT)]) == 2
    assert "money" in capsys.readouterr().err


def test_the_report_has_it(tmp_path, capsys):
    assert run(["report", str(KEPT), "--out", str(tmp_path / "r.html")]) == 0
    assert "Error against cost" in (tmp_path / "r.html").read_text()
