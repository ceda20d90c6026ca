"""Folders that are read while a network is trained: what is read, what is held, what is odd."""

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.datasets import ImageFolder

from msda_train.cli.data import main as data_main
from msda_train.core.errors import RunFailed, UserError
from msda_train.data import reading, stream_loader
from msda_train.data.picture_files import Paths, PictureFiles
from msda_train.data.reader_pool import Pool
from msda_train.data.reading import Augment, Look, Reader, Task
from msda_train.data.stream_loader import Colours, StreamLoader
from msda_train.data.streamed import Streamed
from msda_train.training.distributed import ALONE

LOOK = Look(size=24, resize=28)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_imagenet) -> Path:
    root = tmp_path_factory.mktemp("streamed")
    write_imagenet(root)
    return root


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(folder, tmp_path / "own"))


def dataset(root: Path, **more: object) -> Streamed:
    return Streamed("toy", root=str(root), size=24, resize=28, **more)  # type: ignore[arg-type]


def loader(images, *, seed=None, batch=5, **more) -> StreamLoader:
    x, y = (images.x_test, images.y_test) if seed is None else (images.x_train, images.y_train)
    colours = more.pop("colours", Colours(MEAN, STD))
    common = {"augment": Augment((0.1, 1.0), flip=True), "workers": 0, "team": ALONE} | more
    return StreamLoader(x, y, batch_size=batch, device="cpu", colours=colours, seed=seed, **common)


def test_testing_sees_what_torchvisions_reference_sees(folder: Path) -> None:
    images = dataset(folder).examples()
    steps = [transforms.Resize(28), transforms.CenterCrop(24), transforms.ToTensor()]
    theirs = ImageFolder(folder / "val", transforms.Compose([*steps, transforms.Normalize(MEAN, STD)]))
    expected = {Path(path).name: (x, y) for (x, y), (path, _) in zip(theirs, theirs.samples, strict=True)}
    x, y = (torch.cat(each) for each in zip(*loader(images, batch=4).test_batches(), strict=True))
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert images.classes == tuple(theirs.classes)
    for k in range(len(theirs)):
        pixels, label = expected[Path(os.fsdecode(images.x_test.name(k))).name]
        torch.testing.assert_close(x[k], pixels, atol=1e-6, rtol=0)
        assert y[k] == label
    pixels = np.array(images.x_test[2:5])  # what a probe does
    torch.testing.assert_close(
        torch.from_numpy(pixels[0]).permute(2, 0, 1) / 255,
        x[2] * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None],
    )


def test_training_crops_as_torchvisions_reference_does(folder: Path) -> None:
    """With their generator at the same place: the same box, the same resizing, the same mirror."""
    images = dataset(folder).examples()
    augment = Augment((0.08, 1.0), flip=True)
    theirs = transforms.Compose([transforms.RandomResizedCrop(24), transforms.RandomHorizontalFlip()])
    reader, mirrored = Reader(images.x_train.root, LOOK, augment), 0
    for k in range(6):
        name, place = images.x_train.name(k), (3, "augment", 1, k)
        pixels, remarks = reader[Task(name, b"", place)]
        with Image.open(folder / os.fsdecode(name)) as image, torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(reading.generator(*place).integers(2**62)))
            expected = np.asarray(theirs(image.convert("RGB")))
        np.testing.assert_array_equal(pixels, expected)
        assert remarks == []
        mirrored += int((pixels != np.asarray(reader[Task(name, b"", (4, *place[1:]))][0])).any())
    assert mirrored == 6  # another seed, other pixels


def test_without_a_scale_a_window_of_the_resized_picture(folder: Path) -> None:
    images = dataset(folder).examples()
    name = images.x_train.name(0)
    with Image.open(folder / os.fsdecode(name)) as image:
        whole = np.asarray(LOOK.resized(image.convert("RGB")))
    pixels, _ = Reader(images.x_train.root, LOOK, Augment())[Task(name, b"", (0, "augment", 0, 0))]
    windows = np.lib.stride_tricks.sliding_window_view(whole, (24, 24), axis=(0, 1)).transpose(0, 1, 3, 4, 2)
    assert (windows == pixels).all(axis=(2, 3, 4)).any()


