"""`msda-plot RUN... cam`: real runs of a second, mixed and unmixed images, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from msda_train.cli.cam_plot import cam
from msda_train.cli.plot import main
from msda_train.core.errors import UserError
from msda_train.evaluation.finished_run import open_run
from msda_train.evaluation.where_it_looks import chosen_images, look
from msda_train.records.rows import read_row


@pytest.fixture
def runs(go):
    return [go(f"method={name}").parent for name in ("erm", "mixup")]


def test_the_picture(runs, tmp_path, capsys):
    out = tmp_path / "plots"
    assert main([*map(str, runs), "cam", "--out", str(out), "--images", "0", "3"]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["cam.pdf", "cam.png", "cam.svg"]
    drawn = (out / "cam.svg").read_text()
    assert "mixes no pixels" in drawn
    assert "of the first" in drawn


def test_images_of_ones_own_are_fitted(runs, tmp_path):
    opened = open_run(runs[0])
    photo = tmp_path / "photo.png"
    Image.fromarray(np.full((50, 90, 4), 77, dtype=np.uint8), "RGBA").save(photo)
    pixels, labels = chosen_images(opened.run.images, ["2", str(photo)])
    assert pixels.shape == (2, 8, 8, 1)
    assert labels == [int(opened.run.images.y_test[2]), None]
    assert set(pixels[1].ravel()) == {77}
    assert look(opened, pixels, labels).heats.shape == (2, 8, 8)


def test_mixed_by_the_runs_own_method(runs):
    opened = open_run(runs[1])
    before = {name: value.clone() for name, value in opened.network.state_dict().items()}
    pixels, labels = chosen_images(opened.run.images, [])
    found = look(opened, pixels, labels)
    share = found.share
    assert 0.3 <= share <= 0.7
    blend = share * pixels[0].astype(float) + (1 - share) * pixels[1]
    np.testing.assert_allclose(found.mixed, blend, atol=1)
    assert all((before[name] == value).all() for name, value in opened.network.state_dict().items())
    assert look(open_run(runs[0]), pixels, labels).mixed is None  # ERM mixes nothing


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--images", "99999"], "there are 30 test images"),
        (["--images", "no.jpg"], "no.jpg: is no image, nor the number of a test image"),
    ],
)
def test_what_is_no_image(runs, tmp_path, capsys, words, said):
    assert main([str(runs[0]), "cam", "--out", str(tmp_path), *words]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_images_go_with_cam_only(runs, capsys):
    assert main([str(runs[0]), "reliability", "--images", "1"]) == 2
    assert "goes with cam" in capsys.readouterr().err


def test_runs_of_other_images_are_not_compared(runs):
    row = read_row(runs[0] / "row.json")
    other = replace(row, data={**row.data, "content": "another"})
    with pytest.raises(UserError, match="give runs of one data set"):
        cam([row, other], [])
