"""A process that `devices=N` starts: `python -m msda_train.training.follower RANK PORT`, the config as a line
of JSON on its stdin. It trains as the leader does, writes nothing, and ends when the leader ends."""

import json
import os
import signal
import sys
import threading

from omegaconf import OmegaConf

from msda_train.core.errors import RunFailed, UserError
from msda_train.training.processes import SIGNALS
from msda_train.training.train import train


def main(words: list[str]) -> int:
    """Exit code 0: done; 1: the last line says what went wrong."""
    for number in SIGNALS:  # the leader's business
        signal.signal(number, signal.SIG_IGN)
    rank, port = map(int, words)
    cfg = OmegaConf.create(json.loads(sys.stdin.buffer.readline()))
    threading.Thread(target=_end_with_leader, daemon=True).start()
    try:
        train(cfg, {}, lambda line: None, seat=(rank, port))
    except (UserError, RunFailed) as error:
        print(error)
        return 1
    return 0


def _end_with_leader() -> None:
    sys.stdin.buffer.read()  # until it is gone
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
