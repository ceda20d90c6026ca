"""Points of a plane in place of images: what a mixing method does to a decision boundary, as a picture.

After mixup's toy figure (arXiv:1710.09412, p(y = 1 | x) is smoother with alpha 1) and Manifold Mixup's two
interlocked spirals with a two-dimensional hidden layer (arXiv:1806.05236); neither prints its network, so
ours is a small one of its own. A point is an image of two channels and one pixel, so that the very training
step and methods of real runs are at work. Methods that cut boxes or blobs are refused: one pixel has no
parts. Of a method that is not of this package nobody knows, and it is tried. Runs in seconds on one core.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from msda_train.config import checks
from msda_train.config.build import build
from msda_train.config.compose import compose
from msda_train.config.defaults import PACKAGE
from msda_train.core.errors import UserError
from msda_train.core.mix import Method, PicksPartners, prepared
from msda_train.core.randomness import Rng, generator
from msda_train.data.batches import Draw
from msda_train.data.examples import Examples
from msda_train.data.partners import partners_of
from msda_train.functional.losses import cross_entropy
from msda_train.methods.erm import Erm
from msda_train.methods.gaussian_noise import GaussianNoise
from msda_train.methods.mixup import Mixup
from msda_train.models.staged import Staged
from msda_train.training.device import Compute
from msda_train.training.step import Step
from msda_train.training.update import Update

SHAPES = ("moons", "spirals")
SIDE = 81  # points of the drawn grid, each way
BATCH = 100
EDGE = 1.5  # the drawn square reaches from -EDGE to EDGE


def toy(
    words: Sequence[str], seed: int = 0, *, shape: str = "spirals", n: int = 300, steps: int = 1000
) -> dict[str, np.ndarray]:
    """Trains on `n` points with the method of `words`, such as ["method=mixup", "method.alpha=1.0"].

    Gives points (n, 2) as (across, up) and labels (n,) 0 or 1; axis (SIDE,) and p (SIDE, SIDE), the
    probability of class 1 at (axis[column], axis[row]); hidden (n, 2), the points in the hidden plane (the
    input of stage 2), hidden_across, hidden_up (SIDE,) and hidden_p (SIDE, SIDE), the same there; loss
    (steps,), of mixed points. Leaves torch's generator as it was. Raises UserError for methods that cut.
    """
    checks.one_of("shape", shape, SHAPES)
    checks.whole("n", n, least=2)
    node = compose(*words).method
    method: Method = build("method", node)
    if str(node._target_).startswith(PACKAGE) and not isinstance(method, Erm | Mixup | GaussianNoise):
        raise UserError(
            f"{' '.join(words)}: a point has no parts to cut out; type method=erm, method=mixup, "
            f"method=manifold_mixup or method=gaussian_noise"
        )
    points, labels = draw(shape, n, generator(seed, f"toy/{shape}"))
    network, losses = _trained(method, points, labels, seed, steps)
    axis = np.linspace(-EDGE, EDGE, SIDE)
    hidden = _through(network.stages[:2], points)[:, :, 0, 0].numpy()
    low, high = hidden.min(axis=0), hidden.max(axis=0)
    across, up = (np.linspace(low[k] - 0.2 * s, high[k] + 0.2 * s, SIDE) for k, s in enumerate(high - low))
    return {
        "points": points,
        "labels": labels,
        "axis": axis,
        "p": _field(network.stages, axis, axis),
        "hidden": hidden,
        "hidden_across": across,
        "hidden_up": up,
        "hidden_p": _field(network.stages[2:], across, up),
        "loss": losses,
    }


def draw(shape: str, n: int, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 2) in about [-1, 1] and labels (n,), alternating: two half moons or two spirals, with a
    little noise."""
    labels = np.arange(n) % 2
    along = rng.random(n)
    if shape == "moons":
        angle, side = np.pi * along, 1 - 2 * labels
        points = np.stack([0.65 * (np.cos(angle) - 0.5) * side, (np.sin(angle) - 0.25) * side], axis=1)
        return points + rng.normal(0, 0.08, (n, 2)), labels
    radius = 0.15 + 0.85 * np.sqrt(along)
    angle = 2.5 * np.pi * radius + np.pi * labels
    points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return points + rng.normal(0, 0.03, (n, 2)), labels


def small_network(width: int = 64) -> Staged:
    """2 -> width -> width, width -> 2 and 2 -> width -> 2, ReLU between: depth 1 mixes in the wide layer,
    depth 2 in the hidden plane. Between stages a point is an image of one pixel again."""
    image = nn.Unflatten(1, (-1, 1, 1))
    return Staged(
        [
            nn.Sequential(*_layers(2, width, width), nn.ReLU(), image),
            nn.Sequential(*_layers(width, width, 2), image),
            nn.Sequential(*_layers(2, width, width), nn.ReLU(), nn.Linear(width, 2)),
        ]
    )


def _layers(channels_in: int, width: int, channels: int) -> list[nn.Module]:
    return [nn.Flatten(), nn.Linear(channels_in, width), nn.ReLU(), nn.Linear(width, channels)]


def _trained(
    method: Method, points: np.ndarray, labels: np.ndarray, seed: int, steps: int
) -> tuple[Staged, np.ndarray]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = small_network()
        method = prepared(method, network, ())
        optimizer = torch.optim.Adam(network.parameters(), lr=5e-3, fused=True)
        compute = Compute(torch.device("cpu"), "fp32", False)
        step = Step(method, lambda x, _: x, 2, Update(network, network, cross_entropy, optimizer, compute))
        x, y, partners = _images(points), torch.from_numpy(labels), _partners(method, points, labels)
        losses = []
        for k in range(steps):
            chosen = generator(seed, "order", 0, k).permutation(len(x))[:BATCH]
            if partners is not None:
                chosen = np.concatenate([chosen, partners(chosen, generator(seed, "partners", 0, k))])
            losses.append(step(x[chosen], y[chosen], generator(seed, "mix", 0, k)))
    return network.eval(), torch.stack(losses).numpy()


def _partners(method: Method, points: np.ndarray, labels: np.ndarray) -> Draw | None:
    """What draws partners from all points, where `method` wants those."""
    among = method.among() if isinstance(method, PicksPartners) else None
    if among is None:
        return None
    ends = points[:1], labels[:1]
    made = Examples(points, labels, *ends, ("0", "1"), name="points", content="", complete=False)
    return partners_of(made, among, torch.device("cpu"))


def _images(points: np.ndarray) -> Tensor:
    """(n, 2, 1, 1) float32 of points (n, 2)."""
    return torch.from_numpy(points.astype(np.float32))[:, :, None, None]


@torch.no_grad()
def _through(stages: nn.ModuleList, points: np.ndarray) -> Tensor:
    h = _images(points)
    for stage in stages:
        h = stage(h)
    return h


def _field(stages: nn.ModuleList, across: np.ndarray, up: np.ndarray) -> np.ndarray:
    """(len(up), len(across)) probability of class 1 on a grid, from the input of the first of `stages`."""
    grid = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
    p = _through(stages, grid).softmax(dim=1)[:, 1]
    return p.numpy().reshape(len(up), len(across))
