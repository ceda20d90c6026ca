"""What is said of the methods is read off their files, and docs/methods/ says just that."""

import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from msda_train.cli.table import main as run
from msda_train.comparison.compare import compare
from msda_train.comparison.table import lines_frame
from msda_train.core.paths import CONFIGS
from msda_train.records.bench import step_costs
from msda_train.records.published import load_papers
from msda_train.records.rows import load_rows
from msda_train.reporting.method_card import card
from msda_train.reporting.method_facts import all_methods, settings_of

REPO = Path(__file__).resolve().parents[2]
DOCS = REPO / "docs" / "methods"
METHODS = all_methods()
COMPARED = compare(load_papers(), lines_frame(load_rows([REPO / "results" / "rows"])[0]))


@pytest.mark.parametrize("facts", METHODS, ids=lambda facts: facts.name)
def test_every_method_is_told(facts):
    raw = OmegaConf.to_container(OmegaConf.load(CONFIGS / "method" / f"{facts.name}.yaml"))
    assert [name for name, _, _ in facts.options] == [key for key in raw if key != "_target_"]
    assert facts.sentence.endswith(".")
    assert "\n" not in facts.sentence
    assert "~ = " in facts.formula
    if facts.name != "erm":
        assert re.search(r"arXiv:\d{4}\.\d{5}|CVPR|Pattern Recognition", facts.paper), facts.paper
        assert len(facts.paper) < 200


@pytest.mark.parametrize("facts", METHODS, ids=lambda facts: facts.name)
def test_the_pages_are_what_the_files_say(facts):
    """`make cards` writes them."""
    page = DOCS / f"{facts.name}.md"
    assert page.read_text(encoding="utf-8") == card(facts, load_papers(), f"{facts.name}.png", COMPARED)
    assert page.with_suffix(".png").stat().st_size > 5_000


def test_settings_are_those_of_the_cells():
    found = settings_of("cutmix", load_papers())
    assert any("PyramidNet" in title or "CutMix" in title for title, _, _ in found)
    assert {words for _, _, words in found} >= {"method.prob=0.5", "method.prob=1.0"}
    assert settings_of("no such method", load_papers()) == []


def test_costs_are_the_benchmark_s(tmp_path):
    path = tmp_path / "step_cost.csv"
    assert step_costs(path) == {}
    path.write_text("method,ratio\nmixup,1.01\ncutmix,0.99\nfactor_mixup,\n")
    assert step_costs(path) == {"mixup": 1.01, "cutmix": 0.99}


def test_the_command(capsys):
    assert run(["methods"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()[4:]] == [facts.name for facts in METHODS]
    assert run(["methods", "puzzlemix"]) == 0
    assert "| `method.solver` | `batched` |" in capsys.readouterr().out
    assert run(["methods", "cutmux"]) == 2
    assert capsys.readouterr().err == "msda-table: method 'cutmux': unknown; did you mean 'cutmix'?\n"
