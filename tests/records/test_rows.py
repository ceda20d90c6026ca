"""Rows: written whole or not at all, read with suspicion."""

import json
import random
import re
import sys
from pathlib import Path

import pytest

from msda_train.core.errors import UserError
from msda_train.records.row_checks import checksum
from msda_train.records.rows import add_probe, kept_name, load_rows, read_row, unsigned, write_row
from msda_train.records.summary import summarise

ROWS = Path(__file__).parents[1] / "stored" / "rows"
STORED = sorted(ROWS.rglob("*.json"))
GOOD = ROWS / "mixup_cifar10_preactresnet18"


@pytest.fixture
def raw():
    return json.loads(sorted(GOOD.glob("*.json"))[0].read_text())


def put(folder, raw, name="row.json"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(raw))
    return path


def test_stored_rows_keep_their_fingerprints_and_names():
    """A change that orphans these would orphan everybody's."""
    rows, complaints = load_rows([ROWS])
    assert not complaints
    assert len(rows) == len(STORED) == 23
    for row in rows:
        assert row.path == ROWS / kept_name(row)
        assert row.fingerprint == json.loads(row.path.read_text())["fingerprint"]


def test_a_written_row_is_read_back(tmp_path, raw):
    path = tmp_path / "runs" / "abc" / "s0" / "row.json"
    write_row(path, raw)
    written = json.loads(path.read_text())
    assert len(written.pop("checksum")) == 32
    assert written == raw
    assert read_row(path).signed
    assert not read_row(put(tmp_path, raw)).signed
    assert read_row(path).metrics == raw["metrics"]
    assert [each.name for each in path.parent.iterdir()] == ["row.json"]


def test_a_failed_write_leaves_the_old_row(tmp_path, raw, monkeypatch):
    path = put(tmp_path, raw)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="JSON compliant"):
        write_row(path, raw | {"seconds": float("nan")})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        write_row(path, raw | {"seed": 5})
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["row.json"]


def test_the_fingerprint_in_the_file_is_not_trusted(tmp_path, raw):
    honest = read_row(put(tmp_path, raw)).fingerprint
    assert read_row(put(tmp_path, raw | {"fingerprint": "f" * 16})).fingerprint == honest


def test_nothing_a_row_names_is_imported(tmp_path, raw):
    (tmp_path / "trap.py").write_text("raise SystemExit")
    raw["config"]["method"]["_target_"] = "trap.Method"
    sys.path.insert(0, str(tmp_path))
    try:
        read_row(put(tmp_path, raw))
    finally:
        sys.path.remove(str(tmp_path))
    assert "trap" not in sys.modules


def without(raw, *keys):
    node = raw
    for key in keys[:-1]:
        node = node[key]
    del node[keys[-1]]
    return json.dumps(raw)


def changed(raw, key, **values):
    return json.dumps(raw | {key: raw[key] | values})


def with_metric(raw, text):
    raw["metrics"]["error/last"] = "HERE"
    return json.dumps(raw).replace('"HERE"', text)


