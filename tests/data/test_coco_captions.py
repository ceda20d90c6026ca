"""MS-COCO's captions on a small copy in the official layout: vocabulary, examples, what is missing."""

import json
import pickle

import numpy as np
import pytest
from small_coco import COLOURS, write

from msda_train.core.errors import UserError
from msda_train.core.randomness import generator
from msda_train.data.coco_captions import (
    END,
    PAD,
    SPECIAL,
    START,
    UNKNOWN,
    Examples,
    Shown,
    Vocabulary,
    read_part,
    words_of,
)


@pytest.fixture
def root(tmp_path):
    return write(tmp_path / "coco")


def test_captions_belong_to_their_pictures(root):
    pictures = read_part(root, "train")
    assert (len(pictures), len(pictures.captions), pictures.complete) == (6, 12, False)
    colours = list(COLOURS) * 2
    assert pictures.captions_of == [[f"A {colour} picture.", f"a picture all {colour}"] for colour in colours]
    assert pictures.names[0] == b"COCO_train2014_000000000100.jpg"


def test_a_picture_without_a_caption_is_left_out(root):
    file = root / "annotations" / "captions_val2014.json"
    raw = json.loads(file.read_text())
    raw["annotations"] = raw["annotations"][2:]
    file.write_text(json.dumps(raw))
    pictures = read_part(root, "val")
    assert [caption for caption, _ in pictures.captions_of] == ["A green picture.", "A blue picture."]
    assert pictures.names[0] == b"COCO_val2014_000000000099.png"


def test_words_are_nltks():
    """From the documentation of its Treebank tokenizer; a full stop inside stays with its word."""
    assert words_of("They'll SAVE and invest more.") == ["they", "'ll", "save", "and", "invest", "more", "."]
    assert words_of("A dog. It runs.") == ["a", "dog.", "it", "runs", "."]


def test_the_vocabulary_has_what_occurs_often_enough():
    captions = [["a", "red", "cat"], ["a", "cat"], ["the", "cat", "the"], ["the", "red"]]
    words = Vocabulary(captions, least=3)
    assert words.words == [*SPECIAL, "cat", "the"]
    assert words.numbers(["the", "red", "cat"]) == [5, UNKNOWN, 4]
    assert Vocabulary(captions, least=2).words == [*SPECIAL, "a", "red", "cat", "the"]


def test_a_sentence_ends_at_its_first_end():
    words = Vocabulary([["a", "cat"]], least=1)
    assert words.sentence([START, 4, 5, END, 4, END]) == "a cat"
    assert words.sentence([4, PAD, UNKNOWN]) == "a <pad> <unk>"
    assert words.sentence([END, 4]) == ""


def test_an_example_is_a_caption_and_a_window_of_its_picture(root):
    pictures = read_part(root, "train")
    cut = [words_of(caption) for caption in pictures.captions]
    words = Vocabulary(cut, least=4)
    assert words.words == [*SPECIAL, "a", "red", "picture", ".", "all", "green", "blue"]
    examples = pickle.loads(pickle.dumps(Examples(pictures, cut, words)))  # as a worker gets it
    assert len(examples) == 12
    for index in range(12):
        pixels, numbers = examples.drawn(index, generator(0, "test", 0, index))
        assert words.numbers(cut[index]) == numbers.tolist()
        assert (pixels.shape, pixels.dtype) == ((224, 224, 3), np.uint8)
        colour = COLOURS[list(COLOURS)[index // 2 % 3]]
        assert np.abs(pixels.astype(int) - colour).max() < 5  # a JPEG's


def test_both_sides_are_squeezed_and_windows_are_drawn(root):
    """A picture whose left half is white: after squeezing the edge lies at 128 of 256 pixels."""
    from PIL import Image

    name = root / "val2014" / "COCO_val2014_000000000099.png"
    picture = Image.new("RGB", (400, 100))
    picture.paste((255, 255, 255), (0, 0, 200, 100))
    picture.save(name)
    pictures = read_part(root, "val")
    middle = Shown(pictures, seed=None)[1].pixels[100, :, 0]
    assert (middle > 127).sum() == 128 - 16
    assert middle[0] == 255
    drawn = [Shown(pictures, seed=seed)[1].pixels[100, :, 0] for seed in range(20)]
    assert {row[0] > 127 for row in drawn} == {True, False}  # mirrored
    assert len({int((row > 127).sum()) for row in drawn}) > 5
    assert all(96 <= (row > 127).sum() <= 128 for row in drawn)
    assert np.array_equal(drawn[3], Shown(pictures, seed=3)[1].pixels[100, :, 0])


@pytest.mark.parametrize("gone", ["annotations/captions_train2014.json", "train2014", "a picture"])
def test_what_is_missing_is_named_in_one_line(root, gone):
    path = root / gone
    if gone == "a picture":
        path = sorted((root / "train2014").iterdir())[0]
    path.rename(root / "elsewhere")
    with pytest.raises(UserError, match=r"missing; type probes.captions.root=FOLDER, or unpack") as told:
        read_part(root, "train")
    assert str(path) in str(told.value)
    assert "\n" not in str(told.value)
    assert "zips/train2014.zip" in str(told.value)


@pytest.mark.parametrize(
    "content", ["{", '{"images": []}', '{"images": [], "annotations": [{"image_id": 1}]}']
)
def test_damaged_captions_are_named(root, content):
    (root / "annotations" / "captions_val2014.json").write_text(content)
    with pytest.raises(UserError, match=r"captions_val2014.json: cannot be read as captions"):
        read_part(root, "val")


def test_a_damaged_picture_is_named(root):
    name = root / "val2014" / "COCO_val2014_000000000099.png"
    name.write_bytes(b"no picture")
    with pytest.raises(UserError, match=f"{name}: cannot be read") as told:
        Shown(read_part(root, "val"), seed=None)[1]
    assert "\n" not in str(told.value)
