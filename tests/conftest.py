"""One thread: two busy threads on a shared machine fight, and one gives the same bits every time."""

import gc
import importlib.util
from copy import deepcopy
from pathlib import Path

import hydra
import numpy as np
import pytest
import torch
from hydra._internal.config_repository import ConfigRepository
from omegaconf import OmegaConf

from msda_train.comparison import match
from msda_train.config.compose import compose
from msda_train.core.paths import CONFIGS
from msda_train.records.published import load_papers
from msda_train.records.rows import load_rows

torch.set_num_threads(1)


STORED = Path(__file__).with_name("stored")  # rows and published files that are made up


def pytest_collection_finish():
    """What torch and the tests themselves are made of stays: no later collection looks at it (0.3 s each)."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item):
    """Tests marked gpu, asked for where there is none, are skipped: `make evidence` is rehearsed there."""
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("no CUDA device")


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    """Composed fingerprints are remembered for one test session, not in the home of whoever runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(match, "CACHE", tmp_path_factory.mktemp("cache") / "fingerprints.json")
        yield


@pytest.fixture(autouse=True, scope="session")
def _composed_quickly():
    """Hydra reads twenty files anew for every config, and composes the same words thousands of times here."""
    read, compose_anew = ConfigRepository.load_config, hydra.compose
    files, configs = {}, {}

    def load_config(repository, config_path):
        if {source.path for source in repository.sources} != {"hydra.conf", str(CONFIGS), ""}:
            return read(repository, config_path)  # with files that a test wrote, and may write again
        if config_path not in files:
            files[config_path] = read(repository, config_path)
        return deepcopy(files[config_path])

    def compose(config_name, overrides, **more):
        key = config_name, *overrides, *more.items()
        if key not in configs:
            configs[key] = compose_anew(config_name, overrides, **more)
        return deepcopy(configs[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConfigRepository, "load_config", load_config)
        patch.setattr(hydra, "compose", compose)
        yield


@pytest.fixture(scope="session")
def rows():
    return load_rows([STORED / "rows"])[0]


@pytest.fixture(scope="session")
def papers():
    return load_papers(STORED / "published")


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """One decoded-array cache for all tests, not the user's."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def small_run(cache):
    """Words of a real run that takes a second: sixty handwritten digits, a few thousand weights."""
    words = ["model.width=4", "model.blocks=[1,1]", "recipe=smoke", "recipe.batch_size=25", "threads=1"]
    words += ["precision=fp32"]  # auto is bf16 on some machines
    return [*words, "dataset.subset=60", "dataset.test_subset=30", f"dataset.cache={cache}"]


@pytest.fixture(scope="session")
def write_speech():
    """Lays out a small Speech Commands in a folder: of each of three words, a tone with noise, twelve files
    to train on, four in either list; and what else lies in the official archive."""
    from scipy.io import wavfile

    def write(folder):
        rng = np.random.default_rng(0)
        lists = {"validation_list.txt": [], "testing_list.txt": []}
        for pitch, word in ((300, "bed"), (1200, "cat"), (4000, "wow")):
            (folder / word).mkdir(parents=True)
            for k in range(20):
                tone = np.sin(2 * np.pi * pitch * np.arange(16_000) / 16_000 + k)
                wave = 3000 * tone + 900 * rng.standard_normal(16_000)
                name = f"{word}/{k:08x}_nohash_{k % 2}.wav"
                wavfile.write(folder / name, 16_000, wave.astype(np.int16))
                for file, first in (("validation_list.txt", 0), ("testing_list.txt", 4)):
                    lists[file] += [name] if first <= k < first + 4 else []
        (folder / "_background_noise_").mkdir()
        wavfile.write(folder / "_background_noise_" / "white_noise.wav", 16_000, np.zeros(99_000, np.int16))
        (folder / "README.md").write_text("## Speech Commands Data Set v0.01")
        for file, names in lists.items():
            (folder / file).write_text("\n".join(names) + "\n")
        return folder

    return write


@pytest.fixture(scope="session")
def load_script():
    """Imports one of scripts/ by its name: they are no package, nothing imports them."""

    def load(name):
        path = Path(__file__).resolve().parents[1] / "scripts" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def finish(tmp_path_factory):
    """Leaves in a folder what a run leaves there, a sound row and a checkpoint: nothing is trained."""
    import json

    from msda_train.config.fingerprint import fingerprint
    from msda_train.records.rows import write_row
    from msda_train.records.summary import METRICS, summarise

    def run(network, cfg, *, classes, folder=None):
        folder = folder or tmp_path_factory.mktemp("run")
        nodes = ("dataset", "model", "method", "recipe")
        config = {node: OmegaConf.to_container(cfg[node], resolve=True) for node in nodes}
        history = [dict.fromkeys(METRICS, 0.5) | {"epoch": n + 1} for n in range(cfg.recipe.epochs)]
        sizes = {"train_images": 50, "test_images": 10, "classes": classes}
        row = {
            "schema": 1,
            "names": dict.fromkeys(nodes),
            "seed": 0,
            "config": config,
            "metrics": summarise(history),
            "history": history,
            "seconds": 1.0,
            "images_per_second": 1.0,
            "data": {"content": "0" * 32, "complete": False, **sizes},
            "environment": {},
        }
        write_row(folder / "row.json", row)
        progress = {"fingerprint": fingerprint(config), "history": history, "sessions": []}
        state = {"model": network.state_dict(), "optimizer": {}, "progress": json.dumps(progress)}
        torch.save(state, folder / "checkpoint.pt")
        return folder

    return run


@pytest.fixture(scope="session")
def teacher(finish):
    """The folder of a finished run of a tiny network with a map of 16 x 16 cells: nothing is trained."""
    from msda_train.config.build import build

    cfg = compose("dataset=cifar10", "model.width=4", "model.blocks=[1,1]")
    return finish(build("model", cfg.model, classes=10, channels=3), cfg, classes=10)


@pytest.fixture
def small(small_run, tmp_path):
    """Words of a run that takes a second; its run folders lie under tmp_path."""

    def words(*overrides):
        model_of_its_own = any(o.startswith("model=") for o in overrides)
        base = [w for w in small_run if not (model_of_its_own and w.startswith("model."))]
        return [*base, "checkpoint_seconds=0", f"runs={tmp_path / 'runs'}", *overrides]

    return words


@pytest.fixture
def go(small):
    """Trains what the words say, in this process; returns the row's path."""

    def run(*overrides):
        cfg = compose(*small(*overrides))
        names = {
            "dataset": "digits",
            "model": "preactresnet18",
            "method": "m",
            "recipe": "smoke",
            "experiment": None,
        }
        from msda_train.training.train import train

        return train(cfg, names, lambda line: None)

    return run


@pytest.fixture
def batch():
    """Eight 3 x 32 x 32 images of white noise and their labels out of ten."""
    draw = torch.Generator().manual_seed(0)
    return torch.randn(8, 3, 32, 32, generator=draw), torch.randint(0, 10, (8,), generator=draw)


class Draws:
    """A generator that hands out chosen values: the method's own draws, pinned."""

    def __init__(self, *, beta=0.65, centre=(16, 16), coin=0.0, seed=0):
        self.rng = np.random.default_rng(seed)
        self.lam, self.centre, self.coin, self.axis = beta, centre, coin, 0

    def beta(self, a, b, size):
        return np.full(size, self.lam)

    def random(self, size=None):
        return self.coin if size is None else self.rng.random(size)

    def integers(self, low, high=None, size=None):
        value = self.centre[self.axis % 2]
        self.axis += 1
        return np.full(size, value) if size is not None else value

    def permutation(self, n):
        return self.rng.permutation(n)


@pytest.fixture
def draws():
    """The class, so that a test says which lam and which centre it wants."""
    return Draws


@pytest.fixture(scope="session")
def write_imagenet():
    """Lays out a small ImageNet in a folder: JPEGs of many sizes, train/SYNSET/SYNSET_k.JPEG, val/
    likewise or, `flat`, all in it. The lines `IMAGE SYNSET` of val come back."""
    from PIL import Image

    def write(root, train=18, val=9, flat=False, synsets=("n01", "n02", "n03"), sides=(30, 70)):
        rng, lines = np.random.default_rng(0), []
        for split, count in (("train", train), ("val", val)):
            for k in range(count):
                synset = synsets[k % len(synsets)]
                high, wide = (int(side) for side in rng.integers(*sides, 2))
                pixels = rng.integers(0, 256, (high // 8 + 1, wide // 8 + 1, 3), dtype=np.uint8)
                name = f"ILSVRC2012_val_{k + 1:08}.JPEG" if split == "val" else f"{synset}_{k}.JPEG"
                folder = root / split / ("" if flat and split == "val" else synset)
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).resize((wide, high), Image.Resampling.BICUBIC).save(
                    folder / name, "JPEG", quality=90
                )
                lines += [(name, synset)] if split == "val" else []
        return lines

    return write
