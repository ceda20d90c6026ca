"""What decides the draws: a seed, a generator, torch's own, a step's number. No two places draw the same."""

import copy
import pickle

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from msda_train import Mixer
from msda_train.library.draws import Draws

K = 4


def numbers(mix, count=4):
    """lam of some batches: the same only where the draws are."""
    x, y = torch.randn(4, 1, 8, 8), torch.arange(4)
    return [float(mix(x, y)[1].max()) * 0 + float(mix.plan.lam) for _ in range(count)]


def make(**words):
    return Mixer("mixup", num_classes=K, **words)


def test_a_seed():
    assert numbers(make(seed=3)) == numbers(make(seed=3)) != numbers(make(seed=4))
    mix = make(seed=3)
    assert len(set(numbers(mix, 6))) == 6
    assert (mix.epoch, mix.step) == (0, 6)
    first = numbers(make(seed=3), 4)
    mix.step = 2
    assert numbers(mix, 2) == first[2:]
    mix.epoch = 1
    assert mix.step == 0
    second = numbers(mix)
    assert not set(second) & set(first)
    mix.epoch = 0
    assert numbers(mix) == first
    with pytest.raises(ValueError, match=r"epoch=1\.5"):
        mix.epoch = 1.5


def test_a_step_s_number():
    x, y = torch.randn(4, 1, 8, 8), torch.arange(4)
    for mix in (make(), make(seed=0), make(generator=torch.Generator())):
        lams = [float(mix(x, y, step=k)[1].sum()) * 0 + float(mix.plan.lam) for k in (2, 0, 2)]
        assert [lams[2], lams[1]] == [numbers(make(seed=0), 3)[2], numbers(make(seed=0), 1)[0]]
        assert lams[0] == lams[2]
    with pytest.raises(ValueError, match="step=-1"):
        mix(x, y, step=-1)


def test_torch_s_generators():
    torch.manual_seed(1)
    one = numbers(make())
    torch.manual_seed(1)
    assert numbers(make()) == one
    assert numbers(make()) != one
    given = [numbers(make(generator=torch.Generator().manual_seed(7))) for _ in range(2)]
    assert given[0] == given[1]


def test_copies_go_on_alike():
    mix = make(seed=1)
    numbers(mix)
    twins = copy.deepcopy(mix), pickle.loads(pickle.dumps(mix))
    expected = numbers(mix)
    assert [numbers(twin) for twin in twins] == [expected] * 2


@pytest.mark.parametrize("words", [{"seed": 0}, {"generator": True}, {}])
def test_ranks_draw_their_own(words, monkeypatch):
    found = []
    for rank in ("0", "1", "2"):
        monkeypatch.setenv("RANK", rank)
        torch.manual_seed(0)
        made = {"generator": torch.Generator().manual_seed(1)} if "generator" in words else words
        found += numbers(make(**made))
    assert len(set(found)) == 12


def test_a_pickled_mixer_knows_its_rank(monkeypatch):
    """A worker that is spawned inherits no process group."""
    monkeypatch.setenv("RANK", "3")
    carried = pickle.loads(pickle.dumps(Draws(seed=0)))
    monkeypatch.delenv("RANK")
    assert carried.rank == 3


@pytest.mark.parametrize("words", [{"seed": 0}, {"generator": True}])
@pytest.mark.parametrize("persistent", [False, True])
def test_workers_draw_their_own_in_every_epoch(words, persistent):
    """The mean of a batch of images that are 0 or 1 tells lam."""
    if "generator" in words:
        words = {"generator": torch.Generator().manual_seed(1)}
    x = torch.eye(2)[:, :, None, None].expand(2, 2, 4, 4).repeat(4, 1, 1, 1)
    data = TensorDataset(x, torch.arange(2).repeat(4))

    def epochs():
        mix = make(pairing="reversal", **words)
        loader = DataLoader(
            data,
            batch_size=2,
            num_workers=2,
            collate_fn=mix.collate,
            persistent_workers=persistent,
            generator=torch.Generator().manual_seed(5),
        )
        return [float(mixed[0, 0, 0, 0]) for _ in range(3) for mixed, target in loader]

    found = epochs()
    assert len(set(found)) == 12
    assert epochs() == found
