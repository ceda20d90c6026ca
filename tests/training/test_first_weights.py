"""Training that begins with published weights: those of torchvision's networks, made up here."""

import hashlib

import pytest
import torch
import torchvision
from torch import nn

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.errors import UserError
from msda_train.models.resnet50 import resnet50
from msda_train.models.vgg import vgg_gap
from msda_train.training import first_weights, run
from msda_train.training.first_weights import begin_with


@pytest.fixture
def given(monkeypatch):
    """Weights of the network that the test gives, as if torchvision had published them."""

    def give(network):
        monkeypatch.setattr(first_weights, "_state", lambda name: network.state_dict())
        return network

    return give


def _small_resnet():
    return torchvision.models.ResNet(
        torchvision.models.resnet.Bottleneck, [1, 1, 1, 1], num_classes=1000, width_per_group=4
    )


@pytest.mark.parametrize("last_stride", [1, 2])
def test_a_resnet_begins_with_all_but_its_last_layer(given, last_stride):
    torch.manual_seed(0)
    theirs = given(_small_resnet())
    ours = resnet50([1, 1, 1, 1], 4, last_stride=last_stride, classes=5, channels=3)
    drawn = [value.clone() for value in list(ours.state_dict().values())[-2:]]
    begin_with(ours, "resnet50-0676ba61")
    found = [value for name, value in theirs.state_dict().items() if not name.startswith("fc.")]
    assert len(found) + 2 == len(ours.state_dict())
    assert all(torch.equal(*pair) for pair in zip(ours.state_dict().values(), found, strict=False))
    assert all(torch.equal(*pair) for pair in zip(list(ours.state_dict().values())[-2:], drawn, strict=True))
    if last_stride == 2:
        theirs.fc = nn.Identity()
        x = torch.randn(2, 3, 64, 64)
        head = ours.stages[-1][-1]
        torch.testing.assert_close(ours.eval()(x), head(theirs.eval()(x)), rtol=1e-4, atol=1e-5)


def test_vgg_gap_begins_with_the_convolutions_and_draws_the_rest(given):
    layers = torchvision.models.vgg.make_layers(
        [4, 4, "M", 8, 8, "M", *[16] * 3, "M", *[32] * 3, "M", *[32] * 3]
    )
    given(nn.ModuleDict({"features": layers, "classifier": nn.Linear(32, 1000)}))
    ours = vgg_gap(4, 64, 2, 0.5, classes=5, channels=3)
    drawn = [value.clone() for value in list(ours.state_dict().values())[26:]]
    begin_with(ours, "vgg16-397923af")
    values = list(ours.state_dict().values())
    assert len(values) == 30
    assert all(torch.equal(*pair) for pair in zip(values[:26], layers.state_dict().values(), strict=True))
    assert all(torch.equal(*pair) for pair in zip(values[26:], drawn, strict=True))


def test_another_network_is_refused(given):
    given(_small_resnet())
    with pytest.raises(
        UserError, match=r"recipe.first_weights=resnet50-0676ba61: they are of another network"
    ):
        begin_with(vgg_gap(4, 64, 2, 0.5, classes=5, channels=3), "resnet50-0676ba61")
    with pytest.raises(UserError, match=r"recipe.first_weights=resnet18: unknown"):
        build("recipe", compose("recipe=cutmix_localisation_cub", "recipe.first_weights=resnet18").recipe)


class Published:
    """As an entry of torchvision's list, whose file lies in the cache."""

    url = "https://nowhere/resnet50-XXXXXXXX.pth"

    def __init__(self, file):
        self.file = file

    def get_state_dict(self, **_):
        return torch.load(self.file, weights_only=True)


def test_what_is_in_the_file_is_checked(tmp_path, monkeypatch):
    """The name ends with the first digits of the checksum; torchvision itself looks at a download only."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    torch.save({"conv1.weight": torch.ones(3)}, folder / "made")
    digest = hashlib.sha256((folder / "made").read_bytes()).hexdigest()
    good, bad = folder / f"resnet50-{digest[:8]}.pth", folder / "resnet50-0676ba61.pth"
    for file in (good, bad):
        file.write_bytes((folder / "made").read_bytes())
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    entries = {"IMAGENET1K_V1": Published(good)}
    monkeypatch.setattr(torchvision.models, "get_model_weights", lambda name: entries)
    assert torch.equal(first_weights._state(good.stem)["conv1.weight"], torch.ones(3))
    with pytest.raises(UserError, match=r"resnet50-0676ba61: .* is another file; delete it"):
        first_weights._state(bad.stem)
    with pytest.raises(UserError, match=r"resnet50-11111111: cannot be had .*run once online, or put https"):
        first_weights._state("resnet50-11111111")


def test_a_run_begins_with_them_and_is_another_one(go, tmp_path, monkeypatch):
    begun = []
    monkeypatch.setattr(run, "begin_with", lambda network, name: begun.append(name))
    path = go("method=erm", "+recipe.first_weights=vgg16-397923af")
    assert begun == ["vgg16-397923af"]
    other = go("method=erm")
    assert begun == ["vgg16-397923af", None]  # which leaves the drawn ones
    assert path.parent.parent.name != other.parent.parent.name
