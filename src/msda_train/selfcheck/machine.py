"""Whether this machine computes the layers of the suite's networks rightly: worst errors, by network.

Layers are worked through by a process of their own, because a broken one may end it: then halves of the list
get a process each, and halves of these, until the one that ends it is alone and written down as such.
"""

import json
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from msda_train.core.errors import RunFailed
from msda_train.core.programs import child_environment, module_command
from msda_train.selfcheck.layers import Layer

LIMITS = {"fp32": 1e-4, "bf16": 2e-2}  # relative; right ones stay below 2e-5 and 3e-3
CHUNK = 100  # layers in one process
Errors = Mapping[str, float]


@dataclass(frozen=True)
class Setting:
    """How layers are computed: device as `device=` says it, fp32 or bf16, CPU threads, and whether `plain`
    (as torch does it, nothing avoided) and `full` (all channels, not some)."""

    device: str
    precision: str
    threads: int
    plain: bool = False
    full: bool = False

    def __str__(self) -> str:
        threads = f" {self.threads} thread{'s' * (self.threads > 1)}" if self.device == "cpu" else ""
        return f"{self.precision}{threads}"

    def wrong(self, found: Errors) -> bool:
        """Whether one of these errors is beyond rounding; NaN is."""
        return not all(error < LIMITS[self.precision] for error in found.values())


def measured(
    layers: Sequence[Layer], setting: Setting, done: Callable[[int], object] = lambda count: None
) -> dict[Layer, Errors]:
    """The relative errors of each layer; infinite, under the name of its end, where the process dies. `done`
    hears how many are."""
    found: dict[Layer, Errors] = {}
    for start in range(0, len(layers), CHUNK):
        chunk = list(layers[start : start + CHUNK])
        found.update(zip(chunk, _lived_through(chunk, setting), strict=True))
        done(len(chunk))
    return found


def _lived_through(layers: Sequence[Layer], setting: Setting) -> list[Errors]:
    """The errors of all; where a process dies, of both halves anew: what came before may be spoilt."""
    answers, half = _answers(layers, setting), len(layers) // 2
    if not isinstance(answers, str):
        return answers
    if not half:
        return [{answers: float("inf")}]
    return _lived_through(layers[:half], setting) + _lived_through(layers[half:], setting)


def _answers(layers: Sequence[Layer], setting: Setting) -> list[Errors] | str:
    """Of a process of their own; how it ended, if it did not live to the end."""
    job = json.dumps({**asdict(setting), "layers": [asdict(layer) for layer in layers]})
    command = module_command("selfcheck.against_float64", [])
    child = subprocess.run(
        command, input=job + "\n", capture_output=True, text=True, check=False, env=child_environment()
    )
    if child.returncode == 0:
        return [json.loads(line) for line in child.stdout.splitlines()]
    if child.returncode < 0:
        return signal.Signals(-child.returncode).name
    last = (child.stderr.strip().splitlines() or ["no word"])[-1]
    if "No module named" in last:  # that is no fault of any layer
        raise RunFailed(f"the process that checks layers cannot start ({last}); install msda-train anew")
    return last


def advice(found: Mapping[Setting, Mapping[Layer, Errors]]) -> str:
    """One line: what to do about what was found."""
    bad = {s for s, layers in found.items() if any(s.wrong(errors) for errors in layers.values())}
    if not bad:
        return "fine: this machine computes these layers rightly"
    if any(s.plain for s in bad):
        return "wrong as torch computes it; whether msda-train goes round it: type msda-check machine"
    told = "wrong: rows made here would be, too; "
    if not any(s.precision == "fp32" for s in bad):
        return told + "type precision=fp32"
    if all(s.threads > 1 for s in bad) and any(s.threads == 1 for s in found):
        return told + "type threads=1"
    return told + "install another version of torch, or train on another device"
