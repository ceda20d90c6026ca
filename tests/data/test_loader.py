"""The loader against a slow loop, on both of its paths."""

import numpy as np
import pytest
import torch

from msda_train.core.errors import UserError
from msda_train.core.randomness import generator
from msda_train.data import loader as module
from msda_train.data import windows
from msda_train.data.loader import Loader
from msda_train.data.windows import DeviceWindows

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def _images(n: int = 37, height: int = 6, width: int = 5, channels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (n, height, width, channels), dtype=np.uint8)
    x.flags.writeable = False  # as the cache gives them
    return x, np.arange(n) % 7


def _loader(x: np.ndarray, y: np.ndarray, **more: object) -> Loader:
    channels = x.shape[3]
    common = {"batch_size": 8, "mean": MEAN[:channels], "std": STD[:channels], "device": "cpu", "seed": 3}
    return Loader(x, y, **(common | more))  # type: ignore[arg-type]


def _epoch(loader: Loader, epoch: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    batches = list(loader.train_batches(epoch))
    return torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])


def _slowly(x: np.ndarray, *, seed: int, epoch: int, padding: int, flip: bool) -> np.ndarray:
    """(N, C, H, W): crop, flip and normalise each image by itself, pixel by pixel."""
    n, height, width, channels = x.shape
    order = generator(seed, "order", epoch).permutation(n)
    rng = generator(seed, "augment", epoch)
    offsets = rng.integers(0, 2 * padding + 1, size=(n, 2))
    mirrored = rng.integers(0, 2, size=n) if flip else np.zeros(n, dtype=int)
    out = np.zeros((n, channels, height, width))
    for k in range(n):
        for i in range(height):
            for j in range(width):
                row = offsets[k, 0] + i - padding
                column = offsets[k, 1] + (width - 1 - j if mirrored[k] else j) - padding
                inside = 0 <= row < height and 0 <= column < width
                pixel = x[order[k], row, column] if inside else np.zeros(channels)
                for c in range(channels):
                    out[k, c, i, j] = (pixel[c] / 255 - MEAN[c]) / STD[c]
    return out


@pytest.mark.parametrize("path", ["mirrored copy", "mirrored after", "device"])
@pytest.mark.parametrize(("padding", "flip"), [(0, False), (2, False), (0, True), (2, True), (7, True)])
@pytest.mark.parametrize("channels", [1, 3])
def test_equals_the_slow_loop(
    monkeypatch: pytest.MonkeyPatch, path: str, padding: int, flip: bool, channels: int
) -> None:
    x, y = _images(channels=channels)
    if path == "mirrored after":
        monkeypatch.setattr(windows, "MIRROR_BYTES", 0)
    if path == "device":
        monkeypatch.setattr(module, "HostWindows", DeviceWindows)
    loader = _loader(x, y, crop_padding=padding, flip=flip)
    seen, labels = _epoch(loader, epoch=2)
    slow = _slowly(x, seed=3, epoch=2, padding=padding, flip=flip)
    np.testing.assert_allclose(seen.numpy(), slow, atol=2e-6)
    np.testing.assert_array_equal(labels, y[generator(3, "order", 2).permutation(len(x))])
    tested = torch.cat([batch for batch, _ in loader.test_batches()])
    plain = (x / 255 - MEAN[:channels]) / STD[:channels]
    np.testing.assert_allclose(tested.numpy(), plain.transpose(0, 3, 1, 2), atol=2e-6)


@pytest.mark.parametrize("path", ["mirrored copy", "mirrored after", "device"])
@pytest.mark.parametrize("channels", [1, 3])
def test_reflected_frames_are_torchs(monkeypatch: pytest.MonkeyPatch, path: str, channels: int) -> None:
    """Its own reflection of each image; then the same windows as ever."""
    x, y = _images(channels=channels)
    if path == "mirrored after":
        monkeypatch.setattr(windows, "MIRROR_BYTES", 0)
    if path == "device":
        monkeypatch.setattr(module, "HostWindows", DeviceWindows)
    seen, _ = _epoch(_loader(x, y, crop_padding=3, padding="reflect", flip=True), epoch=1)
    rng = generator(3, "augment", 1)
    offsets, mirrored = rng.integers(0, 7, size=(len(x), 2)), rng.integers(0, 2, size=len(x))
    mean, std = (torch.tensor(v[:channels]).view(-1, 1, 1) for v in (MEAN, STD))
    for k, image in enumerate(generator(3, "order", 1).permutation(len(x))):
        pixels = (torch.from_numpy(x[image].copy()).permute(2, 0, 1) / 255 - mean) / std
        framed = torch.nn.functional.pad(pixels, (3, 3, 3, 3), mode="reflect")
        top, left = offsets[k]
        window = framed[:, top : top + 6, left : left + 5]
        torch.testing.assert_close(seen[k], window.flip(2) if mirrored[k] else window)


