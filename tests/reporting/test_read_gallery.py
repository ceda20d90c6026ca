"""gallery.json comes from anywhere: what is wrong costs the pictures, never the report."""

import base64
import io
import json
import shutil

import pytest
from PIL import Image

from msda_train.reporting.gallery import Gallery, read_gallery, show


def _png(size=(8, 8), kind="png"):
    out = io.BytesIO()
    Image.new("L", size).save(out, kind)
    return base64.b64encode(out.getvalue()).decode()


def _raw(**changes):
    image = {"png": _png(), "labels": [["<b>cat", 0.75], ["dog", 0.25]]}
    raw = {"schema": 1, "epoch": 1, "step": 2, "depth": 0, "mixed": True, "every": 1, "images": [image]}
    return raw | changes


def _image(**changes):
    return _raw(images=[_raw()["images"][0] | changes])


@pytest.fixture
def read(tmp_path):
    """What is read from a run folder whose gallery.json holds this."""

    def reading(content):
        text = content if isinstance(content, bytes | str) else json.dumps(content)
        (tmp_path / "gallery.json").write_bytes(text.encode() if isinstance(text, str) else text)
        return read_gallery(tmp_path / "row.json")

    return reading


def test_a_sound_gallery(read):
    gallery = read(_raw())
    assert isinstance(gallery, Gallery)
    markup = show(gallery)
    assert "&lt;b&gt;cat: 0.75" in markup
    assert 'alt="training image labelled &lt;b&gt;cat 0.75, dog 0.25"' in markup
    assert "width:96px" in markup
    assert "Mixed at depth 0" in markup
    assert "inside" not in show(read(_raw(mixed=False, depth=None)))
    assert "at depth 2, in the network" in show(read(_raw(mixed=False, depth=2)))
    assert "every 4 x 4" in show(read(_raw(every=4)))
    assert len(read(_raw(images=_raw()["images"] * 50)).examples) == 8


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "cannot be read as JSON"),
        (b"\xff\xfe", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ("x" * 200_000, "larger than"),
        ([], "no images"),
        (_raw(images=[]), "no images"),
        (_raw(images=[3]), "an image is missing"),
        (_image(png="<script>"), "not base64"),
        (_image(png="äöü"), "not base64"),
        (_image(png=base64.b64encode(b"<svg onload=alert(1)>" * 9).decode()), "not a PNG"),
        (_image(png=_png(kind="gif")), "not a PNG"),
        (_image(png=_png((2000, 1))), "2000 x 1 pixels"),
        (_image(labels=[]), "no label weights"),
        (_image(labels="cat"), "no label weights"),
        (_image(labels=[["cat"]]), "not a class and a weight"),
        (_image(labels=[["cat", 2]]), "from 0 to 1"),
        (_image(labels=[["cat", "1"]]), "from 0 to 1"),
        ('{"images": [], "a": NaN}', "no images"),
        (json.dumps(_image()).replace("0.75", "NaN"), "from 0 to 1"),
        (_raw(epoch="one"), "'epoch'"),
        (_raw(step=-1), "'step'"),
        (_raw(depth=1.5), "'depth'"),
        (_raw(every=None), "'every'"),
    ],
)
def test_a_bad_one_is_skipped_with_a_note(read, content, said):
    note = read(content)
    assert isinstance(note, str)
    assert said in note


def test_kept_rows_have_none(tmp_path):
    (tmp_path / "gallery.json").write_text(json.dumps(_raw()))
    assert "no run folder" in read_gallery(tmp_path / "0123-s0.json")
    assert "no run folder" in read_gallery(tmp_path / "else" / "row.json")


def test_the_page_shows_it_once_for_each_method(page, rows, tmp_path):
    for seed, path in enumerate(sorted((rows / "cifar10-preactresnet18-short").iterdir())[:2]):
        folder = tmp_path / "runs" / "abc" / f"s{seed}"
        folder.mkdir(parents=True)
        shutil.copy(path, folder / "row.json")
        (folder / "gallery.json").write_text(json.dumps(_raw()) if seed else "broken")
    made = page(tmp_path / "runs")
    assert len([each for each in made.all("img") if each["src"].startswith("data:image/png")]) == 1
    assert "skipped" not in made.text
