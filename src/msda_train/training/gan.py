"""`task=gan`: a generator learns from a discriminator. What a step and an epoch are; all else is `Run`'s."""

import base64
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from msda_train.config import checks
from msda_train.config.build import build
from msda_train.core.errors import RunFailed, UserError
from msda_train.core.randomness import Rng, generator
from msda_train.data.gaussians import Gaussians
from msda_train.functional.modes import coverage
from msda_train.methods.gan_mixup import Draw, Term
from msda_train.models.adversaries import Adversaries
from msda_train.models.sizes import bounded
from msda_train.training.device import Compute
from msda_train.training.distributed import Team
from msda_train.training.run import Progress, Run
from msda_train.training.run_cache import RunCache

EPOCH = 500  # iterations between two tests, and between two checkpoints
JUDGED = 2_500  # generated points of a test, as in VEEGAN
SHOWN = 1_000  # points of a snapshot, as in the code


class GanMethod(Protocol):
    """What a method is here; see `msda_train.methods.gan_mixup`."""

    mixes_for_generator: bool

    def terms(self, draw: Draw, rng: Rng) -> list[Term]:
        """What the discriminator is asked in one step; `draw` gives new real and generated points."""
        ...


@dataclass(frozen=True)
class GanRecipe:
    """The fields are the options `recipe.*`; configs/recipe/gan/mixup.yaml says what they mean."""

    iterations: int
    discriminator_steps: int
    batch_size: int
    lr: float
    generator_loss: str
    snapshots: Sequence[int]

    def __post_init__(self) -> None:
        for name in ("iterations", "discriminator_steps", "batch_size"):
            checks.whole(f"recipe.{name}", getattr(self, name), least=1)
        checks.positive("recipe.lr", self.lr)
        checks.one_of("recipe.generator_loss", self.generator_loss, ("minimax", "non_saturating"))
        for iteration in self.snapshots:
            checks.whole("recipe.snapshots", iteration, least=0)

    @property
    def epochs(self) -> int:
        """The last one is longer by what is left over."""
        return max(1, self.iterations // EPOCH)

    def of_epoch(self, epoch: int) -> range:
        """The iterations of a 0-based epoch."""
        last = epoch + 1 == self.epochs
        return range(epoch * EPOCH, self.iterations if last else (epoch + 1) * EPOCH)


@dataclass
class Game:
    """Both players and what trains them. One Adam serves both: it leaves alone what has no gradient."""

    network: Adversaries
    optimizer: torch.optim.Optimizer
    method: GanMethod
    data: Gaussians
    recipe: GanRecipe
    device: torch.device
    learning: ClassVar[None] = None  # no method of a GAN has networks of its own

    @property
    def update(self) -> "Game":
        """What a checkpoint keeps: network and optimizer."""
        return self

    def resume(self, weights: Mapping[str, Any], optimizer: Mapping[str, Any]) -> None:
        """A checkpoint's states of both. Raises torch's own errors for misfits."""
        self.network.load_state_dict(weights)
        self.optimizer.load_state_dict(dict(optimizer))

    def iteration(self, rng: Rng) -> tuple[Tensor, Tensor]:
        """The discriminator's steps, then the generator's; the last losses of both, 0-d."""
        for _ in range(self.recipe.discriminator_steps):
            seen = self._discriminator_step(rng)
        return seen, self._generator_step(rng)

    def _discriminator_step(self, rng: Rng) -> Tensor:
        with torch.no_grad():
            terms = self.method.terms(lambda: (self._real(rng), self._generated(rng)), rng)
        loss = self._loss(terms)
        self._step(loss, self.network.discriminator)
        return loss.detach()

    def _generator_step(self, rng: Rng) -> Tensor:
        if self.method.mixes_for_generator:
            terms = self.method.terms(lambda: (self._real(rng), self._generated(rng)), rng)
        else:  # real points would only add a constant
            points = self._generated(rng)
            terms = [Term(points, torch.zeros_like(points[:, :1]))]
        if self.recipe.generator_loss == "non_saturating":
            loss = self._loss([Term(p, 1 - target, weight) for p, target, weight in terms])
        else:
            loss = -self._loss(terms)
        self._step(loss, self.network.generator)
        return loss.detach()

    def _loss(self, terms: Sequence[Term]) -> Tensor:
        logits = self.network.discriminator
        return torch.stack([weight * bce(logits(points), y) for points, y, weight in terms]).sum()

    def _step(self, loss: Tensor, player: torch.nn.Module) -> None:
        weights = list(player.parameters())
        self.optimizer.zero_grad(set_to_none=True)
        for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            weight.grad = gradient
        self.optimizer.step()

    def _real(self, rng: Rng) -> Tensor:
        return torch.from_numpy(self.data.points(rng, self.recipe.batch_size)).to(self.device)

    def _generated(self, rng: Rng) -> Tensor:
        return self.points(rng, self.recipe.batch_size)

    def points(self, rng: Rng, n: int) -> Tensor:
        """(n, 2) generated points."""
        noise = rng.standard_normal((n, self.network.latent), dtype=np.float32)
        made: Tensor = self.network(torch.from_numpy(noise).to(self.device))
        return made


@dataclass(frozen=True)
class GanRun(Run):
    """One seed of one GAN. `images` are Gaussians, `recipe` is a GanRecipe."""

    recipe: Any
    images: Any

    task: ClassVar[str] = "gan"
    needs: ClassVar[Mapping[str, str]] = {"dataset": "points", "method": "terms", "recipe": "of_epoch"}

    @classmethod
    def fitting(cls, cfg: DictConfig, compute: Compute) -> Compute:
        """fp32: the eight bits of bf16 are as coarse as these modes are narrow. UserError for what only
        classifiers can do."""
        for option in ("compile", "graph", "profile"):
            if cfg[option]:
                raise UserError(f"{option}=true: does not go with task=gan; leave it out")
        if cfg.devices not in (None, 1):
            raise UserError(f"devices={cfg.devices}: does not go with task=gan; type devices=1")
        if cfg.precision == "bf16":
            raise UserError("precision=bf16: too coarse for task=gan; type precision=fp32")
        if cfg.probes:
            raise UserError("probes: ask classifiers, and task=gan trains none; type probes=none")
        return replace(compute, precision="fp32")

    @classmethod
    def data(
        cls, node: DictConfig, config: Mapping[str, Any], recipe: Any, seed: int, team: Team, cache: RunCache
    ) -> Any:
        """The distribution that `node` names. UserError for several processes: a game is played in one."""
        if team.size > 1:
            raise UserError("task=gan: a GAN is trained by one process; type it without torchrun")
        return build("dataset", node, needed=cls.needs["dataset"])

    @property
    def steps(self) -> int:
        """Of an epoch, for the bar."""
        return EPOCH

    def prepare(self, model: DictConfig, method: Any) -> Any:
        """The game at its beginning; initialisation is a function of the seed."""
        torch.manual_seed(int(generator(self.seed, "init").integers(2**62)))
        with bounded("model"):
            network = build("model", model, needed="generator").to(self.compute.device)
        optimizer = torch.optim.Adam(network.parameters(), lr=self.recipe.lr, fused=True)
        return Game(network, optimizer, method, self.images, self.recipe, self.compute.device)

    def load(self) -> None:
        """Nothing: points are drawn when they are needed."""

    def epoch(self, epoch: int, step: Any, bar: Any) -> dict[str, Any]:
        """Plays one 0-based epoch and tests; nothing but snapshots returns to the host before its end."""
        game: Game = step
        started, iterations = time.perf_counter(), self.recipe.of_epoch(epoch)
        sums, snapshots = torch.zeros(2, device=game.device), {}
        for iteration in iterations:
            sums += torch.stack(game.iteration(generator(self.seed, "game", 0, iteration)))
            if iteration in self.recipe.snapshots:
                snapshots[str(iteration)] = packed(self._judged(game, SHOWN))
            bar.update()
        losses = (sums / len(iterations)).tolist()
        trained = time.perf_counter()
        if not all(map(math.isfinite, losses)):
            raise RunFailed(
                f"iteration {iterations[-1]}: the losses are {losses}; no row written, the last checkpoint "
                f"is kept. Try a smaller recipe.lr than {self.recipe.lr}"
            )
        found, good = coverage(self._judged(game, JUDGED), self._centres(game), self.images.sigma)
        bar.set_postfix(modes=f"{found}/{self.images.modes}", good=f"{100 * good:.1f}%", refresh=False)
        return {
            "epoch": epoch + 1,
            "iteration": iterations[-1],
            "lr": self.recipe.lr,
            "discriminator_loss": losses[0],
            "generator_loss": losses[1],
            "modes": found / self.images.modes,
            "good": good,
            "train_seconds": trained - started,
            "seconds": time.perf_counter() - started,
            **({"snapshots": snapshots} if snapshots else {}),
        }

    @torch.no_grad()
    def _judged(self, game: Game, n: int) -> Tensor:
        """(n, 2) generated points, of the same noise at every test of this seed."""
        return game.points(generator(self.seed, "judged"), n)

    def _centres(self, game: Game) -> Tensor:
        return torch.from_numpy(self.images.centres).to(game.device)

    def facts(self, progress: Progress, source: Any) -> dict[str, Any]:
        """See `Run.facts`; an image is a real point here."""
        shown = self.recipe.discriminator_steps * self.recipe.batch_size
        speeds = [
            shown * len(self.recipe.of_epoch(k)) / epoch["train_seconds"]
            for k, epoch in enumerate(progress.history)
        ]
        data = {"content": self.images.content, "modes": self.images.modes, "sigma": self.images.sigma}
        return {"images_per_second": median(speeds), "data": data | {"judged": JUDGED, "complete": True}}


def packed(points: Tensor) -> str:
    """Points (N, 2) as base64 of little-endian float16: to look at, not to compute with."""
    return base64.b64encode(points.cpu().numpy().astype("<f2").tobytes()).decode()
