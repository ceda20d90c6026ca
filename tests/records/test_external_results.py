"""Foreign rows: three formats, read as text; kept apart; every way a file can be bad."""

import json
from pathlib import Path

import pytest

from msda_train.core.errors import UserError
from msda_train.records import external_results as external
from msda_train.records.external_results import foreign_table, import_file, load_foreign, read_foreign
from msda_train.records.rows import load_rows

WORDS = {"dataset": "cifar100", "model": "pyramidnet200", "method": "cutmix", "seed": "3"}


def cutmix_log(*errors, total=None, start=0):
    """What the CutMix program prints around its epochs, made up."""
    lines = ["=> creating model 'pyramidnet'"]
    for epoch, error in enumerate(errors, start):
        head = f"* Epoch: [{epoch}/{total or len(errors) - 1 + 1}]"
        lines += [
            f"Epoch: [{epoch}/{total}][0/391]\tLR: 0.1\tTop 1-err 99.0 (99.0)\tTop 5-err 9.0 (9.0)",
            f"{head}\t Top 1-err 70.000  Top 5-err 40.000\t Train Loss 2.500",
            f"{head}\t Top 1-err {error:.3f}  Top 5-err 3.500\t Test Loss 0.789",
            f"Current best accuracy (top-1 and 5 error): {error} 3.5",
        ]
    return "\n".join([*lines, "Best accuracy (top-1 and 5 error): 1 1"]) + "\n"


MIXUP = "epoch,train loss,reg loss,train acc,test loss,test acc\n"
MIXUP_LOG = MIXUP + "0,2.1,0.0,30.5,1.9,40.0\n1,1.5,0.0,tensor(40.1),1.2,tensor(61.25, device='cuda:0')\n"
TABLE = (
    "dataset,model,method,recipe,seed,epochs,error_last,error_best,nll_last\n"
    "cifar10,wrn28_10,mixup,,0,200,0.031,0.0295,\ncifar10,wrn28_10,erm,,1,200,0.04,,0.2\n"
)


