"""Attention of random networks: no weights are downloaded here."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models

from msda_train.core.errors import UserError
from msda_train.core.origin import Origin
from msda_train.methods._attention import (
    Trunk,
    attend,
    imagenet_teacher,
    of_crops,
    over_pixels,
    own_teacher,
    top_cells,
)

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


@pytest.fixture(scope="module")
def resnet18():
    """A random ResNet-18 whose BatchNorms have seen something, in evaluation mode."""
    torch.manual_seed(0)
    network = models.resnet18()
    with torch.no_grad():
        network(torch.rand(4, 3, 64, 64))
    return network.eval()


@pytest.fixture(scope="module")
def weights(resnet18, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(resnet18.state_dict(), path)
    return str(path)


def by_hooks(network, x):
    """The input of the average pooling: torchvision's own forward pass, observed."""
    seen = []
    hook = network.avgpool.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    with torch.no_grad():
        network(x)
    hook.remove()
    return seen[0]


@pytest.mark.parametrize("seen", ["pixels", "imagenet", "normalised"])
def test_the_last_map_of_the_enlarged_image(resnet18, weights, seen):
    pixels = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    m, s = (torch.tensor(v).view(3, 1, 1) for v in (MEAN, STD))
    x = (pixels - m) / s
    want = {
        "pixels": pixels,
        "imagenet": models.ResNet18_Weights.IMAGENET1K_V1.transforms(crop_size=32, resize_size=32)(pixels),
        "normalised": x,
    }[seen]
    want = torch.nn.functional.interpolate(want, size=(224, 224), mode="bilinear", align_corners=False)
    found = imagenet_teacher("resnet18", weights, 7, seen, MEAN, STD)(x)
    assert found.shape == (2, 512, 7, 7)
    assert not found.requires_grad
    torch.testing.assert_close(found, by_hooks(resnet18, want), atol=2e-4, rtol=1e-3)


def test_other_grids_and_grey_images(weights):
    teacher = imagenet_teacher("resnet18", weights, 4, "pixels", (0.5,), (0.25,))
    grey = torch.randn(2, 1, 28, 28)
    assert teacher(grey).shape == (2, 512, 4, 4)
    torch.testing.assert_close(teacher(grey), teacher(grey.expand(2, 3, 28, 28)))
    for channels in (1, 3):
        teacher.check_channels(channels)
    with pytest.raises(UserError, match="3 channels; these have 4"):
        teacher.check_channels(4)


def test_resnet50_has_2048_channels(tmp_path):
    torch.save(models.resnet50().state_dict(), tmp_path / "w.pt")
    teacher = imagenet_teacher("resnet50", str(tmp_path / "w.pt"), 2, "pixels", MEAN, STD)
    assert teacher(torch.randn(1, 3, 32, 32)).shape == (1, 2048, 2, 2)


def test_torch_s_generator_is_left_alone(weights):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    imagenet_teacher("resnet18", weights, 7, "pixels", MEAN, STD)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("kind", ["cut", "text", "other shape", "pickle", "list", "missing"])
def test_bad_weights_are_one_line(weights, tmp_path, kind):
    path = tmp_path / "w.pth"
    if kind == "cut":
        path.write_bytes(Path(weights).read_bytes()[:100_000])
    elif kind == "text":
        path.write_text("no weights")
    elif kind == "other shape":
        torch.save(models.resnet18(num_classes=10).state_dict(), path)
    elif kind == "pickle":
        torch.save({"model": models.resnet18}, path)
    elif kind == "list":
        torch.save([1, 2], path)
    with pytest.raises(UserError, match=r"method\.weights=") as caught:
        imagenet_teacher("resnet18", str(path), 7, "pixels", MEAN, STD)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [OSError("no\nnetwork"), RuntimeError('invalid hash value (expected "x")')])
def test_without_a_network_it_says_what_to_type(monkeypatch, error):
    asked = {}

    def offline(url, *args, **options):
        asked.update(options, url=url)
        raise error

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(UserError, match=r"method.teacher=resnet18.*method.weights=FILE.*resnet18-") as caught:
        imagenet_teacher("resnet18", None, 7, "pixels", MEAN, STD)
    assert "\n" not in str(caught.value)
    assert asked["check_hash"] is True
    assert asked["weights_only"] is True
    assert "resnet18-f37072fd.pth" in asked["url"]