def test_batches_are_a_function_of_seed_and_epoch(folder: Path) -> None:
    images = dataset(folder).examples()
    colours = Colours(MEAN, STD, jitter=0.4, lighting=0.1)
    one, other, third = (loader(images, seed=seed, colours=colours) for seed in (1, 1, 2))
    first = [list(each.train_batches(epoch)) for each, epoch in ((one, 0), (other, 0), (one, 1), (third, 0))]
    assert [len(x) for x, _ in first[0]] == [5, 5, 5, 3]
    assert sorted(torch.cat([y for _, y in first[0]]).tolist()) == sorted(images.y_train.tolist())
    assert all(torch.equal(a, b) for a, b in zip(first[0][1], first[1][1], strict=True))
    assert not torch.equal(first[0][0][0], first[2][0][0])
    assert not torch.equal(first[0][0][0], first[3][0][0])
    state = torch.random.get_rng_state()
    list(one.train_batches(2))
    assert torch.equal(state, torch.random.get_rng_state())  # dropout draws from there


def test_colours_change_on_the_device_as_they_would_one_by_one(folder: Path) -> None:
    images = dataset(folder).examples()
    plain = next(loader(images, seed=1).train_batches(0))[0]
    changed = next(loader(images, seed=1, colours=Colours(MEAN, STD, 0.4, 0.1)).train_batches(0))[0]
    mean, std = (torch.tensor(v)[:, None, None] for v in (MEAN, STD))
    pixels = plain * std + mean
    drawn = torch.from_numpy(
        stream_loader.draw_colours(stream_loader.generator(1, "colour", 0, 0), 5, 0.4, 0.1)
    )
    matrix, offset = stream_loader.colour_maps(drawn, pixels.mean(dim=(2, 3)))
    expected = torch.einsum("bij,bjhw->bihw", matrix, pixels) + offset[:, :, None, None]
    torch.testing.assert_close(changed, (expected - mean) / std, atol=1e-4, rtol=0)


def test_partners_follow_their_batch(folder: Path) -> None:
    images = dataset(folder).examples()
    made = loader(images, seed=1)
    plain = list(made.train_batches(0))
    paired = list(made.train_pairs(0, lambda places, rng: (places + 1) % 18))
    order = made.order(0)
    for (x, y), (xs, ys), start in zip(plain, paired, range(0, 18, 5), strict=True):
        assert torch.equal(xs[: len(x)], x)
        assert torch.equal(ys[: len(y)], y)
        partners = (order[start : start + 5] + 1) % 18
        np.testing.assert_array_equal(ys[len(y) :].numpy(), images.y_train[partners])
    with pytest.raises(UserError, match=r"type method.cached=false"):
        made.origins(0)


class _Half:
    """One of two processes; the other's rows come back as zeros."""

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def rows(self, count: int) -> slice:
        middle = (count + 1) // 2
        return slice(0, middle) if self.rank == 0 else slice(middle, count)

    def gathered(self, own: torch.Tensor, count: int) -> torch.Tensor:
        whole = own.new_zeros(count, *own.shape[1:])
        whole[self.rows(count)] = own
        return whole


def test_each_process_reads_its_own_rows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, read = dataset(folder).examples(), []
    whole = Reader.__getitem__
    monkeypatch.setattr(Reader, "__getitem__", lambda self, task: read.append(task.name) or whole(self, task))
    halves = [
        torch.cat([x for x, _ in loader(images, seed=1, team=_Half(r)).train_batches(0)]) for r in (0, 1)
    ]
    assert sorted(read) == sorted(images.x_train.name(k) for k in range(18))
    expected = torch.cat([x for x, _ in loader(images, seed=1).train_batches(0)])
    grey = loader(images, seed=1)._normalised(torch.zeros(1, 1, 1, 3, dtype=torch.uint8))
    torch.testing.assert_close(halves[0] + halves[1] - grey, expected, atol=1e-5, rtol=0)
    turns = [loader(images, batch=2).test_batches(slice(rank, None, 2)) for rank in (0, 1)]
    assert [len(list(turn)) for turn in turns] == [3, 2]


def test_little_is_held_of_an_image(folder: Path) -> None:
    """What grows with the set: path, two numbers that find it, label, the spare one. Nothing in a worker."""
    names = [b"train/n%08d/n%08d_%05d.JPEG" % (k % 1000, k % 1000, k) for k in range(50_000)]
    files = PictureFiles("/data", LOOK, Paths(names), np.arange(len(names)))
    made = loader_of(files)
    arrays = files.paths.ends.nbytes + files.chosen.nbytes + made._spare.nbytes + made._labels.nbytes
    assert (len(files.paths.blob) + arrays) / len(names) < 80
    assert files.name(49_999) == names[-1]
    assert files[[7, 3]][-1:].name(0) == names[3]
    assert len(pickle.dumps(Reader(files.root, files.look))) < 500
    with pytest.raises(UserError, match=r"50,000 images of 224 pixels a side are 7.0 GiB, too many to hold"):
        np.array(PictureFiles("/data", Look(224, 256), files.paths, files.chosen))


