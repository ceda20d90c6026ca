"""Published cells and our rows side by side: who stands beside whom, and who does not."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
from pandas import DataFrame
from pandas.testing import assert_frame_equal
from scipy import stats

from msda_train.comparison.compare import compare, find_paper, find_table, kendall_tau, resembling
from msda_train.comparison.table import lines_frame
from msda_train.core.errors import UserError
from msda_train.records.published import load_papers, read_paper
from msda_train.reporting.grid import Grid, draw
from msda_train.reporting.table_view import NONE, records, table_grids

HERE = Path(__file__).parents[1] / "stored"


@pytest.fixture(scope="module")
def shipped():
    return load_papers()


def one(papers, rows, word):
    """The cells of a table, and the lines that only resemble its columns."""
    paper, table = find_table(papers, word)
    lines = lines_frame(rows)
    found = compare(papers, lines, (paper.key, table.id))
    return found, resembling(found, lines)


def test_only_the_cells_own_runs_stand_beside_it(papers, rows):
    cells, _ = one(papers, rows, "some/table1")
    counted = {line.label + line.metric: [row.seed for row in line.rows] for line in cells.itertuples()}
    assert counted == {
        "Noneerror": [0, 1, 2],
        "Nonenll": [0, 1, 2],
        "Inputerror": [0, 1, 2],
        "Quotederror": [],
    }
    first = cells.iloc[0]
    errors = [100 * row.metrics["error/best"] for row in first.rows]
    assert (first.ours.mean, first.ours.n) == (pytest.approx(sum(errors) / 3), 3)
    assert list(cells.verdict)[3] == "not runnable"
    assert list(cells.id) == [f"some/table1/{number}" for number in (1, 2, 3, 4)]


def test_the_whole_and_its_part_agree(papers, rows):
    lines = lines_frame(rows)
    cells = compare(papers, lines)
    assert list((cells.paper + "/" + cells.table).unique()) == [
        "other/table9",
        "some/table1",
        "some/table2",
        "some/figure3",
    ]
    assert list(cells.cell) == [cell for paper in papers for cell in paper.cells]
    for part, whole in zip(one(papers, rows, "some/table1"), (cells, resembling(cells, lines)), strict=True):
        mine = whole[whole.table == "table1"].reset_index(drop=True)
        assert len(mine)
        assert_frame_equal(part, mine, check_dtype=False)


def test_incomplete_data_never_stand_under_a_published_number(papers, rows):
    partly = [replace(row, data={**row.data, "complete": False}) for row in rows]
    cells = compare(papers, lines_frame(partly))
    assert not any(cells.rows)
    assert cells.block.isna().all()


def test_one_row_per_seed_and_one_decoding(papers, rows):
    mine = [row for row in rows if row.fingerprint.startswith("bb2c62b3")]
    other = replace(mine[0], data={**mine[0].data, "content": "b" * 32})
    cells, _ = one(papers, [other, *mine, *mine], "some/table1")
    (counted,) = cells.rows[cells.label == "Input"]
    assert [row.seed for row in counted] == [0, 1, 2]
    assert len({row.data["content"] for row in counted}) == 1


def test_another_configuration_has_a_block_of_its_own(papers, rows):
    cells, others = one(papers, rows, "some/table1")
    words = set(others.words)
    assert "dataset=cifar10 dataset.subset=1000 model=preactresnet18 model.width=16 recipe=short" in words
    assert "experiment=mixup_cifar10_preactresnet18" in words
    shown, beside = ({row.path for some in frame.rows for row in some} for frame in (others, cells))
    assert beside
    assert not shown & beside
    assert not any("digits" in word for word in words)


def test_rows_that_were_not_probed_make_no_table_of_a_probed_column(shipped, rows):
    cells, others = one(shipped, rows, "manifold_mixup/table7")
    assert set(cells.compared_with[cells.not_runnable.isna()]) & set(rows[0].metrics) == set()
    assert others.empty
    assert (
        len(table_grids(cells, others))
        == cells.groupby(["dataset", "model", "experiment"], dropna=False).ngroups
    )


METHODS = {
    "erm": {"_target_": "msda_train.methods.erm.Erm"},
    "mixup": {
        "_target_": "msda_train.methods.mixup.Mixup",
        "alpha": 1.0,
        "prob": 1.0,
        "lam_per": "batch",
        "pairing": "permutation",
    },
}
METHODS["manifold_mixup"] = METHODS["mixup"] | {
    "_target_": "msda_train.methods.manifold_mixup.ManifoldMixup",
    "alpha": 2.0,
    "depths": [0, 1, 2],
}


def short(rows, papers, errors, **changes):
    """The lines of made-up short runs with these best errors, beside Manifold Mixup's Table 1(a)."""
    row = next(row for row in rows if row.names["recipe"] == "short" and row.names["method"] == "erm")
    made = [
        replace(
            row,
            fingerprint=method,
            names={**row.names, "method": method},
            config={**row.config, "method": METHODS[method] | changes.get(method, {})},
            metrics={**row.metrics, "error/best": error},
        )
        for method, error in errors.items()
    ]
    return one(papers, made, "manifold_mixup/table1a")[1]


