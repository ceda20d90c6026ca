"""Errors under attack, white box and by transfer, with controls that tell a strong network from a weak
attack.

Attacks are made in float32 against the network in evaluation mode; every image counts, those it errs on
anyhow too, as in the papers' tables. The controls follow Athalye et al., "Obfuscated Gradients Give a False
Sense of Security", ICML 2018, arXiv:1802.00420, section 3.1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from msda_train.config import checks
from msda_train.core.errors import UserError
from msda_train.core.paths import typed_path
from msda_train.core.randomness import generator
from msda_train.evaluation.probes.attack import Attack, attack_of
from msda_train.evaluation.probes.subject import Finding, Subject
from msda_train.functional import metrics
from msda_train.functional.attacks import input_gradient
from msda_train.functional.pixel_values import per_channel
from msda_train.models.trained import load_network

BATCH = 100  # gradients keep every layer's features: 500 images of a WRN-28-10 would need 30 GB
UNBOUNDED = Attack("ifgsm", eps=1.0, steps=30, step_size="10/255")
UNBOUNDED_IMAGES = 200
ZERO_SHARE = 0.01  # of images without any input gradient: above it, a remark
SLACK = 0.01  # where a network is all but linear, one step may beat many by an image or two
ALL = 0.99  # error of the unbounded attack: below it, a remark
MASKED = "warning, the gradient may be masked and the errors under attack too low"


@dataclass(frozen=True)
class Adversarial:
    """attacks: a list of `Attack` options, [{kind: fgsm, eps: 8/255}, {kind: pgd, eps: 8/255, steps: 10}].
    images: only the first so many test images; None: all. source: folder of a finished run on the same data:
    the attacks are also made on its network and tried on this one (black box by transfer). notes: remarks to
    go with the numbers.

    Numbers: clean/error and clean/top5_error; for each attack NAME/error and NAME/top5_error, for each of
    their balls noise_BALL/error (random noise of the same size); NAME/minus_fgsm, the error beyond that of
    FGSM in the same ball, for those of many steps; transfers under from_METHOD/NAME/; zero_gradient_share;
    unbounded/error (any pixel, on at most 200 images). With images=N every name has _nN.
    """

    attacks: Sequence[Attack | Mapping[str, Any]] = (Attack("fgsm", "8/255"),)
    images: int | None = 1000
    source: str | None = None
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        if isinstance(self.attacks, str | Mapping | int | float) or not self.attacks:
            raise UserError("probes.adversarial.attacks: must be a list; type [{kind: fgsm, eps: 8/255}]")
        made = tuple(attack_of(node) for node in self.attacks)
        names = [attack.name for attack in made]
        for name in names:
            if names.count(name) > 1:
                raise UserError(f"probes.adversarial.attacks: {name} is there twice; take one away")
        object.__setattr__(self, "attacks", made)
        if self.images is not None:
            checks.whole("probes.adversarial.images", self.images, least=1)

    def __call__(self, subject: Subject) -> Finding:
        """See `Probe`. UserError where `source` is no run on this data set."""
        source, sender, remarks = None, "", [*self.notes]
        if self.source is not None:
            source, sender = source_of(self.source, subject)
            remarks.append(f"{sender}: adversarial images made on the network of {self.source}")
        if source is not None and same_weights(source, subject):
            remarks.append("that is this very run: no transfer")
            source = None
        tally = _Tally()
        _ = subject.pictures  # eps is of pixels
        batches = subject.batches(limit=self.images, batch=BATCH)
        n = len(subject.labels(limit=self.images))
        for step, (x, y) in enumerate(subject.progress(batches, -(-n // BATCH), "adversarial")):
            self._controls(tally, subject, x, y, step)
            for attack in self._made():
                moved = _attacked(attack, subject, x, y, step)
                tally.add(attack.name, subject, moved, y)
                if source is not None:
                    moved = _attacked(attack, source, x, y, step)
                    tally.add(f"{sender}/{attack.name}", subject, moved, y)
        numbers = tally.rates()
        self._compare(numbers, remarks, sender if source is not None else None)
        records = [self._record(key, sender) for key in numbers]
        named = {self._limited(key): value for key, value in numbers.items()}
        return Finding(named, {}, tuple(remarks), records)

    def _made(self) -> list[Attack]:
        return [attack_of(attack) for attack in self.attacks]

    def _controls(self, tally: "_Tally", subject: Subject, x: Tensor, y: Tensor, step: int) -> None:
        """The clean images, noise in place of each attack, the unbounded attack, gradients that are zero."""
        tally.add("clean", subject, x, y)
        for where, attack in {attack.where: attack for attack in self._made()}.items():
            start = x if attack.space == "pixel" else subject.normalise(x)
            rng = generator(subject.seed, f"probe/adversarial/noise_{where}", 0, step)
            tally.add(
                f"noise_{where}", subject, _as_pixels(attack, subject, attack.ball.noise(start, rng)), y
            )
        gradient = input_gradient(subject.logits, x, y)
        tally.put("zero_gradient_share", (gradient == 0).flatten(1).all(dim=1).sum(), len(y))
        left = UNBOUNDED_IMAGES - step * BATCH
        if left > 0:
            x, y = x[:left], y[:left]
            moved = _attacked(UNBOUNDED, subject, x, y, step)
            tally.put("unbounded/error", _wrong(subject, moved, y)[0], len(y))

    def _compare(self, numbers: dict[str, float], remarks: list[str], transfer: str | None) -> None:
        """Relations that hold unless an attack is too weak: a remark for each that does not."""
        for attack in self._made():
            error = numbers[f"{attack.name}/error"]
            for fgsm in self._made():
                if fgsm.kind == "fgsm" and attack.outdoes(fgsm):
                    more = numbers[f"{attack.name}/minus_fgsm"] = error - numbers[f"{fgsm.name}/error"]
                    if more < -SLACK:
                        remarks.append(f"{MASKED}: {fgsm.name}, one step, does more harm than {attack.name}")
            if transfer and numbers[f"{transfer}/{attack.name}/error"] > error + SLACK:
                remarks.append(f"{MASKED}: {attack.name} does more harm {transfer} than made on this network")
            if numbers[f"noise_{attack.where}/error"] > error + SLACK:
                remarks.append(f"{MASKED}: random noise does more harm than {attack.name}")
        if numbers["zero_gradient_share"] > ZERO_SHARE:
            remarks.append(f"{MASKED}: {100 * numbers['zero_gradient_share']:.1f} % of the images have none")
        if numbers["unbounded/error"] < ALL:
            right = 100 * (1 - numbers["unbounded/error"])
            remarks.append(f"{MASKED}: an attack free to change every pixel leaves {right:.1f} % right")

    def _record(self, key: str, sender: str) -> dict[str, Any]:
        """The columns of the number `key`."""
        attacks = {attack.name: attack.columns for attack in self._made()}
        known: dict[str, dict[str, Any]] = {name: {"attack": name} for name in ("clean", "unbounded")}
        for attack in self._made():
            ball = {name: attack.columns[name] for name in ("norm", "space", "eps")}
            known[f"noise_{attack.where}"] = {"attack": "noise", **ball}
        known |= attacks
        source = sender.removeprefix("from_")
        known |= {f"{sender}/{name}": {**columns, "source": source} for name, columns in attacks.items()}
        head, _, measure = key.rpartition("/")
        images = {} if self.images is None else {"images": self.images}
        return {"name": self._limited(key), "measure": measure, **known.get(head, {}), **images}

    def _limited(self, key: str) -> str:
        """With the number of images before the last part, where it was limited."""
        if self.images is None:
            return key
        head, slash, tail = key.rpartition("/")
        return f"{head}_n{self.images}/{tail}" if slash else f"{key}_n{self.images}"


class _Tally:
    """Counts, kept on the device until the end."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.sizes: dict[str, int] = {}

    def put(self, key: str, number: Tensor, size: int) -> None:
        """Adds `number` of `size` images to the rate of that name."""
        self.sums[key] = self.sums.get(key, torch.zeros_like(number)) + number
        self.sizes[key] = self.sizes.get(key, 0) + size

    def add(self, name: str, subject: Subject, pixels: Tensor, y: Tensor) -> None:
        """Counts the network's errors on pixels (B, C, H, W)."""
        for key, wrong in zip(("error", "top5_error"), _wrong(subject, pixels, y), strict=True):
            self.put(f"{name}/{key}", wrong, len(y))

    def rates(self) -> dict[str, float]:
        """Name to fraction."""
        return {key: number.item() / self.sizes[key] for key, number in self.sums.items()}


