import json

import numpy as np
import pytest
import torch
from torch import nn

from msda_train.core.errors import UserError
from msda_train.core.randomness import generator
from msda_train.evaluation.probes import adversarial
from msda_train.evaluation.probes.adversarial import Adversarial
from msda_train.evaluation.probes.attack import Attack, attack_of, bce_softmax
from msda_train.functional.attacks import Ball, fgsm, ifgsm, pgd
from msda_train.functional.metrics import error_count

FGSM = {"kind": "fgsm", "eps": "8/255"}
PGD = {"kind": "pgd", "eps": "8/255", "steps": 8, "step_size": "2/255"}
NAME = "pgd_linf_pixel_8_255_steps8_step2_255"


def _pixels(subject):
    return next(iter(subject.batches()))


def _error(subject, pixels, y):
    return error_count(subject.logits(pixels), y).item() / len(y)


@pytest.mark.parametrize(
    ("node", "name"),
    [
        (FGSM, "fgsm_linf_pixel_8_255"),
        ({"kind": "fgsm", "eps": 0.03, "space": "normalised"}, "fgsm_linf_normalised_0.03"),
        ({"kind": "fgsm", "eps": 1, "norm": "l2"}, "fgsm_l2_pixel_1"),
        ({**FGSM, "loss": "bce_softmax"}, "fgsm_linf_pixel_8_255_bce_softmax"),
        ({"kind": "ifgsm", "eps": "8/255", "steps": 10}, "ifgsm_linf_pixel_8_255_steps10"),
        (PGD, NAME),
        ({**PGD, "restarts": 3}, f"{NAME}_restarts3"),
    ],
)
def test_a_name_carries_every_option(node, name):
    assert attack_of(node).name == name


def test_defaults_of_an_attack():
    attack = attack_of({"kind": "ifgsm", "eps": "8/255", "steps": 10})
    assert attack.step == pytest.approx(0.8 / 255)
    assert attack_of({**FGSM, "kind": "pgd", "steps": 10}).step == pytest.approx(2 / 255)
    assert attack.ball == Ball(8 / 255, "linf", 0.0, 1.0)
    assert attack_of({"kind": "fgsm", "eps": 2.0, "space": "normalised"}).ball == Ball(
        2.0, "linf", None, None
    )


def test_the_numbers_are_those_of_the_attacks(toy_subject):
    subject = toy_subject()
    x, y = _pixels(subject)
    assert len(x) > adversarial.BATCH  # two batches, and each image's attack is its own
    found = Adversarial([FGSM, PGD, {"kind": "ifgsm", "eps": 0.1, "norm": "l2", "steps": 3}], images=None)(
        subject
    )
    numbers = found.numbers
    assert numbers["clean/error"] == _error(subject, x, y)
    assert numbers["fgsm_linf_pixel_8_255/error"] == _error(
        subject, fgsm(subject.logits, x, y, Ball(8 / 255)), y
    )
    l2 = ifgsm(subject.logits, x, y, Ball(0.1, "l2"), steps=3, step_size=0.1 / 3)
    assert numbers["ifgsm_l2_pixel_0.1_steps3/error"] == _error(subject, l2, y)
    assert numbers[f"{NAME}/minus_fgsm"] == pytest.approx(
        numbers[f"{NAME}/error"] - numbers["fgsm_linf_pixel_8_255/error"]
    )
    assert numbers["clean/error"] < numbers["fgsm_linf_pixel_8_255/error"] <= numbers[f"{NAME}/error"] + 0.01
    assert numbers["clean/error"] <= numbers["noise_linf_pixel_8_255/error"] < numbers[f"{NAME}/error"]
    assert numbers["unbounded/error"] == 1
    assert numbers["zero_gradient_share"] == 0
    assert numbers["clean/top5_error"] == 0  # of three classes
    assert not found.remarks


def test_pgd_draws_from_the_runs_seed(toy_subject, monkeypatch):
    monkeypatch.setattr(adversarial, "BATCH", 1000)
    subject = toy_subject()
    x, y = _pixels(subject)
    rng = generator(0, f"probe/adversarial/{NAME}", 0, 0)
    moved = pgd(subject.logits, x, y, Ball(8 / 255), steps=8, step_size=2 / 255, rng=rng)
    alone = Adversarial([PGD], images=None)(subject).numbers
    assert alone[f"{NAME}/error"] == _error(subject, moved, y)
    among = Adversarial([FGSM, PGD], images=None)(subject).numbers  # whatever else is asked for
    assert among[f"{NAME}/error"] == alone[f"{NAME}/error"]


