"""Row 1: images per second out of the input pipeline, crop, flip and normalisation included."""

from collections.abc import Iterator
from itertools import count

from bench.reference_loop import pil_batches
from bench.settings import Settings
from bench.table import Row, at_least
from bench.timing import Work, interleaved, spread, timer_of
from bench.workload import a_loader, noise
from msda_train.data.images import Images


def rows(settings: Settings) -> Iterator[Row]:
    """An epoch of ours against an epoch of torchvision's PIL transforms in a DataLoader."""
    images = noise(settings.images, settings)
    theirs = pil_batches(images.x_train, images.y_train, settings.batch, train=True, device=settings.device)

    def their_epoch() -> None:
        for x, _ in theirs:
            x.to(settings.device)

    cases = {"ours": our_epochs(settings, images), "theirs": their_epoch}
    seconds = interleaved(cases, rounds=settings.slow_rounds, timer=timer_of(settings.device))
    yield Row(
        1,
        f"input pipeline, {settings.images:,} images, times faster",
        spread(settings.images / seconds["ours"]),
        "images/s",
        "torchvision PIL DataLoader",
        spread(settings.images / seconds["theirs"]),
        spread(seconds["theirs"] / seconds["ours"]),
        goal=at_least(25, 40),
        rounds=settings.slow_rounds,
    )


def our_epochs(settings: Settings, images: Images) -> Work:
    """Every call serves the next epoch of training batches."""
    loader = a_loader(settings, images, seed=0)
    epochs = count()

    def epoch() -> None:
        for _ in loader.train_batches(next(epochs)):
            pass

    return epoch
