"""A finished run used in other people's code: its network, its transform, its classes; exported; by name."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import msda_train
from msda_train.cli import export as command
from msda_train.core.errors import RunFailed, UserError
from msda_train.data.digits import Digits
from msda_train.data.picture_arrays import decode_all
from msda_train.evaluation import export
from msda_train.evaluation.load_run import TrainedRun

ROOT = Path(__file__).parents[2]
NOISY = {"densenet_bc190": {"depth": 10, "growth": 4}, "preactresnet18": {"width": 4}, "mlp": {}}


@pytest.fixture(scope="module")
def finished(small_run, tmp_path_factory):
    """The folder of a run on all test images of the digits."""
    from msda_train.cli.train import main

    folder = tmp_path_factory.mktemp("finished")
    words = [word for word in small_run if "subset" not in word]
    assert main([*words, "dataset.subset=200", f"runs={folder}", "method=cutmix"]) == 0
    return next(folder.glob("*/s0"))


@pytest.fixture(scope="module")
def run(finished):
    return msda_train.load_run(finished)


@pytest.fixture(scope="module")
def test_images(cache):
    found = Digits("digits", "embedded", cache=str(cache)).examples()
    return np.asarray(found.x_test), found.y_test


def test_network_and_transform_give_the_rows_error(run, test_images):
    x, y = test_images
    assert run.classes == tuple("0123456789")
    assert not run.network.training
    with torch.no_grad():
        wrong = run.network(run.transform(x)).argmax(1).numpy() != y
    assert wrong.mean() == pytest.approx(run.row.metrics["error/last"], abs=1e-9)


def test_every_way_to_hand_a_picture_over_is_the_same(run, test_images):
    pixels = np.array(test_images[0][3])  # (8, 8, 1)
    image = Image.fromarray(pixels[..., 0])
    file = io.BytesIO()
    image.save(file, "png")
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    ways = [
        pixels,
        pixels[..., 0],
        image,
        image.convert("RGB"),
        file.getvalue(),
        tensor,
        tensor / 255,
        pixels[None],
    ]
    expected = (pixels[..., 0].astype(np.float64) / 255 - 0.3054) / 0.376
    for way in ways:
        made = run.transform(way)
        assert made.shape == ((1, 1, 8, 8) if way is ways[-1] else (1, 8, 8))
        assert made.dtype == torch.float32
        assert np.abs(made.numpy().reshape(8, 8) - expected).max() < 1e-6


def test_a_file_becomes_the_pixels_that_a_data_set_makes_of_it(run, test_images, tmp_path):
    grey = Image.fromarray(np.array(test_images[0][3])[..., 0])
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was held upright
    see_through = grey.convert("LA")
    see_through.putalpha(64)
    sixteen = Image.fromarray((np.asarray(grey).astype(np.uint16) << 8) + 17)
    for image, how in ((grey, {"exif": turned}), (see_through, {}), (sixteen, {})):
        path = tmp_path / "a.png"
        image.save(path, **how)
        (pixels,) = decode_all([("a.png", str(path))], 1)
        expected = run.transform(pixels)
        assert not torch.equal(expected, run.transform(np.asarray(grey))) or image is sixteen
        with Image.open(path) as opened:
            for way in (path.read_bytes(), opened):
                assert torch.equal(run.transform(way), expected)


def test_a_larger_picture_is_scaled_and_its_centre_cut_out(run):
    wide = np.zeros((16, 48), np.uint8)
    wide[:, 16:32] = 200  # a square in the centre
    made = run.transform(wide) * 0.376 + 0.3054
    assert made.shape == (1, 8, 8)
    assert torch.allclose(made[0, :, 2:6], torch.tensor(200 / 255), atol=1e-2)


@pytest.mark.parametrize(
    ("example", "told"),
    [
        (b"GIF89a", "these bytes are no picture"),
        ("cat.png", "str is no picture"),
        (torch.zeros(3, 8, 8), "the network takes 1 channels"),
        (torch.zeros(8, 8), "the network takes 1 channels"),
        (torch.zeros(1, 8, 8, dtype=torch.int64), "pixels are torch.int64"),
    ],
)
def test_what_is_no_picture_is_one_line(run, example, told):
    with pytest.raises(UserError, match=f"^transform: .*{told}"):
        run.transform(example)


def test_a_checkpoint_from_before_finds_all_that_in_its_data(finished, tmp_path, test_images, run):
    old = shutil.copytree(finished, tmp_path / "s0")
    state = torch.load(old / "checkpoint.pt", weights_only=True)
    progress = json.loads(state["progress"])
    inputs = progress.pop("inputs")
    assert inputs["classes"] == list("0123456789")
    torch.save({**state, "progress": json.dumps(progress)}, old / "checkpoint.pt")
    again = msda_train.load_run(old)
    assert (again.classes, again.shape, again.mean) == (run.classes, run.shape, run.mean)
    x = run.transform(test_images[0][:5])
    assert torch.equal(again.network(x), run.network(x))


@pytest.mark.parametrize(
    "changed", [{"shape": [1, 8, 0]}, {"mean": [0.1, 0.2]}, {"std": [0.0]}, {"classes": 3}, {"shape": "x"}]
)
def test_damaged_inputs_are_one_line(finished, tmp_path, changed):
    copy = shutil.copytree(finished, tmp_path / "s0")
    state = torch.load(copy / "checkpoint.pt", weights_only=True)
    progress = json.loads(state["progress"])
    progress["inputs"] |= changed
    torch.save({**state, "progress": json.dumps(progress)}, copy / "checkpoint.pt")
    with pytest.raises(UserError, match=r"checkpoint\.pt: damaged"):
        msda_train.load_run(copy)


def test_rows_of_a_table_are_scaled_as_in_training(tmp_path):
    from msda_train.cli.train import main

    rng = np.random.default_rng(0)
    x, y = rng.normal(5, 3, (80, 2)), rng.integers(0, 2, 80)
    lines = [f"{a:.6f},{b:.6f},{'no' if k else 'yes'}" for (a, b), k in zip(x, y, strict=True)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,answer", *lines]))
    words = ["dataset=table", f"dataset.root={tmp_path / 't.csv'}", "dataset.target=answer", "model=mlp"]
    words += [
        "recipe=mixup_uci",
        "recipe.epochs=2",
        "recipe.scaling=standardise",
        "threads=1",
        "precision=fp32",
    ]
    assert main([*words, f"runs={tmp_path / 'runs'}", f"dataset.cache={tmp_path / 'cache'}"]) == 0
    run = msda_train.load_run(tmp_path / "runs")
    assert run.classes == ("no", "yes")
    made = run.transform([[5.0, 5.0], [8.0, 8.0]])
    centre, spread = torch.tensor(run.mean), torch.tensor(run.std)
    assert torch.allclose(made, (torch.tensor([[5.0, 5.0], [8.0, 8.0]]) - centre) / spread)
    assert torch.allclose(centre, torch.tensor(5.0), atol=1.5)
    with pytest.raises(UserError, match="examples of shape"):
        run.transform([1.0, 2.0, 3.0])


def _text(kind, path):
    """What the file says of itself, read by its own library."""
    if kind == "torch":
        found = {export.NOTE: ""}
        torch.export.load(path, extra_files=found)
        return found[export.NOTE]
    if kind == "torchscript":
        found = {export.NOTE: ""}
        torch.jit.load(path, _extra_files=found)
        return found[export.NOTE]
    if kind == "onnx":
        import onnx

        return {entry.key: entry.value for entry in onnx.load(path).metadata_props}[export.NOTE]
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return file.metadata()[export.NOTE]


def _logits(kind, path, x):
    if kind == "torch":
        return torch.export.load(path).module()(x)
    if kind == "torchscript":
        return torch.jit.load(path)(x)
    from onnxruntime import InferenceSession

    return torch.from_numpy(InferenceSession(path).run(["logits"], {"input": x.numpy()})[0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("kind", list(export.FORMATS))
def test_the_command_writes_what_gives_the_same_logits(run, finished, test_images, tmp_path, capfd, kind):
    for package in export.FORMATS[kind].needs:
        pytest.importorskip(package)
    target = tmp_path / f"network{export.FORMATS[kind].suffix}"
    assert {name: each.suffix for name, each in export.FORMATS.items()} == command.KINDS
    assert command.main([str(finished), "--format", kind, "--to", str(target)]) == 0
    out, err = capfd.readouterr()
    assert out == f"{target}\n"
    assert err.splitlines()[-1].endswith(" MB, same logits as the run's network")
    told = json.loads(_text(kind, str(target)))
    assert told["classes"] == list("0123456789")
    assert told["input"]["mean"] == [0.3054]
    x = run.transform(test_images[0][:7])
    ours = run.network(x)
    if kind == "safetensors":
        from safetensors.torch import load_file

        fresh = msda_train.model("preactresnet18", 10, 1, width=4, blocks=[1, 1]).eval()
        fresh.load_state_dict(load_file(target))
        assert torch.equal(fresh(x), ours)
    else:
        assert torch.allclose(_logits(kind, str(target), x), ours, atol=1e-4)
    assert command.main([str(finished), "--format", kind, "--to", str(target)]) == 2
    assert "is there already" in capfd.readouterr().err


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", NOISY)
def test_networks_with_ways_of_their_own_can_be_exported(run, name):
    """DenseNet computes with operations of its own, PreActResNet thins strided convolutions out."""
    torch.manual_seed(0)
    shape = (5,) if name == "mlp" else (3, 32, 32)
    network = msda_train.model(name, 4, shape[0], **NOISY[name]).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    made = TrainedRun(network, tuple("abcd"), run.row, shape, name != "mlp", (), ())
    script = torch.jit.load(io.BytesIO(export.exported(made, "torchscript")))
    x = torch.randn(2, *shape)
    assert torch.allclose(script(x), network(x), atol=1e-4)


def test_a_network_that_comes_back_another_is_not_written(run, monkeypatch):
    import dataclasses

    kind = export.FORMATS["safetensors"]
    wrong = dataclasses.replace(
        kind, needs=(), write=lambda *_: b"", read=lambda _, net: lambda x: net(x) + 0.01
    )
    monkeypatch.setitem(export.FORMATS, "safetensors", wrong)
    with pytest.raises(RunFailed, match=r"gives other logits, 0\.01 off; nothing is written"):
        export.exported(run, "safetensors")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["nowhere"], "nowhere: there is no such run"),
        (
            ["RUN", "--to", "no/such/file.pt2"],
            "--to no/such/file.pt2: there is no folder no/such; make it first",
        ),
        (["RUN", "--to", "."], "--to .: is a folder; type --to network.onnx"),
        (["RUN", "--format", "tflite"], "argument --format: invalid choice: 'tflite'"),
    ],
)
def test_wrong_words_of_the_command(finished, capfd, words, line):
    assert command.main([str(finished) if word == "RUN" else word for word in words]) == 2
    err = capfd.readouterr().err
    assert err.startswith(f"msda-export: {line}")
    assert err.count("\n") == 1


def test_a_format_without_its_package_is_one_line(finished, capfd, monkeypatch):
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    assert command.main([str(finished), "--format", "onnx"]) == 2
    told = "msda-export: --format onnx: needs onnx; type pip install 'msda-train[export]'\n"
    assert capfd.readouterr().err == told
    assert not list(finished.glob("network*"))


def test_models_by_name():
    network = msda_train.model("wrn28_2", classes=7, channels=1, dropout=0.3, regulariser="stochdepth")
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 7)
    for call, told in (
        (("resnet19", 10), "model=resnet19: unknown; did you mean 'resnet18'"),
        (("resnet18", 0), "classes=0: must be a whole number"),
    ):
        with pytest.raises(UserError, match=told):
            msda_train.model(*call)
    with pytest.raises(UserError, match="widht: model resnet18 has no such option; did you mean 'width'"):
        msda_train.model("resnet18", 10, widht=4)


def test_names_for_torch_hub(finished, test_images, run):
    network = torch.hub.load(str(ROOT), "resnet18", source="local", classes=10, width=4, verbose=False)
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    again = torch.hub.load(str(ROOT), "trained", source="local", run=str(finished), verbose=False)
    x = run.transform(test_images[0][:3])
    assert torch.equal(again(x), run.network(x))