def loader_of(files: PictureFiles) -> StreamLoader:
    colours = Colours(MEAN, STD)
    labels = np.arange(len(files)) % 1000
    return StreamLoader(
        files,
        labels,
        batch_size=8,
        device="cpu",
        colours=colours,
        augment=Augment(),
        workers=0,
        team=ALONE,
        seed=0,
    )


def test_the_content_is_of_the_files_wherever_they_lie(folder: Path, own: Path) -> None:
    first, moved = dataset(folder).examples(), dataset(own).examples()
    assert first.content == moved.content
    assert [first.x_train.name(k) for k in range(18)] == [moved.x_train.name(k) for k in range(18)]
    np.testing.assert_array_equal(first.y_train, moved.y_train)
    assert first.y_train.tolist() != sorted(first.y_train)  # the order says nothing of classes
    (own / "train" / "n01" / "n01_0.JPEG").write_bytes(b"shorter")
    assert dataset(own).examples().content != first.content


def test_subsets_choose_files(folder: Path) -> None:
    whole = dataset(folder).examples()
    part = dataset(folder, subset=6, test_subset=3, label_noise=0.5).examples()
    assert (part.n_train, part.n_test, part.shape) == (6, 3, (3, 24, 24))
    names = {whole.x_train.name(k) for k in range(18)}
    assert {part.x_train.name(k) for k in range(6)} < names
    assert part.y_clean is not None
    assert part.held_out is not None
    assert len(part.held_out[0]) == 12
    assert np.array(part.x_test).shape == (3, 24, 24, 3)
    assert part.content == whole.content