BAD = {
    "truncated": (lambda raw: json.dumps(raw)[:200], "not JSON or cut off"),
    "empty": (lambda raw: "", "not JSON or cut off"),
    "not json": (lambda raw: "hello", "not JSON"),
    "a list": (lambda raw: "[1]", "not a row"),
    "another file": (lambda raw: '{"a": 1}', "not a row"),
    "deep": (lambda raw: "[" * 100_000, "not JSON"),
    "schema": (lambda raw: json.dumps(raw | {"schema": 9}), "schema 9 is unknown"),
    "nan": (lambda raw: with_metric(raw, "NaN"), "NaN"),
    "infinite": (lambda raw: with_metric(raw, "Infinity"), "Infinity"),
    "too large": (lambda raw: with_metric(raw, "1e999"), "inf"),
    "huge": (lambda raw: with_metric(raw, "1" + "0" * 400), "inf"),
    "digits": (lambda raw: with_metric(raw, "1" * 10_000), "not JSON"),
    "a word": (lambda raw: with_metric(raw, '"low"'), "not a number"),
    "percent": (lambda raw: with_metric(raw, "5.6"), "fractions"),
    "negative": (lambda raw: with_metric(raw, "-0.1"), "fractions"),
    "no metric": (lambda raw: without(raw, "metrics", "nll/best"), "'nll/best' is missing"),
    "no config": (lambda raw: without(raw, "config"), "'config' is missing"),
    "no model": (lambda raw: without(raw, "config", "model"), "no node 'model'"),
    "no content": (lambda raw: without(raw, "data", "content"), "'data.content' is missing"),
    "seed": (lambda raw: json.dumps(raw | {"seed": "0"}), "'seed' is a str"),
    "seed true": (lambda raw: json.dumps(raw | {"seed": True}), "'seed' is a bool"),
    "seed below 0": (lambda raw: json.dumps(raw | {"seed": -1}), "'seed' is -1"),
    "no images": (
        lambda raw: changed(raw, "data", test_images=0),
        "test_images' is 0",
    ),
    "slow": (lambda raw: json.dumps(raw | {"images_per_second": -1.0}), "'images_per_second' is -1"),
    "another history": (lambda raw: json.dumps(raw | {"history": raw["history"][:-1]}), "not those of its"),
    "epoch": (lambda raw: json.dumps(raw | {"history": [{}]}), "epoch 1 of 'history' has no error"),
    "signed": (lambda raw: json.dumps(raw | {"checksum": "0" * 32}), "was changed after it was written"),
    "names": (lambda raw: json.dumps(raw | {"names": {"dataset": 3}}), "names.dataset"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_row_costs_one_line_and_no_more(tmp_path, raw, kind):
    spoil, words = BAD[kind]
    bad = tmp_path / "bad.json"
    bad.write_text(spoil(raw))
    rows, complaints = load_rows([tmp_path, GOOD])
    assert len(rows) == 2
    assert len(complaints) == 1
    assert complaints[0].startswith(f"{bad}: ")
    assert words in complaints[0]
    assert "\n" not in complaints[0]
    assert bad.exists()


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "row.json").write_bytes(b"\xff\xfe\x00")
    assert "not JSON" in load_rows([tmp_path])[1][0]


def test_control_codes_do_not_reach_the_terminal(tmp_path):
    (tmp_path / "a\x1b[31m\nb.json").write_text("{")
    (complaint,) = load_rows([tmp_path])[1]
    assert complaint.isprintable()


def test_copies_count_once_and_contradictions_are_named(tmp_path, raw):
    first = put(tmp_path / "a", raw)
    put(tmp_path / "b", raw | {"seconds": 1.0})
    assert len(load_rows([tmp_path])[0]) == 1
    assert load_rows([tmp_path, tmp_path])[1] == []
    raw["history"][-1]["error"] = 0.5
    other = put(tmp_path / "c", raw | {"metrics": summarise(raw["history"])})
    rows, (complaint,) = load_rows([tmp_path])
    assert [row.path for row in rows] == [first]
    assert str(first) in complaint
    assert str(other) in complaint


def test_other_data_or_another_seed_is_another_run(tmp_path, raw):
    put(tmp_path / "a", raw)
    put(tmp_path / "b", raw | {"seed": raw["seed"] + 1})
    put(tmp_path / "c", raw | {"data": raw["data"] | {"content": "other"}})
    assert len(load_rows([tmp_path])[0]) == 3


def test_only_the_row_of_a_run_folder_is_read(tmp_path, raw):
    put(tmp_path / "abc" / "s0", raw)
    (tmp_path / "abc" / "s0" / "progress.json").write_text("{")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "x.json").write_text("{")
    rows, complaints = load_rows([tmp_path])
    assert (len(rows), complaints) == (1, [])


def test_a_list_of_files_and_a_missing_one(tmp_path, raw):
    rows, (complaint,) = load_rows([put(tmp_path, raw), tmp_path / "gone.json"])
    assert len(rows) == 1
    assert "cannot be read" in complaint


@pytest.mark.parametrize("name", ["../../etc", "a/b", "..", ""])
def test_a_row_cannot_name_a_folder_elsewhere(tmp_path, raw, name):
    raw["names"]["experiment"] = None
    raw["names"]["dataset"] = name
    row = read_row(put(tmp_path, raw))
    if "/" in name:
        with pytest.raises(UserError, match="cannot name a folder"):
            kept_name(row)
    else:
        assert len(kept_name(row).parts) == 2