def test_rank_agreement_with_the_paper(rows, shipped):
    """The paper: No Mixup 4.83, Input Mixup 3.82, Manifold Mixup 2.95."""
    same = short(rows, shipped, {"erm": 0.5, "mixup": 0.4, "manifold_mixup": 0.3})
    assert (set(same.tau), set(same.common)) == ({1}, {3})
    assert [cell.value for cell in same.theirs] == [4.83, 3.82, 2.95]
    assert set(short(rows, shipped, {"erm": 0.3, "mixup": 0.4, "manifold_mixup": 0.5}).tau) == {-1}
    assert set(short(rows, shipped, {"erm": 0.5, "mixup": 0.4}).tau) == {None}


def test_a_method_with_another_parameter_is_another_method(rows, shipped):
    errors = {"erm": 0.5, "mixup": 0.4, "manifold_mixup": 0.3}
    block = short(rows, shipped, errors, mixup={"alpha": 0.2})
    assert [cell is not None for cell in block.theirs] == [True, False, True]
    assert set(block.tau) == {None}


@pytest.mark.parametrize("seed", range(20))
def test_kendall_is_scipys(seed):
    rng = random.Random(seed)
    one, other = ([rng.randint(0, 4) for _ in range(rng.randint(3, 9))] for _ in range(2))
    one, other = one[: len(other)], other[: len(one)]
    if len(set(one)) > 1 and len(set(other)) > 1:
        assert kendall_tau(one, other) == pytest.approx(stats.kendalltau(one, other).statistic)


def test_kendall_where_there_is_no_order():
    assert kendall_tau([1, 1, 1], [1, 2, 3]) is None
    assert kendall_tau([1, 2], [1, 2]) is None


def test_a_block_shows_orders_and_no_published_number(rows, shipped):
    short_rows = [row for row in rows if row.names["recipe"] == "short"]
    grids = table_grids(*one(shipped, short_rows, "manifold_mixup/table1a"))
    text = draw([grids[-1]], "text")
    assert "another configuration than manifold_mixup/table1a" in text
    assert "not the complete data set" in text
    assert "4.83" not in text
    assert "order not compared with the paper's: methods in common 1" in text


