"""The laws of mixing: what is right passes all, and of what is wrong only that is blamed."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import wrong_mixers as wrong
from scipy import stats

from msda_train.core.mix import Mix
from msda_train.selfcheck.laws import draws, tensors
from msda_train.selfcheck.laws.book import LAWS, judge
from msda_train.selfcheck.laws.coded import coded_batch, decoded, observe
from msda_train.selfcheck.laws.libraries import library
from msda_train.selfcheck.laws.ours import ours
from msda_train.selfcheck.laws.reference import RULES, kept, paper_boxes
from msda_train.selfcheck.laws.subject import CUTMIX, MIXUP, Subject

DRAWS = 400
OPTIONS = frozenset({"alpha", "prob", "seed", "num_classes"})


def subject(made, **changes):
    claims = CUTMIX if issubclass(made, wrong.CutMix) else MIXUP
    return replace(Subject(made.__name__, made, claims, OPTIONS, DRAWS, in_workers=False), **changes)


def blamed(outcomes):
    """The laws that are not kept, with `!` where that is wrong and not only told."""
    return {
        name + ("!" if one.verdict == "fail" else "")
        for name, one in outcomes.items()
        if one.verdict in ("differs", "fail")
    }


@pytest.mark.parametrize(
    ("made", "laws"),
    [
        (wrong.Mixup, ""),
        (wrong.CutMix, "kept"),
        (wrong.SmallExcess, "sum!"),
        (wrong.SwappedWeights, "share! odd! oblong! alpha! floats! bytes! prob!"),
        (wrong.Smoothing, "share odd oblong class! one! lam! alpha floats! bytes!"),
        (wrong.Brighter, "share! whole! range! odd! oblong! alpha! one! floats! gradient!"),
        (wrong.Stretched, "range!"),
        (wrong.AssignedLabels, "class! self pairs"),
        (wrong.LostAlone, "one!"),
        (wrong.OddOneOut, "odd!"),
        (wrong.RefusesOdd, "odd one"),
        (wrong.SidesSwapped, "kept oblong"),
        (wrong.AlphaIgnored, "lam! alpha"),
        (wrong.LargerHalf, "lam! alpha"),
        (wrong.BoxesInside, "lam boxes oblong"),
        (wrong.BoxesFromTheCorner, "kept boxes oblong"),
        (wrong.NoBoxes, "kept boxes! oblong format"),
        (wrong.LamForEach, "per"),
        (wrong.AlwaysMixes, "prob!"),
        (wrong.CoinForEach, "prob"),
        (wrong.SamplerOfTorch, "alpha"),
        (wrong.Reversed, "pairs self"),
        (wrong.Rolled, "pairs self"),
        (wrong.NeverItself, "pairs self"),
        (wrong.WithRepeats, "pairs once self"),
        (wrong.Unseeded, "seed! format!"),
        (wrong.SeedIgnored, "seed!"),
        (wrong.FloatsOnly, "floats"),
        (wrong.LamInBytes, "bytes!"),
        (wrong.Contiguous, "format"),
        (wrong.Detached, "gradient"),
        (wrong.InPlace, "inputs gradient"),
    ],
)
def test_only_what_is_wrong_is_blamed(made, laws):
    assert blamed(judge(subject(made))) == set(laws.split())


@pytest.mark.parametrize(("made", "fails"), [(wrong.Mixup, False), (wrong.OwnGenerator, True)])
def test_workers_that_draw_alike_are_found(made, fails):
    outcome = judge(subject(made, in_workers=True, draws=30))["workers"]
    assert outcome.verdict == ("fail" if fails else "pass")
    assert not fails or "both workers" in outcome.words


def test_every_law_has_a_mixer_that_breaks_it():
    (mark,) = [m for m in test_only_what_is_wrong_is_blamed.pytestmark if m.name == "parametrize"]
    broken = {law.strip("!") for _, laws in mark.args[1] for law in laws.split()}
    assert broken == {law.name for law in LAWS} - {"workers", "device"}  # tests of their own


def test_a_mixer_that_raises_fails_everywhere():
    def made():
        return lambda x, y: 1 / 0

    outcomes = judge(Subject("broken", made, MIXUP, draws=10))
    assert {one.words for one in outcomes.values()} == {"raises ZeroDivisionError: division by zero"}
    assert {one.verdict for one in outcomes.values()} == {"fail"}


@pytest.mark.gpu
def test_labels_on_the_host_are_found():
    seen = observe(wrong.Mixup(), 5)
    assert tensors.device(subject(wrong.LabelsOnTheHost), seen).short == "moved"


def test_weights_follow_from_pixels():
    """Any number of partners, and pixels of any place: the weights are those that mixed them."""
    x, _ = coded_batch()
    weights = torch.rand(4, 4, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weights /= weights.sum(1, keepdim=True)
    mixed = torch.einsum("ijhw,jchw->ichw", weights, x.double())
    torch.testing.assert_close(decoded(mixed).double(), weights, atol=1e-6, rtol=0)


def test_what_is_seen_is_what_was_done():
    perm, lam = torch.tensor([2, 1, 0, 3]), torch.tensor([0.75])
    mask = torch.ones(1, 1, 32, 32)
    mask[:, :, 3:11, 4:36] = 0
    plan = Mix(perm, lam, mask)
    seen = observe(lambda x, y: (plan.apply(x), plan.target(y, 6)), 3)
    assert seen.calls == 3
    assert seen.partners.tolist() == [[2, -1, 0, -1]] * 3
    assert seen.boxes.tolist() == [[True, False, True, False]] * 3
    assert not seen.blends[0, 0]
    assert seen.edges[0, 0].tolist() == [3, 11, 4, 32]
    np.testing.assert_allclose(seen.own[0], [0.75, 1, 0.75, 1])
    np.testing.assert_allclose(seen.shares[0, 0], [1 - 8 * 28 / 1024, 0, 8 * 28 / 1024, 0], atol=1e-6)
    assert not seen.several


@pytest.mark.parametrize("rule", RULES)
def test_reference_boxes_are_what_a_loop_draws(rule):
    """Against boxes that the loop of another file draws; the other rules are told apart by their means."""
    drawn = kept(paper_boxes(rule, 1.0, 32, 32), 32, 32)
    expected = {"code": 0.701, "whole": 0.684, "continuous": 0.679, "inside": 0.521}
    assert drawn.mean() == pytest.approx(expected[rule], abs=0.006)
    if rule == "code":
        rng = np.random.default_rng(5)
        slow = np.array([wrong.box(rng, rng.random(), 32, 32) for _ in range(3000)])
        assert stats.ks_2samp(drawn, kept(slow, 32, 32)).pvalue > 0.001


def test_a_wrong_alpha_is_found_by_the_draws_there_are():
    values = np.random.default_rng(0).beta(0.5, 0.5, 1000)
    assert draws.from_beta(values, 0.5)[1] > 0.001
    assert draws.from_beta(values, 1.0)[1] < draws.P


def test_every_method_of_the_suite_keeps_the_laws():
    subjects, notes = ours()
    names = [each.name for each in subjects]
    more = {note.partition(":")[0] for note in notes}
    assert more >= {"regmixup", "transmix", "automix"}
    assert not more & set(names)
    drawn = [note for note in notes if note.startswith("factor_mixup: cannot be asked here")]
    assert len(drawn) == 1
    assert all("train it by msda-train, not by a call" in note for note in notes if note not in drawn)
    assert {"mixup", "cutmix", "hmix", "gmix", "puzzlemix", "comixup", "attentive_cutmix"} <= set(names)
    assert not {"erm", "cutout", "gaussian_noise", "pgd_training"} & set(names)
    for each in subjects:
        told = blamed(judge(replace(each, draws=60)))
        assert not [law for law in told if law.endswith("!")], (each.name, told)


def test_ours_in_full():
    mixup, cutmix = (judge(each) for each in ours(["mixup", "cutmix"])[0])
    assert blamed(mixup) == set()
    assert blamed(cutmix) == {"kept"}


def test_what_is_known_of_torchvision():
    mixup, cutmix = (judge(replace(each, draws=DRAWS)) for each in library("torchvision"))
    assert blamed(mixup) == {"alpha", "pairs", "self", "bytes"}
    assert blamed(cutmix) == {"kept", "alpha", "pairs", "self"}
    assert mixup["pairs"].short == cutmix["pairs"].short == "neighbour"
    assert mixup["per"].words == f"one weight in each of {DRAWS} batches"
    assert cutmix["kept"].short == "re-adjusted"


def test_what_is_known_of_timm():
    pytest.importorskip("timm")
    found = {each.name: judge(replace(each, draws=DRAWS, in_workers=False)) for each in library("timm")}
    assert {one["pairs"].short for one in found.values()} == {"reversal"}
    assert {name: one["per"].short for name, one in found.items() if "mixup" in name} == {
        "timm mixup batch": "",
        "timm mixup pair": "each pair",
        "timm mixup elem": "each sample",
    }
    assert all(one["inputs"].short == "overwrites" for one in found.values())
    assert {name for name, one in found.items() if "bytes!" in blamed(one)} == {
        f"timm {kind} {mode}" for kind in ("mixup", "cutmix") for mode in ("pair", "elem")
    }


def test_what_is_known_of_kornia():
    pytest.importorskip("kornia")
    mixup, cutmix = (judge(replace(e, draws=DRAWS, in_workers=False)) for e in library("kornia"))
    assert mixup["per"].short == cutmix["per"].short == "each sample"
    assert cutmix["boxes"].short == "inside"
    assert {mixup["pairs"].verdict, cutmix["pairs"].verdict} == {"pass"}
