"""Packing is exact, smaller for weights, and a bad file is an error, not a full memory."""

import json

import numpy as np
import pytest

from msda_train.core.packed import MAGIC, opened, pack, unpack


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 4096, 100_003])
def test_any_bytes_come_back(size):
    content = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8).tobytes()
    assert unpack(pack(content)) == content


def test_weights_become_smaller():
    weights = (0.05 * np.random.default_rng(0).standard_normal(200_000)).astype(np.float32).tobytes()
    packed = pack(weights)
    assert unpack(packed) == weights
    # Sign and exponent of a Gaussian have about 3.5 bits of entropy: of 32 bits some 27.5 stay.
    assert 0.8 < len(packed) / len(weights) < 0.9


def test_opened_takes_both(tmp_path):
    for name, content in (("plain", b"as it is"), ("packed", pack(b"as it was"))):
        (tmp_path / name).write_bytes(content)
        with opened(tmp_path / name) as file:
            assert file.read() == content if name == "plain" else b"as it was"


@pytest.mark.parametrize("cut", [1, 10, 1000])
def test_a_cut_file_is_refused(cut):
    with pytest.raises(ValueError):
        unpack(pack(bytes(range(256)) * 64)[:-cut])


def test_a_file_that_would_grow_beyond_its_word_is_refused():
    bomb = pack(bytes(4_000_000))
    line, _, rest = bomb.removeprefix(MAGIC).partition(b"\n")
    head = json.loads(line)
    for size in (4000, 1 << 40):
        with pytest.raises(ValueError):
            unpack(MAGIC + json.dumps(head | {"bytes": size}).encode() + b"\n" + rest)
