"""What the optimizer is given: weight decay of weights alone, and gradients of bounded norm."""

import pytest
import torch
from torch import nn

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.training.device import Compute
from msda_train.training.optimizer import new_update, parameter_groups

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
