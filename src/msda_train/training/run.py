"""One seed of one configuration on one device: its loaders, its network, its epochs."""

import copy
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from tqdm import tqdm

from msda_train.config.build import build
from msda_train.config.shared_work import lasting
from msda_train.core import signals
from msda_train.core.errors import RunFailed, UserError
from msda_train.core.learns import Learning, Learns
from msda_train.core.mix import Extends, Method, PicksPartners, prepared
from msda_train.core.randomness import generator
from msda_train.data.batches import Batches, Draw
from msda_train.data.dataset import Dataset
from msda_train.data.examples import Examples
from msda_train.data.partners import partners_of
from msda_train.data.stream_loader import StreamLoader
from msda_train.models.sizes import bounded
from msda_train.training import checkpoint
from msda_train.training.device import Compute
from msda_train.training.distributed import ALONE, Team, check_shares
from msda_train.training.environment import environment
from msda_train.training.facts import data_facts, odd_images
from msda_train.training.first_weights import begin_with
from msda_train.training.inputs import Inputs
from msda_train.training.loaders import make_loader
from msda_train.training.logger import Audience, Epoch, numbers_of
from msda_train.training.optimizer import fit, new_optimizer, new_update, parameter_groups
from msda_train.training.patience import check_patience, stopped, told, validated
from msda_train.training.recipe import Recipe
from msda_train.training.run_cache import RunCache, is_ours
from msda_train.training.step import Step, evaluate
from msda_train.training.update import Update

TEST_BATCH = 500
ODD = "images.log"  # names the images of a streamed set that are not as they should be
Log = Callable[[str], None]


