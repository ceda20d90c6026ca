"""Row 19: what deterministic=true costs."""

from collections.abc import Iterator

from bench.settings import Settings
from bench.table import Row
from bench.timing import Work, interleaved, spread, timer_of
from bench.workload import Stepping, mixing, network_words
from msda_train.training.device import choose

MILLI = 1e3


def rows(settings: Settings) -> Iterator[Row]:
    """One step of mixup and one of CutMix, with it over without it."""
    for name in ("mixup", "cutmix"):
        cases = {str(flag): _stepping(settings, name, deterministic=flag) for flag in (True, False)}
        seconds = interleaved(cases, rounds=settings.cost_rounds, timer=timer_of(settings.device))
        yield Row(
            19,
            f"training step, {name}, deterministic=true",
            spread(seconds["True"] * MILLI),
            "ms",
            "without",
            spread(seconds["False"] * MILLI),
            spread(seconds["True"] / seconds["False"]),
            rounds=settings.cost_rounds,
        )


def _stepping(settings: Settings, name: str, *, deterministic: bool) -> Work:
    words = [*network_words(settings.width), *mixing(name)]
    word = str(settings.device)
    step = Stepping(settings, words, choose(word, "auto", False, None))

    def work() -> None:
        # A setting of the whole process, and cases take turns.
        choose(word, "auto", False, None, deterministic=deterministic)
        step()
        choose(word, "auto", False, None)

    return work
