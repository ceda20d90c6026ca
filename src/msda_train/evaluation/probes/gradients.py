"""Input gradients of pixel pairs, by distance: what CutMix is said to press down near, and mixup everywhere.

Park, Yun & Chun, arXiv:2208.09913: a mixing method penalises products of input gradients at pixels j and k
with a weight a_jk, which is constant in the distance for mixup and falls with it for CutMix, GMix and, less,
HMix (`functional.theory`). So the products a trained network has left are compared by their fall with
distance. Here |g_j g_k|, g the gradient of the cross-entropy of the true label with respect to the normalised
image, per pixel its L2 norm over the channels, is averaged over images and all pairs at a distance, rounded
to whole pixels. All pairs at once: the sums at every displacement are the autocorrelation of |g|.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.evaluation.probes.subject import BATCH, Finding, Subject
from msda_train.functional import theory


@dataclass(frozen=True)
class Gradients:
    """split: train or test images; images: the first so many only, null: all."""

    split: str = "test"
    images: int | None = 1000

    def __post_init__(self) -> None:
        checks.one_of("probes.gradients.split", self.split, ("train", "test"))
        if self.images is not None:
            checks.whole("probes.gradients.images", self.images, least=1)

    def __call__(self, subject: Subject) -> Finding:
        """Numbers, of the mean products as they are and, with `each_`, of those where every image's |g| was
        first divided by its mean (else few images with a large loss decide): near_over_far, the value at one
        pixel over that at half the image's side; log_slope, of ln(value) per pixel between the two.
        Arrays: distance, value, each_value, (D,) and theory_METHOD of lam ~ Beta(1, 1), ratio 0.5."""
        height, width = subject.pictures.size
        half = min(height, width) // 2
        if half < 2:
            raise UserError(
                f"probes.gradients: images of {height}x{width} pixels have no distances to compare"
            )
        padded = (2 * height - 1, 2 * width - 1)
        power = torch.zeros(2, padded[0], width, dtype=torch.float64, device=subject.device)
        n = len(subject.labels(self.split, self.images))
        batches = subject.batches(self.split, self.images)
        for x, y in subject.progress(batches, -(-n // BATCH), "gradients"):
            size = magnitudes(subject, x, y)
            each = size / size.mean(dim=(1, 2), keepdim=True).clamp(min=torch.finfo(size.dtype).tiny)
            power += torch.stack([_power(size, padded), _power(each, padded)])
        sums = torch.fft.irfft2(power, s=padded).cpu().numpy()
        count = n * theory.pair_count(height, width)
        value, each_value = (theory.by_distance(total, count) for total in sums)
        if not value[1 : half + 1].min() > 0:
            raise UserError("probes.gradients: the network's input gradients are zero; nothing to compare")
        numbers = {**fall(value, half), **{f"each_{k}": v for k, v in fall(each_value, half).items()}}
        arrays = {"distance": np.arange(len(value)), "value": value, "each_value": each_value}
        arrays |= {f"theory_{name}": curve for name, curve in theory.curves(height, width).items()}
        named = {f"{self.split}_{key}": number for key, number in numbers.items()}
        records = [
            {
                "name": f"{self.split}_{key}",
                **{
                    "measure": key.removeprefix("each_"),
                    "split": self.split,
                    "each": key.startswith("each_"),
                },
            }
            for key in numbers
        ]
        said = ["loss, space and norm of the gradient are ours; no source states them"]
        return Finding(named, arrays, said, records)


def magnitudes(subject: Subject, pixels: Tensor, y: Tensor) -> Tensor:
    """(B, H, W) float64: L2 norm over the channels of the gradient of each image's cross-entropy with respect
    to the normalised image."""
    with torch.enable_grad():
        x = subject.normalise(pixels).requires_grad_()
        loss = F.cross_entropy(subject.network(x).float(), y, reduction="sum")
        (slope,) = torch.autograd.grad(loss, x)
    made: Tensor = slope.double().norm(dim=1)
    return made


def _power(size: Tensor, padded: tuple[int, int]) -> Tensor:
    """Sum over images (B, H, W) of the squared transform of the zero-padded image: of the autocorrelation."""
    spectrum = torch.fft.rfft2(size, s=padded)
    made: Tensor = (spectrum.real.square() + spectrum.imag.square()).sum(dim=0)
    return made


def fall(value: np.ndarray, half: int) -> dict[str, float]:
    """How a curve (D,) over distance falls between 1 and `half` pixels."""
    distance = np.arange(1, half + 1)
    slope = np.polyfit(distance, np.log(value[1 : half + 1]), 1)[0]
    return {"near_over_far": float(value[1] / value[half]), "log_slope": float(slope)}
