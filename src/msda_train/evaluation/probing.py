"""Probes of finished runs: which are missing, one after the other, into the row and beside it.

A probe that fails costs its own numbers only. Test logits are computed once and stored as they are, float32:
a measure that needs nothing else gives the same number when the network is long gone.
"""

import io
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from msda_train.config.build import build
from msda_train.core import signals
from msda_train.core.errors import UserError
from msda_train.core.files import NotWritten, replace_file, writing
from msda_train.evaluation.finished_run import OpenedRun, open_run
from msda_train.evaluation.probes.subject import Finding, NeedsPictures, Probe, Subject
from msda_train.records.rows import add_probe, already_asked, read_row
from msda_train.training import checkpoint
from msda_train.training.environment import environment
from msda_train.training.loaders import normalisation

LOGITS = "logits.npz"
Log = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """A probe by its name, with the options it was made of."""

    name: str
    options: Mapping[str, Any]
    probe: Probe


def build_probes(node: DictConfig) -> list[Asked]:
    """The probes of a config's node `probes`; UserError names the option that is wrong."""
    asked = []
    for name in map(str, node):
        options = node[name]
        if options is not None:
            plain: Any = OmegaConf.to_container(options, resolve=True)
            asked.append(Asked(name, plain, build(f"probes.{name}", options)))
    return asked


def probe_run(
    path: Path, probes: Sequence[Asked], log: Log, *, device: str | None = None, trust: bool = False
) -> int:
    """Puts the run of the row at `path` through those of `probes` it has not been through. The exit code: 0,
    1 where a probe failed, 2 where one was asked for what makes no sense.

    Raises UserError where the run cannot be opened.
    """
    read_row(path)  # a damaged one is told before anything else is done
    with checkpoint.owned(path.parent):
        missing = [asked for asked in probes if not already_asked(path, asked.name, asked.options)]
        log(f"{path}: {len(missing)} of {len(probes)} probes are missing")
        if not missing:  # the images and the network are not needed
            return 0
        opened = open_run(path, device=device, trust=trust, network_needed=False)
        subject = _subject(opened)
        codes = [_tried(opened, asked, subject, log) for asked in missing]
    return max((code for code in codes if code is not None), default=2)


def _tried(opened: OpenedRun, asked: Asked, subject: Subject, log: Log) -> int | None:
    """The probe's exit code; at 0, what it found is in the row. None where it has nothing to say of such
    examples: one of several may be left out."""
    try:
        with signals.unmasked():
            found = asked.probe(subject)
        _keep_logits(opened, subject)
        _keep(opened, asked, found)
    except NotWritten:  # no other probe could keep what it finds, either
        raise
    except NeedsPictures as error:
        log(f"probe {asked.name} left out: {error}")
        return None
    except Exception as error:  # out of memory, a data set that is not here: the others go on
        log(f"probe {asked.name} failed: {' '.join(str(error).split())[:300] or type(error).__name__}")
        return error.exit_code if isinstance(error, UserError) else 1
    log(f"{asked.name}: " + ", ".join(f"{key} {value:.4g}" for key, value in found.numbers.items()))
    for remark in found.remarks:
        log(f"{asked.name}: note: {remark}")
    return 0


def _keep_logits(opened: OpenedRun, subject: Subject) -> None:
    """Before the probe's own numbers: once those are in the row, nobody asks for the logits again."""
    path = opened.row.path.with_name(LOGITS)
    made = "test_logits" in vars(subject) and subject.stored_logits is None
    if made and _stored_logits(path, len(subject.test_logits)) is None:
        replace_file(path, _npz({"test": subject.test_logits.numpy()}))


def _keep(opened: OpenedRun, asked: Asked, found: Finding) -> None:
    numbers = {key: float(value) for key, value in found.numbers.items()}
    wrong = [key for key, value in numbers.items() if not np.isfinite(value)]
    if wrong:
        raise UserError(f"{', '.join(wrong)}: not finite")
    if found.arrays:
        file = opened.row.path.parent / "probes" / f"{asked.name}.npz"
        with writing(file):
            file.parent.mkdir(exist_ok=True)
        replace_file(file, _npz(found.arrays))
    made = environment(opened.run.compute)
    told = {"options": asked.options, "remarks": list(found.remarks), "environment": made}
    add_probe(opened.row.path, asked.name, {"numbers": numbers, "records": found.records, **told})
    for file in found.leftovers:  # not a moment earlier: it may be the work of days
        with writing(file):
            file.unlink(missing_ok=True)


def _subject(opened: OpenedRun) -> Subject:
    run = opened.run
    mean, std = normalisation(run.images, run.recipe)
    return Subject(
        network=opened.network,
        images=run.images,
        mean=mean,
        std=std,
        device=run.compute.device,
        autocast=run.compute.autocast,
        seed=run.seed,
        config=opened.row.config,
        stored_logits=_stored_logits(opened.row.path.with_name(LOGITS), len(run.images.x_test)),
        progress=_bar,
        readers=run.compute.readers,
        folder=opened.row.path.parent,
    )


def _stored_logits(path: Path, n: int) -> np.ndarray | None:
    """None where there are none, or none of this test set: they are computed again. So are old ones that were
    rounded to float16, as long as there is a network to ask."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            logits: np.ndarray = stored["test"]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return None
    rounded = logits.dtype == np.float16 and path.with_name("checkpoint.pt").is_file()
    return logits if logits.ndim == 2 and len(logits) == n and not rounded else None


def _npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)  # type: ignore[arg-type]  # its stub takes them for allow_pickle
    return out.getvalue()


def _bar(items: Iterator[Any], total: int, label: str) -> Iterator[Any]:
    return iter(tqdm(items, total=total, desc=label, mininterval=0.5, leave=False, dynamic_ncols=True))
