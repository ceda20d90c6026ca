"""Speech Commands in its true layout, odd cases included."""

import hashlib
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from msda_train.cli import data as data_cli
from msda_train.core.errors import UserError
from msda_train.data.download import Remote
from msda_train.data.images import Images
from msda_train.data.spectrogram import log_spectrogram
from msda_train.data.speech_commands import Spectrograms, SpeechCommands


@pytest.fixture
def speech(tmp_path: Path, write_speech: Callable[[Path], Path]) -> Path:
    return write_speech(tmp_path / "speech")


def _set(root: Path) -> SpeechCommands:
    return SpeechCommands("speech_commands", "download", str(root))


def _pack(folder: Path, to: Path) -> Path:
    """As the official archive has its members: `./WORD/NAME.wav`, the lists anywhere."""
    to.mkdir()
    with tarfile.open(to / "speech_commands_v0.01.tar.gz", "w:gz") as archive:
        archive.add(folder, ".")
    return to


def test_the_lists_decide_and_the_rest_is_for_training(speech: Path) -> None:
    found = _set(speech).prepare()
    assert isinstance(found, Spectrograms)
    assert found.classes == ("bed", "cat", "wow")
    assert (found.n_train, found.n_validation, found.n_test) == (36, 12, 12)
    assert found.shape == (1, 161, 101)
    assert not found.complete
    files = {
        "train": [f"{word}/{k:08x}_nohash_{k % 2}.wav" for word in found.classes for k in range(8, 20)],
        "validation": (speech / "validation_list.txt").read_text().split(),
        "test": (speech / "testing_list.txt").read_text().split(),
    }
    for split, x, y in found.splits():
        assert x.dtype == np.float16
        expected = {}
        for name in files[split]:
            _, samples = wavfile.read(speech / name)
            made = log_spectrogram(samples / 32768).astype(np.float16)
            expected[made.tobytes()] = found.classes.index(name.split("/")[0])
        assert {one.tobytes(): label for one, label in zip(x[:, 0], y, strict=True)} == expected


def test_archive_and_folders_are_one_content(speech: Path, tmp_path: Path) -> None:
    of_folder = _set(speech).prepare()
    packed = _set(_pack(speech, tmp_path / "packed")).read_official(tmp_path / "packed")
    for split, x, y in packed.splits():
        assert sorted(map(bytes, x)) == sorted(map(bytes, getattr(of_folder, f"x_{split}")))
        assert sorted(y) == sorted(getattr(of_folder, f"y_{split}"))
    (tmp_path / "above").mkdir()
    speech.rename(tmp_path / "above" / "speech_commands_v0.01")
    assert _set(tmp_path / "above").prepare().content == of_folder.content


def test_an_archive_that_is_not_the_official_one_is_refused(speech: Path, tmp_path: Path) -> None:
    packed = _pack(speech, tmp_path / "packed")
    with pytest.raises(UserError, match="is not the official file"):
        _set(packed).prepare()
    archive = packed / "speech_commands_v0.01.tar.gz"
    archive.write_bytes(archive.read_bytes()[:2000])
    with pytest.raises(UserError, match=r"tar.gz: cannot be read .*; delete it and type") as caught:
        _set(packed).read_official(packed)
    assert "\n" not in str(caught.value)


def test_the_third_split_is_cached_checked_and_part_of_the_content(
    speech: Path, monkeypatch: pytest.MonkeyPatch, data_folder: Path
) -> None:
    before = _set(speech).prepare()
    with monkeypatch.context() as patch:
        patch.setattr(SpeechCommands, "read_official", lambda *_: pytest.fail("decoded again"))
        again = _set(speech).prepare()
        assert again.content == before.content
        np.testing.assert_array_equal(again.x_validation, before.x_validation)
        assert _set(speech).verify().intact
        few = SpeechCommands("speech_commands", "download", str(speech), subset=6, test_subset=3).examples()
        assert (few.n_train, few.n_validation, few.n_test) == (6, 12, 3)
    (path,) = (data_folder / "arrays").glob("*.y_validation.npy")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"\1")
    with pytest.raises(UserError, match="damaged; type: msda-data prepare speech_commands"):
        _set(speech).prepare()
    path.write_bytes(whole)
    listed = speech / "validation_list.txt"
    listed.write_text("\n".join(listed.read_text().split()[1:]))
    assert _set(speech).prepare().content != before.content


def test_pictures_have_no_third_split_and_the_content_they_had(draw: Callable, write_npz: Callable) -> None:
    from msda_train.data.dataset import Dataset

    found = Dataset("own", "npz", str(write_npz(*draw()))).examples()
    assert isinstance(found, Images)
    assert found.n_validation is None
    assert found.content == "4f57476a155d84a2f6a11e767c77d60f"  # what it was before there were such splits


