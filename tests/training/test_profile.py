"""Where the time goes: the parts, the trace, and that looking changes nothing."""

import ast
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.data.images import Images
from msda_train.methods.erm import Erm
from msda_train.training.device import choose
from msda_train.training.memory import peak_memory
from msda_train.training.profile import NAME, PARTS, Parts, marked, profile, told
from msda_train.training.run import Run


@pytest.fixture
def run(tmp_path):
    words = ["dataset=cifar10", "model.width=2", "model.blocks=[1]", "recipe=smoke", "recipe.batch_size=4"]
    cfg = compose(*words, "method=mixup")
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8), rng.integers(0, 10, 12)
    names = tuple(map(str, range(10)))
    images = Images(x, y, x[:4], y[:4], names, name="noise", content="", complete=False)
    made = Run(0, "", build("recipe", cfg.recipe), images, choose("cpu", "fp32", False, None), 0.0, tmp_path)
    return made, lambda: made.prepare(cfg.model, build("method", cfg.method))


def test_trace_and_words(run, tmp_path):
    made, prepare = run
    lines = []
    path = profile(made, prepare(), tmp_path / "new", lines.append)
    assert path == tmp_path / "new" / NAME
    names = {event.get("name") for event in json.loads(path.read_text())["traceEvents"]}
    assert {f"step/{part}" for part in PARTS} <= names
    assert [line.split()[0] for line in lines[1:6]] == list(PARTS)
    assert str(path) in lines[-1]


def test_epochs_that_mix_nothing_are_not_looked_at(run, tmp_path, monkeypatch):
    made, prepare = run
    made = replace(made, recipe=replace(made.recipe, epochs=3, erm_epochs=1))
    monkeypatch.setattr(Erm, "plan", lambda *args: pytest.fail("looked at a step without mixing"))
    assert profile(made, replace(prepare(), erm_epochs=1), tmp_path / "new", lambda line: None).is_file()


def test_parts_add_up_to_the_step(run):
    made, prepare = run
    step, parts = prepare(), Parts(torch.device("cpu"))
    step.network.train()
    for x, y in made.train_loader.train_batches(0):
        parts.new_step()
        marked(step, parts)(x, y, np.random.default_rng(0))
        parts.end_step()
    found = parts.milliseconds()
    assert len(found) == 3
    for spent in found:
        assert sum(spent[part] for part in PARTS) == pytest.approx(spent["step"])
        assert all(spent[part] > 0 for part in PARTS)


def test_order_of_the_parts(run):
    made, prepare = run
    step, parts = prepare(), Parts(torch.device("cpu"))
    x, y = next(made.train_loader.train_batches(0))
    parts.new_step()
    marked(step, parts)(x, y, np.random.default_rng(0))
    order = [part for part, _ in parts.marks[0]]
    assert [a for a, b in zip(order, [None, *order], strict=False) if a != b] == [
        *("input", "update", "mixing", "forward", "mixing", "forward", "backward", "update")
    ]


def test_a_marked_step_is_the_same_step(run):
    made, prepare = run
    plain, watched = prepare(), prepare()
    parts = Parts(torch.device("cpu"))
    parts.new_step()
    x, y = next(made.train_loader.train_batches(0))
    for step in (plain, marked(watched, parts)):
        step.network.train()
        step(x, y, np.random.default_rng(3))
    for a, b in zip(plain.network.state_dict().values(), watched.network.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_words_for_a_device_that_waits():
    spent = {**dict.fromkeys(PARTS, 2.0), "step": 10.0}
    lines = told([spent, spent], 20.0, 5.0)
    assert lines[0] == "a step takes 10.00 ms (median of 2)"
    assert lines[1].split() == ["input", "2.00", "ms", "20.0", "%"]
    assert lines[6].split() == ["gaps", "15.00", "ms", "75.0", "%"]


def test_a_folder_that_cannot_be(run, tmp_path):
    made, prepare = run
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        profile(made, prepare(), tmp_path / "file", lambda line: None)


def test_peak_memory_grows():
    before = peak_memory(torch.device("cpu"))
    assert before["device_peak_mib"] is None
    kept = torch.ones(int(before["host_peak_mib"] + 64), 2**18)  # as many MiB
    assert peak_memory(torch.device("cpu"))["host_peak_mib"] > before["host_peak_mib"] + 32
    del kept


def test_peak_memory_is_not_that_of_the_parent():
    """getrusage's would be: a process starts with the peak of the one that started it."""
    size = int(peak_memory(torch.device("cpu"))["host_peak_mib"]) + 256
    kept = torch.ones(size, 2**18)  # as many MiB
    words = (
        "import torch; from msda_train.training.memory import peak_memory as p; print(p(torch.device('cpu')))"
    )
    told = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True).stdout
    assert ast.literal_eval(told)["host_peak_mib"] < len(kept)
