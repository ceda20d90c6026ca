"""How long a run will take: from rows of the same device and model, else from a few measured steps."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from msda_train.config.fingerprint import canonical
from msda_train.launch.asking import ask_speed
from msda_train.launch.plan import Configuration, Plan
from msda_train.records.bench import step_cost
from msda_train.records.rows import Row, one_line

# A test pass costs about a third of the training steps over as many images: the forward part of them.
TEST_SHARE = 1 / 3
Probe = Callable[[Sequence[Sequence[str]], bool], list[dict[str, Any]]]


@dataclass(frozen=True)
class Estimate:
    """Seconds of one run, None where nobody knows; `source` says how that is known, or why not."""

    seconds: float | None
    source: str
    facts: Mapping[str, Any]  # device, device_name, precision, threads; empty where they are not known

    def left(self, done: float) -> float | None:
        """Seconds of what is left where the share `done` of the epochs is done."""
        start = float(self.facts.get("start_seconds", 0.0))
        return None if self.seconds is None else start + max(0.0, self.seconds - start) * (1 - done)


def estimates(
    plan: Plan, rows: Iterable[Row], device_words: Sequence[str], *, probe: bool, ask: Probe | None = None
) -> dict[str, Estimate]:
    """One Estimate per configuration, by fingerprint. `device_words` (device=, threads=) go behind the
    words of every run; `probe` allows measuring, one probe per model, batch size and image size."""
    ask = ask or ask_speed  # looked up now
    rows = list(rows)
    wanted: dict[str, list[Configuration]] = {}
    for each in plan.configurations:
        wanted.setdefault(_data_key(each), []).append(each)
    firsts = [group[0] for group in wanted.values()]
    found: dict[str, Estimate] = {}
    facts = ask([[*each.words, *device_words] for each in firsts], False)
    for group, known in zip(wanted.values(), facts, strict=True):
        for each in group:
            found[each.fingerprint] = _from_rows(each, rows, known)
    left = [each for each in plan.configurations if found[each.fingerprint].seconds is None]
    left = [each for each in left if "error" not in found[each.fingerprint].facts]
    if probe and left:
        found |= _from_probes(left, found, device_words, ask)
    return found


def _from_rows(wanted: Configuration, rows: Iterable[Row], facts: Mapping[str, Any]) -> Estimate:
    """From seconds per image and epoch of the rows that are nearest: same method and batch size, then same
    batch size, then any."""
    if "error" in facts:
        return Estimate(None, one_line(facts["error"]), facts)
    groups: dict[tuple[bool, bool], list[float]] = {}
    for row in rows:
        if not _same_work(row, wanted, facts):
            continue
        recipe, method = row.config["recipe"], row.config["method"]
        near = (
            recipe.get("batch_size") == wanted.config["recipe"].get("batch_size"),
            method.get("_target_") == wanted.config["method"].get("_target_"),
        )
        seconds = row.seconds / (row.epochs * row.data["train_images"])
        seconds *= 1 if near[1] else wanted.step_cost / step_cost(row.names["method"])
        groups.setdefault(near, []).append(seconds)
    if not groups:
        return Estimate(None, "not measured", facts)
    nearest = groups[max(groups)]
    count = f"{len(nearest)} stored run{'s' * (len(nearest) > 1)}"
    seconds = median(nearest) * facts["train_images"] * wanted.epochs + facts["start_seconds"]
    return Estimate(seconds, f"from {count}", facts)


def _same_work(row: Row, wanted: Configuration, facts: Mapping[str, Any]) -> bool:
    """Same chip, precision and threads, same network on images of the same set."""
    there, epochs = row.environment, row.epochs
    keys = ("device", "device_name", "precision", "compile") + ("threads",) * (facts["device"] == "cpu")
    return (
        all(there.get(key) == facts[key] for key in keys)
        and canonical(row.config["model"]) == canonical(wanted.config["model"])
        and row.config["dataset"].get("name") == wanted.config["dataset"].get("name")
        and there.get("devices", 1) == 1
        and isinstance(epochs, int)
        and epochs > 0
        and row.data["train_images"] > 0
    )


def _from_probes(
    left: Sequence[Configuration],
    known: Mapping[str, Estimate],
    device_words: Sequence[str],
    ask: Probe,
) -> dict[str, Estimate]:
    groups: dict[str, list[Configuration]] = {}
    for each in left:
        groups.setdefault(_work_key(each), []).append(each)
    answers = ask([[*group[0].words, *device_words] for group in groups.values()], True)
    found = {}
    for group, answer in zip(groups.values(), answers, strict=True):
        answer = {**answer, "step_cost": group[0].step_cost}
        for each in group:
            facts = known[each.fingerprint].facts
            if "error" in answer:
                found[each.fingerprint] = Estimate(None, one_line(answer["error"]), facts)
            else:
                found[each.fingerprint] = _from_step(each, answer, facts)
    return found


def _from_step(each: Configuration, answer: Mapping[str, Any], facts: Mapping[str, Any]) -> Estimate:
    per_image = answer["step_seconds"] / each.config["recipe"]["batch_size"]
    own = max(1.0, each.step_cost / float(answer.get("step_cost", 1.0)))
    images = own * facts["train_images"] + TEST_SHARE * facts["test_images"]
    source = f"from {answer['steps']} measured steps of {answer['step_seconds']:.3g} s"
    if answer.get("rough"):
        source = f"roughly, from one step on {answer['images']} images: this machine is too slow or too busy"
    return Estimate(per_image * images * each.epochs + facts["start_seconds"], source, facts)


def _data_key(each: Configuration) -> str:
    return json.dumps(canonical(each.config["dataset"]), sort_keys=True)


def _work_key(each: Configuration) -> str:
    """One probe serves all methods: what theirs cost beside it is known (`step_cost`)."""
    batch = each.config["recipe"].get("batch_size")
    return json.dumps([canonical(each.config["model"]), batch, each.config["dataset"].get("name")])


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3 h 20 min`, `4 d 3 h`."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"