def test_every_damage_of_a_signed_row_is_told(tmp_path, raw):
    """Digits, words, keys, whole values, in hundreds of places, and each costs the row, not the table."""
    path = tmp_path / "row.json"
    write_row(path, raw)
    text, draw = path.read_text(), random.Random(0)
    damaged = 0
    for _ in range(400):
        spoiled = damage(text, draw)
        if json_or_none(spoiled) == json.loads(text):
            continue  # 1.0 and 1.00
        path.write_text(spoiled)
        rows, complaints = load_rows([path])
        assert (rows, len(complaints)) == ([], 1) or unsigned(rows), spoiled
        assert complaints or '"checksum"' not in spoiled
        damaged += 1
    assert damaged > 350
    path.write_text(text)
    assert load_rows([path])[1] == []


def damage(text, draw):
    kind = draw.randrange(4)
    if kind == 0:  # a digit
        place = draw.choice([m.start() for m in re.finditer(r"\d", text)])
        return text[:place] + str((int(text[place]) + draw.randrange(1, 10)) % 10) + text[place + 1 :]
    if kind == 1:  # a letter
        place = draw.choice([m.start() for m in re.finditer(r"[a-z]", text)])
        return text[:place] + draw.choice("ABCXYZ") + text[place + 1 :]
    raw = json.loads(text)
    node = draw.choice([raw, raw["data"], raw["metrics"], raw["config"]["method"], raw["history"][0]])
    key = draw.choice([key for key in node if key != "checksum"])
    if kind == 2:
        del node[key]
    else:
        node[key] = draw.choice([None, 0.123456, "x", [], {}, True])
    return json.dumps(raw)


def json_or_none(text):
    try:
        return json.loads(text)
    except ValueError:
        return None


def test_a_checksum_knows_neither_order_nor_white_space(tmp_path, raw):
    write_row(tmp_path / "row.json", raw)
    written = json.loads((tmp_path / "row.json").read_text())
    other = put(tmp_path / "b", dict(reversed(written.items())))
    assert read_row(other).signed
    assert checksum(written) == checksum(raw)


def test_a_probe_signs_the_row_anew_and_never_a_changed_one(tmp_path, raw):
    path = tmp_path / "row.json"
    write_row(path, raw)
    told = {"options": {}, "remarks": [], "environment": {}}
    add_probe(path, "calibration", {"numbers": {"ece_15": 0.25}, **told})
    assert read_row(path).metrics["calibration/ece_15"] == 0.25
    assert read_row(path).signed
    changed = path.read_text().replace("0.25", "0.15")
    path.write_text(changed)
    with pytest.raises(UserError, match="checksum"):
        add_probe(path, "calibration", {"numbers": {"ece_100": 0.3}, **told})
    assert path.read_text() == changed


def test_rows_of_before_checksums_are_read_and_said_to_be_unsigned(tmp_path, raw):
    rows, complaints = load_rows([put(tmp_path, raw)])
    assert complaints == []
    assert unsigned(rows) == "rows from before rows had a checksum: 1"
    write_row(tmp_path / "row.json", raw)
    assert unsigned(load_rows([tmp_path])[0]) is None


def test_the_checksum_stays_what_it_is():
    """Whatever writes numbers in whatever way: a change of it would make all rows look changed."""
    numbers = [0.1, 1e-05, 1e-7, 123456789.125, 1e16, 1e22, 5e-324, -0.0, 2**53 + 1, -(2**63), 1.0]
    assert checksum({"b": numbers, "a": "\u00e9\n", "checksum": "x"}) == "12c47bdae97f086f2d7ac46d63caa08b"
    assert checksum({"a": 2**70}) == "153c467c03c5349670f3bd61b12c499e"


def test_a_wide_network_of_before_is_another_than_today_s(tmp_path, raw):
    model = {"_target_": "msda_train.models.wide_resnet.wide_resnet", "depth": 28, "variant": "manifold"}
    raw["config"]["model"] = model
    before = read_row(put(tmp_path, raw))
    assert before.config["model"]["init"] == "xavier"
    raw["config"]["model"] = model | {"init": None}
    assert read_row(put(tmp_path, raw)).fingerprint != before.fingerprint
    raw["config"]["model"] = model | {"variant": "standard"}
    standard = read_row(put(tmp_path, raw)).fingerprint
    raw["config"]["model"] |= {"init": None}
    assert read_row(put(tmp_path, raw)).fingerprint == standard
