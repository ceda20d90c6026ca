"""Row 18: how long a published run takes on a GPU, training and test, by the ways to run its steps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from bench.epoch import TEST_SHARE, our_epochs
from bench.roofline import matrix_rate, operations
from bench.settings import Settings
from bench.table import Goal, Reach, Row, at_most
from bench.timing import interleaved, spread, timer_of
from bench.workload import Stepping, mixing, noise
from msda_train.training.device import Compute, choose

TRAINING_IMAGES = 50_000  # CIFAR's
WAYS = {
    "eager": {"compile_model": False, "graph": False},
    "graph": {"compile_model": False, "graph": True},
    "compile": {"compile_model": True, "graph": False},
    "compile and graph": {"compile_model": True, "graph": True},
}


@dataclass(frozen=True)
class Published:
    """A network at the batch size and for the epochs of its published tables. ways: those that are tried;
    the deepest networks compile for minutes."""

    words: tuple[str, ...]
    batch: int
    epochs: int
    minutes: Goal
    ways: tuple[str, ...] = tuple(WAYS)


PUBLISHED = {
    "PreActResNet-18, 200 epochs": Published(("model=preactresnet18",), 128, 200, at_most(3, 2.5)),
    "PreActResNet-18, 1,200 epochs": Published(("model=preactresnet18",), 100, 1200, at_most(18, 15)),
    "PreActResNet-34, 200 epochs": Published(("model=preactresnet34",), 128, 200, at_most(5.7, 4.7)),
    "WRN-28-10, 200 epochs": Published(("model=wrn28_10",), 128, 200, at_most(18.5, 15.5)),
    "PyramidNet-200, 300 epochs": Published(
        ("model=pyramidnet200",), 64, 300, at_most(75, 50), ("eager", "graph")
    ),
    "DenseNet-BC-190, 200 epochs": Published(
        ("model=densenet_bc190",), 64, 200, at_most(85, 55), ("eager", "graph")
    ),
}


def rows(settings: Settings, published: Mapping[str, Published] = PUBLISHED) -> Iterator[Row]:
    """One row per network and way; without a GPU one that says so."""
    for name, network in published.items():
        if settings.device.type == "cuda":
            yield from measured(settings, name, network)
        else:
            note = "measured on a GPU only: make bench ARGS='--device cuda --only 18'"
            yield Row(18, name, None, "min", goal=network.minutes, note=note)


def measured(settings: Settings, name: str, network: Published) -> Iterator[Row]:
    """Minutes of the whole run, from epochs with mixup over `settings.network_images` images."""
    sized = replace(settings, batch=min(network.batch, settings.network_images))
    images = noise(settings.network_images, sized, test=max(settings.network_images // TEST_SHARE, 1))
    words = list(network.words)
    computes = {way: _compute(settings, way) for way in network.ways}
    cases = {way: our_epochs(sized, words, images, compute) for way, compute in computes.items()}
    # Each is called once before it counts: by then its steps are compiled and recorded.
    seconds = interleaved(cases, rounds=settings.slow_rounds, timer=timer_of(settings.device))
    flops = _operations(sized, words, computes[network.ways[0]])
    for way, compute in computes.items():
        epoch = seconds[way] * (TRAINING_IMAGES / settings.network_images)
        minutes = spread(epoch * network.epochs / 60)
        # A test pass is a third of a step's work per image.
        work = flops * (TRAINING_IMAGES / sized.batch) * (1 + 1 / (3 * TEST_SHARE))
        rate = work / spread(epoch).median
        yield Row(
            18,
            f"{name}, {way}",
            minutes,
            "min",
            judged=minutes,
            judged_unit="min",
            goal=network.minutes,
            rounds=settings.slow_rounds,
            note=f"{spread(epoch).median:.2f} s an epoch, {compute.precision}, batch {sized.batch}",
            reach=Reach(rate / 1e12, "TFLOP/s", rate / matrix_rate(settings.device, compute.precision)),
        )


def _compute(settings: Settings, way: str) -> Compute:
    options = WAYS[way]
    return choose(str(settings.device), "auto", options["compile_model"], None, graph=options["graph"])


def _operations(settings: Settings, words: list[str], compute: Compute) -> int:
    """Of one training step."""
    eager = replace(compute, compile=False, graph=False)
    return operations(Stepping(settings, [*words, *mixing("mixup")], eager))
