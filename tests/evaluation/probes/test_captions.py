"""The captions probe: a captioner learns to name the colour of pictures."""

import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_coco import COLOURS, write
from torch import nn

from msda_train.core.errors import RunFailed, UserError
from msda_train.data import coco_captions
from msda_train.data.images import Images
from msda_train.evaluation import caption_scores, fine_tuning
from msda_train.evaluation.probes import captions
from msda_train.evaluation.probes.captions import Captions
from msda_train.evaluation.probes.subject import Subject
from msda_train.models.staged import GlobalMean

JAVA = pytest.mark.skipif(shutil.which("java") is None, reason="the scores need Java")
FAST = {"batch_size": 4, "lr": 0.02, "least": 1}
METRICS = ("bleu1", "bleu2", "bleu3", "bleu4", "meteor", "rouge", "cider")


@pytest.fixture
def root(tmp_path):
    return str(write(tmp_path / "coco"))


@pytest.fixture
def subject():
    """A network that has not learned anything, before pictures that nobody looks at."""
    torch.manual_seed(0)
    layers = [nn.AvgPool2d(32), nn.Conv2d(3, 6, 1), nn.BatchNorm2d(6), nn.ReLU(), GlobalMean()]
    x, y = np.zeros((4, 8, 8, 3), dtype=np.uint8), np.arange(4) % 2
    images = Images(x, y, x, y, ("a", "b"), "toy", "c0ffee", False)
    network = nn.Sequential(*layers, nn.Linear(6, 2)).eval()
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    return Subject(network, images, mean, std, torch.device("cpu"), nullcontext, 0, {})


@pytest.fixture
def no_java(monkeypatch):
    """Stands in for the scores: the sentences are what a test looks at."""
    monkeypatch.setattr(captions, "check_ready", lambda: None)
    monkeypatch.setattr(captions, "caption_scores", lambda said, written: dict.fromkeys(METRICS, 0.5))


@JAVA
def test_colours_are_learned_and_scored(root, subject):
    before = {name: value.clone() for name, value in subject.network.state_dict().items()}
    found = Captions(root, epochs=30, beams=3, **FAST)(subject)
    colours = list(COLOURS)
    allowed = [{f"a {colour} picture .", f"a picture all {colour}"} for colour in colours]
    assert all(said in some for said, some in zip(found.arrays["said"], allowed, strict=True))
    ending = "30epochs_4_lr0.02_beams3_least1_part"
    scores = {metric: found.numbers[f"{metric}_{ending}"] for metric in METRICS}
    assert all(scores[f"bleu{n}"] == pytest.approx(1) for n in (1, 2, 3))
    assert scores["rouge"] == pytest.approx(1)
    assert scores["meteor"] > 0.9
    assert scores["cider"] > 1  # at most 10
    assert (found.records[0]["images"], found.records[0]["vocabulary"]) == (3, 4 + 7)
    assert found.arrays["loss"][-1] < 1
    assert all(torch.equal(value, before[name]) for name, value in subject.network.state_dict().items())
    assert not subject.network.training


