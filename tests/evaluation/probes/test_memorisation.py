"""Error on the training images, with respect to the real and to the given labels."""

import json

import pytest
import torch

from msda_train.evaluation.probes.memorisation import Memorisation
from msda_train.evaluation.probing import Asked, probe_run


def test_equals_a_loop_over_the_images(go):
    path = go("dataset.label_noise=0.5", "recipe.epochs=1")
    probe_run(path, [Asked("memorisation", {}, Memorisation())], lambda line: None)
    row = json.loads(path.read_text())
    found = row["probes"]["memorisation"]["numbers"]

    from msda_train.evaluation.finished_run import open_run

    opened = open_run(path)
    images, recipe = opened.run.images, opened.run.recipe
    assert row["data"]["wrong_labels"] == int((images.y_train != images.y_clean).sum())
    assert len(row["data"]["labels_sha256"]) == 64
    given = real = wrong = wrong_of = 0
    with torch.no_grad():
        for image, label, true in zip(images.x_train, images.y_train, images.y_clean, strict=True):
            x = (
                torch.tensor(image[None, ..., 0] / 255.0, dtype=torch.float32) - recipe.mean[0]
            ) / recipe.std[0]
            guess = opened.network(x[None]).argmax().item()
            given += guess != label
            real += guess != true
            wrong_of += label != true
            wrong += label not in (true, guess)
    assert found["train_error_given"] == pytest.approx(given / 60)
    assert found["train_error_real"] == pytest.approx(real / 60)
    assert found["train_error_wrong"] == pytest.approx(wrong / wrong_of)


def test_without_noise_there_is_one_number(go):
    path = go("recipe.epochs=1")
    probe_run(path, [Asked("memorisation", {}, Memorisation(images=20))], lambda line: None)
    assert set(json.loads(path.read_text())["probes"]["memorisation"]["numbers"]) == {"train_error_given"}
