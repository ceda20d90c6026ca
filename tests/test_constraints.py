"""constraints.txt: plain version numbers of everything that `make setup` installs, and nothing else."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LINES = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ASKED = [Requirement(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]]


@pytest.mark.parametrize("line", LINES)
def test_a_line_is_a_name_and_a_plain_version(line):
    (pin,) = Requirement(line).specifier
    assert (pin.operator, line) == ("==", f"{canonicalize_name(Requirement(line).name)}=={pin.version}")
    assert "+" not in pin.version  # builds for one platform
    assert not line.startswith(("nvidia-", "cuda-", "triton"))


def test_what_pyproject_asks_for_is_pinned_inside_its_bounds():
    pinned = {Requirement(line).name: line.partition("==")[2] for line in LINES}
    for asked in ASKED:
        assert asked.specifier.contains(pinned[canonicalize_name(asked.name)]), asked
