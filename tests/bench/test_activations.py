"""How much memory a step needs, counted without having it."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from bench import activations
from bench.activations import Alive, step_memory
from msda_train.config.build import build
from msda_train.config.compose import compose

SMALL = ("model=wrn28_10", "model.depth=10", "model.width=1")


def test_what_is_alive_by_hand():
    """A float32 takes 4 bytes; a view, a result in place and a second look take none."""
    with Alive() as alive:
        a = torch.zeros(100)
        b = a + 1
        assert alive.now == alive.peak == 800
        view = a[:10]
        b.add_(view.sum())
        assert alive.now == 800
        del a
        assert alive.now == 800  # the view holds it
        del view
        assert alive.now == 400
        assert alive.peak == 804  # and once the sum


@pytest.mark.parametrize("words", [SMALL, ("model=densenet_bc190", "model.depth=16", "model.growth=4")])
@pytest.mark.parametrize("bf16", [False, True])
def test_kept_is_what_autograd_saves(words, bf16):
    """Counted on real tensors by autograd's own hook: no weight, no image, each storage once."""
    network = build("model", compose("dataset=cifar10", *words).model, classes=10, channels=3)
    x = torch.randn(4, 3, 16, 16).contiguous(memory_format=torch.channels_last)
    own = {t.untyped_storage().data_ptr() for t in (*network.parameters(), *network.buffers(), x)}
    stored = {}

    def pack(t):
        stored[t.untyped_storage().data_ptr()] = (t, t.untyped_storage().nbytes())
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = network(x)
        loss = nn.functional.cross_entropy(logits.float(), torch.zeros(4, dtype=torch.int64))
    saved = sum(size for key, (_, size) in stored.items() if key not in own)
    _, kept, _ = step_memory(words, 4, 16, bf16=bf16)
    assert kept == pytest.approx(saved, rel=0.01)
    loss.backward()


def test_weights_momentum_and_gradients_count():
    count = 36_479_194  # parameters of WRN-28-10 for ten classes
    peak, kept, state = step_memory(("model=wrn28_10",), 1, 8, bf16=False)
    assert state == pytest.approx(8 * count, rel=0.01)
    assert peak > 12 * count
    assert kept < 4 * count


def test_memory_grows_with_the_batch_and_halves_with_bf16():
    one, two = (step_memory(SMALL, batch, 16, bf16=False) for batch in (32, 64))
    assert two[1] == pytest.approx(2 * one[1], rel=0.01)
    assert step_memory(SMALL, 64, 16, bf16=True)[1] == pytest.approx(two[1] / 2, rel=0.1)


def test_rows(tiny, monkeypatch):
    dense = ("model=densenet_bc190", "model.depth=22", "model.growth=4")
    networks = ((8, SMALL), (8, dense), (8, (*dense, activations.AGAIN)))
    monkeypatch.setattr(activations, "NETWORKS", networks)
    monkeypatch.setattr(activations, "TIMED", (*dense, "method=erm"))
    *memory, time = activations.rows(replace(tiny, side=16, card_precisions=("bf16", "fp32")))
    assert [row.number for row in memory] == [15] * 6
    assert all(row.met == "strive" and row.judged_unit == "GiB" for row in memory)
    assert all(
        low.ours.median < high.ours.median for low, high in zip(memory[::2], memory[1::2], strict=True)
    )
    plain, again = (row.ours.median for row in (memory[3], memory[5]))
    assert again < plain
    assert "checkpointing=true" in memory[5].what
    assert time.judged.median > 0