def test_normalised_space_has_no_clamp(toy_subject):
    subject = toy_subject()
    node = {"kind": "fgsm", "eps": 0.3, "space": "normalised"}
    found = Adversarial([node], images=None)(subject).numbers
    x, y = _pixels(subject)
    z = fgsm(subject.network, subject.normalise(x), y, Ball(0.3, low=None, high=None))
    back = z * 0.25 + 0.4
    assert back.min() < 0
    assert found["fgsm_linf_normalised_0.3/error"] == error_count(subject.network(z), y).item() / len(y)
    # with one mean and deviation it is the pixel attack of eps * std, but for the clamp
    torch.testing.assert_close(back, fgsm(subject.logits, x, y, Ball(0.3 * 0.25, low=None, high=None)))


def test_bce_climbs_the_other_loss():
    logits, y = torch.randn(4, 5, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 3])
    p, slow = logits.softmax(1), 0.0
    for i in range(4):
        for k in range(5):
            slow -= torch.log(p[i, k] if k == y[i] else 1 - p[i, k]).item() / 5
    assert bce_softmax(logits, y).item() == pytest.approx(slow, rel=1e-5)


def test_a_limit_is_in_every_name(toy_subject):
    found = Adversarial([FGSM, PGD], images=20)(toy_subject())
    assert {key.partition("/")[0] for key in found.numbers} == {
        "clean_n20",
        "fgsm_linf_pixel_8_255_n20",
        "noise_linf_pixel_8_255_n20",
        f"{NAME}_n20",
        "unbounded_n20",
        "zero_gradient_share_n20",
    }
    subject = toy_subject()
    x, y = _pixels(subject)
    assert found.numbers["clean_n20/error"] == _error(subject, x[:20], y[:20])


class Masked(nn.Module):
    """A network behind a rounding, as some defences have it: no gradient comes through."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x + (x.round(decimals=1) - x).detach() - x + x.detach())


def test_masked_gradients_are_remarked(toy_subject, toy_network):
    found = Adversarial([FGSM, PGD], images=None)(toy_subject(Masked(toy_network())))
    assert found.numbers["zero_gradient_share"] == 1
    assert found.numbers["fgsm_linf_pixel_8_255/error"] == found.numbers["clean/error"]
    assert any("100.0 % of the images have none" in remark for remark in found.remarks)
    assert any("free to change every pixel" in remark for remark in found.remarks)
    assert all(remark.startswith("warning") for remark in found.remarks)


def test_what_cannot_be_is_remarked():
    name, probe, remarks = "fgsm_linf_pixel_8_255", Adversarial([FGSM, PGD]), []
    numbers = {f"{name}/error": 0.5, f"{NAME}/error": 0.4, "noise_linf_pixel_8_255/error": 0.45}
    numbers |= {f"from_erm/{name}/error": 0.505, f"from_erm/{NAME}/error": 0.42}
    numbers |= {"zero_gradient_share": 0.0, "unbounded/error": 1.0}
    probe._compare(numbers, remarks, "from_erm")
    assert numbers[f"{NAME}/minus_fgsm"] == pytest.approx(-0.1)
    for words in (
        "one step, does more harm than pgd",
        f"{NAME} does more harm from_erm",
        "noise does more harm",
    ):
        assert sum(words in remark for remark in remarks) == 1
    assert len(remarks) == 3  # half a percent of transfer is no sign


@pytest.fixture
def source(toy_network, monkeypatch):
    """Another run's folder as far as `load_network` tells; its config can be changed."""
    from msda_train.evaluation.probes import adversarial

    config = {
        "dataset": {"_target_": "msda_train.data.dataset.Dataset", "name": "toy", "subset": 100},
        "method": {"_target_": "msda_train.methods.mixup.Mixup"},
        "recipe": {"mean": [0.5], "std": [0.2]},
    }
    monkeypatch.setattr(adversarial, "load_network", lambda folder: (toy_network(seed=7), config))
    return config


