"""What a row says of the examples it learned from, besides their names."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from msda_train.data.batches import Batches
from msda_train.data.examples import Examples
from msda_train.data.stream_loader import StreamLoader
from msda_train.records.summary import HELD_OUT
from msda_train.training.distributed import Team

ODD_COUNTS = ("unreadable_images", "odd_images")  # in an epoch of the history and in the row


def data_facts(examples: Examples, history: Sequence[Mapping[str, Any]], source: Any) -> dict[str, Any]:
    """`data` of the row; `source`: where the examples are from."""
    return {
        "content": examples.content,
        "train_images": len(examples.y_train),
        "test_images": len(examples.y_test),
        "classes": len(examples.classes),
        "complete": examples.complete,
        "source": source,
        **({"measured_on": HELD_OUT} if examples.holdout else {}),
        **_corruption(examples),
        **{key: history[-1][key] for key in ODD_COUNTS if key in history[-1]},
    }


def _corruption(examples: Examples) -> dict[str, Any]:
    """Which training labels are wrong, where that was asked for: how many, and a hash of all labels."""
    if examples.y_clean is None:
        return {}
    digest = hashlib.sha256(examples.y_train.astype("<i8").tobytes()).hexdigest()
    return {"wrong_labels": int((examples.y_train != examples.y_clean).sum()), "labels_sha256": digest}


def odd_images(loaders: Iterable[Batches], team: Team, device: torch.device) -> dict[str, int]:
    """Of a streamed set, how many images of this epoch and its test could not be decoded, and how many were
    odd otherwise; of all processes together."""
    streamed = [each for each in loaders if isinstance(each, StreamLoader)]
    if not streamed:
        return {}
    found = [sum(each.odd[kind] for each in streamed) for kind in ("unreadable", "odd")]
    total = team.total(torch.tensor(found, dtype=torch.float64, device=device))
    return dict(zip(ODD_COUNTS, map(int, total.tolist()), strict=True))