def test_stopped_and_gone_on_with_it_says_the_same(root, subject, no_java, tmp_path, monkeypatch):
    probe = Captions(root, epochs=8, beams=2, **FAST)
    whole = probe(subject)
    monkeypatch.setattr(fine_tuning, "SAVE_SECONDS", -1)
    (tmp_path / "run").mkdir()

    def stopping(items, total, label):
        for number, item in enumerate(items):
            if number == 10 and label == "captions":
                raise KeyboardInterrupt
            yield item

    kept = replace(subject, folder=tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        probe(replace(kept, progress=stopping))
    (file,) = (tmp_path / "run" / "probes").iterdir()
    labels = []
    again = probe(replace(kept, progress=lambda items, total, label: labels.append(label) or items))
    assert labels[1] == "captions, from step 10"
    assert again.numbers == whole.numbers
    assert again.arrays["said"].tolist() == whole.arrays["said"].tolist()
    np.testing.assert_array_equal(again.arrays["loss"], whole.arrays["loss"])
    assert again.leftovers == [file]


def test_what_was_learned_is_kept_where_the_scores_fail(root, subject, no_java, tmp_path, monkeypatch):
    monkeypatch.setattr(fine_tuning, "SAVE_SECONDS", -1)

    def fails(said, written):
        raise RunFailed("no scores")

    monkeypatch.setattr(captions, "caption_scores", fails)
    with pytest.raises(RunFailed, match="no scores"):
        Captions(root, epochs=1, beams=1, **FAST)(replace(subject, folder=tmp_path))
    assert len(list((tmp_path / "probes").iterdir())) == 1


def test_a_number_says_which_training_it_is_of(root, subject, no_java, monkeypatch):
    usual = replace(Captions(), epochs=1, beams=1, batch_size=4, root=root)
    tried = {
        "": usual,
        "_hidden8": replace(usual, hidden=8),
        "_dropout0.5_test_cropcenter": replace(usual, test_crop="center", dropout=0.5),
        "_least2_words3": replace(usual, least=2, words=3),
    }
    for complete in (False, True):
        sizes = {"train": (6, 12), "val": (3, 6)} if complete else coco_captions.COMPLETE
        monkeypatch.setattr(coco_captions, "COMPLETE", sizes)
        for ending, probe in tried.items():
            found = probe(subject)
            ending = f"1epochs_4_lr0.001_beams1{ending}{'' if complete else '_part'}"
            names = [f"{metric}_{ending}" for metric in METRICS]
            assert list(found.numbers) == names
            assert [record["name"] for record in found.records] == names
            assert found.records[0]["hidden"] == probe.hidden
            assert len(found.remarks) == 1


def test_readers_change_nothing(root, subject, no_java):
    probe = Captions(root, epochs=3, beams=2, **FAST)
    one, two = (probe(replace(subject, readers=readers)) for readers in (0, 2))
    np.testing.assert_array_equal(one.arrays["loss"], two.arrays["loss"])
    assert one.arrays["said"].tolist() == two.arrays["said"].tolist()


def test_test_pictures_are_windows_of_the_seed_or_middles(root, subject, no_java, monkeypatch):
    seeds = []
    shown = captions.Shown
    monkeypatch.setattr(captions, "Shown", lambda pictures, seed: seeds.append(seed) or shown(pictures, seed))
    for crop in ("random", "center"):
        Captions(root, epochs=1, beams=1, test_crop=crop, **FAST)(replace(subject, seed=7))
    assert seeds == [7, None]


def test_a_batch_of_captions_of_unequal_length_is_padded(subject):
    """The loss of a batch is that of each caption alone, weighted by its share of the padded places."""
    captioner = Captions(**FAST)._captioner(subject, (8, 8), 9).eval()
    rng = np.random.default_rng(0)
    seen = [
        coco_captions.Seen(rng.integers(0, 256, (224, 224, 3), dtype=np.uint8), np.array(words))
        for words in ([4, 5, 6, 7], [8], [])
    ]
    with torch.no_grad():
        alone = [captions._loss(subject, captioner, [each]).item() for each in seen]
        together = captions._loss(subject, captioner, seen).item()
    assert together == pytest.approx((5 * alone[0] + 2 * alone[1] + alone[2]) / 15, rel=1e-5)


def test_a_picture_that_cannot_be_read_is_one_line(root, subject, no_java):
    name = next(iter(Path(root, "train2014").iterdir()))
    name.write_bytes(b"")
    with pytest.raises(UserError, match=f"{name}: cannot be read") as told:
        Captions(root, epochs=1, beams=1, **FAST)(replace(subject, readers=1))
    assert "\n" not in str(told.value)


def test_a_network_that_cannot_take_such_images_is_one_line(root, subject, no_java):
    for network in (
        nn.Sequential(nn.Flatten(), nn.Linear(192, 2)),
        nn.Sequential(nn.Conv2d(1, 4, 3), GlobalMean(), nn.Linear(4, 2)),
        nn.Sequential(nn.Flatten(2), nn.Linear(224 * 224, 2)),
    ):
        with pytest.raises(UserError, match="of images of 8x8 pixels, cannot take colour ones") as told:
            Captions(root, **FAST)(replace(subject, network=network))
        assert "\n" not in str(told.value)


def test_what_is_not_there_is_told_before_training(subject, tmp_path, monkeypatch):
    monkeypatch.setattr(captions, "check_ready", lambda: None)
    with pytest.raises(UserError, match=r"captions_train2014\.json is missing"):
        Captions(str(tmp_path))(subject)
    monkeypatch.undo()
    broken = tmp_path / "java"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    for java in (None, str(broken), str(tmp_path / "gone")):
        monkeypatch.setattr(shutil, "which", lambda name, java=java: java)
        with pytest.raises(UserError, match="need Java; type apt install"):
            Captions(str(tmp_path))(subject)
    monkeypatch.setattr(caption_scores, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs pycocoevalcap; type pip install 'msda-train\[captions\]'"):
        Captions(str(tmp_path))(subject)


@JAVA
def test_scores_by_hand():
    """Of nothing said about the second image. BLEU: 3 of 4 words and 2 of 3 pairs are right; 4 words are said
    of 5 + 2. ROUGE-L, beta 1.2: the longest common part is 3 words of 4 and of 5."""
    found = caption_scores.caption_scores(["A red cat runs.", ""], [["a red cat sits here"], ["A dog!"]])
    short = np.exp(1 - 7 / 4)
    assert found["bleu1"] == pytest.approx(0.75 * short)
    assert found["bleu2"] == pytest.approx((0.75 * 2 / 3) ** 0.5 * short)
    assert found["rouge"] == pytest.approx((1 + 1.44) * 0.75 * 0.6 / (0.6 + 1.44 * 0.75) / 2)
    assert 0 < found["meteor"] < 1
    assert 0 < found["cider"] < 10


@JAVA
def test_a_failing_meteor_is_one_line(monkeypatch):
    from pycocoevalcap.meteor import meteor

    monkeypatch.setattr(meteor, "METEOR_JAR", "nowhere.jar")
    with pytest.raises(RunFailed, match=r"METEOR of pycocoevalcap failed \(.+\); try: java -version"):
        caption_scores._meteor({0: ["a cat"]}, {0: ["a cat"]})


@pytest.mark.parametrize(
    "options",
    [
        {"epochs": 0},
        {"batch_size": 1},
        {"lr": 0},
        {"embed": 0},
        {"hidden": 1.5},
        {"dropout": 2},
        {"least": 0},
        {"beams": 0},
        {"words": 0},
        {"test_crop": "middle"},
    ],
)
def test_options_are_checked(options):
    with pytest.raises(UserError, match=f"probes.captions.{next(iter(options))}"):
        Captions(**options)
