"""A probe's number as a record: what a row stores, and what the names of older rows say."""

from types import SimpleNamespace

import pytest

from msda_train.records.probe_records import columns_of, probe_records

CE = {"restarts": 1, "loss": "ce"}
PIXEL = {"norm": "linf", "space": "pixel"}


@pytest.mark.parametrize(
    ("key", "columns"),
    [
        ("adversarial/clean/error", {"attack": "clean", "measure": "error"}),
        (
            "adversarial/fgsm_linf_pixel_8_255_n1000/top5_error",
            {"attack": "fgsm", **PIXEL, "eps": 8 / 255, "steps": 1, "images": 1000, "measure": "top5_error"}
            | CE,
        ),
        (
            "adversarial/from_erm/pgd_l2_normalised_0.5_steps10_step2_255_restarts3_bce_softmax/error",
            {
                **{"attack": "pgd", "source": "erm", "norm": "l2", "space": "normalised", "eps": 0.5},
                **{
                    "steps": 10,
                    "step_size": 2 / 255,
                    "restarts": 3,
                    "loss": "bce_softmax",
                    "measure": "error",
                },
            },
        ),
        (
            "adversarial/noise_linf_pixel_1e-05/error",
            {"attack": "noise", **PIXEL, "eps": 1e-5, "measure": "error"},
        ),
        ("adversarial/zero_gradient_share_n9", {"measure": "zero_gradient_share", "images": 9}),
        ("calibration/ece_15", {"measure": "ece", "bins": 15, "scaling": "none"}),
        ("calibration/ts_nll", {"measure": "nll", "scaling": "temperature", "validation": 0.1}),
        (
            "calibration/temperature_0.2",
            {"measure": "temperature", "scaling": "temperature", "validation": 0.2},
        ),
        (
            "calibration/mc_p0.3_n20_oe_100",
            {"measure": "oe", "bins": 100, "scaling": "mc_dropout", "p": 0.3, "samples": 20},
        ),
        ("deformations/plain/error", {"kind": "plain", "measure": "error"}),
        (
            "deformations/shear_28.6_nearest_edge/error",
            {
                "kind": "shear",
                "strength": 28.6,
                "interpolation": "nearest",
                "fill": "edge",
                "measure": "error",
            },
        ),
        (
            "deformations/occlusion_border_25/error",
            {"kind": "occlusion_border", "strength": 25.0, "measure": "error"},
        ),
        ("gradients/test_each_log_slope", {"split": "test", "each": True, "measure": "log_slope"}),
        (
            "in_between/train_cutmix_centre/gradient_max_11",
            {
                **{"split": "train", "blend": "cutmix", "box": "centre", "measure": "gradient"},
                **{"aggregate": "max", "points": 11},
            },
        ),
        ("memorisation/train_error_real", {"measure": "train_error", "labels": "real"}),
        ("ood/tinyimagenet_crop_n500/auroc", {"set": "tinyimagenet_crop", "images": 500, "measure": "auroc"}),
        ("ood/mean_of_3/fpr95", {"sets": 3, "measure": "fpr95"}),
        ("representation/knn_5_cosine/error", {"k": 5, "distance": "cosine", "measure": "error"}),
        ("representation/stage_2/class_share", {"layer": "stage_2", "measure": "class_share"}),
    ],
)
def test_the_names_of_older_rows_are_read(key, columns):
    (record,) = probe_records(SimpleNamespace(metrics={"error/last": 0.1, key: 0.5}))
    probe, _, name = key.partition("/")
    assert record == {"probe": probe, "name": name, "value": 0.5, **columns}


def test_what_a_row_stores_comes_before_what_a_name_says():
    stored = {
        "mine": {"records": [{"name": "a b", "k": 3}]},
        "ood": {"records": [{"name": "x/auroc", "set": "X"}]},
    }
    row = SimpleNamespace(metrics={"mine/a b": 1.0, "ood/x/auroc": 0.5, "mine/c": 2.0}, probes=stored)
    assert probe_records(row) == [
        {"name": "a b", "k": 3, "probe": "mine", "value": 1.0},
        {"name": "x/auroc", "set": "X", "probe": "ood", "value": 0.5},
    ]


@pytest.mark.parametrize(
    "stored",
    [
        None,
        [],
        {"ood": 3},
        {"ood": {"records": 3}},
        {"ood": {"records": [3, {"set": "no name"}, {"name": 3}]}},
        {"ood": {"records": [{"name": "x/auroc", "set": ["a list"]}]}},
        {"ood": {"records": [{"name": "x/auroc", "set": "x" * 10_000}]}},
        {"ood": {"records": [{"name": "x/auroc", "value": {}}]}},
    ],
)
def test_a_record_that_is_none_is_as_if_it_were_not_there(stored):
    row = SimpleNamespace(metrics={"ood/x/auroc": 0.5}, probes=stored)
    assert probe_records(row) == [
        {"set": "x", "measure": "auroc", "probe": "ood", "name": "x/auroc", "value": 0.5}
    ]


def test_a_record_cannot_change_its_number():
    stored = {"ood": {"records": [{"name": "x/auroc", "value": 9.0, "probe": "other"}]}}
    (record,) = probe_records(SimpleNamespace(metrics={"ood/x/auroc": 0.5}, probes=stored))
    assert (record["value"], record["probe"]) == (0.5, "ood")


def test_a_name_that_is_none_says_nothing():
    assert columns_of("adversarial", "fgsm_linf_pixel_1_0/error") is None
    assert columns_of("adversarial", "rowhammer/error") is None
    assert columns_of("nothing", "clean/error") is None
    assert columns_of("calibration", "accuracy_" + "9" * 99) is None
