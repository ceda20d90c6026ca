"""From words to a config, as `msda-train WORDS` composes it: one way for every command and test."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from msda_train.core.paths import CONFIGS

# Hydra 1.3 has to be told which version's defaults to use; from 1.4 on it warns when it is told.
DEFAULTS: dict[str, Any] = {"version_base": "1.3"} if hydra.__version__.startswith("1.3.") else {}


@contextmanager
def composing() -> Iterator[Callable[[Sequence[str]], DictConfig]]:
    """Lends a function from words to a config, at 0.1 s a call.

    Works inside a training command too, whose own Hydra is set aside meanwhile. Raises what Hydra and
    OmegaConf raise.
    """
    outer, GlobalHydra.instance().hydra = GlobalHydra.instance().hydra, None
    try:
        with hydra.initialize_config_dir(str(CONFIGS), **DEFAULTS):
            yield lambda words: hydra.compose("train", list(words))
    finally:
        GlobalHydra.instance().hydra = outer


def compose(*words: str) -> DictConfig:
    """The config of `msda-train WORDS`, interpolations not yet resolved."""
    with composing() as composed:
        return composed(words)
