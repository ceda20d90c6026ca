"""Scales that are not even: logarithms, square roots; and one whose ticks are whole numbers."""

import math
from dataclasses import dataclass

from msda_train.report.svg import Scale

LINE = 15.0  # pixels from one tick of an upright axis to the next, at least


@dataclass(frozen=True)
class WholeScale(Scale):
    """An even scale of things that are counted: epochs, steps."""

    def ticks(self, count: int = 8) -> list[tuple[float, str]]:
        """Whole numbers only."""
        return [(value, f"{value:.0f}") for value, _ in super().ticks(count) if value == round(value)]


@dataclass(frozen=True)
class LogScale(Scale):
    """Equal ratios are equally far apart; low > 0."""

    def __call__(self, value: float) -> float:
        inside = min(max(value, self.low), self.high)
        share = math.log(inside / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, count: int = 6) -> list[tuple[float, str]]:
        """Powers of ten; where they are too few, 2 and 5 times them, where too many, every so-many-th."""
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for factors in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
            values = [f * 10.0**power for power in range(first, last + 1) for f in factors]
            inside = [v for v in values if self.low * (1 - 1e-9) <= v <= self.high * (1 + 1e-9)]
            if len(inside) >= 3:
                break
        return [(value, f"{value:.3g}") for value in inside[:: -(-len(inside) // (count + 1))]]


@dataclass(frozen=True)
class RootScale(Scale):
    """Square roots: a share of 1 % can be seen beside one of 80 %, and none at all lies at 0; low is 0."""

    def __call__(self, value: float) -> float:
        share = math.sqrt(min(max(value, 0.0), self.high) / self.high)
        return self.start + share * (self.end - self.start)

    def ticks(self, count: int = 6) -> list[tuple[float, str]]:
        """0 and round values, each far enough from the one before for its words."""
        ticks, place = [(0.0, "0")], self.start
        for share in (0.01, 0.05, 0.2, 0.5, 1.0):
            value = _round(share * self.high)
            if abs(self(value) - place) >= LINE:
                ticks.append((value, f"{value:g}"))
                place = self(value)
        return ticks


def _round(value: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is no larger."""
    if value <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(value) + 1e-9)
    return max(f * power for f in (1, 2, 5) if f * power <= value * (1 + 1e-9))