def test_odd_sounds_are_taken_by_the_rules(speech: Path) -> None:
    odd = {
        "short": np.full(1_000, 5_000, np.int16),
        "empty": np.zeros(0, np.int16),
        "stereo": np.tile(np.arange(16_000, dtype=np.int16)[:, None], 2),
        "one_sample": np.ones(1, np.int16),
        "long": np.arange(40_000, dtype=np.int32).astype(np.int16),
    }
    for name, samples in odd.items():
        wavfile.write(speech / "bed" / f"{name}.wav", 16_000, samples)
    (speech / "bed" / "notes.txt").write_text("no sound")
    (speech / "bed" / ".hidden.wav").write_text("no sound")
    found = _set(speech).prepare()
    assert found.n_train == 36 + len(odd)
    assert np.isfinite(found.x_train).all()
    assert sum(not x.any() for x in found.x_train) == 1


def test_a_sound_out_of_place_is_told_and_left_out(speech: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (speech / "bed" / "deep").mkdir()
    wavfile.write(speech / "bed" / "deep" / "a.wav", 16_000, np.zeros(9, np.int16))
    assert _set(speech).prepare().n_train == 36
    assert (
        "1 sounds have no place in the layout and left out, such as bed/deep/a.wav" in capsys.readouterr().err
    )


def _refused(root: Path, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        _set(root).prepare()
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_used_is_one_line(speech: Path) -> None:
    lists = {name: speech / name for name in ("validation_list.txt", "testing_list.txt")}
    texts = {name: path.read_text() for name, path in lists.items()}
    lists["testing_list.txt"].write_text(texts["testing_list.txt"] + "cat/gone.wav\nbed/gone.wav\n")
    _refused(speech, r"testing_list.txt names 2 of 14 files that are not there, such as cat/gone.wav")
    lists["testing_list.txt"].write_text(texts["validation_list.txt"])
    _refused(speech, r"testing_list.txt names bed/0+_nohash_0.wav, which is for validation already")
    lists["testing_list.txt"].write_text("\n")
    _refused(speech, r"no testing_list.txt in it, or an empty one")
    lists["testing_list.txt"].write_text(texts["testing_list.txt"])
    bad = speech / "wow" / "00000013_nohash_1.wav"
    bad.write_bytes(b"hello")
    _refused(speech, rf"{bad}: not a readable WAV file")
    wavfile.write(bad, 22_050, np.zeros(50, np.int16))
    _refused(speech, rf"{bad}: has 22050 samples a second")
    bad.unlink()
    assert _set(speech).prepare().n_train == 35
    for k in range(28):
        (speech / f"word{k}").mkdir()
        wavfile.write(speech / f"word{k}" / "a.wav", 16_000, np.zeros(9, np.int16))
    _refused(speech, r"31 words \(bed, cat, word0, ...\); speech_commands_v0.01 has 30 words, each a folder")


def test_a_word_without_examples_is_refused(speech: Path) -> None:
    (speech / "yes").mkdir()
    wavfile.write(speech / "yes" / "a.wav", 16_000, np.zeros(9, np.int16))
    _refused(speech, r"1 of 4 classes have no test example \('yes'\)")


def test_where_nothing_can_be_downloaded_a_folder_can_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = ("http://127.0.0.1:9/a.tar.gz",)
    monkeypatch.setattr(SpeechCommands, "remotes", (Remote("a.tar.gz", gone, sha256="0"),))
    _refused(tmp_path, r"cannot download a.tar.gz: .* by hand, or type dataset.root=FOLDER, where it lies$")


def test_only_the_archive_was_compared_byte_for_byte(
    speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = _pack(speech, tmp_path / "packed") / "speech_commands_v0.01.tar.gz"
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    monkeypatch.setattr(SpeechCommands, "remotes", (Remote(archive.name, (), sha256=digest),))
    for count, n in {"n_classes": 3, "n_train": 36, "n_validation": 12, "n_test": 12}.items():
        monkeypatch.setattr(SpeechCommands, count, n)
    for root, status in (
        (archive.parent, "the official set, from files with the official checksums"),
        (speech, "as many spectrograms and classes as the official set; its content hash is not known here"),
    ):
        assert data_cli.main(["prepare", "speech_commands", f"dataset.root={root}"]) == 0
        assert f"speech_commands: {status}\n" in capsys.readouterr().out
        assert _set(root).prepare().complete
    monkeypatch.setattr(SpeechCommands, "n_validation", 13)
    assert not _set(speech).prepare().complete
