"""Writes constraints.txt: the versions that the tests last ran with, for `make setup`.

Run it in an environment whose tests have passed: `.venv/bin/python scripts/pin_tested.py`. Only what
msda-train[dev] needs, directly or not; drivers of one platform (nvidia-*, cuda-*, triton) are torch's own
business.
"""

import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
OF_ONE_PLATFORM = ("nvidia-", "cuda-", "triton")
HEAD = "# Versions that the tests last ran with; written by scripts/pin_tested.py, used by `make setup`.\n"


def pins(wanted: list[str]) -> dict[str, str]:
    """Name and plain version of each requirement in `wanted` and of what these need in turn."""
    found: dict[str, str] = {}
    left = [Requirement(line) for line in wanted]
    while left:
        need = left.pop()
        name = canonicalize_name(need.name)
        if name in found or name.startswith(OF_ONE_PLATFORM):
            continue
        if need.marker and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            raise SystemExit(f"{name} is not installed here; type make setup") from None
        found[name] = installed.version.partition("+")[0]  # torch's +cu130 is a build, not a version
        left += [Requirement(line) for line in installed.requires or []]
    return found


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = pins(project["dependencies"] + project["optional-dependencies"]["dev"])
    lines = "".join(f"{name}=={version}\n" for name, version in sorted(found.items()))
    (ROOT / "constraints.txt").write_text(HEAD + lines)


if __name__ == "__main__":
    main()
