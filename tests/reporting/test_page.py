"""The whole page: sound HTML, nothing from outside, nothing untrusted as markup, small, and true."""

import base64
import json
import re
import shutil

import pytest

from msda_train.records.summary import summarise
from msda_train.reporting import limits
from msda_train.reporting.page import html

PICTURES = ("data:image/png;base64,", "data:image/svg+xml;base64,")
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;\u202e\x1b[31m\ud800"


@pytest.fixture(autouse=True)
def _few_pictures(monkeypatch):
    """Drawing takes most of the time."""
    monkeypatch.setattr(limits, "PICTURES", 8)


def test_the_page_is_sound_and_whole(page, rows):
    made = page(rows)
    assert made.source.startswith("<!DOCTYPE html>\n<html lang=")
    assert len(set(made.ids)) == len(made.ids)
    inside = [each["href"] for each in made.all("a") if each["href"].startswith("#")]
    assert len(inside) > 20
    assert {link[1:] for link in inside} <= set(made.ids)
    assert len(made.source.encode()) < 3_000_000
    for each in made.all("th"):
        assert each["scope"] in ("row", "col", "rowgroup")
    assert len(made.all("table")) == len(made.all("caption"))
    plots = [each for each in made.all("img") if each["src"].startswith("data:image/svg+xml")]
    assert len(made.all("h1")) == 1
    assert len(plots) >= 6
    assert all(each["alt"] and int(each["width"]) > 100 for each in plots)
    for each in plots:
        assert base64.b64decode(each["src"].partition(",")[2]).rstrip().endswith(b"</svg>")
    assert not re.search(r"\b(nan|inf|None)\b", made.text)


def test_nothing_comes_from_outside(page, rows):
    made = page(rows)
    for tag, attributes in made.tags:
        for key in ("src", "href", "action", "data", "poster", "srcset", "xlink:href"):
            value = attributes.get(key) or ""
            if tag == "a" and key == "href":
                assert value.startswith(("#", "https://", "http://"))
            else:
                assert value == "" or value.startswith(PICTURES)
    assert "@import" not in made.source
    assert "url(" not in made.source
    (policy,) = [each["content"] for each in made.all("meta") if "http-equiv" in each]
    assert policy.startswith("default-src 'none'")
    assert len(made.all("script")) == 1


def test_the_numbers_are_those_of_the_rows(page, rows):
    text = page(rows / "manifold_cifar10_preactresnet18").text
    assert "manifold_mixup, Table 1(a)" in text
    assert "No Mixup test error, % 4.83 ± 0.066 (n=5) 4.81 ± 0.07 (n=3) -0.02 best = reproduced" in text
    assert "inside the margin of ±0.48 points" in text
    assert "Seed 0" in text
    assert '"blocks": [2, 2, 2, 2]' in text
    assert "Environment 1" in text


def test_another_schedule_stands_in_a_section_of_its_own(page, rows):
    made = page(rows / "cifar10-preactresnet18-short")
    assert "similar" in made.ids
    assert not [name for name in made.ids if name.startswith("table-")]
    text = made.text
    assert "recipe=short" in text
    assert text.index("Other schedules and settings") < text.index("55.72 ± 0.38 (n=2)")


def test_columns_of_no_published_table_and_no_rows_at_all(page, rows, tmp_path):
    made = page(rows / "digits-preactresnet18-smoke")
    assert "others" in made.ids
    empty = page(tmp_path / "nothing")
    assert "There are no runs yet" in empty.text
    assert "manifold_mixup/table1a" in empty.text
    assert "runs" not in empty.ids


def test_what_a_row_says_is_never_markup(page, changed, rows):
    def change(raw):
        raw["names"] |= {"dataset": EVIL, "model": EVIL, "method": EVIL, "recipe": EVIL}
        raw["data"]["content"] = EVIL
        raw["environment"] = {EVIL: EVIL, "msda_train": EVIL, "commit": EVIL, "device_name": EVIL}
        raw["config"]["method"][EVIL] = EVIL
        raw["history"][0][EVIL] = EVIL
        raw["history"][1]["lr"] = EVIL

    changed(change)
    made = page(rows)
    assert len(made.all("script")) == 1
    assert all(each["src"].startswith(PICTURES) for each in made.all("img"))
    assert not [tag for tag, attributes in made.tags for key in attributes if key.startswith("on")]
    assert not re.search("[\u202e\x1b\ud800]", made.source)
    made.source.encode("utf-8")
    assert "<script>alert(1)</script>" in made.text


def test_bad_rows_are_named_and_the_others_shown(page, rows):
    (rows / "bad.json").write_text('{"schema": 1')
    text = page(rows).text
    assert "1 file not used or in doubt" in text
    assert "bad.json: not JSON or cut off" in text
    assert "4.81 ± 0.07 (n=3)" in text


def test_a_row_without_a_history_has_no_plot_and_one_of_nonsense_is_no_row(page, changed, rows):
    path = changed(lambda raw: raw.update(history=[]))
    assert "The file holds no history that can be read." in page(path).text
    odd = [{"epoch": 1, "error": True, "train_loss": 10**400}, 7, {"epoch": "x"}, {"epoch": 2}]
    changed(lambda raw: raw.update(history=odd))
    assert "epoch 1 of 'history' has no error, top5_error, nll" in page(path).text


def test_a_deep_environment_is_not_shown(page, changed):
    path = changed(lambda raw: None)
    text = path.read_text()
    deep = "[" * 900 + "]" * 900
    path.write_text(text.replace('"environment": {', f'"environment": {{"a": {deep}, ', 1))
    assert "Environment 1" in page(path).text


def test_many_long_runs_fit(page, rows, tmp_path, monkeypatch):
    stored = sorted((rows / "manifold_cifar10_preactresnet18").iterdir())
    for seed in range(40):
        raw = json.loads(stored[seed % 7].read_text())
        raw["seed"] = seed
        raw["history"] = [raw["history"][0] | {"epoch": k, "error": 0.1 + k / 1e4} for k in range(1, 301)]
        raw["metrics"] = summarise(raw["history"])
        (tmp_path / "many").mkdir(exist_ok=True)
        (tmp_path / "many" / f"{seed}.json").write_text(json.dumps(raw))
    made = page(tmp_path / "many")
    assert "40 of its 300 epochs are listed" in made.text
    assert len(made.source.encode()) < 1_000_000
    monkeypatch.setattr(limits, "EPOCHS", 400)
    monkeypatch.setattr(limits, "PICTURE_BYTES", 0)
    small = page(tmp_path / "many")
    assert "10 of its 300 epochs are listed" in small.text
    assert "pictures are left out to keep this page small" in small.text
    assert not small.all("img")


def test_thousands_of_methods_are_cut_by_a_rule_that_the_page_tells(page, rows, tmp_path, monkeypatch):
    for name, most in (("LINES", 6), ("PICTURED", 3), ("RUNS", 4), ("COLUMNS", 2)):
        monkeypatch.setattr(limits, name, most)
    source = json.loads(next((rows / "digits-preactresnet18-smoke").iterdir()).read_text())
    (tmp_path / "many").mkdir()
    for k in range(30):
        source["config"]["method"]["k"] = k + 100
        source["config"]["recipe"]["x"] = k // 10  # three columns of ten methods
        source["history"][-1]["error"] = ((7 * k) % 30) / 100
        source["metrics"] = summarise(source["history"])
        (tmp_path / "many" / f"{k}.json").write_text(json.dumps(source))
    made = page(tmp_path / "many")
    assert "The 6 methods with the lowest mean test error of the last epoch; 4 more are left out" in made.text
    assert "Pictures show the 3 methods with the lowest mean error; 7 are left out." in made.text
    assert "26 more runs are left out" in made.text
    assert "There are up to 10 methods in one column" in made.text
    assert "1 more are left out to keep this page small; msda-table lists them all" in made.text
    first = [re.search(r"k=1(\d+)", row) for row in re.findall(r'<th scope="row">(.*?)</th>', made.source)]
    shown = sorted(int(found[1]) for found in first[:6] if found)
    assert shown == sorted(sorted(range(10), key=lambda k: (7 * k) % 30)[:6])
    links = [each["href"][1:] for each in made.all("a") if each["href"].startswith("#")]
    assert set(links) <= set(made.ids)


def test_many_columns_that_resemble_a_published_one_are_named(page, rows, tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "COLUMNS", 2)
    (tmp_path / "many").mkdir()
    for path in (rows / "cifar10-preactresnet18-short").iterdir():
        raw = json.loads(path.read_text())
        for k in range(4):
            raw["config"]["recipe"]["epochs"] = 100 + k
            (tmp_path / "many" / f"{path.stem}-{k}.json").write_text(json.dumps(raw))
    made = page(tmp_path / "many")
    assert len([name for name in made.ids if name.startswith("column-")]) == 2
    assert "2 more are left out to keep this page small" in made.text


def test_time_and_size_do_not_grow_with_the_rows(rows, report, tmp_path, monkeypatch):
    """Ten times the rows: what the page itself reads and draws stays the same."""
    source = json.loads(next((rows / "digits-preactresnet18-smoke").iterdir()).read_text())
    monkeypatch.setattr(limits, "RUNS", 20)
    counts = []
    for n in (100, 1000):
        place = tmp_path / str(n)
        place.mkdir()
        for k in range(n):
            source["config"]["method"]["k"] = k
            source["metrics"]["error/last"] = k / n
            (place / f"{k}.json").write_text(json.dumps(source))
        made = report(place)
        made_page = html(made)
        counts.append((len(made._histories), made_page.count("<tr"), made_page.count("<img")))
    assert counts[0] == counts[1]


def test_the_same_rows_make_the_same_page(page, rows, tmp_path):
    one = page(rows).source
    assert one == page(rows).source
    shutil.copytree(rows, tmp_path / "again")
    assert one.count("<img") == page(tmp_path / "again").source.count("<img")