def source_of(folder: str, subject: Subject) -> tuple[Subject, str]:
    """Another run's network in the subject's place, with its own normalisation, and `from_METHOD`.

    UserError where it was trained on another data set.
    """
    network, config = load_network(typed_path("probes.adversarial.source", folder))
    own, other = (
        {key: c["dataset"].get(key) for key in ("_target_", "name")} for c in (subject.config, config)
    )
    if own != other:
        raise UserError(
            f"probes.adversarial.source={folder}: trained on {other['name']}, this run on {own['name']}; "
            f"give a run on the same data set"
        )
    sender = "from_" + str(config["method"]["_target_"]).rpartition(".")[2].lower()
    recipe = config["recipe"]
    network = network.to(subject.device)
    return replace(subject, network=network, mean=recipe["mean"], std=recipe["std"]), sender


def same_weights(one: Subject, other: Subject) -> bool:
    """Whether their networks are one and the same."""
    a, b = one.network.state_dict(), other.network.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def _attacked(attack: Attack, victim: Subject, x: Tensor, y: Tensor, step: int) -> Tensor:
    """Pixels (B, C, H, W) on which `victim` should err; in [0, 1] only where the attack is in pixel space."""
    rng = generator(victim.seed, f"probe/adversarial/{attack.name}", 0, step)
    if attack.space == "pixel":
        return attack.run(victim.logits, x, y, rng)
    return _as_pixels(attack, victim, attack.run(victim.network, victim.normalise(x), y, rng))


def _as_pixels(attack: Attack, victim: Subject, images: Tensor) -> Tensor:
    """Images of the attack's space as pixels, whoever is shown them next."""
    if attack.space == "pixel":
        return images
    return images * per_channel(victim.std, images) + per_channel(victim.mean, images)


def _wrong(subject: Subject, pixels: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers of top-1 and of top-5 errors, on the device."""
    with torch.no_grad():
        logits = subject.logits(pixels)
    return metrics.error_count(logits, y), metrics.error_count(logits, y, k=5)
