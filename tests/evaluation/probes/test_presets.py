"""Every file of configs/probes/ composes and builds, and measures what the published cells ask of it."""

import re
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_coco import write
from torch import nn
from voc_images import make_voc

from msda_train.comparison.compare import in_cell_unit
from msda_train.comparison.match import compose_configs
from msda_train.config.compose import compose
from msda_train.config.fingerprint import fingerprint
from msda_train.core.paths import CONFIGS
from msda_train.data import voc
from msda_train.data.cifar_c import EXTRA, STANDARD
from msda_train.data.cifar_c import SETS as SETS_C
from msda_train.data.images import Images
from msda_train.evaluation.caption_scores import METRICS
from msda_train.evaluation.fine_tuning import FineTuning
from msda_train.evaluation.probes.subject import Subject
from msda_train.evaluation.probing import build_probes
from msda_train.models.preactresnet import preactresnet
from msda_train.models.resnet50 import resnet50
from msda_train.records.published import RISING, load_papers
from msda_train.records.summary import PROTOCOLS

PRESETS = sorted(path.stem for path in (CONFIGS / "probes").glob("*.yaml"))


RUNNABLE = [cell for paper in load_papers() for cell in paper.cells if cell.not_runnable is None]
PROBED = [cell for cell in RUNNABLE if cell.compared_with not in PROTOCOLS]
ASKED = {
    preset: {cell.compared_with for cell in PROBED if cell.probes == preset}
    for preset in dict.fromkeys(cell.probes for cell in PROBED)
}
TRANSFER = {"ssd", "faster_rcnn", "captions"}  # these train on
SETS = {  # of CutMix's table: the paper's word and that of a row
    "TinyImageNet-crop": "tinyimagenet_crop",
    "TinyImageNet-resize": "tinyimagenet_resize",
    "LSUN-crop": "lsun_crop",
    "LSUN-resize": "lsun_resize",
    "iSUN": "isun_resize",
    "Uniform noise": "uniform_n10000",
    "Gaussian noise": "gaussian_0.5_1_n10000",
}


