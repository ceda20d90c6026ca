"""Spectrograms against other ways to compute them, and sounds of all kinds."""

from io import BytesIO

import numpy as np
import pytest
from scipy.io import wavfile
from scipy.signal import get_window, stft

from msda_train.core.errors import UserError
from msda_train.data.spectrogram import BINS, FRAMES, log_spectrogram, read_wav


def _wave(n: int) -> np.ndarray:
    return np.random.default_rng(n).uniform(-1, 1, n) * np.linspace(0.01, 1, n)


def _wav(wave: np.ndarray, rate: int = 16_000) -> bytes:
    out = BytesIO()
    wavfile.write(out, rate, wave)
    return out.getvalue()


def _scored(magnitudes: np.ndarray) -> np.ndarray:
    made = np.zeros((161, 101))
    n = min(magnitudes.shape[1], 101)
    made[:, :n] = np.log(1 + magnitudes[:, :n])
    return (made - made.mean()) / np.sqrt(((made - made.mean()) ** 2).sum() / (made.size - 1))


@pytest.mark.parametrize("n", [16_000, 15_999, 3_000, 321, 20_000, 16_161])
def test_equals_scipys_transform(n: int) -> None:
    """scipy divides by the sum of the window; its `even` border is the mirrored one."""
    wave = _wave(n)
    _, _, found = stft(wave, 16_000, "hamming", nperseg=320, noverlap=160, boundary="even", padded=False)
    expected = _scored(np.abs(found * get_window("hamming", 320).sum()))
    np.testing.assert_allclose(log_spectrogram(wave), expected, atol=1e-9)


def test_equals_a_loop_over_frames_and_frequencies() -> None:
    wave = _wave(700)
    window = [0.54 - 0.46 * np.cos(2 * np.pi * t / 320) for t in range(320)]
    found = np.zeros((161, 5))
    for frame in range(5):
        heard = [wave[_mirrored(160 * frame + t - 160, 700)] * window[t] for t in range(320)]
        for k in range(161):
            waves = np.exp(-2j * np.pi * k * np.arange(320) / 320)
            found[k, frame] = abs(np.sum(heard * waves))
    np.testing.assert_allclose(log_spectrogram(wave), _scored(found), atol=1e-9)


def _mirrored(t: int, n: int) -> int:
    return -t if t < 0 else (2 * (n - 1) - t if t >= n else t)


def test_what_is_loudest_lies_at_its_frequency() -> None:
    """1,000 Hz is bin 20 of 50 Hz each."""
    made = log_spectrogram(0.5 * np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000))
    assert (made[:, 1:-1].argmax(axis=0) == 20).all()


def test_every_spectrogram_has_mean_0_and_deviation_1_but_for_silence() -> None:
    for n in (16_000, 1_000, 2, 1):
        made = log_spectrogram(np.full(n, 0.3) + _wave(n))
        assert made.shape == (BINS, FRAMES) == (161, 101)
        assert (made.mean(), made.std(ddof=1)) == (pytest.approx(0, abs=1e-9), pytest.approx(1))
    assert not log_spectrogram(np.zeros(16_000)).any()
    assert not log_spectrogram(np.zeros(0)).any()


def test_a_short_word_ends_in_one_level() -> None:
    """What is missing of the second is zeros before the scores, so one number behind them: the lowest."""
    made = log_spectrogram(_wave(8_000))
    assert np.ptp(made[:, 51:]) == 0
    assert made[0, 60] == made.min()
    assert np.ptp(made[:, 50]) > 0


def test_all_kinds_of_numbers_are_one_wave() -> None:
    wave = np.array([0.0, 0.5, -0.5, -1.0])
    for found in (
        (wave * 32768).astype(np.int16),
        (wave * 128 + 128).astype(np.uint8),
        (wave * 2**31).astype(np.int32),
        wave.astype(np.float32),
    ):
        np.testing.assert_array_equal(read_wav("a.wav", _wav(found)), wave)
    stereo = np.stack([wave, -wave, wave], axis=1).astype(np.float32)
    np.testing.assert_allclose(read_wav("a.wav", _wav(stereo)), wave / 3, atol=1e-7)
    assert read_wav("a.wav", _wav(np.zeros(0, np.int16))).shape == (0,)


SOUND = _wav(np.ones(800, np.int16))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "not a readable WAV file"),
        (b"ID3 is an mp3", "not a readable WAV file"),
        (SOUND[:30], "not a readable WAV file"),
        (SOUND[:-100], "not a readable WAV file .Reached EOF"),
        (SOUND[:-101], "not a readable WAV file"),
        (SOUND[:22] + b"\0\0" + SOUND[24:], "not a readable WAV file"),  # no channels
        (_wav(np.zeros(8_000, np.int16), 8_000), "8000 samples a second; convert it to 16000"),
        (_wav(np.array([0, np.nan], np.float32)), "samples that are not finite"),
    ],
)
def test_what_is_no_sound_is_one_line(raw: bytes, message: str) -> None:
    with pytest.raises(UserError, match=rf"^bed/a.wav: .*{message}") as caught:
        read_wav("bed/a.wav", raw)
    assert "\n" not in str(caught.value)


def test_half_precision_is_off_by_one_part_in_2048_at_most() -> None:
    exact = np.concatenate([log_spectrogram(_wave(n)).ravel() for n in (16_000, 9_000, 500)])
    kept = exact.astype(np.float16).astype(np.float64)
    assert (np.abs(kept - exact) <= np.abs(exact) / 2048 + 2.0**-25).all()
