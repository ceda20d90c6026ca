"""Stored rows and stored published numbers make the golden tables.

After a change that is meant: `python tests/comparison/test_table.py` rewrites them; then read the diff.
"""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pandas
import pytest

from msda_train.comparison import match
from msda_train.comparison.table import lines_frame, summary_stat
from msda_train.records.frame import cells_frame
from msda_train.records.published import load_papers
from msda_train.records.rows import load_rows
from msda_train.reporting.grid import escape_latex
from msda_train.reporting.render import render

HERE = Path(__file__).parents[1] / "stored"


def of(rows, **names):
    return [row for row in rows if all(row.names[key] == name for key, name in names.items())]


GOLDEN = [("text", "error"), ("text", "nll"), ("markdown", "error"), ("latex", "error"), ("csv", "error")]


@pytest.mark.parametrize(("style", "metric"), GOLDEN)
def test_golden(rows, papers, style, metric):
    table = render(rows, style=style, metric=metric, papers=papers)
    assert table == (HERE / f"golden_{style}_{metric}.txt").read_text(encoding="utf-8")


def test_mean_and_sample_deviation_by_hand():
    stat = summary_stat([0.1, 0.2, 0.3])
    assert (stat.mean, stat.std, stat.n) == (pytest.approx(0.2), pytest.approx(0.1), 3)  # ddof 1
    assert summary_stat([0.1]).std is None


def test_seeds_make_one_line_and_parameters_make_others(rows):
    lines = lines_frame(of(rows, experiment="manifold_cifar10_preactresnet18"))
    assert set(lines.block) == {0}
    assert list(zip(lines.method, lines.seeds, strict=True)) == [
        ("erm", 3),
        ("mixup", 3),
        ("mixup alpha=0.2", 1),
        ("manifold_mixup", 3),
    ]
    for line in lines.to_dict("records"):
        assert [row.seed for row in line["rows"]] == [0, 1, 2][: line["seeds"]]
        for name in ("error/last", "nll/best"):
            by_hand = summary_stat([row.metrics[name] for row in line["rows"]])
            assert (line[name].mean, line[name].n) == (pytest.approx(by_hand.mean, rel=1e-14), by_hand.n)
            assert line[name].std == (pytest.approx(by_hand.std, rel=1e-9) if by_hand.n > 1 else None)


def test_a_number_that_not_all_seeds_have_is_no_statistic(rows):
    first, *others = of(rows, experiment="manifold_cifar10_preactresnet18", method="erm")
    probed = replace(first, metrics={**first.metrics, "ood/mean_of_2/auroc": 0.5})
    assert list(lines_frame([probed, *others])["ood/mean_of_2/auroc"]) == [None]
    assert lines_frame([probed])["ood/mean_of_2/auroc"][0] == summary_stat([0.5])


def test_order_of_rows_does_not_matter(rows, papers):
    assert render(rows[::-1], papers=papers) == render(rows, papers=papers)


def test_methods_in_the_house_order_then_by_name(rows):
    row = of(rows, experiment="mixup_cifar10_preactresnet18", method="erm")[0]
    named = [
        replace(row, fingerprint=name, names={**row.names, "method": name})
        for name in ("puzzlemix", "gmix", "attentive_cutmix", "cutmix", "cutout", "erm")
    ]
    assert list(lines_frame(named).method_name) == [
        "erm",
        "cutout",
        "cutmix",
        "gmix",
        "attentive_cutmix",
        "puzzlemix",
    ]


def test_an_accuracy_stays_one_and_ours_is_converted(rows, papers):
    tiny = of(rows, dataset="tinyimagenet")
    (line,) = csv.DictReader(io.StringIO(render(tiny, style="csv", papers=papers)))
    ours, difference = (float(line[f"{name}_in_published_unit"]) for name in ("ours", "difference"))
    assert ours == pytest.approx(100 - 100 * tiny[0].metrics["error/best"])
    assert difference == pytest.approx(ours - 58.70)


def test_no_published_number_stands_beside_incomplete_data(rows, papers):
    full = of(rows, experiment="mixup_cifar10_preactresnet18")
    partly = [replace(row, data={**row.data, "complete": False}) for row in full]
    for some, count in ((full, 2), (partly, 0)):
        found = match.with_fingerprints(cells_frame(papers), lines_frame(some)).fingerprint.dropna()
        assert len(found) == count
        assert render(some, papers=papers).count("Figure 3") == count
    # Complete and incomplete rows of one configuration are two blocks; only one has the published numbers.
    assert render([*full, *partly], papers=papers).count("Figure 3") == 2


def test_a_lie_in_the_names_puts_no_published_number_there(rows, papers):
    mixup = of(rows, experiment="manifold_cifar10_preactresnet18", method="mixup")
    row = next(row for row in mixup if row.config["method"]["alpha"] == 0.2)
    liar = replace(row, names={**row.names, "method": "erm"})
    table = render([liar], papers=papers)
    assert "some Table" not in table
    assert "_target_" in table


def test_same_words_over_other_images_are_told_apart(rows, papers):
    row = of(rows, dataset="digits", method="erm")[0]
    other = replace(row, data={**row.data, "content": "beef" * 16})
    table = render([row, other], papers=papers)
    assert table.count("dataset=digits") == 2
    assert "content beefbeefbeef" in table
    assert "content" not in render([row], papers=papers)


def test_mixed_machines_are_noted(rows, papers):
    table = render(of(rows, experiment="mixup_cifar10_preactresnet18"), papers=papers)
    machines = "1 on Made-up CPU, fp32; 1 on Made-up GPU, bf16"
    assert f"note: rows of different machines or precisions: {machines}" in table