@pytest.fixture(scope="module")
def subject():
    """A linear network before 20 images of noise, 32x32 in colour."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8), np.arange(40) % 10
    third = {"x_validation": x[10:20], "y_validation": y[10:20]}
    third["boxes_test"] = np.tile(np.float32([[4, 4, 20, 20]]), (20, 1, 1))
    images = Images(x[:20], y[:20], x[20:], y[20:], tuple("abcdefghij"), "cifar100", "c0ffee", False, **third)
    return Subject(
        network=nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(3072, 10)).eval(),
        images=images,
        mean=[0.5, 0.5, 0.5],
        std=[0.25, 0.25, 0.25],
        device=torch.device("cpu"),
        autocast=nullcontext,
        seed=0,
        config={},
    )


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    """Words that put thirty images of noise, 40x40, in the place of every set of pictures of a preset."""
    folder = tmp_path_factory.mktemp("out_sets")
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 256, (40, 40, 40, 3), dtype=np.uint8), np.arange(40) % 10
    np.savez(folder / "noise.npz", x_train=x[:10], y_train=y[:10], x_test=x[10:], y_test=y[10:])

    def words(node):
        found = [f"probes.ood.sets.{word}" for word, out in node.ood.sets.items() if "dataset" in out]
        here = {"source": "npz", "root": folder / "noise.npz", "cache": folder / "cache"}
        return [f"{path}.dataset.{key}={value}" for path in found for key, value in here.items()]

    return words


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_composes_and_builds(preset):
    asked = build_probes(compose(f"probes={preset}").probes)
    assert [each.name for each in asked] or preset == "none"
    assert all(each.name == type(each.probe).__module__.rpartition(".")[2] for each in asked)


def test_the_presets_that_cells_name():
    assert {preset: len(numbers) for preset, numbers in ASKED.items()} == {
        "cutmix_fgsm": 1,
        "manifold_fgsm": 1,
        "manifold_deformations": 17,
        "puzzlemix_attacks": 30,
        "cutmix_ood": 24,
        "on_mixup_training": 6,
        "validation": 1,
        "cutmix_localisation": 1,
        "gcommands": 2,
        "corruptions": 1,
        "cutmix_faster_rcnn": 1,
        "cutmix_transfer": 4,
        "saliencymix_faster_rcnn": 1,
        "cutmix_captions": 7,
    }


@pytest.mark.parametrize("preset", ASKED)
def test_a_preset_measures_what_the_cells_ask_of_it(preset, subject, stand_ins, tmp_path, monkeypatch):
    node, here = compose(f"probes={preset}").probes, []
    if "corruptions" in node:  # four images of each severity, unpacked
        small = replace(SETS_C["cifar100"], n_test=4, classes=10)
        monkeypatch.setattr("msda_train.evaluation.probes.corruptions.SETS", {"cifar100": small})
        for name in (*STANDARD, *EXTRA):
            np.save(tmp_path / f"{name}.npy", np.resize(subject.images.x_train, (20, 32, 32, 3)))
        np.save(tmp_path / "labels.npy", np.resize(subject.images.y_train[:4], 20))
        node = compose(f"probes={preset}", f"probes.corruptions.root={tmp_path}").probes
    if "ood" in node:
        node = compose(f"probes={preset}", *stand_ins(node)).probes
    if "captions" in node:  # two pictures and one, which nobody scores: that takes Java
        root = write(tmp_path / "coco", train=2, val=1)
        module = "msda_train.evaluation.probes.captions"
        monkeypatch.setattr("msda_train.data.coco_captions.COMPLETE", {"train": (2, 4), "val": (1, 2)})
        monkeypatch.setattr(f"{module}.check_ready", lambda: None)
        monkeypatch.setattr(f"{module}.caption_scores", lambda said, written: dict.fromkeys(METRICS, 0.5))
        here.append(f"probes.captions.root={root}")
    if "localisation" in node:  # asks for a network with a map
        subject = replace(
            subject, network=preactresnet([1, 1], 4, "manifold", 1, classes=10, channels=3).eval()
        )
    if TRANSFER & set(node):  # as if trained, on few images that count as all of them
        subject = replace(subject, network=resnet50([1, 1, 1, 1], 4, classes=10, channels=3).eval())
        monkeypatch.setattr(FineTuning, "learn", lambda *_: np.zeros(1))
        monkeypatch.setattr(voc, "TRAIN_IMAGES", 4), monkeypatch.setattr(voc, "TEST_IMAGES", 2)
        make_voc(tmp_path)
        here += [f"probes.{probe}.root={tmp_path}" for probe in node if probe != "captions"]
        node = compose(f"probes={preset}", *here).probes
    found = {
        f"{asked.name}/{key}": value
        for asked in build_probes(node)
        for key, value in asked.probe(subject).numbers.items()
    }
    assert ASKED[preset] <= set(found)
    assert all(0 <= found[name] <= 1 for name in ASKED[preset])


def test_a_setting_is_both_in_the_words_and_in_the_number():
    for cell in PROBED:
        probe, *name, key = cell.compared_with.split("/")
        name = "/".join(name)
        if probe == "validation":
            assert (cell.setting, key) == (probe, "error")
        elif probe == "memorisation":
            assert (cell.setting, key) == ("train", "train_error_given")
        elif probe == "corruptions":
            assert (cell.dataset, name, key) == ("CIFAR-100-C", "all", "error")
        elif cell.paper == "on_mixup_training":
            out = "imagenet_resize" if "out=ImageNet" in cell.setting else "gaussian_n1024"
            how = {"Temperature scaling": "_ts", "Dropout": "_mc_p0.3_n20"}.get(cell.label, "")
            assert (name, key) == (out + how, "auroc")
        elif probe == "localisation":  # appendix B: at 0.15; which epoch is not printed
            assert (cell.protocol, cell.metric, key) == ("unknown", "loc_acc", "top1_0.15_iou_0.5")
        elif probe in ("ssd", "faster_rcnn"):
            assert (cell.metric, cell.dataset, cell.protocol) == ("map", "Pascal VOC", "unknown")
            assert probe == ("ssd" if "SSD" in cell.model else "faster_rcnn")
        elif probe == "captions":
            assert (cell.protocol, key.split("_")) == (
                "unknown",
                [cell.metric, "100epochs", "20", "lr0.001", "beams20"],
            )
        elif probe == "ood":
            words = cell.setting.removeprefix("out=")
            assert name == (SETS[words] if cell.setting != words else "mean_of_7")
            assert key == cell.metric.replace("detection_acc", "detection_accuracy")
        elif probe == "deformations":
            kind, number = re.match(r"(\w+)\D* ([\d.]+)", cell.setting).groups()
            assert (name, key) == (f"{kind}_{number}_nearest", "error")
        elif "epsilon=" in cell.setting:
            eps, steps, step = (
                re.findall(rf"{word}=(\d)", cell.setting) for word in ("epsilon", "iterations", "step")
            )
            ending = f"_steps{steps[0]}_step{step[0]}_255" if steps else ""
            kind = cell.metric.removesuffix("_acc")
            assert (name, key) == (f"{kind}_linf_pixel_{eps[0]}_255{ending}", "error")
        else:  # the papers print no epsilon
            assert (cell.protocol, name.split("_")[0], key) == ("unknown", "fgsm", "error")


def test_the_words_to_type_say_what_measures_it():
    """Cells of a table that one run answers name the same probes, so that any of their words measures all."""
    typed = {}
    for cell in RUNNABLE:
        run = (cell.paper, cell.table, cell.experiment, cell.method, cell.set)
        typed.setdefault(run, set()).add(cell.overrides)
        assert (f"probes={cell.probes}" in cell.overrides) == (cell.probes is not None)
    assert all(len(words) == 1 for words in typed.values())


@pytest.mark.parametrize("preset", ASKED)
def test_probes_do_not_change_which_run_it_is(preset):
    cell = next(cell for cell in PROBED if cell.probes == preset)
    with_and_without = [cell.overrides, replace(cell, probes=None).overrides]
    assert len(set(with_and_without)) == 2
    assert len({fingerprint(config) for config in compose_configs(with_and_without).values()}) == 1


def test_a_row_answers_once_it_has_been_through_the_probe():
    cell = next(cell for cell in PROBED if cell.probes == "manifold_deformations")
    name = "deformations/rotation_20_nearest/error"
    assert (cell.setting, cell.compared_with) == ("rotation 20 deg", name)
    plain, probed = SimpleNamespace(metrics={"error/last": 0.2}), SimpleNamespace(metrics={name: 0.45})
    assert in_cell_unit(cell, [plain]) == []
    assert in_cell_unit(cell, [plain, probed]) == [pytest.approx(55)]


def test_an_accuracy_is_one_minus_our_error_and_other_rates_are_as_ours():
    cell = next(cell for cell in PROBED if cell.metric == "fgsm_acc")
    assert cell.ours(0.25) == 75
    for metric, key in (("tnr95", "tnr95"), ("auroc", "auroc"), ("detection_acc", "detection_accuracy")):
        assert replace(cell, metric=metric, nearest=f"ood/svhn/{key}").ours(0.25) == 25
    for metric in ("error", "fgsm_error", "ifgsm_error", "knn_error"):
        assert replace(cell, metric=metric).ours(0.25) == 25
    assert cell.ours_std(0.01) == 1
    cider = next(cell for cell in PROBED if cell.metric == "cider")
    assert (cider.value, cider.ours(0.712), cider.ours_std(0.01)) == (71.2, pytest.approx(71.2), 1)
    assert {
        "top1_acc",
        "top5_acc",
        "fgsm_acc",
        "pgd_acc",
        "auroc",
        "tnr95",
        "detection_acc",
        "bleu1",
        "cider",
    } <= RISING
    assert not RISING & {"error", "top5_error", "nll", "fgsm_error", "ifgsm_error", "knn_error"}