@pytest.fixture
def odd(own: Path) -> Path:
    """As ImageNet has them, and worse."""
    train = own / "train"
    with Image.open(train / "n01" / "n01_0.JPEG") as image:
        image.convert("CMYK").save(train / "n01" / "n01_0.JPEG", "JPEG")
    with Image.open(train / "n02" / "n02_1.JPEG") as image:
        image.load()
        image.save(train / "n02" / "n02_1.JPEG", "PNG")
    with Image.open(train / "n03" / "n03_2.JPEG") as image:
        exif = image.getexif()
        exif[0x0112] = 6
        image.save(train / "n03" / "n03_2.JPEG", exif=exif)
    content = (train / "n03" / "n03_5.JPEG").read_bytes()
    (train / "n03" / "n03_5.JPEG").write_bytes(content[: len(content) // 2])
    return own


def test_odd_images_are_counted_and_named(
    odd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, notes = dataset(odd, unreadable=0.1).examples(), tmp_path / "images.log"
    made = loader(images, seed=1, notes=notes, batch=18)
    ((x, y),) = made.train_batches(0)
    assert dict(made.odd) == {"odd": 3, "unreadable": 1}
    said = dict(line.split("\t") for line in notes.read_text().splitlines())
    assert said["train/n01/n01_0.JPEG"] == "odd: CMYK, converted to RGB"
    assert said["train/n02/n02_1.JPEG"] == "odd: a PNG in spite of its name"
    assert said["train/n03/n03_2.JPEG"] == "odd: turned by EXIF"
    assert said["train/n03/n03_5.JPEG"].startswith("unreadable: ")
    assert capsys.readouterr().err.count("another image of its class stands in for it") == 1
    names = [images.x_train.name(k) for k in range(18)]
    at = int(np.flatnonzero(made.order(0) == names.index(b"train/n03/n03_5.JPEG"))[0])
    spare = made._spare[names.index(b"train/n03/n03_5.JPEG")]
    place = (1, "augment", 0, names.index(b"train/n03/n03_5.JPEG"))
    pixels = Reader(str(odd), LOOK, made.augment)[Task(names[spare], b"", place)][0]
    torch.testing.assert_close(x[at], made._normalised(torch.tensor(pixels)[None])[0])
    assert images.y_train[spare] == y[at] == 2
    list(loader(images, seed=1, notes=notes).train_batches(1))  # as after an interruption
    assert len(notes.read_text().splitlines()) == 4
    assert capsys.readouterr().err == ""


def test_turned_as_viewers_show_it_or_left_as_it_lies(odd: Path) -> None:
    path = odd / "train" / "n03" / "n03_2.JPEG"
    turned, left = (
        Reader(str(odd), Look(24, 28, upright=upright))[Task(b"train/n03/n03_2.JPEG")][0]
        for upright in (True, False)
    )
    with Image.open(path) as image:
        expected = LOOK.middle(image.convert("RGB").transpose(Image.Transpose.ROTATE_270))
        np.testing.assert_array_equal(turned, np.asarray(expected))
        np.testing.assert_array_equal(left, np.asarray(LOOK.middle(image.convert("RGB"))))


def test_a_large_jpeg_may_be_decoded_smaller(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((800, 600), Image.Resampling.BICUBIC).save(tmp_path / "a.jpg")
    whole, draft = (
        Reader(str(tmp_path), Look(24, 28, draft=draft))[Task(b"a.jpg")][0] for draft in (False, True)
    )
    assert (whole != draft).any()
    assert np.abs(whole.astype(int) - draft).mean() < 4


def test_too_many_unreadable_images_end_it(own: Path) -> None:
    for name in ("n01/n01_0", "n02/n02_1"):
        (own / "train" / f"{name}.JPEG").write_bytes(b"no picture")
    images = dataset(own).examples()
    with pytest.raises(
        UserError, match=r"2 of 18 images cannot be decoded so far, such as train/n0.*unreadable=0.01"
    ):
        list(loader(images, seed=1).train_batches(0))
    (own / "val" / "n01" / "ILSVRC2012_val_00000001.JPEG").write_bytes(b"")
    grey = np.array(dataset(own).examples().x_test)
    assert [bool((each == reading.GREY).all()) for each in grey].count(True) == 1


def test_a_file_that_is_gone_is_no_bad_picture(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PATIENCE", (0.0,))
    images = dataset(own).examples()
    (own / "train" / "n01" / "n01_0.JPEG").unlink()
    with pytest.raises(
        RunFailed, match=r"n01_0.JPEG: cannot be read any more \(No such file.*same command goes on"
    ):
        list(loader(images, seed=1).train_batches(0))


def test_a_worker_that_is_gone_ends_the_run_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(message: str):
        raise RuntimeError(f"{message} (pid(s) 7) exited unexpectedly\nmore")
        yield

    pool = Pool(Reader("nowhere", LOOK), 0, False)
    monkeypatch.setattr(pool, "loader", gone("DataLoader worker"))
    with pytest.raises(
        RunFailed, match=r"ended \(DataLoader worker \(pid\(s\) 7\) exited unexpectedly\); no row"
    ):
        next(pool(iter([])))
    monkeypatch.setattr(pool, "loader", gone("something else"))
    with pytest.raises(RuntimeError, match="something else"):
        next(pool(iter([])))


def test_verify_decodes_everything(odd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["verify", "streamed", f"dataset.root={odd}", "dataset.size=24", "dataset.resize=28"]
    assert data_main(words) == 2
    said = capsys.readouterr().err
    assert "1 of 27 images cannot be decoded: train/n03/n03_5.JPEG (" in said
    (odd / "train" / "n03" / "n03_5.JPEG").unlink()
    assert data_main(words) == 0
    assert "all images can be decoded" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: shutil.rmtree(root / "train"), r"no train/ in it; the layout is"),
        (lambda root: shutil.rmtree(root / "val"), r"no test/ or val/ in it; the layout is"),
        (lambda root: [shutil.rmtree(root / "train" / n) for n in ("n01", "n02")], r"train: 1 class folder"),
        (lambda root: (root / "val" / "n09").mkdir(), r"val/n09: no class of the training images \(n01, n02"),
        (lambda root: shutil.rmtree(root / "val" / "n02"), r"1 of 3 classes have no test example \('n02'\)"),
        (
            lambda root: [shutil.rmtree(root / "val" / n) for n in ("n01", "n02", "n03")],
            r"val: no images in it",
        ),
        (
            lambda root: shutil.copytree(root / "val" / "n01", root / "train" / "n01" / "deep"),
            r"must lie directly",
        ),
    ],
)
def test_a_folder_that_is_no_data_set(own: Path, spoil, message: str) -> None:
    spoil(own)
    with pytest.raises(UserError, match=message) as caught:
        dataset(own).examples()
    assert "\n" not in str(caught.value)


def test_options_that_cannot_be(folder: Path) -> None:
    for more, message in (
        (
            {"resize": 20},
            r"dataset.resize=20: images would be smaller than the crop of 24 pixels; type dataset.resize=24",
        ),
        ({"unreadable": 2}, r"dataset.unreadable=2: must lie in"),
        ({"source": "npz"}, r"dataset.source=npz: unknown for toy"),
    ):
        with pytest.raises(UserError, match=message):
            Streamed("toy", **({"root": str(folder), "size": 24, "resize": 28} | more)).examples()
    with pytest.raises(UserError, match=r"recipe.mean has 1 numbers, but the images have 3 channels; give 3"):
        loader(dataset(folder).examples(), colours=Colours((0.5,), STD))
