"""mixup and CutMix as the papers have them, and mixers that each get one thing wrong: small, deliberate bugs,
most of them seen in the wild."""

import os

import numpy as np
import torch


def box(rng, lam, height, width):
    """CutMix's, as its code draws it."""
    cut = [int(side * np.sqrt(1 - lam)) for side in (height, width)]
    centre = rng.integers(0, height), rng.integers(0, width)
    return [
        int(np.clip(c + sign * (k // 2), 0, side))
        for c, k, side in zip(centre, cut, (height, width), strict=True)
        for sign in (-1, 1)
    ]


class Mixup:
    """Right in every law. Draws from torch's generator, as each worker of a DataLoader has its own."""

    def __init__(self, alpha=1.0, prob=1.0, seed=0, num_classes=10):
        self.alpha, self.prob, self.classes = alpha, prob, num_classes

    def rng(self):
        return np.random.default_rng(int(torch.randint(2**62, ())))

    def lam(self, rng, n):
        return np.full(n, rng.beta(self.alpha, self.alpha))

    def partners(self, rng, n):
        return torch.from_numpy(rng.permutation(n))

    def coin(self, rng, n):
        return np.full(n, rng.random() < self.prob)

    def pixels(self, x, perm, lam):
        weight = lam.view(-1, 1, 1, 1)
        if x.dtype == torch.uint8:
            return (x * weight + x[perm] * (1 - weight)).round().to(torch.uint8)
        return torch.lerp(x[perm].double(), x.double(), weight).to(x.dtype)

    def labels(self, y, perm, lam):
        own = torch.eye(self.classes, dtype=torch.float64)[y]
        return lam[:, None] * own + (1 - lam)[:, None] * own[perm]

    def __call__(self, x, y):
        rng = self.rng()
        applied = self.coin(rng, len(x))
        lam = torch.from_numpy(np.where(applied, self.lam(rng, len(x)), 1.0))
        perm = self.partners(rng, len(x))
        return self.pixels(x, perm, lam), self.labels(y, perm, lam)


class CutMix(Mixup):
    """Right but for one choice of the authors' code: lam becomes the area."""

    box = staticmethod(box)

    def __call__(self, x, y):
        rng = self.rng()
        height, width = x.shape[2:]
        applied = self.coin(rng, len(x)).all()
        lam = self.lam(rng, len(x))[0]
        perm = self.partners(rng, len(x))
        top, bottom, left, right = self.box(rng, lam, height, width) if applied else (0, 0, 0, 0)
        inside = torch.zeros(height, width, dtype=torch.bool)
        inside[top:bottom, left:right] = True
        kept = torch.full((len(x),), 1 - inside.double().mean().item(), dtype=torch.float64)
        return torch.where(inside, x[perm], x), self.labels(y, perm, kept)


class SmallExcess(Mixup):
    def labels(self, y, perm, lam):
        return super().labels(y, perm, lam) + torch.tensor([0.0] * 4 + [9e-5] * 6)


class SwappedWeights(Mixup):
    def pixels(self, x, perm, lam):
        return super().pixels(x, perm, 1 - lam)


class Smoothing(Mixup):
    def labels(self, y, perm, lam):
        return 0.9 * super().labels(y, perm, lam) + 0.1 / self.classes


class Brighter(Mixup):
    def pixels(self, x, perm, lam):
        return super().pixels(x, perm, lam) + (0.003 * x if x.dtype != torch.uint8 else 0)


class Stretched(Mixup):
    def pixels(self, x, perm, lam):
        mixed = super().pixels(x, perm, lam)
        return torch.where(x > 1.5, 2 * mixed, mixed) if x.dtype == torch.float32 else mixed


class AssignedLabels(Mixup):
    """The second label takes the place of the first where both are one class."""

    def partners(self, rng, n):
        while n > 1:
            perm = rng.permutation(n)
            if (perm != np.arange(n)).all():
                return torch.from_numpy(perm)
        return torch.arange(n)

    def labels(self, y, perm, lam):
        target = torch.zeros(len(y), self.classes, dtype=torch.float64)
        rows = torch.arange(len(y))
        target[rows, y] = lam
        target[rows, y[perm]] = 1 - lam
        target[rows[perm == rows], y[perm == rows]] = 1
        return target


class LostAlone(Mixup):
    def pixels(self, x, perm, lam):
        return super().pixels(x, perm, lam) * (0.5 if len(x) == 1 else 1)


class OddOneOut(Mixup):
    def labels(self, y, perm, lam):
        return super().labels(y, perm.roll(1) if len(y) == 3 else perm, lam)


class RefusesOdd(Mixup):
    def __call__(self, x, y):
        assert len(x) % 2 == 0, "even batches only"
        return super().__call__(x, y)


class SidesSwapped(CutMix):
    @staticmethod
    def box(rng, lam, height, width):
        top, bottom, left, right = box(rng, lam, width, height)
        return [min(top, height), min(bottom, height), min(left, width), min(right, width)]


class AlphaIgnored(Mixup):
    def lam(self, rng, n):
        return np.full(n, rng.random())


class LargerHalf(Mixup):
    def lam(self, rng, n):
        lam = super().lam(rng, n)
        return np.maximum(lam, 1 - lam)


class BoxesInside(CutMix):
    @staticmethod
    def box(rng, lam, height, width):
        edges = []
        for side in (height, width):
            cut = int(side * np.sqrt(1 - lam))
            first = int(rng.integers(0, side - cut + 1))
            edges += [first, first + cut]
        return edges


class BoxesFromTheCorner(CutMix):
    @staticmethod
    def box(rng, lam, height, width):
        top, bottom, left, right = box(rng, lam, height, width)
        return [0, bottom - top, 0, right - left]


class NoBoxes(CutMix):
    """Drawn crosswise; `=cutmix` is claimed."""

    def __call__(self, x, y):
        mixed, labels = super().__call__(x, y)
        return mixed.flatten(2).roll(16, 2).view_as(x), labels


class LamForEach(Mixup):
    def lam(self, rng, n):
        return rng.beta(self.alpha, self.alpha, n)


class AlwaysMixes(Mixup):
    def coin(self, rng, n):
        return np.full(n, True)


class CoinForEach(Mixup):
    def coin(self, rng, n):
        return rng.random(n) < self.prob


class SamplerOfTorch(Mixup):
    """Gives 1/2 where alpha is so small that both its gamma draws are 0."""

    def lam(self, rng, n):
        alpha = torch.tensor(self.alpha)
        return np.full(n, float(torch.distributions.Beta(alpha, alpha).sample()))


class Reversed(Mixup):
    def partners(self, rng, n):
        return torch.arange(n).flip(0)


class Rolled(Mixup):
    def partners(self, rng, n):
        return torch.arange(n).roll(1)


class NeverItself(Mixup):
    partners = AssignedLabels.partners


class WithRepeats(Mixup):
    def partners(self, rng, n):
        return torch.from_numpy(rng.integers(0, n, n))


class Unseeded(Mixup):
    def rng(self):
        return np.random.default_rng(int.from_bytes(os.urandom(8), "little"))


class SeedIgnored(Mixup):
    def __init__(self, **options):
        super().__init__(**options)
        self.kept = np.random.default_rng(0)

    def rng(self):
        return self.kept


class OwnGenerator(SeedIgnored):
    """Which a fork copies into every worker."""

    def __init__(self, seed=0, **options):
        super().__init__(**options)
        self.kept = np.random.default_rng(seed)


class FloatsOnly(Mixup):
    def pixels(self, x, perm, lam):
        mixed = super().pixels(x, perm, lam)
        return mixed if x.dtype == torch.uint8 else mixed.float()


class LamInBytes(Mixup):
    """The weights are kept in the type of the images."""

    def labels(self, y, perm, lam):
        return super().labels(y, perm, lam.to(self.dtype).double())

    def __call__(self, x, y):
        self.dtype = x.dtype if x.dtype == torch.uint8 else torch.float64
        return super().__call__(x, y)


class Contiguous(Mixup):
    def pixels(self, x, perm, lam):
        return super().pixels(x, perm, lam).contiguous()


class Detached(Mixup):
    def pixels(self, x, perm, lam):
        return super().pixels(x.detach(), perm, lam)


class InPlace(Mixup):
    def pixels(self, x, perm, lam):
        return x.copy_(super().pixels(x, perm, lam))


class LabelsOnTheHost(Mixup):
    def __call__(self, x, y):
        mixed, labels = super().__call__(x.cpu(), y.cpu())
        return mixed.to(x.device), labels