def test_both_paths_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = _images()
    host, _ = _epoch(_loader(x, y, crop_padding=2, flip=True))
    monkeypatch.setattr(module, "HostWindows", DeviceWindows)
    device, _ = _epoch(_loader(x, y, crop_padding=2, flip=True))
    assert torch.equal(host, device)


@pytest.mark.parametrize(("padding", "flip"), [(0, False), (2, False), (0, True), (2, True)])
def test_origins_say_where_the_pixels_come_from(padding: int, flip: bool) -> None:
    x, y = _images()
    loader = _loader(x, y, crop_padding=padding, flip=flip)
    framed = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    seen = []
    for (batch, labels), origin in zip(loader.train_batches(4), loader.origins(4), strict=True):
        places = [t.tolist() for t in (origin.image, origin.down, origin.right, origin.mirrored)]
        for k, (image, down, right, mirrored) in enumerate(zip(*places, strict=True)):
            top, left = down + padding, right + padding
            window = framed[image, top : top + x.shape[1], left : left + x.shape[2]]
            window = (window[:, ::-1] if mirrored else window) / 255
            np.testing.assert_allclose(batch[k].permute(1, 2, 0), (window - MEAN) / STD, atol=2e-6)
            assert labels[k] == y[image]
        seen += places[0]
    assert sorted(seen) == list(range(len(x)))
    with pytest.raises(ValueError, match="without a seed"):
        next(_loader(x, y, seed=None).origins(0))


def test_form_of_a_batch() -> None:
    x, y = _images()
    loader = _loader(x, y)
    batches = list(loader.train_batches(0))
    assert len(batches) == len(loader) == 5
    assert [len(labels) for _, labels in batches] == [8, 8, 8, 8, 5]
    images, labels = batches[0]
    assert images.shape == (8, 3, 6, 5)
    assert images.dtype == torch.float32
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert labels.dtype == torch.int64


def test_draws_are_a_function_of_seed_and_epoch() -> None:
    x, y = _images()
    loader = _loader(x, y, crop_padding=1, flip=True)
    first, labels = _epoch(loader, 1)
    _epoch(loader, 5)
    again, same = _epoch(_loader(x, y, crop_padding=1, flip=True), 1)
    assert torch.equal(first, again)
    assert torch.equal(labels, same)
    assert not torch.equal(first, _epoch(loader, 2)[0])
    assert not torch.equal(first, _epoch(_loader(x, y, crop_padding=1, flip=True, seed=4), 1)[0])
    larger = _epoch(_loader(x, y, crop_padding=1, flip=True, batch_size=16), 1)[0]
    assert torch.equal(first, larger)  # the batch size does not move the draws


def test_each_image_once_and_a_lonely_last_one_left_out() -> None:
    x, _ = _images(n=33)
    names = np.arange(33)
    loader = _loader(x, names, batch_size=11)
    assert sorted(_epoch(loader)[1].tolist()) == list(range(33))
    short = _loader(x, names, batch_size=8)
    assert len(short) == 4
    seen = _epoch(short)[1].tolist()
    assert len(seen) == len(set(seen)) == 32
    whole = Loader(x, names, batch_size=8, mean=MEAN, std=STD, device="cpu")
    assert len(whole) == 5
    assert torch.cat([labels for _, labels in whole.test_batches()]).tolist() == list(range(33))


def test_a_test_loader_may_take_all_at_once_but_does_not_train() -> None:
    x, y = _images()
    loader = _loader(x, y, seed=None, batch_size=1000)
    assert len(loader) == 1
    with pytest.raises(ValueError, match="without a seed"):
        next(loader.train_batches(0))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"mean": (0.5,)}, r"recipe.mean has 1 numbers, but the images have 3 channel\(s\); give 3"),
        ({"std": (0.5, 0.5)}, "recipe.std has 2 numbers"),
        ({"std": (0.5, 0.5, 0.0)}, "recipe.std=.*give numbers above 0"),
        ({"crop_padding": -1}, "recipe.crop_padding=-1: give 0 or more"),
        ({"batch_size": 38}, "recipe.batch_size=38: there are 37 training examples; give 37 or less"),
        ({"batch_size": 1}, "recipe.batch_size=1: give 2 or more"),
        ({"batch_size": 0, "seed": None}, "recipe.batch_size=0: give 1 or more"),
    ],
)
def test_bad_options(more: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        _loader(*_images(), **more)


@pytest.mark.gpu
def test_cuda_equals_cpu_without_a_sync() -> None:
    x, y = _images()
    host, labels = _epoch(_loader(x, y, crop_padding=2, flip=True))
    loader = _loader(x, y, crop_padding=2, flip=True, device="cuda")
    _epoch(loader)
    torch.cuda.set_sync_debug_mode("error")
    try:
        seen, names = _epoch(loader)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(seen.cpu(), host, rtol=0, atol=1e-6)
    assert torch.equal(names.cpu(), labels)
    assert seen.is_contiguous(memory_format=torch.channels_last) or len(seen) == len(x)