def staged(head):
    network = nn.Module()
    network.stages = nn.ModuleList([nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), head])
    return network


def test_an_own_network_up_to_its_pooling():
    plain = staged(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10)))
    x = torch.randn(4, 3, 8, 8)
    body = torch.relu(plain.stages[0](x))
    torch.testing.assert_close(Trunk(plain.stages)(x), body)
    normed = staged(nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    normed.stages[2][0].running_mean += 0.3
    normed.eval()
    expected = torch.relu(normed.stages[2][0](torch.relu(normed.stages[0](x))))
    torch.testing.assert_close(Trunk(normed.stages)(x), expected)


def test_an_own_network_gets_its_own_normalisation(tmp_path):
    network = staged(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
    x = torch.randn(2, 3, 8, 8)
    same = own_teacher(network, {"mean": list(MEAN), "std": list(STD)}, tmp_path, MEAN, STD)
    with torch.no_grad():
        assert torch.equal(same(x), torch.relu(network.stages[0](x)))
        pixels = x * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
        other = own_teacher(network, {"mean": [0.5], "std": [0.25]}, tmp_path, MEAN, STD)
        torch.testing.assert_close(other(x), torch.relu(network.stages[0]((pixels - 0.5) / 0.25)))
    with pytest.raises(UserError, match="3 channels; these have 1"):
        same.check_channels(1)
    for recipe in (None, {}, {"mean": "x", "std": [1]}, {"mean": [1, 2], "std": [1, 1]}):
        with pytest.raises(UserError, match="mean and std"):
            own_teacher(network, recipe, tmp_path, MEAN, STD)


def test_kinds_of_attention():
    features = torch.arange(2 * 3 * 4.0).view(2, 3, 2, 2).bfloat16()
    assert attend(features, "channel_mean")[0].tolist() == [[4, 5], [6, 7]]
    assert attend(features, "last_channel")[1].tolist() == [[20, 21], [22, 23]]
    assert attend(features, "last_channel").dtype == torch.float32


def test_top_cells_by_hand_and_by_sorting():
    seen = torch.tensor([[[0.1, 0.9], [0.5, 0.5]], [[3.0, 3.0], [3.0, 3.0]]])
    cells = top_cells(seen, torch.tensor([2]))
    assert cells.tolist() == [[[[0, 1], [1, 0]]], [[[1, 1], [0, 0]]]]  # of equal ones the first
    seen = torch.randn(5, 7, 7, generator=torch.Generator().manual_seed(0))
    counts = torch.tensor([1, 6, 20, 48, 49])
    for values, chosen, k in zip(seen, top_cells(seen, counts), counts.tolist(), strict=True):
        smallest = sorted(values.flatten().tolist(), reverse=True)[k - 1]
        assert torch.equal(chosen[0], (values >= smallest).float())


@pytest.mark.parametrize(("grid", "height", "width"), [(7, 32, 32), (7, 64, 28), (4, 32, 32), (8, 5, 9)])
def test_soft_borders_are_enlarging_pasting_and_reducing(grid, height, width):
    cells = (torch.rand(3, 1, grid, grid, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    mask = over_pixels(cells, height, width, "soft")
    assert mask.shape == (3, 1, height, width)
    assert mask.min() >= 0
    assert mask.max() <= 1
    # grid * height rows: every cell covers `height` of them, every pixel averages `grid` of them.
    for m, cell in zip(mask[:, 0].numpy(), cells[:, 0].numpy(), strict=True):
        big = cell.repeat(height, axis=0).repeat(width, axis=1)
        slow = big.reshape(height, grid, width, grid).mean(axis=(1, 3))
        np.testing.assert_allclose(m, slow, atol=1e-6)
    torch.testing.assert_close(mask.mean((1, 2, 3)), cells.mean((1, 2, 3)), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("grid", "height", "width"), [(7, 32, 32), (7, 64, 28), (4, 32, 32), (8, 5, 9)])
def test_hard_borders_go_by_the_pixel_s_centre(grid, height, width):
    cells = (torch.rand(2, 1, grid, grid, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    mask = over_pixels(cells, height, width, "hard")
    for r in range(height):
        for c in range(width):
            cell = (2 * r + 1) * grid // (2 * height), (2 * c + 1) * grid // (2 * width)
            assert torch.equal(mask[:, 0, r, c], cells[:, 0, cell[0], cell[1]])


def test_where_cells_divide_the_image_borders_do_not_matter():
    cells = (torch.rand(2, 1, 8, 8) < 0.3).float()
    soft, hard = (over_pixels(cells, 32, 32, borders) for borders in ("soft", "hard"))
    assert torch.equal(soft, hard)
    assert torch.equal(hard, cells.repeat_interleave(4, 2).repeat_interleave(4, 3))


def origin(down, right, mirrored):
    return Origin(torch.arange(len(down)), *(torch.tensor(v) for v in (down, right, mirrored)))


def test_a_crop_by_hand():
    """Two cells of four pixels a side; the crop begins three pixels up and one to the right."""
    seen = torch.tensor([[[8.0, 4.0], [0.0, 0.0]]])  # mean 3
    found = of_crops(seen, origin([-3], [1], [0]), 8, 8)
    # Above: a row of the image in four, of which the left cell has three columns of 8 and one of 4.
    top = [(3 * 8 + 4 + 12 * 3) / 16, (3 * 4 + 13 * 3) / 16]
    bottom = [(3 * (3 * 8 + 4)) / 16, (3 * 3 * 4 + 4 * 3) / 16]
    torch.testing.assert_close(found[0], torch.tensor([top, bottom]))


@pytest.mark.parametrize(("grid", "height", "width"), [(7, 32, 32), (7, 64, 28), (4, 32, 32), (8, 8, 16)])
def test_crops_pixel_by_pixel(grid, height, width):
    draw = np.random.default_rng(0)
    places = [draw.integers(-5, 6, 12), draw.integers(-5, 6, 12), draw.integers(0, 2, 12)]
    seen = torch.randn(12, grid, grid, generator=torch.Generator().manual_seed(0))
    found = of_crops(seen, origin(*places), height, width)
    for k, (down, right, mirrored) in enumerate(zip(*places, strict=True)):
        # Every cell has `height` rows, every pixel `grid` of them. `seen` is of the mirrored image where the
        # crop is mirrored: it is turned back, cropped and mirrored as the pixels are.
        image = seen[k].numpy()[:, ::-1] if mirrored else seen[k].numpy()
        fine = image.repeat(height, axis=0).repeat(width, axis=1)
        frame = np.pad(fine, grid * 5, constant_values=image.mean())
        top, left = grid * (5 + down), grid * (5 + right)
        crop = frame[top : top + grid * height, left : left + grid * width]
        crop = crop[:, ::-1] if mirrored else crop
        slow = crop.reshape(grid, height, grid, width).mean(axis=(1, 3))
        np.testing.assert_allclose(found[k], slow, atol=1e-5)


@pytest.mark.parametrize("side", [32, 30])
def test_what_was_not_moved_has_the_same_bits(side):
    seen = torch.randn(6, 7, 7)
    still = [0] * 6
    assert torch.equal(of_crops(seen, origin(still, still, [0, 1] * 3), side, side), seen)
    moved = origin([1] * 6, [-2] * 6, [0, 1] * 3)
    plain = of_crops(seen, moved, side, side)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(of_crops(seen, moved, side, side), plain)
    far = of_crops(seen, origin([side] * 6, still, still), side, side)  # nothing but the frame
    torch.testing.assert_close(far, seen.mean((1, 2), keepdim=True).expand_as(far))


def test_autocast_does_not_round_masks():
    cells = (torch.rand(2, 1, 7, 7) < 0.3).float()
    plain = over_pixels(cells, 32, 32, "soft")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(over_pixels(cells, 32, 32, "soft"), plain)
