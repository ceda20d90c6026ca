"""Test error under attack: against eps, against the number of steps, and what was tried at one strength
only."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from msda_train.report.pictures.data import Probed, matching
from msda_train.report.pictures.dots import Condition, dot_panel
from msda_train.report.pictures.lines import Axis, Series, line_panel
from msda_train.report.pictures.picture import Panel
from msda_train.report.pictures.scales import WholeScale
from msda_train.report.svg import Drawing, Point

PROBE = "adversarial"
NOTES = (
    "Where there is no line a bar is the mean, a hollow shape a seed.",
    "Zero eps and zero steps: the images as they are. White box, except where another network is named. "
    "Noise: random, of the attack's size. Every pixel free: should err on all.",
)
ERROR = Axis("test error, %", least=0.5)
_NUMBER = r"\d+_\d+|\d+(?:\.\d+)?(?:e-\d+)?"
_BALL = rf"(linf|l2)_(pixel|normalised)_({_NUMBER})"
_IMAGES = r"(?:_n(\d+))?/error"
_NAME = (
    rf"(?:from_(\w{{1,40}})/)?(fgsm|ifgsm|pgd)_{_BALL}"
    rf"(?:_steps(\d+))?(?:_step({_NUMBER}))?(?:_restarts(\d+))?(_bce_softmax)?{_IMAGES}"
)
_KINDS = {"fgsm": "FGSM", "ifgsm": "Iterated FGSM", "pgd": "PGD"}
_NORMS = {"linf": "L-inf", "l2": "L2"}

_Numbers = Sequence[tuple[Probed, list[dict[str, float]]]]


@dataclass(frozen=True)
class Attack:
    """As the name of a number tells it; all words, empty where it does not say."""

    key: str
    source: str
    kind: str
    norm: str
    space: str
    eps: str
    steps: str
    step: str
    restarts: str
    loss: str
    images: str

    def setting(self, *but: str) -> tuple[str, ...]:
        """All of it but some fields."""
        return tuple(value for name, value in vars(self).items() if name not in ("key", *but))

    def words(self, *but: str) -> str:
        """FGSM (L-inf, pixel values), eps 8/255; without some fields."""
        size = f" of {_fraction(self.step)}" if self.step else ""
        counted = "" if "steps" in but else self.steps
        parts = [
            f"{_KINDS[self.kind]} ({_ball(self.norm, self.space)})",
            "" if "eps" in but else f"eps {_fraction(self.eps)}",
            f"{counted} steps{size}".strip() if counted or size else "",
            f"{self.restarts} restarts" if self.restarts else "",
            "BCE loss" if self.loss else "",
            f"made on {self.source}" if self.source else "",
        ]
        return ", ".join(filter(None, parts))


def panels(methods: Sequence[Probed]) -> list[Panel]:
    """Curves where an attack was tried at several eps or with several steps; points for the others."""
    numbers = [(method, method.numbers(PROBE)) for method in methods]
    keys = list(dict.fromkeys(key for _, seeds in numbers for each in seeds for key in each))
    attacks = _on_most_images(
        Attack(m[0], *(word or "" for word in m.groups())) for m in matching(_NAME, keys)
    )
    by_steps = _families([attack for attack in attacks if attack.steps], "steps")
    stepped = {attack for family in by_steps for attack in family}
    by_eps = _families([attack for attack in attacks if attack not in stepped], "eps")
    drawn = stepped | {attack for family in by_eps for attack in family}
    made = [_eps_curve(family, numbers) for family in by_eps]
    made += [_steps_curve(family, numbers) for family in by_steps]
    left = [attack for attack in attacks if attack not in drawn]
    strongest = [family[-1] for family in (*by_eps, *by_steps)]
    for images in dict.fromkeys(attack.images for attack in attacks):
        tried = {attack.key: attack.words() for attack in left if attack.images == images}
        balls = [attack for attack in (*left, *strongest) if attack.images == images]
        plain = {_key("clean", images): "Images as they are"}
        for caption, labels in (("One strength only", tried), ("Controls", _controls(balls, images))):
            known = {key: label for key, label in labels.items() if key in keys}
            if known:
                made.append((caption + _tail(images), _points(plain | known, numbers)))
    return [Panel(caption, drawing) for caption, drawing in made if drawing]


def _on_most_images(attacks: Iterable[Attack]) -> list[Attack]:
    """Of one attack on several numbers of images the one on most; without what names no size."""
    found: dict[tuple[str, ...], Attack] = {}
    for attack in attacks:
        first = found.setdefault(attack.setting("images"), attack)
        if float(attack.images or "inf") > float(first.images or "inf"):
            found[attack.setting("images")] = attack
    return [attack for attack in found.values() if _value(attack.eps) is not None]


def _families(attacks: Sequence[Attack], field: str) -> list[list[Attack]]:
    """Those that differ in that field only, weakest first."""
    groups: dict[tuple[str, ...], list[Attack]] = {}
    for attack in attacks:
        groups.setdefault(attack.setting(field), []).append(attack)
    return [
        sorted(group, key=lambda attack: _value(getattr(attack, field)) or 0.0)
        for group in groups.values()
        if len(group) > 1
    ]


def _eps_curve(family: Sequence[Attack], numbers: _Numbers) -> tuple[str, Drawing | None]:
    fine = all(attack.eps.endswith("_255") for attack in family)
    factor = 255.0 if fine else 1.0
    places = {attack.key: factor * (_value(attack.eps) or 0.0) for attack in family}
    axis = Axis("eps, 1/255" if fine else "eps", 0)
    first = family[0]
    return first.words("eps") + _tail(first.images), _curve(places, first.images, axis, numbers)


def _steps_curve(family: Sequence[Attack], numbers: _Numbers) -> tuple[str, Drawing | None]:
    places = {attack.key: float(attack.steps) for attack in family}
    axis = Axis("steps", 0, scale=WholeScale, least=1)
    first = family[0]
    return first.words("steps") + _tail(first.images), _curve(places, first.images, axis, numbers)


def _curve(places: Mapping[str, float], images: str, axis: Axis, numbers: _Numbers) -> Drawing | None:
    series = []
    for method, seeds in numbers:
        lines = tuple(_line(each, places, images) for each in seeds)
        series.append(Series(method.look, tuple(line for line in lines if line)))
    return line_panel(series, axis, ERROR)


def _line(found: Mapping[str, float], places: Mapping[str, float], images: str) -> tuple[Point, ...]:
    points = {place: 100 * found[key] for key, place in places.items() if key in found}
    clean = _key("clean", images)
    if points and clean in found:
        points.setdefault(0.0, 100 * found[clean])
    return tuple(sorted(points.items()))


def _controls(attacks: Sequence[Attack], images: str) -> dict[str, str]:
    """Number and label of the noise in the balls of `attacks`, and of the attack without a bound."""
    labels = {}
    for each in sorted(attacks, key=lambda attack: (attack.norm, attack.space, _value(attack.eps) or 0.0)):
        key = _key(f"noise_{each.norm}_{each.space}_{each.eps}", images)
        labels[key] = f"Noise ({_ball(each.norm, each.space)}), eps {_fraction(each.eps)}"
    return labels | {_key("unbounded", images): "Every pixel free"}


def _points(labels: Mapping[str, str], numbers: _Numbers) -> Drawing | None:
    conditions = []
    for key, label in labels.items():
        values = ((m.look, tuple(100 * each[key] for each in seeds if key in each)) for m, seeds in numbers)
        conditions.append(Condition(label, tuple(values)))
    return dot_panel(conditions, ERROR)


def _key(name: str, images: str) -> str:
    return f"{name}_n{images}/error" if images else f"{name}/error"


def _ball(norm: str, space: str) -> str:
    return f"{_NORMS[norm]}, {'pixel' if space == 'pixel' else 'normalised'} values"


def _tail(images: str) -> str:
    return f", first {images} images" if images else ""


def _fraction(word: str) -> str:
    return word.replace("_", "/")


def _value(word: str) -> float | None:
    """8_255 and 0.03 as numbers; None for what is none."""
    try:
        above, _, below = word.partition("_")
        return float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError):
        return None
