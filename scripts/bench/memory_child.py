"""`python -m bench.memory_child IMAGES BATCH WIDTH DEVICE`: a few training steps in a process of
its own, and the peak of its memory as one line of JSON."""

import json
import sys
from dataclasses import replace
from itertools import islice

import torch

from bench.settings import QUICK
from bench.workload import a_run, mixing, network_words, noise
from msda_train.config.build import build
from msda_train.core.randomness import generator
from msda_train.training.device import choose
from msda_train.training.memory import peak_memory

STEPS = 2  # the first makes gradients and momentum


def main(arguments: list[str]) -> int:
    """Exit code 0."""
    images, batch, width = map(int, arguments[:3])
    torch.set_num_threads(1)
    settings = replace(QUICK, batch=batch, device=torch.device(arguments[3]))
    compute = choose(arguments[3], "fp32", False, None)
    imports = peak_memory(torch.device("cpu"))["host_peak_mib"]
    words = [*network_words(width), *mixing("mixup")]
    run, cfg = a_run(settings, words, noise(images, settings), compute)
    step = run.prepare(cfg.model, build("method", cfg.method))
    for i, (x, y) in enumerate(islice(run.train_loader.train_batches(0), STEPS)):
        step(x, y, generator(0, "mix", 0, i))
    print(json.dumps({**peak_memory(compute.device), "imports_mib": imports}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
