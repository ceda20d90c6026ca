"""A spoken word as a picture: the log spectrogram of one second of sound, 161 frequencies x 101 moments.

mixup (arXiv:1710.09412, Figure 4) most likely took the front end of adiyoss/GCommandsPytorch,
gcommand_loader.py: windows of 20 ms every 10 ms, Hamming (periodic), the first one centred on the first
sample and the ends mirrored, as librosa's stft does by default; log(1 + |S|); frames of zeros behind what is
shorter than a second; then mean 0 and deviation 1 (of N - 1) over the whole spectrogram.
"""

import warnings
from io import BytesIO

import numpy as np

from msda_train.core.errors import UserError

RATE = 16_000  # samples a second
WINDOW, HOP = 320, 160  # samples: 20 ms, 10 ms
BINS, FRAMES = WINDOW // 2 + 1, RATE // HOP + 1
_HAMMING = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)


def log_spectrogram(wave: np.ndarray) -> np.ndarray:
    """(BINS, FRAMES) float64 of a wave (n,) in -1..1 at RATE. What lies behind the last frame is not heard;
    silence, and no sound at all, is a spectrogram of zeros."""
    made = np.zeros((BINS, FRAMES))
    if len(wave):
        heard = np.pad(wave[: FRAMES * HOP], WINDOW // 2, mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(heard, WINDOW)[::HOP][:FRAMES]
        made[:, : len(frames)] = np.log1p(np.abs(np.fft.rfft(frames * _HAMMING))).T
    spread = made.std(ddof=1)
    return (made - made.mean()) / spread if spread > 0 else np.zeros_like(made)


def read_wav(name: str, raw: bytes) -> np.ndarray:
    """(n,) float64 in -1..1, the mean of the channels, of a WAV file's bytes. UserError, which begins with
    `name`: no WAV file, cut short, not finite, or of another rate than RATE."""
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # chunks that are no sound
            warnings.filterwarnings("error", "Reached EOF", wavfile.WavFileWarning)
            rate, wave = wavfile.read(BytesIO(raw))
    except Exception as error:  # a broken header can raise nearly anything
        reason = " ".join(str(error).split())[:150] or type(error).__name__
        raise UserError(f"{name}: not a readable WAV file ({reason}); replace or delete it") from None
    if rate != RATE:
        raise UserError(f"{name}: has {rate} samples a second; convert it to {RATE} (ffmpeg -ar {RATE})")
    if wave.dtype.kind == "f":
        sound = wave.astype(np.float64)
    else:
        silence = 128 if wave.dtype.kind == "u" else 0
        sound = (wave.astype(np.float64) - silence) / 2 ** (8 * wave.dtype.itemsize - 1)
    if not np.isfinite(sound).all():
        raise UserError(f"{name}: holds samples that are not finite; replace or delete it")
    mono: np.ndarray = sound if sound.ndim == 1 else sound.mean(axis=1)
    return mono
