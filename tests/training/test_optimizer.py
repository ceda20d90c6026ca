"""What the optimizer is given: weight decay of weights alone, and gradients of bounded norm."""

import pytest
import torch
from torch import nn

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.training.device import Compute
from msda_train.training.optimizer import new_update, parameter_groups
from msda_train.training.update import FACTOR, Replay

SMALL = {
    "deit_s": "model.size=[8,8] model.patch=4 model.width=8 model.depth=2 model.heads=2",
    "swin_t": "model.width=6 model.heads=[1,2,3,4] model.patch=2 model.window=4",
    "preactresnet18": "model.width=4",
}


def made(model, *words):
    cfg = compose("dataset=cifar10", "recipe=openmixup_vits", f"model={model}", *SMALL[model].split(), *words)
    return build("model", cfg.model, classes=10, channels=3), build("recipe", cfg.recipe)


@pytest.mark.parametrize("model", SMALL)
def test_biases_norms_tokens_and_positions_do_not_decay(model):
    network, recipe = made(model)
    decayed, others = parameter_groups(network, recipe)
    names = {id(p): name for name, p in network.named_parameters()}
    kept = [names[id(p)] for p in others["params"]]
    assert others["weight_decay"] == 0
    assert len(kept) + len(decayed["params"]) == len(names)
    for name in kept:
        last = name.rpartition(".")[2]
        assert (
            last in ("bias", "token", "position", "relative_position_bias_table")
            or "norm" in name
            or (isinstance(network.get_submodule(name.rpartition(".")[0]), nn.BatchNorm2d | nn.LayerNorm))
        )
    assert all(p.ndim in (2, 4) for p in decayed["params"])
    if model == "deit_s":
        assert {"token", "position"} <= {name.rpartition(".")[2] for name in kept}
    if model == "swin_t":
        assert any("relative_position_bias_table" in name for name in kept)


def test_everything_decays_where_nothing_is_said():
    network, recipe = made("deit_s", "recipe.decay_weights_only=false")
    assert list(parameter_groups(network, recipe)) == list(network.parameters())


@pytest.mark.parametrize("norm", [0.5, 1e6, 0])
def test_gradients_are_clipped_all_together(norm):
    """The step that SGD makes by hand; above the bound all gradients are scaled alike."""
    torch.manual_seed(0)
    words = ["recipe.optimizer=sgd", "recipe.weight_decay=0", f"recipe.clip_norm={norm}"]
    network, recipe = made("deit_s", *words)
    update = new_update(network, recipe, Compute(torch.device("cpu"), "fp32", False))
    update.set_lr(0.1)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    x, target = 30 * torch.randn(4, 3, 8, 8), torch.eye(10)[:4]
    loss = 20 * recipe.loss(network.eval()(x), target)  # no branch is dropped
    grads = dict(zip(before, torch.autograd.grad(loss, list(network.parameters())), strict=True))
    total = torch.sqrt(sum((g**2).sum() for g in grads.values()))
    assert 0.5 < total < 1e6
    update.criterion = lambda logits, goal: 20 * recipe.loss(logits, goal)
    update.begin()
    update(x, target)
    factor = norm / total if 0 < norm < total else 1
    for name, p in network.named_parameters():
        torch.testing.assert_close(
            p.detach(), before[name] - 0.1 * factor * grads[name], rtol=1e-3, atol=1e-6
        )


def test_a_step_of_a_transformer_is_finite_and_goes_on_from_its_state():
    """AdamW with two groups: a checkpoint's state restores both."""
    torch.manual_seed(0)
    compute = Compute(torch.device("cpu"), "fp32", False)
    network, recipe = made("deit_s", "model.drop_path=0")
    update = new_update(network, recipe, compute)
    x, target = torch.randn(4, 3, 8, 8), torch.eye(10)[:4]
    for _ in range(2):
        update.begin()
        assert update(x, target).isfinite()
    state = {k: v.clone() for k, v in network.state_dict().items()}
    other, _ = made("deit_s", "model.drop_path=0")
    again = new_update(other, recipe, compute)
    again.begin()
    again(x, target)
    again.resume(state, update.optimizer.state_dict())
    for each in (update, again):
        each.begin()
        each(x, target)
    for p, q in zip(network.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=0)


def plain(*words):
    cfg = compose("dataset=cifar10", "model=preactresnet18", "model.width=4", "model.blocks=[1]", *words)
    torch.manual_seed(0)
    return build("model", cfg.model, classes=10, channels=3), build("recipe", cfg.recipe)


def test_the_last_layer_learns_faster_than_the_others():
    """One step of SGD: ten times the movement of the classifier, the same of all else."""
    moved = []
    for factor in (1, 10):
        network, recipe = plain(f"+recipe.last_layer_factor={factor}")
        before = [parameter.detach().clone() for parameter in network.parameters()]
        update = new_update(network, recipe, Compute(torch.device("cpu"), "fp32", False))
        update.set_lr(0.01)
        draw = torch.Generator().manual_seed(0)
        update.begin()
        update(torch.randn(4, 3, 8, 8, generator=draw), torch.eye(10)[:4])
        moved.append([after.detach() - b for after, b in zip(network.parameters(), before, strict=True)])
    *body, weight, bias = zip(*moved, strict=True)
    for one, ten in body:
        assert torch.equal(one, ten)
    for one, ten in (weight, bias):
        assert one.abs().sum() > 0
        torch.testing.assert_close(10 * one, ten, rtol=1e-3, atol=1e-7)


def test_the_last_layer_goes_with_decay_of_weights_alone_and_with_a_recording():
    network, recipe = plain("recipe=openmixup_vits", "+recipe.last_layer_factor=10")
    groups = parameter_groups(network, recipe)
    facts = [(len(g["params"]), g.get("weight_decay"), g.get(FACTOR)) for g in groups]
    assert facts[2:] == [(1, None, 10), (1, 0.0, 10)]  # the classifier's weight and bias
    optimizer = torch.optim.SGD(groups, lr=0.1)
    replay = Replay(network, network, recipe.loss, optimizer, Compute(torch.device("cpu"), "fp32", False))
    replay.set_lr(0.02)
    assert [float(g["lr"]) for g in optimizer.param_groups] == pytest.approx([0.02, 0.02, 0.2, 0.2])
    replay.set_lr(0.01)  # in place, as what was recorded wants it
    assert [float(g["lr"]) for g in optimizer.param_groups] == pytest.approx([0.01, 0.01, 0.1, 0.1])


def test_a_last_layer_has_to_be_there():
    recipe = plain("+recipe.last_layer_factor=10")[1]
    with pytest.raises(UserError, match=r"recipe.last_layer_factor: this network ends in no linear layer"):
        parameter_groups(nn.Conv2d(3, 3, 1), recipe)
    with pytest.raises(UserError, match=r"recipe.last_layer_factor"):
        plain("+recipe.last_layer_factor=0")
