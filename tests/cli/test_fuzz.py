"""Command lines that nobody sensible types, made from the configs themselves: each is done or refused in one
line, and a refused one leaves the disk as it was."""

import random
import shutil

import pytest
from omegaconf import DictConfig

from msda_train.cli.train import main
from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.core.paths import CONFIGS
from msda_train.core.randomness import generator
from msda_train.training.environment import environment
from msda_train.training.gan import Game
from msda_train.training.run import Progress, Run
from msda_train.training.step import evaluate

VALUES = (
    *("null", "nan", "inf", "-inf", "-1", "0", "1", "1.5", "1e30", "100000000", "9" * 30, "9" * 5000),
    *("", "''", "true", "abc", "Ünï¢ode", "a b", "???", "${seed}", "${nothing}", "${oc.env:NOTHING}"),
    *("[]", "[1]", "[null,a]", "[[1]]", "{}", "{a:1}", "[" * 300 + "]" * 300, "1,2"),
    *("../..", "~nobody", "builtins.dict", "...", ".x.y"),
)
GROUPS = {
    "model": "model",
    "method": "method",
    "recipe": "recipe",
    "regulariser": "model",
    "probes": "probes",
}
OTHERS = ("experiment", "regulariser", "hydra", "hydra.run.dir", "hydra.sweep.dir", "defaults", "sede", "")
FLAGS = (
    *(
        "--resolve",
        "--cfg",
        "--cfg=job",
        "--info",
        "--info=plugins",
        "--package",
        "--package=x",
        "-m",
        "--help",
    ),
    *("--config-dir=nowhere", "--config-name=nothing", "--config-path=nowhere", "--nothing", "--hydra-help"),
    *("--experimental-rerun=x", "--shell-completion", "-sc", "-", "--", "=", "~", "+", "é"),
)


def _keys(node, path=""):
    """Dotted names of a node and of everything below it."""
    for key in node:
        name = f"{path}{key}"
        yield name
        child = node._get_node(key)
        if isinstance(child, DictConfig):
            yield from _keys(child, f"{name}.")


def all_lines():
    """Every key of every word, with every value and without it; and every flag."""
    for key in [*_keys(compose()), *OTHERS]:
        yield from ([word] for word in _words(key))
    for group, node in GROUPS.items():
        for file in sorted((CONFIGS / group).glob("*.yaml")):
            chosen = f"{group}={file.stem}"
            for key in _keys(compose(chosen)):
                if key.startswith(node):
                    yield from ([chosen, word] for word in _words(key))
    yield from gan_lines()
    yield from ([flag] for flag in FLAGS)


def gan_lines():
    """Every key of a GAN that mixes, with every value and without it."""
    for key in _keys(compose("task=gan", "method=gan/mixup")):
        if key.partition(".")[0] in ("dataset", "model", "method", "recipe", "task"):
            yield from (["task=gan", "method=gan/mixup", word] for word in _words(key))


def _words(key):
    yield f"~{key}"
    yield f"+{key}.x=1"
    for value in VALUES:
        yield f"{key}={value}"


def _state(folder):
    return {path: path.is_file() and path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def lines():
    return list(all_lines())


@pytest.fixture
def typed(tmp_path, small_run, monkeypatch, capfd):
    """Types a line in an empty folder, where training is one step; checks what every line must keep."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr("msda_train.data.dataset.fetch", _no_network)
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", _no_network)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", _no_network)
    monkeypatch.setattr(Run, "train", _one_step)

    def run(words):
        before = _state(here)
        other = any(word.startswith(("model=", "task=")) for word in words)
        left_out = ("model.", *("recipe", "dataset.") * words[0].startswith("task="))
        code = main([*[word for word in small_run if not (other and word.startswith(left_out))], *words])
        out, err = capfd.readouterr()
        lines = [line for line in err.splitlines() if line.strip() and not line.startswith("on cpu (")]
        trained = any(here.rglob("row.json"))  # what a probe makes of it then is its own business
        assert code in ((0, 1, 2) if trained and "probe " in err else (0, 2)), (words, err)
        assert "Traceback" not in err, words
        assert all(len(line) < 1000 for line in lines), words
        if code == 2 and not trained and "-m" not in words:
            assert _state(here) == before, words
            assert out == "", words
            assert len(lines) == 1, (words, err)
            assert lines[0].startswith("msda-train: "), words
        for path in here.iterdir():
            shutil.rmtree(path)
        return code

    return run


def _no_network(*_, **__):
    raise UserError("no network here")


def _one_step(self, step, say):
    if isinstance(step, Game):
        step.iteration(generator(self.seed, "game", 0, 0))
        measured = {"epoch": 1, "modes": 0.5, "good": 0.5, "train_seconds": 1.0, "seconds": 1.0}
        return Progress([measured], [{"from_epoch": 1, **environment(self.compute)}])
    step.network.train()
    here, x, y = next(step.over(self.train_loader, 0))
    step.update.set_lr(self.recipe.lr_at(0, 0.0))
    here(x, y, generator(self.seed, "mix", 0, 0))
    step.network.eval()
    evaluate(step.update.forward, self.test_loader.test_batches(), self.compute)
    numbers = {"error": 0.5, "top5_error": 0.5, "nll": 1.0, "train_loss": 1.0, "lr": 0.1}
    seconds = {"train_seconds": 1.0, "seconds": 1.0}
    return Progress([{"epoch": 1, **numbers, **seconds}], [{"from_epoch": 1, **environment(self.compute)}])


@pytest.mark.parametrize("part", range(4))
def test_a_line_is_done_or_refused_in_one_line(typed, lines, part):
    for line in random.Random(part).sample(lines, 12):
        typed(line)


def test_a_gan_is_trained_or_refused_in_one_line(typed):
    for line in random.Random(5).sample(list(gan_lines()), 30):
        typed(line)


@pytest.mark.slow
def test_hundreds_of_lines(typed, lines):
    for line in random.Random(4).sample(lines, 800):
        typed(line)
