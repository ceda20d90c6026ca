"""The examples a run keeps: its own batches, mixed by its own method, and not a bit of the run changed."""

import base64
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from msda_train.reporting.gallery import Gallery, read_gallery
from msda_train.training import gallery
from msda_train.training.step import Step


def _images(path):
    raw = json.loads((path.parent / "gallery.json").read_text())
    pixels = [np.asarray(Image.open(io.BytesIO(base64.b64decode(i["png"])))) for i in raw["images"]]
    return raw, np.stack(pixels)


def _result(path):
    row = json.loads(path.read_text())
    history = [{k: v for k, v in epoch.items() if "seconds" not in k} for epoch in row["history"]]
    state = torch.load(path.parent / "checkpoint.pt", weights_only=True)
    return row["metrics"], history, state["model"]


@pytest.mark.parametrize("method", ["cutmix", "manifold_mixup"])
def test_the_run_is_the_same_with_and_without(go, method, tmp_path, monkeypatch):
    with_gallery = _result(go(f"method={method}"))
    monkeypatch.setattr(gallery, "keep", lambda *args: None)
    path = go(f"method={method}", f"runs={tmp_path / 'without'}")
    assert not (path.parent / "gallery.json").exists()
    without = _result(path)
    assert with_gallery[:2] == without[:2]
    assert all(torch.equal(with_gallery[2][name], tensor) for name, tensor in without[2].items())


def test_it_is_a_function_of_the_seed(go, tmp_path):
    one = (go("method=hmix").parent / "gallery.json").read_bytes()
    assert one == (go("method=hmix", f"runs={tmp_path / 'again'}").parent / "gallery.json").read_bytes()
    assert one != (go("method=hmix", "seed=1").parent / "gallery.json").read_bytes()
    assert len(one) < gallery.LARGEST_FILE


def test_it_shows_the_batch_that_was_trained_on(go, monkeypatch):
    seen = []
    whole = Step.__call__

    def spy(self, x, y, rng):
        mix = self.method.plan(x, y, self.network, np.random.default_rng(rng.bit_generator.seed_seq))
        seen.append((mix.apply(x).clone(), y, mix))
        return whole(self, x, y, rng)

    monkeypatch.setattr(Step, "__call__", spy)
    path = go("method=mixup")
    raw, pixels = _images(path)
    x, y, mix = seen[0]
    config = json.loads(path.read_text())["config"]["recipe"]
    expected = ((x[:8, 0] * config["std"][0] + config["mean"][0]) * 255).round().clamp(0, 255)
    assert (raw["epoch"], raw["step"], raw["depth"], raw["mixed"]) == (1, 1, 0, True)
    assert np.array_equal(pixels, expected.numpy().astype(np.uint8))
    lam = mix.lam.item()
    for k, image in enumerate(raw["images"]):
        own, other = str(y[k].item()), str(y[mix.perm[k]].item())
        pair = {own: 1.0} if own == other else {own: lam, other: 1 - lam}
        assert dict(image["labels"]) == pytest.approx(pair, abs=1e-4)


@pytest.mark.parametrize(
    ("words", "mixed", "depth", "labels"),
    [
        (["method=erm"], False, None, 1),
        (["method=cutout"], True, 0, 1),
        (["method=cutmix", "method.prob=0.3", "seed=1"], True, 0, 2),
        (["method=cutmix", "method.prob=0"], False, None, 1),
        (["method=manifold_mixup", "recipe.epochs=4"], True, 0, 2),
        (["method=manifold_mixup", "method.depths=[2]"], False, 2, 2),
    ],
)
def test_a_plan_that_shows_is_looked_for(go, words, mixed, depth, labels):
    path = go(*words, "recipe.batch_size=10")
    raw, pixels = _images(path)
    assert (raw["mixed"], raw["depth"]) == (mixed, depth)
    assert raw["step"] == (3 if "seed=1" in words else raw["step"])  # the coins are 0.65, 0.43, 0.25
    assert {len(image["labels"]) for image in raw["images"]} <= {labels, 1}
    assert pixels.shape == (8, 8, 8)
    assert isinstance(read_gallery(path), Gallery)


def test_epochs_that_mix_nothing_are_no_example(go, monkeypatch):
    monkeypatch.setattr(gallery, "MOST_PLANS", 1)
    raw, _ = _images(go("method=mixup", "+recipe.erm_epochs=1"))
    assert (raw["epoch"], raw["step"], raw["mixed"]) == (2, 1, True)


def test_large_pictures_are_thinned_and_their_number_bounded():
    rng = np.random.default_rng(0)
    noise = [gallery._png(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)) for _ in range(8)]
    text = gallery._as_json({"images": [{"png": png, "labels": []} for png in noise]})
    assert len(text) <= gallery.LARGEST_FILE
    assert 1 <= len(json.loads(text)["images"]) < 8


def test_what_goes_wrong_does_not_cost_the_run(go, monkeypatch):
    monkeypatch.setattr(gallery, "_examples", lambda *args: 1 / 0)
    path = go()
    assert path.exists()
    assert not (path.parent / "gallery.json").exists()


def test_torchs_own_randomness_is_left_alone(go, monkeypatch):
    states = []
    whole = gallery.keep

    def around(run, step, say):
        states.append(torch.get_rng_state())
        whole(run, step, say)
        states.append(torch.get_rng_state())

    monkeypatch.setattr(gallery, "keep", around)
    go("method=gmix")
    assert torch.equal(*states)


@pytest.mark.gpu
def test_a_gpu_keeps_the_same_pictures(go, tmp_path):
    one, pixels = _images(go("method=gmix", "device=cpu"))
    two, others = _images(go("method=gmix", "device=cuda", "compile=false", f"runs={tmp_path / 'cuda'}"))
    assert [image["labels"] for image in one["images"]] == [image["labels"] for image in two["images"]]
    assert np.abs(pixels.astype(int) - others).max() <= 1
