"""`msda-table why`."""

import pytest


def test_the_chain_from_the_paper_to_the_machine(table, rows, published):
    code, out, err = table("why", "some/table1/1", rows, "--published", published)
    assert (code, err) == (0, "")
    names = [line.split()[0] for line in out.splitlines()[1:] if line[2:3] not in ("", " ")]
    assert names == ["published", "source", "overrides", "fingerprint", "runs", "environment", "verdict"]
    assert "4.80 ± 0.060 percent, error; epoch: best, n = 5" in out
    assert "msda-train experiment=manifold_cifar10_preactresnet18 method=erm" in out
    for path in (rows / "manifold_cifar10_preactresnet18").glob("4d82*.json"):
        assert str(path) not in out  # another cell's
    fingerprint = next(line.split()[1] for line in out.splitlines() if "fingerprint" in line)
    for path in (rows / "manifold_cifar10_preactresnet18").glob(f"{fingerprint}-*.json"):
        assert str(path) in out
    assert "seed 0 1 2: " in out
    assert "Made-up GPU" in out


def test_a_cell_that_cannot_be_run(table, published):
    code, out, _ = table("why", "some/table1/4", "--published", published)
    assert code == 0
    assert "not runnable not theirs" in out
    assert "fingerprint" not in out


def test_a_cell_without_runs(table):
    code, out, _ = table("why", "saliencymix/table1/33")
    assert code == 0
    assert "none yet" in out
    assert "experiment=cutout_cifar10_wrn28_10_plain method=erm" in out
    assert "not run." in out


def test_rows_that_do_not_count_are_named(table, rows, published):
    path = sorted((rows / "manifold_cifar10_preactresnet18").glob("bb2c*.json"))[0]
    path.write_text(path.read_text().replace('"complete": true', '"complete": false'))
    _, out, _ = table("why", "some/table1/Input", rows, "--published", published)
    assert "seed 0: not the complete data set" in " ".join(out.split())


def test_a_label_will_do_where_it_is_the_only_one(table):
    code, out, _ = table("why", "manifold_mixup/text_agrlearn/agrlearn + input mixup")
    assert (code, out.splitlines()[0]) == (0, "manifold_mixup/text_agrlearn/1")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("manifold_mixup/table1a", "is no cell; type PAPER/TABLE/NUMBER"),
        ("manifold_mixup/table1a/99", "manifold_mixup/table1a has cells 1 to 20, not 99"),
        ("manifold_mixup/table1a/0", "has cells 1 to 20, not 0"),
        ("manifold_mixup/table1a/No Mixup", "has several cells 'No Mixup'; choose by number: 1, 2, 9"),
        ("cutmix/table7/CutMx", "has no cell 'CutMx'; did you mean 'CutMix"),
        ("manifold_mixup/tabel1a/1", "did you mean 'table1a'?"),
        ("manifoldmixup/table1a/1", "did you mean 'manifold_mixup'?"),
    ],
)
def test_cells_that_do_not_exist(table, cell, message):
    code, out, err = table("why", cell)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