def test_transfer(toy_subject, toy_network, source):
    subject = toy_subject()
    found = Adversarial([FGSM, {**FGSM, "space": "normalised"}], images=None, source="some/run")(subject)
    x, y = _pixels(subject)
    other = toy_network(seed=7)
    moved = fgsm(lambda pixels: other((pixels - 0.5) / 0.2), x, y, Ball(8 / 255))
    numbers = found.numbers
    assert numbers["from_mixup/fgsm_linf_pixel_8_255/error"] == _error(subject, moved, y)
    z = fgsm(other, (x - 0.5) / 0.2, y, Ball(8 / 255, low=None, high=None))
    expected = _error(subject, z * 0.2 + 0.5, y)
    assert numbers["from_mixup/fgsm_linf_normalised_8_255/error"] == expected
    assert numbers["from_mixup/fgsm_linf_pixel_8_255/error"] <= numbers["fgsm_linf_pixel_8_255/error"]
    assert any("from_mixup" in remark and "some/run" in remark for remark in found.remarks)


def test_a_source_of_other_data(toy_subject, source):
    source["dataset"]["name"] = "cifar10"
    with pytest.raises(UserError, match="trained on cifar10, this run on toy"):
        Adversarial([FGSM], source="some/run")(toy_subject())


def test_the_run_itself_is_no_source(toy_subject, toy_network, source):
    found = Adversarial([FGSM], source="some/run")(toy_subject(toy_network(seed=7)))
    assert not any(key.startswith("from_") for key in found.numbers)
    assert "that is this very run: no transfer" in found.remarks


def test_no_such_source(toy_subject, tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        Adversarial([FGSM], source=str(tmp_path / "none"))(toy_subject())


def test_the_network_is_left_alone(toy_subject):
    subject = toy_subject()
    before = json.dumps({key: value.tolist() for key, value in subject.network.state_dict().items()})
    Adversarial([FGSM, PGD])(subject)
    assert all(parameter.grad is None for parameter in subject.network.parameters())
    assert not subject.network.training
    assert before == json.dumps({key: value.tolist() for key, value in subject.network.state_dict().items()})


def test_notes_go_with_the_numbers(toy_subject):
    found = Adversarial([FGSM], images=10, notes=["eps is not printed"])(toy_subject())
    assert found.remarks[0] == "eps is not printed"
    assert np.isfinite(list(found.numbers.values())).all()


@pytest.mark.parametrize(
    "attack",
    [
        "fgsm",
        {"kind": "fgsm"},
        {"eps": 0.1},
        {**FGSM, "kind": "cw"},
        {**FGSM, "eps": 8},
        {**FGSM, "eps": "8/0"},
        {**FGSM, "eps": "much"},
        {**FGSM, "eps": -0.1},
        {**FGSM, "eps": None},
        {**FGSM, "eps": [1]},
        {**FGSM, "eps": True},
        {**FGSM, "epsilon": 0.1},
        {**FGSM, "norm": "l1"},
        {**FGSM, "space": "lab"},
        {**FGSM, "loss": "cw"},
        {**FGSM, "steps": 2},
        {**PGD, "steps": 0},
        {**PGD, "step_size": "x"},
        {**PGD, "restarts": 0},
        {**PGD, "kind": "ifgsm", "restarts": 2},
    ],
)
def test_bad_attacks_are_named(attack):
    with pytest.raises(UserError, match=r"probes\.adversarial\.attacks") as caught:
        Adversarial([attack])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"attacks": []},
        {"attacks": FGSM},
        {"attacks": 3},
        {"attacks": [FGSM, FGSM]},
        {"images": 0},
        {"images": "all"},
    ],
)
def test_bad_options_are_named(options):
    with pytest.raises(UserError, match=r"probes\.adversarial\."):
        Adversarial(**options)


def test_which_attack_should_outdo_one_step():
    attack = Attack("ifgsm", "8/255", steps=4, step_size="1/255")
    assert not attack.outdoes(Attack("fgsm", "8/255"))  # its steps end inside the ball
    assert Attack("ifgsm", "8/255", steps=8, step_size="1/255").outdoes(Attack("fgsm", "8/255"))
    assert not Attack("pgd", "8/255", steps=8, step_size="1/255").outdoes(Attack("fgsm", "8/255"))
    assert Attack("pgd", "8/255", steps=10).outdoes(Attack("fgsm", "8/255"))  # from the far side, too
    assert not Attack("pgd", "4/255", steps=10).outdoes(Attack("fgsm", "8/255"))
