"""How a network is trained: everything of a paper's section on training, as one checked value."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.mix import picture_size
from msda_train.core.randomness import Rng
from msda_train.functional import augmix, schedules
from msda_train.functional.losses import CRITERIA, SIDES, decoupled, entropy, smooth
from msda_train.functional.masks import draw_centre, hole_mask
from msda_train.functional.pixel_values import in_255, per_channel

SCHEDULES = ("step", "cosine", "cosine_by_epoch")
OPTIMIZERS = ("sgd", "adam", "adamw")
FIRST_WEIGHTS = {  # of torchvision, by the name of their file; and the model that begins with them
    "resnet50-0676ba61": "resnet50",
    "vgg16-397923af": "vgg_gap",
}
LEAST_STD = 1e-4  # of pixels in [0, 1]: a fortieth of one of their 255 steps


@dataclass(frozen=True)
class Recipe:
    """The fields are the options `recipe.*`; configs/recipe/*.yaml says what they mean."""

    epochs: int
    batch_size: int
    lr: float
    momentum: float
    nesterov: bool
    weight_decay: float
    schedule: str
    drops: Sequence[float]
    drop_factor: float
    warmup_epochs: float
    criterion: str
    label_smoothing: float
    crop_padding: int
    flip: bool
    mean: Sequence[float]
    std: Sequence[float]
    cutout: int = 0
    entropy_weight: float = 0.0
    batchnorm_parts: int = 0
    optimizer: str = "sgd"
    betas: Sequence[float] = (0.9, 0.999)  # of Adam's two means
    eps: float = 1e-8
    scaling: str | None = None
    erm_epochs: int = 0
    crop_scale: Sequence[float] | None = None  # of the image's area, RandomResizedCrop's
    crop_ratio: Sequence[float] = (0.75, 1.3333333333333333)  # width to height of that crop
    padding: str = "zeros"
    min_lr: float = 0.0
    clip_norm: float = 0.0
    decay_weights_only: bool = False
    decoupled_weight: float = 0.0
    decoupled_power: float = 0.0
    decoupled_side: str = "both"
    color_jitter: float = 0.0
    lighting: float = 0.0
    warmup_from: float = 0.0  # where the warm-up begins, as a share of lr
    first_weights: str | None = None
    last_layer_factor: float = 1.0  # times lr for the last linear layer
    augmix: float = 0.0  # severity of AugMix's operations, of 10
    patience: int | None = None  # epochs without a lower validation loss that end the run

    def __post_init__(self) -> None:
        checks.whole("recipe.epochs", self.epochs, least=1)
        checks.whole("recipe.batch_size", self.batch_size, least=2)
        checks.positive("recipe.lr", self.lr)
        checks.fraction("recipe.momentum", self.momentum)
        checks.flag("recipe.nesterov", self.nesterov)
        self._check_optimizer()
        if self.scaling is not None:
            checks.one_of("recipe.scaling", self.scaling, ("standardise", "minmax"))
        if self.nesterov and self.momentum == 0:
            raise UserError("recipe.nesterov=true: needs recipe.momentum > 0")
        checks.non_negative("recipe.weight_decay", self.weight_decay)
        checks.one_of("recipe.schedule", self.schedule, SCHEDULES)
        for drop in _numbers("recipe.drops", self.drops):
            if drop > 1:
                raise UserError(
                    f"recipe.drops={list(self.drops)}: shares of the run; type recipe.drops=[0.5,0.75]"
                )
            checks.fraction("recipe.drops", drop)
        checks.positive("recipe.drop_factor", self.drop_factor)
        checks.non_negative("recipe.warmup_epochs", self.warmup_epochs)
        checks.one_of("recipe.criterion", self.criterion, tuple(CRITERIA))
        checks.fraction("recipe.label_smoothing", self.label_smoothing)
        checks.whole("recipe.crop_padding", self.crop_padding, least=0)
        checks.flag("recipe.flip", self.flip)
        _numbers("recipe.mean", self.mean)
        for std in _numbers("recipe.std", self.std):
            checks.positive("recipe.std", std)
            if std < LEAST_STD:
                raise UserError(f"recipe.std={std}: pixels would leave float32; type {LEAST_STD} or more")
        checks.whole("recipe.cutout", self.cutout, least=0)
        checks.non_negative("recipe.entropy_weight", self.entropy_weight)
        checks.non_negative("recipe.decoupled_weight", self.decoupled_weight)
        checks.non_negative("recipe.decoupled_power", self.decoupled_power)
        checks.one_of("recipe.decoupled_side", self.decoupled_side, SIDES)
        if not self.decoupled_weight and (self.decoupled_power or self.decoupled_side != "both"):
            raise UserError("recipe.decoupled_weight=0: nothing to rescale; type recipe.decoupled_weight=0.1")
        checks.whole("recipe.erm_epochs", self.erm_epochs, least=0)
        if self.erm_epochs and self.erm_epochs >= self.epochs:
            raise UserError(
                f"recipe.erm_epochs={self.erm_epochs}: none of the {self.epochs} epochs is left to mix in; "
                f"type recipe.erm_epochs=0, or more recipe.epochs"
            )
        checks.whole("recipe.batchnorm_parts", self.batchnorm_parts, least=0)
        if self.batchnorm_parts == 1:
            raise UserError("recipe.batchnorm_parts=1: one part is the whole batch; type 0")
        checks.non_negative("recipe.min_lr", self.min_lr)
        if self.min_lr and (self.schedule == "step" or self.min_lr >= self.lr):
            raise UserError(
                f"recipe.min_lr={self.min_lr}: where cosine ends, below recipe.lr; type recipe.min_lr=0"
            )
        self._check_crops()
        self._check_begin_and_end()

    def _check_begin_and_end(self) -> None:
        if self.first_weights is not None:
            checks.one_of("recipe.first_weights", self.first_weights, tuple(FIRST_WEIGHTS))
        checks.positive("recipe.last_layer_factor", self.last_layer_factor)
        if self.patience is not None:
            checks.whole("recipe.patience", self.patience, least=1)

    def _check_optimizer(self) -> None:
        checks.one_of("recipe.optimizer", self.optimizer, OPTIMIZERS)
        if self.optimizer != "sgd" and (self.momentum or self.nesterov):
            raise UserError(
                f"recipe.optimizer={self.optimizer}: momentum is of sgd; "
                f"type recipe.momentum=0 recipe.nesterov=false, and recipe.betas=[0.9,0.999] if you like"
            )
        if self.optimizer == "sgd" and (tuple(self.betas), self.eps) != ((0.9, 0.999), 1e-8):
            raise UserError("recipe.optimizer=sgd: betas and eps are of adam; type recipe.optimizer=adam")
        for beta in _numbers("recipe.betas", self.betas):
            if not 0 <= beta < 1:
                raise UserError(f"recipe.betas={list(self.betas)}: 0 or more, below 1; type [0.9,0.999]")
        if len(self.betas) != 2:
            raise UserError(f"recipe.betas={list(self.betas)}: two numbers; type recipe.betas=[0.9,0.999]")
        checks.positive("recipe.eps", self.eps)
        checks.non_negative("recipe.clip_norm", self.clip_norm)
        checks.flag("recipe.decay_weights_only", self.decay_weights_only)

    def _check_crops(self) -> None:
        checks.non_negative("recipe.augmix", self.augmix)
        if self.augmix and not 0.1 <= self.augmix <= 10:
            raise UserError(
                f"recipe.augmix={self.augmix}: a severity of 0.1 to 10, or 0; type recipe.augmix=3"
            )
        checks.one_of("recipe.padding", self.padding, ("zeros", "reflect"))
        if self.padding == "reflect" and not self.crop_padding:
            raise UserError("recipe.padding=reflect: of how many pixels? type recipe.crop_padding=4, too")
        for option, ends in (("crop_scale", self.crop_scale), ("crop_ratio", self.crop_ratio)):
            example = "[0.08,1.0]" if option == "crop_scale" else "[0.75,1.333]"
            if ends is None and option == "crop_scale":
                continue
            numbers = _numbers(f"recipe.{option}", ends or ())
            if len(numbers) != 2 or not 0 < numbers[0] <= numbers[1]:
                raise UserError(
                    f"recipe.{option}={ends}: two numbers above 0, the smaller first; type {example}"
                )
        if self.crop_scale and self.crop_scale[1] > 1:
            raise UserError(
                f"recipe.crop_scale={list(self.crop_scale)}: shares of the image; type [0.08,1.0]"
            )
        if self.crop_scale and self.crop_padding:
            raise UserError(
                f"recipe.crop_padding={self.crop_padding}: a resized crop has no frame; "
                f"type recipe.crop_padding=0"
            )
        checks.fraction("recipe.color_jitter", self.color_jitter)
        checks.non_negative("recipe.lighting", self.lighting)
        checks.fraction("recipe.warmup_from", self.warmup_from)

    def augment(self, x: Tensor, rng: Rng) -> Tensor:
        """Images (B, C, H, W) as the method gets them, so that it goes with any method: mixed with chains of
        operations of severity `augmix` (`functional.augmix`), then with cutout's hole of `cutout` pixels a
        side in each (arXiv:1708.04552)."""
        if self.augmix:
            height, width = picture_size(x)
            draws = augmix.draw(rng, len(x), self.augmix, height, width)
            pixels = augmix.mixed(in_255(x, self.mean, self.std), draws) / 255
            x = (pixels - per_channel(self.mean, x)) / per_channel(self.std, x)
            x = x.contiguous(memory_format=torch.channels_last)
        if self.cutout == 0:
            return x
        height, width = picture_size(x)
        return x * hole_mask(self.cutout, draw_centre(rng, len(x), height, width), height, width, x.device)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """The training loss of logits and soft targets, both (B, K) float32: the criterion on smoothed
        labels, less the entropy of the predictions (Pereyra et al., arXiv:1701.06548; "ERL" in On Mixup
        Training, which does not print its weight), and Decoupled Mixup's term (`functional.losses`)."""
        loss = CRITERIA[self.criterion](logits, smooth(target, self.label_smoothing))
        if self.decoupled_weight:
            power, side = self.decoupled_power, self.decoupled_side
            loss = loss + self.decoupled_weight * decoupled(logits, target, power, side)
        return loss - self.entropy_weight * entropy(logits) if self.entropy_weight else loss

    def lr_at(self, epoch: int, progress_in_epoch: float) -> float:
        """The learning rate `progress_in_epoch` (0 to 1) into 0-based `epoch`. `step` and `cosine_by_epoch`
        change between epochs only, `cosine` and warm-up with every step."""
        now = epoch + progress_in_epoch
        if self.schedule == "step":
            factor = schedules.step(epoch, self.epochs, self.drops, self.drop_factor)
        else:
            factor = schedules.cosine((epoch if self.schedule == "cosine_by_epoch" else now) / self.epochs)
            factor += (1 - factor) * self.min_lr / self.lr
        return self.lr * factor * schedules.warmup(now, self.warmup_epochs, self.warmup_from)


def _numbers(option: str, values: Sequence[float]) -> Sequence[float]:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise UserError(f"{option}={values}: must be a list; type {option}=[0.5]")
    for value in values:
        checks.number(option, value)
    return values