def test_equal_ranks_and_accuracies(shipped, rows):
    """Where more is better, the highest comes first."""
    tiny = next(row for row in rows if row.names["dataset"] == "tinyimagenet")
    made = []
    for alpha, error in ((0.2, 0.5), (0.5, 0.5), (1.0, 0.4)):
        method = {**tiny.config["method"], "alpha": alpha}
        recipe = {**tiny.config["recipe"], "epochs": 20}
        made.append(
            replace(
                tiny,
                fingerprint=str(alpha),
                config={**tiny.config, "method": method, "recipe": recipe},
                metrics={**tiny.metrics, "error/best": error},
            )
        )
    cells, block = one(shipped, made, "manifold_mixup/table3")
    assert set(block.common) == {3}
    paper, ours = [58.70, 57.24, 56.83], [50, 50, 60]
    found = sorted((line.theirs.value, line.ours.mean) for line in block.itertuples())
    assert found == [(theirs, pytest.approx(mine)) for theirs, mine in sorted(zip(paper, ours, strict=True))]
    assert block.tau[0] == pytest.approx(stats.kendalltau(paper, ours).statistic)
    shown = table_grids(cells, block)[-1].table
    assert [tuple(row[2:]) for row in shown.to_numpy()] == [("2", "1"), ("2", "2"), ("1", "3")]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("manifold/table1a", "there is no paper 'manifold'; did you mean 'manifold_mixup'?"),
        ("manifold_mixup/table1c", "has no table 'table1c'; did you mean"),
        ("manifold_mixup", "'manifold_mixup' has several tables; choose from: manifold_mixup/table1a"),
        ("zzz", "there is no paper 'zzz'; choose from: adautomix, automix"),
        ("", "there is no paper ''"),
    ],
)
def test_names_that_do_not_exist(shipped, word, message):
    with pytest.raises(UserError) as caught:
        find_table(shipped, word)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_that_do(shipped):
    assert find_table(shipped, "cutmix/table5")[1].name == "Table 5"
    assert find_table(shipped, "cutout")[1].id == "readme"
    assert find_paper(shipped, "mixup").key == "mixup"


def test_what_is_shown_of_a_cell(papers, rows):
    grid = table_grids(*one(papers, rows, "some/table1"))[0]
    assert grid.table["verdict"][0] == "reproduced"
    assert list(grid.table.iloc[3, 3:7]) == ["9.99", NONE, NONE, NONE]
    assert any("margins: ±0.5 points, at most 10 % of the number" in fact for fact in grid.facts)
    assert any(line == "4 not runnable: not theirs" for line in grid.foot)
    assert grid.foot[0].startswith("1: Ours - published +0.01, 90 % interval")


def test_a_record_holds_everything_at_full_precision(papers, rows):
    cells, _ = one(papers, rows, "some/table1")
    made = records(cells)[0]
    assert made["ours_mean"] == cells.ours[0].mean
    assert (made["cell"], made["published"], made["verdict"]) == ("some/table1/1", "4.80", "reproduced")
    assert made["overrides"] == "experiment=manifold_cifar10_preactresnet18 method=erm"


def test_another_protocol_is_shown_and_not_compared(tmp_path, papers, rows):
    text = (HERE / "published" / "other.yaml").read_text()
    path = tmp_path / "other.yaml"
    path.write_text(text.replace("protocol: error/median_last10", "protocol: other, note: mean of ten crops"))
    (cell,) = one([read_paper(path)], rows, "other/table9")[0].itertuples()
    assert (cell.verdict, cell.ours, len(cell.rows)) == ("other protocol", None, 3)
    assert "mean of ten crops" in cell.sentence


def test_colour_only_if_asked_and_alignment_kept():
    grid = Grid(
        "title",
        DataFrame({"a": ["b"], "verdict": ["worse, 3 seeds"]}),
        left=frozenset({0, 1}),
        tints={"worse": "31"},
    )
    plain, coloured = draw([grid], "text"), draw([grid], "text", colour=True)
    assert "\x1b" not in plain
    assert coloured.replace("\x1b[31m", "").replace("\x1b[0m", "") == plain
    assert "\x1b[31m" in coloured


def test_html_escapes_every_word():
    evil = "<script>alert(1)</script>"
    grid = Grid(evil, DataFrame({evil: [evil]}), [evil], [evil], [evil], tints={})
    page = draw([grid], "html")
    assert "<script>" not in page
    assert page.count("&lt;script&gt;") == 6
    assert page.startswith("<!doctype html>")
