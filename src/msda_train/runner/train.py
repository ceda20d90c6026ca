"""The order of events of one run: build, resume, epochs, row. Running the same command again is resuming."""

import hashlib
import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from msda_train import checks
from msda_train.build import build
from msda_train.data.images import Images
from msda_train.data.loader import Loader
from msda_train.errors import RunFailed, UserError
from msda_train.randomness import generator
from msda_train.results.fingerprint import fingerprint
from msda_train.results.rows import Row, read_row, write_row
from msda_train.results.summary import summarise
from msda_train.runner import checkpoint, gallery
from msda_train.runner.device import Compute, as_told
from msda_train.runner.environment import environment
from msda_train.runner.memory import peak_memory, reset_peak_memory
from msda_train.runner.profile import profile
from msda_train.runner.recipe import Recipe
from msda_train.runner.step import Step, evaluate
from msda_train.runner.update import Replay, Update

AXES = ("dataset", "model", "method", "recipe")
SETTINGS = (
    *("seed", "device", "precision", "compile", "graph", "deterministic", "threads"),
    *("runs", "checkpoint_seconds", "profile"),
)
TEST_BATCH = 500
Say = Callable[[str], None]


@dataclass
class Progress:
    """The little that a run remembers besides weights: how far it is, what it measured, who worked on it."""

    history: list[dict[str, float]] = field(default_factory=list)
    sessions: list[dict[str, Any]] = field(default_factory=list)


def train(cfg: DictConfig, names: Mapping[str, str | None], say: Say) -> Path | None:
    """Trains, or goes on training, the run that `cfg` describes and returns the path of its row; None where
    cfg.profile only asks where the time of a step goes.

    names: the words typed for data set, model, method, recipe, experiment. Raises UserError for bad input,
    RunFailed when the loss is no longer finite.
    """
    for word in cfg:  # `+sede=1` would be taken by Hydra and used by nobody
        checks.one_of("option", word, (*SETTINGS, *AXES, "probes"))
    checks.whole("seed", cfg.seed, least=0)
    checks.non_negative("checkpoint_seconds", cfg.checkpoint_seconds)
    checks.flag("profile", cfg.profile)
    compute = as_told(cfg)
    config: dict[str, Any] = {axis: OmegaConf.to_container(cfg[axis], resolve=True) for axis in AXES}
    recipe: Recipe = build("recipe", cfg.recipe)
    method = build("method", cfg.method)
    images: Images = build("dataset", cfg.dataset).images()
    identity = fingerprint(config)
    folder = Path(cfg.runs).expanduser() / f"{identity}-{images.content[:8]}" / f"s{cfg.seed}"
    with checkpoint.owned(folder):
        run = Run(cfg.seed, identity, recipe, images, compute, cfg.checkpoint_seconds, folder)
        if cfg.profile:
            profile(run, run.prepare(cfg.model, method), folder, say)
            return None
        row_path = folder / "row.json"
        if row_path.exists():
            say(_complete(read_row(row_path)))
            return row_path
        (folder / "config.yaml").write_text(OmegaConf.to_yaml(cfg, resolve=True))
        reset_peak_memory(compute.device)
        step = run.prepare(cfg.model, method)
        progress = run.train(step, say)
        gallery.keep(run, step, say)
        write_row(row_path, run.row(progress, names, config, source=cfg.dataset.source))
        say(f"{_complete(read_row(row_path))}\n{row_path}")
    return row_path


def _complete(row: Row) -> str:
    m, epochs = row.metrics, row.config["recipe"]["epochs"]
    return (
        f"complete: {row.names['method']} seed {row.seed}, {epochs} epochs, test error "
        f"{100 * m['error/last']:.2f} % last, {100 * m['error/best']:.2f} % best, nll {m['nll/last']:.3f}"
    )


def _corruption(images: Images) -> dict[str, Any]:
    """Which training labels are wrong, where that was asked for: how many, and a hash of all labels."""
    if images.y_clean is None:
        return {}
    digest = hashlib.sha256(images.y_train.astype("<i8").tobytes()).hexdigest()
    return {"wrong_labels": int((images.y_train != images.y_clean).sum()), "labels_sha256": digest}


