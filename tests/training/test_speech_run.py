"""Spectrograms through the whole program: prepared, trained on, with epochs that mix nothing, validated."""

import json

import pytest
import torch
from torch.nn import functional as F

from msda_train.cli.data import main as data_main
from msda_train.cli.train import main
from msda_train.evaluation.finished_run import open_run
from msda_train.records.rows import read_row


@pytest.fixture(scope="module")
def root(tmp_path_factory, write_speech):
    return write_speech(tmp_path_factory.mktemp("speech") / "unpacked")


@pytest.fixture
def train(root, cache, tmp_path, monkeypatch):
    """Runs msda-train on the small set, in a folder of its own; the exit code and the one row."""
    monkeypatch.chdir(tmp_path)
    data = [f"dataset.root={root}", f"dataset.cache={cache}"]
    words = ["experiment=mixup_speech_lenet", *data, "model.width=3", "model.hidden=16", "recipe.epochs=3"]
    words += ["recipe.erm_epochs=1", "recipe.batch_size=12", "threads=1", "precision=fp32"]

    def run(*more):
        before = set(tmp_path.rglob("row.json"))
        code = main([*words, *more])
        made = set(tmp_path.rglob("row.json")) - before
        return code, made.pop() if made else None

    return run


def test_a_run_is_trained_tested_and_validated(train):
    learns = ["model.width=8", "model.hidden=64", "recipe.epochs=12", "recipe.erm_epochs=4"]
    code, path = train("method=mixup", "method.alpha=0.2", "probes=validation", *learns)
    row = json.loads(path.read_text())
    assert code == 0
    assert (row["data"]["train_images"], row["data"]["test_images"], row["data"]["classes"]) == (36, 12, 3)
    assert row["names"]["dataset"] == "speech_commands"
    assert row["config"]["recipe"]["erm_epochs"] == 4
    found = row["probes"]["validation"]["numbers"]
    opened = open_run(path)
    wrong, nll = 0, 0.0
    with torch.no_grad():
        for x, y in zip(opened.run.images.x_validation, opened.run.images.y_validation, strict=True):
            logits = opened.network(torch.from_numpy(x.copy()).float()[None])
            wrong += logits.argmax().item() != y
            nll -= F.log_softmax(logits, dim=1)[0, y].item()
    assert found == {"error": wrong / 12, "nll": pytest.approx(nll / 12, rel=1e-5)}
    assert found["error"] <= 1 / 12  # tones in noise: whoever mixes up files and labels errs on two of three
    assert read_row(path).metrics["validation/error"] == found["error"]


def test_the_first_epochs_mix_nothing_whatever_the_method(train):
    def losses(*words):
        code, path = train(*words)
        assert code == 0
        return [epoch["train_loss"] for epoch in json.loads(path.read_text())["history"]]

    erm = losses("method=erm")
    for words in (["method=mixup"], ["method=cutmix", "method.prob=1.0"], ["method=manifold_mixup"]):
        first, *rest = losses(*words)
        assert first == erm[0]
        assert all(mixed != plain for mixed, plain in zip(rest, erm[1:], strict=True))
    assert losses("method=mixup", "recipe.erm_epochs=0")[0] != erm[0]
    assert losses("method=mixup", "recipe.erm_epochs=2")[:2] == erm[:2]


def test_the_validation_split_ends_a_run(train):
    """Whatever the test set says; `probes=gcommands` measures the last epoch's network on it, too."""
    words = ["recipe.patience=1", "recipe.epochs=25", "recipe.lr=0.03", "recipe.drops=[]"]
    code, path = train("method=erm", "probes=gcommands", *words)
    row = json.loads(path.read_text())
    assert code == 0
    assert row["stopped_after"] == len(row["history"]) < 25
    losses = [epoch["validation_nll"] for epoch in row["history"]]
    assert losses != [epoch["nll"] for epoch in row["history"]]
    assert losses[-1] > min(losses)
    found = row["probes"]["validation"]["numbers"]
    assert found["error"] == row["history"][-1]["validation_error"]
    assert found["nll"] == pytest.approx(losses[-1], rel=1e-5)
    assert set(row["probes"]["memorisation"]["numbers"]) == {"train_error_given"}


def test_the_learning_rate_is_divided_by_ten_every_ten_of_thirty_epochs():
    from msda_train.config.build import build
    from msda_train.config.compose import compose

    recipe = build("recipe", compose("experiment=mixup_speech_lenet").recipe)
    assert (recipe.epochs, recipe.batch_size, recipe.optimizer, recipe.erm_epochs) == (30, 100, "adam", 5)
    rates = [recipe.lr_at(epoch, 0.5) for epoch in (0, 9, 10, 19, 20, 29)]
    assert rates == pytest.approx([3e-3, 3e-3, 3e-4, 3e-4, 3e-5, 3e-5])


def test_vgg11_trains_too(train):
    words = ["model=vgg11_speech", "model.width=2", "method=mixup", "recipe.epochs=1", "recipe.erm_epochs=0"]
    code, path = train(*words)
    assert code == 0
    assert json.loads(path.read_text())["config"]["model"]["_target_"].endswith("vgg11")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["recipe.erm_epochs=3"], "recipe.erm_epochs=3: none of the 3 epochs is left to mix in"),
        (["recipe.erm_epochs=-1"], "recipe.erm_epochs=-1"),
        (["recipe.crop_padding=4"], "recipe.crop_padding=4: is for pictures, and these are spectrograms"),
        (["method=pgd_training", "recipe.erm_epochs=0"], "method: this one needs pictures"),
        (["method=puzzlemix", "recipe.erm_epochs=0"], "needs square images, these are 161x101"),
        (["dataset.subset=2"], "dataset.subset=2 is less than one"),
        (["dataset=digits"], "model: does not fit images of 8x8 pixels"),
    ],
)
def test_bad_input_is_one_line(train, capsys, words, message):
    data = [] if "dataset=digits" not in words else ["~dataset.root"]
    code, path = train(*words, *data)
    err = capsys.readouterr().err
    assert (code, path) == (2, None)
    assert message in err
    assert "Traceback" not in err


def test_a_set_without_a_validation_split_has_no_validation_error(small, capsys):
    code = main([*small("recipe.epochs=1"), "probes=validation"])
    err = capsys.readouterr().err
    assert code == 2
    assert "probe validation failed: needs a validation split, and digits has none" in err


def test_prepare_says_what_there_is(root, cache, capsys):
    words = ["speech_commands", f"dataset.root={root}", f"dataset.cache={cache}"]
    assert data_main(["prepare", *words]) == 0
    out = capsys.readouterr().out
    assert "speech_commands: 36 / 12 / 12 spectrograms 1x161x101, 3 classes, content " in out
    assert "NOT the official set (51,088 / 6,798 / 6,835 spectrograms, 30 classes)" in out
    assert data_main(["verify", *words]) == 0
    assert "all cached spectrograms hash to this content" in capsys.readouterr().out
