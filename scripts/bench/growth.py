"""Row 13: what happens to time and memory where there is more of something."""

import json
import subprocess
from collections.abc import Iterator

from bench.child import environment, program
from bench.mixing import copying
from bench.pipeline import our_epochs
from bench.settings import Settings
from bench.table import Row, at_least, at_most
from bench.timing import Spread, interleaved, spread, timer_of
from bench.workload import float_batch, method_of, mixing, noise, our_mixing
from msda_train.core.errors import RunFailed

LINEAR = at_most(2.2, 2.05)  # 2 is linear


def rows(settings: Settings) -> Iterator[Row]:
    """The pipeline over images, mixing over the batch, memory over images, batch and width."""
    yield _pipeline(settings)
    yield _mixing(settings)
    axes = {
        "images": settings.memory_images,
        "batch": settings.memory_batches,
        "width": settings.memory_widths,
    }
    for place, (name, values) in enumerate(axes.items()):
        yield _memory(settings, name, values, settings.memory_base, place)


def _pipeline(settings: Settings) -> Row:
    few, many = settings.images, settings.many
    cases = {str(n): our_epochs(settings, noise(n, settings)) for n in (few, many)}
    rounds = settings.slow_rounds
    seconds = interleaved(
        cases,
        rounds=rounds,
        timer=timer_of(settings.device),
        least_seconds=10 * settings.least_seconds,
    )
    rates = {n: n / seconds[str(n)] for n in (few, many)}
    return Row(
        13,
        f"input pipeline, {many:,} images over {few:,}",
        spread(rates[many]),
        "images/s",
        f"{few:,} images",
        spread(rates[few]),
        spread(rates[many] / rates[few]),
        goal=at_least(0.9, 1.0),
        rounds=rounds,
    )


def _mixing(settings: Settings) -> Row:
    method, cases = method_of(settings, mixing("mixup")), {}
    for batch in (settings.batch, settings.large_batch):
        x, y = float_batch(settings, batch)
        cases[str(batch)] = our_mixing(method, x, y, settings.classes)
        cases[f"copy {batch}"] = copying(x)
    seconds = interleaved(
        cases,
        rounds=settings.rounds,
        timer=timer_of(settings.device),
        least_seconds=settings.least_seconds,
    )
    small, large = seconds[str(settings.batch)], seconds[str(settings.large_batch)]
    copies = seconds[f"copy {settings.large_batch}"] / seconds[f"copy {settings.batch}"]
    return Row(
        13,
        f"mixup, batch {settings.large_batch} over {settings.batch}",
        spread(large * 1e6),
        "us",
        f"batch {settings.batch}",
        spread(small * 1e6),
        spread(large / small),
        goal=at_most(9, 8.3),
        rounds=settings.rounds,
        note=f"copying the larger batch takes {spread(copies).median:.1f} times as long",
    )


def _memory(
    settings: Settings, name: str, values: tuple[int, int, int], base: tuple[int, int, int], place: int
) -> Row:
    """Each value is twice the one before. Twice as much at most, beyond what a process has without a run, is
    linear."""
    peaks = []
    for value in values:
        sizes = list(base)
        sizes[place] = value
        peaks.append(_peak(settings, sizes))
    growth = peaks[2] / max(peaks[1], 1e-9)
    told = ", ".join(f"{v:,}: {peak:,.0f} MiB" for v, peak in zip(values, peaks, strict=True))
    peak, ratio = (Spread(v, v, v) for v in (peaks[2], growth))
    what = f"memory of a run, {name} {values[2]:,} over {values[1]:,}"
    return Row(13, what, peak, "MiB", judged=ratio, goal=LINEAR, rounds=1, note=told)


def _peak(settings: Settings, sizes: list[int]) -> float:
    """MiB on the device where it is a GPU, else of the process beyond its imports."""
    words = [*map(str, sizes), str(settings.device)]
    command = program("bench.memory_child", *words)
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    if done.returncode != 0:
        raise RunFailed(f"{' '.join(command[2:])}: {done.stderr[-500:]}")
    found = json.loads(done.stdout)
    return float(found["device_peak_mib"] or found["host_peak_mib"] - found["imports_mib"])
