"""Test error under attack: against eps, against the number of steps, and what was tried at one strength
only."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msda_train.reporting.pictures.data import Probed, Records
from msda_train.reporting.pictures.dots import Condition, dot_panel
from msda_train.reporting.pictures.lines import Axis, Point, Series, line_panel
from msda_train.reporting.pictures.picture import Draw, Panel

TITLE = "Test error under attack"
PROBE = "adversarial"
NOTES = (
    "Where there is no line a bar is the mean, a hollow marker a seed.",
    "Zero eps and zero steps: the images as they are. White box, except where another network is named. "
    "Noise: random, of the attack's size. Every pixel free: should err on all.",
)
ERROR = Axis("test error, %", least=0.5)
_KINDS = {"fgsm": "FGSM", "ifgsm": "Iterated FGSM", "pgd": "PGD"}
_NORMS = {"linf": "L-inf", "l2": "L2"}
_SPACES = {"pixel": "pixel values", "normalised": "normalised values"}
# The columns that say which attack it was; the images it was tried on, and what was counted, are apart.
_SETTING = ("source", "attack", "norm", "space", "eps", "steps", "step_size", "restarts", "loss")

Attack = dict[str, Any]
Is = Callable[[Attack], bool]
_Records = Sequence[tuple[Probed, list[Records]]]


def panels(methods: Sequence[Probed]) -> list[Panel]:
    """Curves where an attack was tried at several eps or with several steps; points for the others."""
    found = [
        (m, [[e for e in seed if e.get("measure") == "error"] for seed in m.records(PROBE)]) for m in methods
    ]
    tried = [each for _, seeds in found for seed in seeds for each in seed]
    attacks = _on_most_images([each for each in tried if _is_attack(each)])
    by_steps = _families([each for each in attacks if each["attack"] != "fgsm"], "steps")
    left = [each for each in attacks if not any(each in family for family in by_steps)]
    by_eps = _families(left, "eps")
    left = [each for each in left if not any(each in family for family in by_eps)]
    made = [_curve(family, "eps", found) for family in by_eps]
    made += [_curve(family, "steps", found) for family in by_steps]
    strongest = [family[-1] for family in (*by_eps, *by_steps)]
    for images in dict.fromkeys(each.get("images") for each in attacks):
        here = [each for each in (*left, *strongest) if each.get("images") == images]
        single = {words(each): _same(each) for each in left if each.get("images") == images}
        for caption, asked in (("One strength only", single), ("Controls", _controls(here))):
            made.append(_points(caption + _tail(images), asked, images, found))
    return [panel for panel in made if panel]


def _is_attack(record: Attack) -> bool:
    numbers = [record.get("eps"), record.get("steps"), record.get("step_size") or 0]
    sound = all(isinstance(each, int | float) and 0 <= each < 1e6 for each in numbers)
    words = record.get("attack") in _KINDS and record.get("norm") in _NORMS and record.get("space") in _SPACES
    return sound and words


def _setting(attack: Attack, *but: str) -> tuple[Any, ...]:
    """All of it but some columns."""
    return tuple(attack.get(name) for name in _SETTING if name not in but)


def _on_most_images(attacks: Sequence[Attack]) -> list[Attack]:
    """Each attack once; where it was tried on several numbers of images, the one on most. No number: all."""
    found: dict[tuple[Any, ...], Attack] = {}
    for each in attacks:
        first = found.setdefault(_setting(each), each)
        if (each.get("images") or float("inf")) > (first.get("images") or float("inf")):
            found[_setting(each)] = each
    return list(found.values())


def _families(attacks: Sequence[Attack], column: str) -> list[list[Attack]]:
    """Those that differ in that column only, weakest first."""
    groups: dict[tuple[Any, ...], list[Attack]] = {}
    for each in attacks:
        groups.setdefault((_setting(each, column), each.get("images")), []).append(each)
    return [
        sorted(group, key=lambda each: float(each[column])) for group in groups.values() if len(group) > 1
    ]


def _curve(family: Sequence[Attack], column: str, found: _Records) -> Panel | None:
    images = family[0].get("images")
    fine = column == "eps" and all(fraction(each["eps"]).endswith("/255") for each in family)
    places = [((255 if fine else 1) * float(each[column]), _same(each)) for each in family]
    series = []
    for method, seeds in found:
        lines = tuple(_line(seed, places, images) for seed in seeds)
        series.append(Series(method.look, tuple(line for line in lines if line)))
    axis = Axis("eps, 1/255" if fine else "eps", 0)
    draw: Draw | None = line_panel(
        series, Axis("steps", 0, scale="whole") if column == "steps" else axis, ERROR
    )
    return Panel(words(family[0], column) + _tail(images), draw) if draw else None


def _line(seed: Records, places: Sequence[tuple[float, Is]], images: int | None) -> tuple[Point, ...]:
    here = [each for each in seed if each.get("images") == images]
    points = {x: 100 * each["value"] for x, is_it in places for each in here if is_it(each)}
    for each in here:
        if points and each.get("attack") == "clean":
            points.setdefault(0.0, 100 * each["value"])
    return tuple(sorted(points.items()))


def _controls(attacks: Sequence[Attack]) -> dict[str, Is]:
    """Label and test of the noise in the balls of `attacks`, and of the attack without a bound."""
    found: dict[str, Is] = {}
    for each in sorted(attacks, key=lambda each: (each["norm"], each["space"], each["eps"])):
        ball = {"attack": "noise", **{key: each[key] for key in ("norm", "space", "eps")}}
        found[f"Noise ({_ball(each)}), eps {fraction(each['eps'])}"] = _same(ball)
    return found | {"Every pixel free": lambda each: each.get("attack") == "unbounded"}


def _points(caption: str, asked: Mapping[str, Is], images: int | None, found: _Records) -> Panel | None:
    conditions = []
    for label, is_it in {"Images as they are": lambda each: each.get("attack") == "clean", **asked}.items():
        values = [
            (
                m.look,
                tuple(
                    100 * e["value"] for seed in seeds for e in seed if e.get("images") == images and is_it(e)
                ),
            )
            for m, seeds in found
        ]
        conditions.append(Condition(label, tuple(values)))
    known = [each for each in conditions[1:] if each.drawn]
    return dot_panel(caption, [conditions[0], *known], ERROR) if known else None


def _same(attack: Attack) -> Is:
    return lambda each: _setting(each) == _setting(attack)


def words(attack: Attack, *but: str) -> str:
    """FGSM (L-inf, pixel values), eps 8/255; without some columns."""
    size = f" of {fraction(attack['step_size'])}" if attack.get("step_size") else ""
    counted = "" if "steps" in but or attack["attack"] == "fgsm" else str(attack["steps"])
    parts = [
        f"{_KINDS[attack['attack']]} ({_ball(attack)})",
        "" if "eps" in but else f"eps {fraction(attack['eps'])}",
        f"{counted} steps{size}".strip() if counted or size else "",
        f"{attack['restarts']} restarts" if attack.get("restarts", 1) != 1 else "",
        "BCE loss" if attack.get("loss") == "bce_softmax" else "",
        f"made on {attack['source']}" if attack.get("source") else "",
    ]
    return ", ".join(filter(None, parts))


def _ball(attack: Attack) -> str:
    return f"{_NORMS[attack['norm']]}, {_SPACES[attack['space']]}"


def _tail(images: int | None) -> str:
    return f", first {images} images" if images else ""


def fraction(value: float) -> str:
    """8/255 where it is so many 255ths below 1, else the number."""
    parts = 255 * value
    return f"{parts:.0f}/255" if 0 < value < 1 and abs(parts - round(parts)) < 1e-6 else f"{value:g}"