@dataclass
class Progress:
    """The little that a run remembers besides weights: how far it is, what it measured, who worked on it."""

    history: list[dict[str, Any]] = field(default_factory=list)
    sessions: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Run:
    """One seed of one configuration on one device, with its folder."""

    seed: int
    fingerprint: str
    recipe: Recipe
    images: Examples
    compute: Compute
    checkpoint_seconds: float
    folder: Path
    cache: RunCache = field(default_factory=RunCache)
    teacher: str | None = None  # which finished run teaches its method
    form: str = "full"  # of its checkpoints, one of checkpoint.FORMS
    team: Team = ALONE  # the processes that train it
    audience: Audience = field(default_factory=Audience)  # who else is told how it goes

    task: ClassVar[str] = "classification"
    needs: ClassVar[Mapping[str, str]] = {}  # of data set, method, recipe: what `build` asks of them

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return len(self.train_loader)

    @classmethod
    def fitting(cls, cfg: DictConfig, compute: Compute) -> Compute:
        """`compute` as it is used here; UserError for what this task cannot do."""
        return compute

    @classmethod
    def data(
        cls, node: DictConfig, config: Mapping[str, Any], recipe: Any, seed: int, team: Team, cache: RunCache
    ) -> Examples:
        """What is learned from: the examples that `node` names, read or kept of a run before. UserError where
        their batches cannot be shared out as `recipe` and `team` want."""
        dataset: Dataset = build("dataset", node)
        wanted = (config, dataset.split_of(seed))
        found: Examples | None = cache.find("images", wanted)
        if found is None:
            found = dataset.examples(seed)
            if is_ours(config):
                cache.keep("images", wanted, found)
        check_patience(recipe, found)
        check_shares(team, recipe.batchnorm_parts, recipe.batch_size, len(found.y_train))
        return found

    def prepare(self, model: DictConfig, method: Method) -> Step:
        """The step with a freshly initialised network; initialisation is a function of the seed."""
        shape = self.images.shape
        facts: dict[str, Any] = {"classes": len(self.images.classes), "channels": shape[0]}
        config: Any = OmegaConf.to_container(model, resolve=True)
        recipe = lasting(asdict(self.recipe))
        extended = repr(method) if isinstance(method, Extends) else None
        wanted = (config, facts, shape, recipe, self.compute, self.team, torch.get_num_threads(), extended)
        update: Update | None = self.cache.find("network", wanted)
        torch.manual_seed(int(generator(self.seed, "init").integers(2**62)))
        with bounded("model"):
            network = build("model", model, **facts)
        begin_with(network, self.recipe.first_weights)
        if isinstance(method, Extends):
            method.extend(network, facts["classes"])
        if update is not None:
            update.restart(network.state_dict())
        else:
            fit(network, shape, self.compute)
            update = new_update(network, self.recipe, self.compute, self.team)
            if is_ours(config):
                self.cache.keep("network", wanted, update)
        with self.compute.autocast():
            if isinstance(method, Learns):
                method = method.learn(update.network, self._own_optimizer)
            else:
                method = prepared(method, update.network, self._training_images())
        augment, warm_up, partners = self.recipe.augment, self.recipe.erm_epochs, self.partners(method)
        learning = method if isinstance(method, Learning) else None
        return Step(method, augment, facts["classes"], update, warm_up, self.team, partners, learning)

    def _own_optimizer(self, learned: nn.Module) -> torch.optim.Optimizer:
        """Of what a method learns, as the recipe has it for the classifier."""
        return new_optimizer(parameter_groups(learned, self.recipe), self.recipe, self.compute)

    def partners(self, method: Method) -> Draw | None:
        """What draws partners from all training images, where `method` wants those."""
        among = method.among() if isinstance(method, PicksPartners) else None
        return partners_of(self.images, among, self.compute.device) if among else None

    def _training_images(self) -> Iterator[Tensor]:
        """In their stored order, normalised; the loader is made only if somebody looks."""
        if isinstance(self.train_loader, StreamLoader):
            self.train_loader.origins(0)  # whoever looks wants to know these again
        yield from (x for x, _ in self.train_loader.test_batches())

    @cached_property
    def train_loader(self) -> Batches:
        """Training batches: shuffled, cropped and flipped by the seed. Made once: it holds a padded copy."""
        x, y, batch_size = self.images.x_train, self.images.y_train, self.recipe.batch_size
        loader = copy.copy(self._loader("training batches", x, y, batch_size, self.seed))
        loader.seed = self.seed
        return loader

    @cached_property
    def test_loader(self) -> Batches:
        """The test images as they are, normalised."""
        return self._loader("test batches", self.images.x_test, self.images.y_test, TEST_BATCH, None)

    @cached_property
    def validation_loader(self) -> Batches:
        """The validation images, likewise, or what is tested on where that is a held-out part."""
        x, y = self.images.x_validation, self.images.y_validation
        own = x is not None and y is not None
        return self._loader("validation batches", x, y, TEST_BATCH, None) if own else self.test_loader

    def load(self) -> None:
        """Makes both now."""
        _ = self.train_loader, self.test_loader

    def _loader(self, kind: str, x: Any, y: Any, batch_size: int, seed: int | None) -> Batches:
        """Made new, or kept of a run whose seed was another one."""
        r, device = self.recipe, self.compute.device
        crop = (r.crop_padding, r.padding, r.crop_scale, r.crop_ratio, r.flip)
        wanted = (self.images, batch_size, r.mean, r.std, *crop, r.scaling, device)
        found: Batches | None = self.cache.find(kind, wanted)
        if found is not None:
            return found
        more: Any = {"batch_size": batch_size, "seed": seed, "team": self.team, "notes": self.folder / ODD}
        made = make_loader(self.images, x, y, r, self.compute, **more)
        return made if isinstance(made, StreamLoader) else self.cache.keep(kind, wanted, made)

    def speed(self, measured: Mapping[str, Any]) -> float:
        """Examples per second of training, in a measured epoch."""
        return len(self.images.y_train) / float(measured["train_seconds"])

    def numbers(self, history: Sequence[Mapping[str, Any]]) -> list[Epoch]:
        """What loggers are told of each measured epoch."""
        apart = isinstance(self.images, Examples) and self.images.holdout > 0
        return [numbers_of(each, self.speed(each), apart=apart) for each in history]

    def facts(self, progress: Progress, source: Any) -> dict[str, Any]:
        """What the row says of speed and data; `source`: where these are from."""
        measured = progress.history[1:] or progress.history  # the first warms up, and compiles
        speed, said = median([self.speed(each) for each in measured]), told(progress.history, self.recipe)
        return {"images_per_second": speed, "data": data_facts(self.images, progress.history, source), **said}

    def train(self, step: Step, log: Log) -> Progress:
        """All epochs that are left; what is done is on the disk whenever this is interrupted."""
        path = self.folder / "checkpoint.pt"
        progress, lost, steps, total = Progress(), dict[str, str](), self.steps, self.recipe.epochs
        if path.exists():
            saved = checkpoint.load(path, step.update, self.fingerprint, step.learning)
            if saved.get("teacher") not in (None, self.teacher):  # those of before say nothing
                raise UserError(
                    f"{path}: was begun with another teacher ({saved.get('teacher')}) than there is now "
                    f"({self.teacher}); move it away to train from the start"
                )
            progress = Progress(saved["history"], saved["sessions"])
            lost = {"lost": saved["lost"]} if "lost" in saved else {}
            without = "; its checkpoint holds no momentum, which begins anew" if lost else ""
            log(f"going on after epoch {len(progress.history)} of {total}{without}")
        first = len(progress.history)
        total = first if stopped(progress.history, self.recipe) else total
        self.audience.begin(self.numbers(progress.history))
        session = {"from_epoch": first + 1, **environment(self.compute), **lost}
        if first < total:
            progress.sessions.append(session)
        saving = checkpoint.Saving(path, self.checkpoint_seconds, self.form, log, step.learning)
        bar = self.bar(first * steps, total * steps)
        with saving, signals.patient() as stop, bar:
            for epoch in range(first, total):
                measured = self.epoch(epoch, step, bar)
                progress.history.append(measured)
                self.audience.epoch(self.numbers([measured])[0])
                session["to_epoch"] = epoch + 1
                done = stop.asked() or stopped(progress.history, self.recipe)
                last = self.team.told(done) or epoch + 1 == total
                if self.team.leads:
                    saving.epoch(step.update, self.progress_record(progress), now=last)
                stop.if_asked()
                if last:
                    break
        return progress

    def bar(self, done: int, total: int) -> "tqdm[Any]":
        """Steps of the whole run, with the last epoch's loss and test error behind."""
        label = f"{self.folder.parent.name[:8]} s{self.seed}"
        seconds = 0.5 if sys.stderr.isatty() else 30  # a log file is not a screen
        look = {"desc": label, "unit": "step", "mininterval": seconds, "dynamic_ncols": True}
        return tqdm(total=total, initial=done, disable=not self.team.leads, **look)

    def progress_record(self, progress: Progress) -> dict[str, Any]:
        """What a checkpoint holds besides tensors."""
        taught = {"teacher": self.teacher} if self.teacher else {}
        done = {"history": progress.history, "sessions": progress.sessions}
        return {"fingerprint": self.fingerprint, **done, **taught, **self.inputs}

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """What a network is used with elsewhere: names of its classes, shape and scaling of its examples."""
        if not isinstance(self.images, Examples):
            return {}
        return {"inputs": asdict(Inputs.of(self.images, self.recipe))}

    def epoch(self, epoch: int, step: Step, bar: Any) -> dict[str, Any]:
        """Trains one 0-based epoch and tests; nothing returns to the host before its end."""
        # Dropout and its like draw from torch's own generator: it, too, is a function of seed and epoch.
        torch.manual_seed(int(generator(self.seed, "layers", epoch).integers(2**62)))
        step.network.train()
        started = time.perf_counter()
        loss_sum, samples, steps = torch.zeros((), device=self.compute.device), 0, len(self.train_loader)
        for i, (here, x, y) in enumerate(step.over(self.train_loader, epoch)):
            done = (epoch + i / steps) / self.recipe.epochs
            step.now(done, self.recipe.lr_at(epoch, i / steps))
            loss_sum += here.at(done)(x, y, generator(self.seed, "mix", epoch, i)) * len(y)
            samples += len(y)
            bar.update()
        train_loss = self.team.total(loss_sum).item() / self.team.size / samples
        trained = time.perf_counter()
        if not math.isfinite(train_loss):
            raise RunFailed(
                f"epoch {epoch + 1}: the loss is {train_loss}; no row written, the last checkpoint is kept. "
                f"Try a smaller recipe.lr than {self.recipe.lr} or recipe.warmup_epochs=5"
            )
        step.network.eval()
        waiting = self.recipe.patience is not None and self.validation_loader is not self.test_loader
        turns = [self.test_loader.test_batches(self.team.turn)]
        turns += [self.validation_loader.test_batches(self.team.turn)] if waiting else []
        measured, *more = [evaluate(step.tested, each, self.compute, self.team) for each in turns]
        if not math.isfinite(measured["nll"]):
            raise RunFailed(f"epoch {epoch + 1}: the test NLL is {measured['nll']}; no row written")
        bar.set_postfix(loss=f"{train_loss:.3f}", error=f"{100 * measured['error']:.2f}%", refresh=False)
        return {
            "epoch": epoch + 1,
            "lr": self.recipe.lr_at(epoch, 0.0),
            "train_loss": train_loss,
            **measured,
            **validated(self.recipe, [measured, *more][-1], epoch),
            **odd_images((self.train_loader, self.test_loader), self.team, self.compute.device),
            "train_seconds": trained - started,
            "seconds": time.perf_counter() - started,
        }
