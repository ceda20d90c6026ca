"""Every method has a look of its own, in colour and in grey."""

from itertools import combinations

import pytest

from msda_train.config.method_look import method_look, method_order, method_rank
from msda_train.core.paths import CONFIGS

NAMES = sorted(path.stem for path in (CONFIGS / "method").glob("*.yaml"))


def _luminance(colour):
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_no_two_methods_look_alike_in_colour_or_in_grey():
    looks = {name: method_look(name) for name in NAMES}
    assert len(NAMES) >= 17
    for one, other in combinations(NAMES, 2):
        assert looks[one]["colour"] != looks[other]["colour"], (one, other)
        grey = [(look["marker"], look["dash"]) for look in (looks[one], looks[other])]
        assert grey[0] != grey[1], (one, other)  # there are more methods than markers
    assert sorted(look["order"] for look in looks.values()) == list(range(len(NAMES)))


@pytest.mark.parametrize("name", NAMES)
def test_every_colour_stands_out_on_white(name):
    assert 1.05 / (_luminance(method_look(name)["colour"]) + 0.05) >= 3


def test_a_method_of_a_user_has_a_look_of_its_name():
    assert method_look("mymix") == method_look("mymix")
    assert len({str(method_look(f"my{k}")) for k in range(40)}) > 30
    assert method_look("mymix")["order"] >= len(NAMES)
    assert method_look("\ud800")["colour"].startswith("#")


def test_the_look_is_no_option_and_every_shipped_method_has_one():
    for name in NAMES:
        text = (CONFIGS / "method" / f"{name}.yaml").read_text()
        assert text.startswith("# look: "), name
    assert method_order()[0] == "erm"
    assert "pgd_training" in method_order()
    assert method_rank("pgd_training") < method_rank("mymix") < method_rank("zmix")
