"""Rows: goals, text, CSV."""

from bench.table import (
    Goal,
    Reach,
    Row,
    as_record,
    at_least,
    at_most,
    header,
    line,
    read_csv,
    write_csv,
)
from bench.timing import Spread

ROW = Row(
    2,
    "mixup",
    Spread(250.0, 240.0, 270.0),
    "us",
    "copying",
    Spread(100.0, 99.0, 101.0),
    Spread(2.5, 2.4, 2.7),
    goal=at_most(2.6, 2.2),
    rounds=31,
    reach=Reach(12.0, "GB/s", 0.6),
)


def test_goals():
    assert [at_most(2.6, 2.2).met(v) for v in (2.2, 2.3, 2.6, 2.61)] == ["strive", "must", "must", "missed"]
    assert [at_least(25, 40).met(v) for v in (41, 40, 25, 24.9)] == ["strive", "strive", "must", "missed"]
    assert Goal(1, 1, at_most=True).met(float("nan")) == "missed"


def test_a_line_says_everything():
    text = line(ROW)
    for word in ("mixup", "250 us", "copying 100 us", "2.5x [2.4-2.7]", "<= 2.6 / 2.2", "must"):
        assert word in text
    assert "GB/s" not in text
    assert "12 GB/s, 60 %" in line(ROW, with_reach=True)
    assert header().split()[:2] == ["#", "what"]


def test_what_could_not_be_measured_is_a_dash_and_a_reason():
    row = Row(3, "mixup", None, "us", "timm", goal=at_least(1.4, 2.5), note="timm is not installed")
    assert row.met == "-"
    assert line(row).splitlines()[1].strip() == "timm is not installed"


def test_csv_keeps_what_was_not_measured_again(tmp_path):
    file = tmp_path / "new" / "cpu.csv"
    made = {"torch": "2", "dirty": False}
    other = Row(11, "solver", None, "ms")
    write_csv(file, [as_record(other, made), as_record(ROW, made)], "number")
    assert [r["number"] for r in read_csv(file)] == ["2", "11"]
    again = as_record(Row(2, "mixup, now", None, "us"), {**made, "torch": "3"})
    write_csv(file, [again], "number")
    records = read_csv(file)
    assert [(r["number"], r["what"], r["torch"]) for r in records] == [
        ("2", "mixup, now", "3"),
        ("11", "solver", "2"),
    ]


def test_a_record_holds_the_numbers_and_the_environment():
    record = as_record(ROW, {"device_name": "a chip"})
    assert float(record["judged"]) == 2.5
    assert float(record["theirs_low"]) == 99.0
    assert (record["goal"], record["met"], record["rounds"]) == ("at most", "must", "31")
    assert record["device_name"] == "a chip"
