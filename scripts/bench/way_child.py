"""`python -m bench.way_child WORDS`: a trainer in memory, of the words of a run. It says "ready" when its
first steps are made; for every number on stdin it trains so many seconds and says how many images per
second."""

import sys
import time
from collections.abc import Iterator

from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.core.paths import CONFIGS
from msda_train.core.randomness import generator
from msda_train.training.device import compute_from
from msda_train.training.run import Run

WARM = 3  # steps: the first compiles or records, a GPU may choose kernels in the next


def main(words: list[str]) -> int:
    """Exit code 0 when stdin ends."""
    cfg = compose(*words)
    compute, recipe = compute_from(cfg), build("recipe", cfg.recipe)
    images = build("dataset", cfg.dataset).examples()
    run = Run(0, "", recipe, images, compute, 0.0, CONFIGS)  # its folder is never used
    step = run.prepare(cfg.model, build("method", cfg.method))
    step.network.train()

    def steps() -> Iterator[int]:
        """Trains; the size of each batch."""
        for epoch in range(recipe.epochs * 10**6):  # as long as anybody asks
            for number, (here, x, y) in enumerate(step.over(run.train_loader, epoch)):
                here(x, y, generator(0, "mix", epoch, number)).item()  # item(): until the device is done
                yield len(x)

    training = steps()
    for _ in range(WARM):
        next(training)
    print("ready", flush=True)
    for line in sys.stdin:
        began, done = time.perf_counter(), 0
        while (spent := time.perf_counter() - began) < float(line) or not done:
            done += next(training)
        print(done / spent, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
