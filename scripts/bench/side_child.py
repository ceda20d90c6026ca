"""`python -m bench.side_child DEVICE BATCH WORDS`: a trainer of one thread. For every number on
stdin it makes so many steps on noise and says "done"."""

import sys
from dataclasses import replace

from bench.settings import QUICK
from bench.workload import Stepping
from msda_train.training.device import choose


def main(arguments: list[str]) -> int:
    """Exit code 0 when stdin ends."""
    compute = choose(arguments[0], "auto", False, 1)
    settings = replace(QUICK, device=compute.device, batch=int(arguments[1]))
    step = Stepping(settings, arguments[2:], compute)
    for line in sys.stdin:
        for _ in range(int(line)):
            loss = step()
        float(loss)  # until the device is done
        print("done", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