@dataclass(frozen=True)
class Run:
    """One seed of one configuration on one device, with its folder."""

    seed: int
    fingerprint: str
    recipe: Recipe
    images: Images
    compute: Compute
    checkpoint_seconds: float
    folder: Path

    def prepare(self, model: DictConfig, method: Any) -> Step:
        """The step with a freshly initialised network; initialisation is a function of the seed."""
        facts = {"classes": len(self.images.classes), "channels": self.images.channels}
        self.check_fit(model, facts)
        torch.manual_seed(int(generator(self.seed, "init").integers(2**62)))
        network = build("model", model, **facts).to(self.compute.device, memory_format=torch.channels_last)
        if hasattr(method, "check"):
            method.check(network)
        recipe = self.recipe
        optimizer = torch.optim.SGD(
            network.parameters(),
            lr=recipe.lr,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        forward = torch.compile(network, dynamic=False) if self.compute.compile else network
        kind = Replay if self.compute.graph else Update
        update = kind(network, forward, recipe.loss, optimizer, self.compute)
        return Step(method, recipe.augment, facts["classes"], update)

    def check_fit(self, model: DictConfig, facts: Mapping[str, int]) -> None:
        """UserError where the network cannot take these images: shapes only, nothing is computed."""
        height, width = self.images.x_train.shape[1:3]
        with torch.device("meta"):
            images = torch.empty(2, facts["channels"], height, width)
            network = build("model", model, **facts)
            try:
                network(images)
            except RuntimeError as e:
                why = " ".join(str(e).split())[:200]
                raise UserError(f"model: does not fit images of {height}x{width} pixels ({why})") from None

    @cached_property
    def train_loader(self) -> Loader:
        """Training batches: shuffled, cropped and flipped by the seed. Made once: it holds a padded copy."""
        images = self.images
        return self._loader(images.x_train, images.y_train, self.recipe.batch_size, self.seed)

    @cached_property
    def test_loader(self) -> Loader:
        """The test images as they are, normalised."""
        return self._loader(self.images.x_test, self.images.y_test, TEST_BATCH, None)

    def _loader(self, x: Any, y: Any, batch_size: int, seed: int | None) -> Loader:
        r = self.recipe
        return Loader(
            x,
            y,
            batch_size=batch_size,
            mean=r.mean,
            std=r.std,
            device=self.compute.device,
            crop_padding=r.crop_padding,
            flip=r.flip,
            seed=seed,
        )

    def train(self, step: Step, say: Say) -> Progress:
        """All epochs that are left; what is done is on the disk whenever this is interrupted."""
        path = self.folder / "checkpoint.pt"
        progress = Progress()
        steps = len(self.train_loader)
        if path.exists():
            saved = checkpoint.load(path, step.update, self.fingerprint)
            progress = Progress(saved["history"], saved["sessions"])
            say(f"going on after epoch {len(progress.history)} of {self.recipe.epochs}")
        first = len(progress.history)
        session = {"from_epoch": first + 1, **environment(self.compute)}
        if first < self.recipe.epochs:
            progress.sessions.append(session)
        saved_at = time.monotonic()
        with self.bar(first * steps, self.recipe.epochs * steps) as bar:
            for epoch in range(first, self.recipe.epochs):
                measured = self.epoch(epoch, step, bar)
                progress.history.append(measured)
                session["to_epoch"] = epoch + 1
                last = epoch + 1 == self.recipe.epochs
                if last or time.monotonic() - saved_at >= self.checkpoint_seconds:
                    checkpoint.save(path, step.update, self.progress_record(progress))
                    saved_at = time.monotonic()
        return progress

    def bar(self, done: int, total: int) -> "tqdm[Any]":
        """Steps of the whole run, with the last epoch's loss and test error behind."""
        label = f"{self.folder.parent.name[:8]} s{self.seed}"
        seconds = 0.5 if sys.stderr.isatty() else 30  # a log file is not a screen
        return tqdm(
            total=total, initial=done, desc=label, unit="step", mininterval=seconds, dynamic_ncols=True
        )

    def progress_record(self, progress: Progress) -> dict[str, Any]:
        """What a checkpoint holds besides tensors."""
        return {"fingerprint": self.fingerprint, "history": progress.history, "sessions": progress.sessions}

    def epoch(self, epoch: int, step: Step, bar: Any) -> dict[str, float]:
        """Trains one 0-based epoch and tests; nothing returns to the host before its end."""
        # Dropout and its like draw from torch's own generator: it, too, is a function of seed and epoch.
        torch.manual_seed(int(generator(self.seed, "layers", epoch).integers(2**62)))
        step.network.train()
        started = time.perf_counter()
        loss_sum, samples, steps = torch.zeros((), device=self.compute.device), 0, len(self.train_loader)
        for i, (x, y) in enumerate(self.train_loader.train_batches(epoch)):
            step.update.set_lr(self.recipe.lr_at(epoch, i / steps))
            loss_sum += step(x, y, generator(self.seed, "mix", epoch, i)) * len(y)
            samples += len(y)
            bar.update()
        train_loss = loss_sum.item() / samples
        trained = time.perf_counter()
        if not math.isfinite(train_loss):
            raise RunFailed(
                f"epoch {epoch + 1}: the loss is {train_loss}; no row written, the last checkpoint is kept. "
                f"Try a smaller recipe.lr than {self.recipe.lr} or recipe.warmup_epochs=5"
            )
        step.network.eval()
        measured = evaluate(step.update.forward, self.test_loader.test_batches(), self.compute)
        if not math.isfinite(measured["nll"]):
            raise RunFailed(f"epoch {epoch + 1}: the test NLL is {measured['nll']}; no row written")
        bar.set_postfix(loss=f"{train_loss:.3f}", error=f"{100 * measured['error']:.2f}%", refresh=False)
        return {
            "epoch": epoch + 1,
            "lr": self.recipe.lr_at(epoch, 0.0),
            "train_loss": train_loss,
            **measured,
            "train_seconds": trained - started,
            "seconds": time.perf_counter() - started,
        }

    def row(
        self, progress: Progress, names: Mapping[str, Any], config: Mapping[str, Any], *, source: str
    ) -> dict[str, Any]:
        """The finished run as one JSON-ready value; see `results.rows` for its schema."""
        history, images = progress.history, self.images
        # The first epoch warms caches up (and compiles): the median ignores it where it can.
        speeds = [len(images.y_train) / h["train_seconds"] for h in history[1:] or history]
        return {
            "schema": 1,
            "fingerprint": self.fingerprint,
            "names": dict(names),
            "seed": self.seed,
            "config": config,
            "metrics": summarise(history),
            "history": history,
            "seconds": sum(h["seconds"] for h in history),
            "images_per_second": median(speeds),
            "memory": peak_memory(self.compute.device),
            "data": {
                "content": images.content,
                "train_images": len(images.y_train),
                "test_images": len(images.y_test),
                "classes": len(images.classes),
                "complete": images.complete,
                "source": source,
                **_corruption(images),
            },
            "environment": {k: v for k, v in progress.sessions[-1].items() if not k.endswith("_epoch")},
            "sessions": progress.sessions,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