@pytest.fixture
def put(tmp_path):
    def write(content, words=WORDS, name="log.txt"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return import_file(path, words, tmp_path / "foreign")

    return write


def test_a_cutmix_log(put):
    (path,) = put(cutmix_log(90.0, 20.25, 21.5))
    row = read_foreign(path)
    assert (row.format, row.source, row.seed, row.epochs) == ("cutmix-log", "log.txt", 3, 3)
    assert row.names == {"dataset": "cifar100", "model": "pyramidnet200", "method": "cutmix", "recipe": ""}
    assert row.metrics["error/last"] == 0.215
    assert row.metrics["error/best"] == 0.2025
    assert row.metrics["error/median_last10"] == 0.215
    assert row.metrics["top5_error/last"] == 0.035
    assert row.metrics["nll/best"] == 0.789
    raw = json.loads(path.read_text())
    assert raw["schema"] == "foreign-1"
    assert [epoch["error"] for epoch in raw["history"]] == [0.9, 0.2025, 0.215]


def test_a_mixup_cifar10_log(put):
    row = read_foreign(*put(MIXUP_LOG, name="log_ResNet_0_0.csv"))
    assert row.format == "mixup-cifar10"
    assert row.metrics == {"error/last": 0.3875, "error/best": 0.3875, "error/median_last10": 0.49375}


def test_a_table(put):
    rows = [read_foreign(path) for path in put(TABLE, words={"recipe": "theirs"}, name="t.csv")]
    assert [(row.names["method"], row.seed, row.epochs) for row in rows] == [
        ("mixup", 0, 200),
        ("erm", 1, 200),
    ]
    assert rows[0].metrics == {"error/last": 0.031, "error/best": 0.0295}
    assert rows[1].metrics == {"error/last": 0.04, "nll/last": 0.2}
    assert rows[0].names["recipe"] == "theirs"


def test_importing_twice_changes_nothing(put):
    (path,) = put(cutmix_log(90.0, 20.0))
    before = path.read_bytes()
    assert put(cutmix_log(90.0, 20.0)) == [path]
    assert path.read_bytes() == before
    with pytest.raises(UserError, match="says something else"):
        put(cutmix_log(90.0, 20.0), words=WORDS | {"seed": "4"})
    assert path.read_bytes() == before


def test_never_taken_for_ours(put, tmp_path):
    put(cutmix_log(90.0, 20.0))
    rows, complaints = load_rows([tmp_path / "foreign"])
    assert rows == []
    assert "foreign row, never mixed with ours" in "".join(complaints)


def test_their_own_table(put, tmp_path):
    put(cutmix_log(90.0, 20.0))
    put(TABLE, name="t.csv")
    (tmp_path / "foreign" / "bad.json").write_text('{"schema": "foreign-1"')
    (tmp_path / "foreign" / "ours.json").write_text('{"schema": 1}')
    rows, complaints = load_foreign(tmp_path / "foreign")
    assert [line.rpartition("/")[2].split(":")[0] for line in complaints] == ["bad.json", "ours.json"]
    text = foreign_table(rows)
    assert text.startswith("Foreign rows: not made by msda-train")
    line = next(line for line in text.splitlines() if "pyramidnet200" in line)
    assert line.split()[:8] == ["cifar100", "pyramidnet200", "cutmix", "-", "3", "20.00", "20.00", "55.00"]
    assert "log.txt (cutmix-log, " in line


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is of no known format"),
        ("hello\n", r"is of no known format \(cutmix-log: .*mixup-cifar10: .*csv: "),
        (b"\x80\x04\x95\x00\0pickle", "is of no known format"),
        (cutmix_log(90.0, 20.0, total=300), "has 2 of 300 epochs"),
        (cutmix_log(90.0, 20.0, start=5), "log.txt:4: epoch 5 where 0 is expected; give one run per file"),
        (cutmix_log(90.0, 20.0) * 2, "epoch 0 where 2 is expected"),
        (cutmix_log(90.0, 20.0).replace("20.000", "nan"), "log.txt:8: nan is negative or not finite"),
        (cutmix_log(90.0, 20.0).replace("20.000", "120.0"), "120 is no percentage"),
        (cutmix_log(90.0, 20.0)[:-120], "is cut off or not the CutMix program's|epochs"),
        ("* Epoch: [0/1]\t Top 1-err 1.0  Top 5-err 1.0\t Train Loss 1\n", "has 0 of 0 epochs"),
        (MIXUP, "has a header and no epochs"),
        (MIXUP + "0,1,1,1,1\n", "log.txt:2: has 5 cells instead of 6"),
        (MIXUP + "0,1,1,1,1,inf\n", "log.txt:2: inf is negative or not finite"),
        (MIXUP + "0,1,1,1,1,-5\n", "log.txt:2: -5 is negative"),
        (MIXUP + "1,1,1,1,1,50\n", "epoch 1 where 0 is expected"),
        (MIXUP + "0,1,1,1,1,__import__('os')\n", "is not a number"),
        ("dataset,model,method\na,b,c\n", "has neither error_last nor error_best"),
        ("dataset,model,method,eror_last\n", "unknown column 'eror_last'; did you mean 'error_last'"),
        ("dataset,model,method,method\n", "a column is there twice"),
        ("dataset,model,method,error_last\n", "has 0 rows"),
        ("dataset,model,method,error_last\na,b,c,5.3\n", "log.txt:2: error_last is 5.3; give a fraction"),
        ("dataset,model,method,error_last\na,b,c,NaN\n", "NaN is negative or not finite"),
        ("dataset,model,method,error_last\na,b,../c,0.1\n", "is not a plain word; type method=NAME"),
        ("dataset,model,method,error_last\na,.b,c,0.1\n", "is not a plain word; type model=NAME"),
        ("dataset,model,method,error_last,seed\na,b,c,0.1,x\n", "'x' is not a whole number"),
    ],
)
def test_bad_files_cost_one_line(put, tmp_path, content, message):
    with pytest.raises(UserError, match=message) as error:
        put(content)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "foreign").exists()


def test_what_a_log_does_not_say_must_be_typed(put):
    with pytest.raises(UserError, match="does not say its model; type model=NAME"):
        put(cutmix_log(90.0, 20.0), words={"dataset": "cifar100", "method": "cutmix"})


def test_files_that_cannot_be_read_or_written(put, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="there is no such file"):
        import_file(tmp_path / "none", WORDS, tmp_path)
    with pytest.raises(UserError, match="there is no such file"):
        import_file(tmp_path, WORDS, tmp_path)
    monkeypatch.setattr(external, "MOST_BYTES", 1 << 20)
    with pytest.raises(UserError, match="larger than 1 MiB"):
        put(b" " * (2 << 20))
    (tmp_path / "foreign").write_text("")
    with pytest.raises(UserError, match=r"cannot be written .*; type --to FOLDER"):
        put(cutmix_log(90.0, 20.0))


@pytest.mark.parametrize(
    "change",
    [
        {"metrics": {"error/last": -0.1}},
        {"metrics": {}},
        {"metrics": {"error/last": "x"}},
        {"metrics": []},
        {"names": {"dataset": "a"}},
        {"foreign": None},
        {"seed": "x"},
        {"schema": "foreign-2"},
    ],
)
def test_an_edited_foreign_row_is_refused(put, change):
    (path,) = put(cutmix_log(90.0, 20.0))
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=str(Path(path).name)):
        read_foreign(path)
    path.write_text(path.read_text().replace("-0.1", "NaN"))
    with pytest.raises(UserError):
        read_foreign(path)