def test_rows_of_several_experiments_in_one_column_are_typed_in_full(rows):
    pair = of(rows, experiment="mixup_cifar10_preactresnet18")
    pair[0] = replace(pair[0], names={**pair[0].names, "experiment": None})
    assert set(lines_frame(pair).words) == {
        "dataset=cifar10 model=preactresnet18 model.variant=mixup recipe=mixup"
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"drops": [0.25, 0.5]}, "recipe.drops=[0.25,0.5]"),
        ({"flip": False}, "recipe.flip=false"),
        ({"epochs": 200.0}, ""),
        ({"new": "two words"}, "+recipe.new='two words'"),
        ({"new": None}, ""),
    ],
)
def test_differences_are_what_to_type(rows, change, words):
    row = of(rows, experiment="mixup_cifar10_preactresnet18")[0]
    config = {**row.config, "recipe": {**row.config["recipe"], **change}}
    (found,) = lines_frame([replace(row, config=config)]).words
    assert found == f"experiment=mixup_cifar10_preactresnet18 {words}".strip()


def test_a_key_the_row_does_not_have(rows):
    row = of(rows, experiment="mixup_cifar10_preactresnet18")[0]
    recipe = {key: value for key, value in row.config["recipe"].items() if key != "momentum"}
    (found,) = lines_frame([replace(row, config={**row.config, "recipe": recipe})]).words
    assert found.endswith("~recipe.momentum")


def test_names_from_nowhere_neither_crash_nor_leave_the_line(rows, papers):
    row = of(rows, dataset="digits")[0]
    names = {
        "dataset": "../../etc/passwd",
        "model": None,
        "method": "\x1b[31m",
        "recipe": "no\nsuch",
        "experiment": "x/y",
    }
    for style in ("text", "markdown", "latex", "csv"):
        table = render([replace(row, names=names)], style=style, papers=papers)
        assert all(line.isprintable() for line in table.splitlines())


def test_csv_is_read_by_pandas(rows, papers):
    frame = pandas.read_csv(io.StringIO(render(rows, style="csv", papers=papers)))
    assert len(frame) == len({(row.fingerprint, row.data["content"]) for row in rows})
    line = frame[
        (frame.experiment == "manifold_cifar10_preactresnet18") & (frame.method_words == "erm")
    ].iloc[0]
    errors = [row.metrics["error/best"] for row in rows if row.fingerprint == line.fingerprint]
    assert line.error_best_mean_fraction == pytest.approx(sum(errors) / 3, abs=1e-15)
    assert line.seeds == 3
    assert (line.published_value, line.published_std) == (4.80, 0.060)
    assert frame[frame.method_words == "mixup"].published_cells.max() == 2
    assert frame[frame.seeds == 1].error_best_std_fraction.isna().all()


def test_latex_escaping():
    assert escape_latex(r"a_b & 5% of #1 {x} ~ ^ \ $ ± <>") == (
        r"a\_b \& 5\% of \#1 \{x\} \textasciitilde{} \textasciicircum{} \textbackslash{} \$ $\pm$"
        r" \textless{}\textgreater{}"
    )
    assert escape_latex("-0.12") == "$-0.12$"


def test_fingerprints_are_remembered_until_a_config_changes(tmp_path, monkeypatch, rows, papers):
    monkeypatch.setattr(match, "CACHE", tmp_path / "home" / "cache.json")
    some = of(rows, experiment="mixup_cifar10_preactresnet18", method="erm")
    cells, lines = cells_frame(papers), lines_frame(some)
    first = match.with_fingerprints(cells, lines)
    assert set(first.fingerprint.dropna()) == {some[0].fingerprint}
    composed = []
    monkeypatch.setattr(match, "compose_configs", lambda wanted: composed.append(wanted) or {})
    assert match.with_fingerprints(cells, lines).equals(first)
    assert not composed
    match.CACHE.write_text(json.dumps({"key": "another state of configs", "fingerprints": {}}))
    with pytest.raises(KeyError):
        match.with_fingerprints(cells, lines)
    assert composed


@pytest.mark.parametrize("content", ["", "[]", "{", '{"key": 1}', '"a"'])
def test_a_broken_cache_or_a_home_that_cannot_be_written_costs_nothing(tmp_path, monkeypatch, content):
    monkeypatch.setattr(match, "CACHE", tmp_path / "file")
    match.CACHE.write_text(content)
    assert match._remembered("key") == {}
    monkeypatch.setattr(match, "CACHE", tmp_path / "file" / "below")
    match._remember("key", {})


def test_without_papers_only_our_numbers(rows):
    table = render(rows, papers=[])
    assert "4.81 ± 0.07" in table
    assert "publ." not in table


def test_what_an_experiment_leaves_open_is_the_training_command_s_default(papers):
    cell = next(cell for cell in papers[1].cells if cell.not_runnable is None)
    assert match._typed(cell) == ("cifar10", "preactresnet18", cell.method, "manifold_mixup")
    assert match._typed(replace(cell, experiment=None)) == ("digits", "preactresnet18", cell.method, "short")


def test_no_rows_no_table():
    assert [render([], style=style) for style in ("text", "csv")] == ["", ""]


if __name__ == "__main__":
    for style, metric in GOLDEN:
        table = render(load_rows([HERE / "rows"])[0], style, metric, load_papers(HERE / "published"))
        (HERE / f"golden_{style}_{metric}.txt").write_text(table, encoding="utf-8")
