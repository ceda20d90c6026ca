"""`msda-data`: what it prints, and one line with exit code 2 for whatever is typed wrong."""

from pathlib import Path

import numpy as np
import pytest

from msda_train.cli import data as data_cli
from msda_train.core import paths


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small npz file whose path has characters that Hydra's grammar gives a meaning."""
    monkeypatch.setattr(paths, "DATA", tmp_path / "data")
    rng = np.random.default_rng(0)
    folder = tmp_path / "a (b)=c"
    folder.mkdir()
    x = rng.integers(0, 256, (40, 4, 4, 3), dtype=np.uint8)
    np.savez(
        folder / "birds.npz",
        x_train=x[:30],
        y_train=np.arange(30) % 3,
        x_test=x[30:],
        y_test=np.arange(10) % 3,
    )
    return folder / "birds.npz"


Captured = pytest.CaptureFixture[str]


def _line(capsys: Captured, *words: str, code: int = 2) -> str:
    assert data_cli.main(words) == code
    out = capsys.readouterr()
    assert out.out == ""
    assert out.err.count("\n") == 1
    return out.err


def test_list(capsys: Captured) -> None:
    assert data_cli.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(list((paths.CONFIGS / "dataset").glob("*.yaml")))
    mnist = next(line for line in lines if line.startswith("mnist "))
    assert mnist.count("/mnist/") == 1
    assert mnist.endswith(
        "mnist/train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, "
        "t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz"
    )
    cifar = next(line for line in lines if line.startswith("cifar10 "))
    for words in ("50,000 / 10,000", "32x32x3", "no", "cifar10/cifar-10-python.tar.gz"):
        assert words in cifar
    speech = next(line for line in lines if line.startswith("speech_commands "))
    for words in ("51,088 / 6,798 / 6,835", "1x161x101", " 30 ", "speech_commands_v0.01.tar.gz"):
        assert words in speech


def test_prepare_and_verify_own_images(capsys: Captured, root: Path) -> None:
    words = ["own", "dataset.name=birds", "dataset.source=npz", f"dataset.root={root}"]
    assert data_cli.main(["prepare", *words]) == 0
    said = capsys.readouterr().out
    assert "birds: 30 / 10 images 4x4x3, 3 classes, content " in said
    pixels = np.load(root)["x_train"].reshape(-1, 3) / 255
    numbers = ",".join(f"{value:.4f}".rstrip("0") for value in pixels.mean(axis=0))
    assert f"measured: dataset.mean=[{numbers}] dataset.std=[" in said
    assert data_cli.main(["verify", *words]) == 0
    assert "all cached images hash to this content" in capsys.readouterr().out
    assert data_cli.main(["prepare", words[0], "--rebuild", *words[1:]]) == 0
    assert capsys.readouterr().out == said


def test_a_few_images_of_a_named_set_are_not_the_set(capsys: Captured, root: Path) -> None:
    words = ["cifar10", "dataset.source=npz", f"dataset.root={root}", "dataset.empty_classes=true"]
    assert data_cli.main(["prepare", *words]) == 0
    assert "cifar10: NOT the official set (50,000 / 10,000 images, 10 classes)" in capsys.readouterr().out
    assert data_cli.main(["verify", *words]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prepare", "cifr10"], "msda-data: unknown data set 'cifr10'; did you mean 'cifar10'?"),
        (
            ["prepare", "cifar10", "dataset.rot=x"],
            "dataset.rot: no such option; did you mean 'dataset.root'?",
        ),
        (["prepare", "cifar10", "root=x"], "'root=x': only dataset.KEY=VALUE counts here"),
        (["prepare", "cifar10", "x"], "'x': only dataset.KEY=VALUE counts here"),
        (["prepare", "cifar10", "dataset.source=npx"], "did you mean 'npz'?"),
        (["prepare", "cifar10", "dataset.subset=[1"], "dataset.subset=[1: cannot be read"),
        (["prepare", "own"], "dataset.root is null; type dataset.root=FOLDER"),
        (["prepare", "cifar10", "--rebuid"], "unrecognized arguments: --rebuid; type: msda-data --help"),
        (["verify", "svhn"], "dataset svhn is not prepared; type: msda-data prepare svhn"),
        (["verify"], "the following arguments are required: NAME"),
        (["lst"], "invalid choice: 'lst'"),
        (["list", "cifar10"], "unknown word 'cifar10'"),
        ([], "required"),
    ],
)
def test_one_line_and_exit_code_2(capsys: Captured, words: list[str], message: str) -> None:
    assert message in _line(capsys, *words)


def test_damaged_cache_says_the_command_that_mends_it(capsys: Captured, root: Path, tmp_path: Path) -> None:
    words = ["own", "dataset.name=birds", "dataset.source=npz", f"dataset.root={root}"]
    data_cli.main(["prepare", *words])
    (path,) = (tmp_path / "data" / "arrays").glob("*.x_test.npy")
    path.write_bytes(path.read_bytes()[:-1])
    capsys.readouterr()
    assert f"msda-data: cache {path} is damaged; type: msda-data prepare own" in _line(
        capsys, "verify", *words
    )


def test_interrupt(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(argv: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(data_cli, "_command", stop)
    assert "interrupted" in _line(capsys, "list", code=130)


def test_help(capsys: Captured) -> None:
    assert data_cli.main(["--help"]) == 0
    assert "msda-data prepare cifar10 dataset.source=npz" in capsys.readouterr().out


def test_list_needs_no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from msda_train.cli.data import main; main(['list']); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
