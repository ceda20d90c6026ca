import math

import pytest

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.functional import schedules


def _recipe(*overrides):
    data = [] if any(o.startswith("experiment=") for o in overrides) else ["dataset=cifar10"]
    return build("recipe", compose(*data, *overrides).recipe)


@pytest.mark.parametrize(
    ("overrides", "epochs", "first", "drops"),
    [
        (["recipe=mixup"], 200, 0.1, [100, 150]),
        (["recipe=mixup", "recipe.drops=[0.505,0.755]"], 200, 0.1, [101, 151]),  # facebookresearch's code
        (["recipe=manifold_mixup"], 1200, 0.1, [400, 800]),
        (["experiment=manifold_cifar10_wrn28_10"], 400, 0.1, [200, 300]),
        (["experiment=manifold_tinyimagenet_preactresnet18"], 2000, 0.1, [1000, 1500]),
        (["recipe=cutmix"], 300, 0.25, [150, 225]),
        (["recipe=mixup", "recipe.epochs=20"], 20, 0.1, [10, 15]),
    ],
)
def test_published_schedules(overrides, epochs, first, drops):
    recipe = _recipe(*overrides)
    assert recipe.epochs == epochs
    rates = [recipe.lr_at(epoch, 0.5) for epoch in range(epochs)]
    changes = [e for e in range(1, epochs) if rates[e] != rates[e - 1]]
    assert rates[0] == first
    assert changes == drops
    assert rates[-1] == pytest.approx(first / 100)


def test_published_recipes():
    mixup, manifold, cutmix = (_recipe(f"recipe={name}") for name in ("mixup", "manifold_mixup", "cutmix"))
    assert (mixup.batch_size, manifold.batch_size, cutmix.batch_size) == (128, 100, 64)
    assert (mixup.nesterov, manifold.nesterov, cutmix.nesterov) == (False, True, True)
    assert mixup.weight_decay == manifold.weight_decay == cutmix.weight_decay == 1e-4
    assert (mixup.criterion, manifold.criterion, cutmix.criterion) == ("ce", "bce_softmax", "ce")
    assert (mixup.crop_padding, manifold.crop_padding, cutmix.crop_padding) == (4, 2, 4)
    assert [round(255 * m, 1) for m in manifold.mean] == [125.3, 123.0, 113.9]
    hundred = _recipe("recipe=cutmix", "dataset=cifar100")
    assert hundred.mean == cutmix.mean  # CIFAR-10's, as in the authors' code
    svhn = _recipe("experiment=manifold_svhn_preactresnet18")
    assert not svhn.flip
    assert list(svhn.mean) == list(svhn.std) == [0.5] * 3


def test_cosine_and_warmup():
    assert [schedules.cosine(p) for p in (0, 0.5, 1)] == pytest.approx([1, 0.5, 0])
    assert [schedules.warmup(e, 4) for e in (1, 2, 4, 9)] == [0.25, 0.5, 1, 1]
    assert schedules.warmup(0, 0) == 1


def test_openmixups_cosine_changes_between_epochs_only():
    recipe = _recipe("recipe=openmixup", "recipe.epochs=200")
    assert recipe.lr_at(50, 0.0) == recipe.lr_at(50, 0.99)
    assert [recipe.lr_at(epoch, 0.3) for epoch in (0, 100, 199)] == pytest.approx(
        [0.1, 0.05, 0.1 * (1 + math.cos(math.pi * 199 / 200)) / 2]
    )


def test_cosine_ends_at_the_least_rate():
    recipe = _recipe("recipe=openmixup_vits")
    assert recipe.lr_at(0, 0.0) == 0  # warm-up
    assert recipe.lr_at(10, 0.0) == pytest.approx(0.5 * (1e-6 + (1e-3 - 1e-6) * schedules.cosine(0.05)))
    assert recipe.lr_at(199, 1.0) == pytest.approx(1e-6)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("recipe.min_lr=0.1", "recipe.min_lr=0.1: where cosine ends, below recipe.lr"),
        ("recipe.padding=mirror", "recipe.padding"),
        ("recipe.padding=reflect recipe.crop_padding=0", "type recipe.crop_padding=4"),
        ("recipe.crop_scale=[0.08,1.0]", "type recipe.crop_padding=0"),
        ("recipe.crop_scale=[0.5] recipe.crop_padding=0", "two numbers above 0"),
        ("recipe.crop_scale=[0.5,2] recipe.crop_padding=0", "shares of the image"),
        ("recipe.crop_ratio=[2,1]", "recipe.crop_ratio"),
        ("recipe.clip_norm=-1", "recipe.clip_norm"),
    ],
)
def test_bad_options_of_crops_and_schedules(words, said):
    with pytest.raises(UserError, match=said) as caught:
        _recipe("recipe=openmixup", *words.split())
    assert "\n" not in str(caught.value)
