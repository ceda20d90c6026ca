"""The captioner: shapes, the loss against a slow loop, the beam search against every sentence there is."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from msda_train.core.errors import UserError
from msda_train.models.captioner import Captioner, word_loss
from msda_train.models.staged import GlobalMean

START = 1


def made(vocabulary=5, seed=0, louder=20.0):
    """Weights of a beginning say all words alike; `louder` ones prefer some."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), GlobalMean(), nn.Linear(6, 2))
    captioner = Captioner(network, vocabulary, embed=4, hidden=7, dropout=0.1)
    with torch.no_grad():
        captioner.embed.weight.mul_(louder), captioner.next.weight.mul_(louder)
    return captioner


def test_starts_as_the_program_does():
    captioner = made(vocabulary=2000, louder=1)
    assert captioner.image.weight.shape == (4, 6)
    for layer, most in ((captioner.embed, 0.1), (captioner.next, 0.1)):
        assert layer.weight.abs().max() <= most
        assert layer.weight.std().item() == pytest.approx(0.2 / 12**0.5, rel=0.05)
    assert Captioner(nn.Linear(3000, 2), 9, 4, 7, 0).image.weight.std().item() == pytest.approx(
        0.02, rel=0.05
    )
    assert not captioner.image.bias.any()
    assert not captioner.next.bias.any()


def test_only_the_new_layers_learn_but_the_networks_averages_move():
    captioner = made().train()
    network = captioner.network
    before = {name: value.clone() for name, value in captioner.state_dict().items()}
    features = captioner.features(torch.randn(4, 3, 8, 8))
    assert features.shape == (4, 6)
    assert not features.requires_grad
    logits = captioner(features, torch.tensor([[1, 2, 3]] * 4))
    assert logits.shape == (4, 3, 5)
    word_loss(logits, torch.full((4, 3), 2), torch.ones(4, 3, dtype=torch.bool)).backward()
    assert all(weight.grad is None for weight in network.parameters())
    assert all(weight.grad is not None for weight in captioner.learned)
    torch.optim.Adam(captioner.learned, 0.001).step()
    moved = {name for name, value in captioner.state_dict().items() if not torch.equal(value, before[name])}
    assert {name for name in moved if name.startswith("network.")} == {
        f"network.1.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")
    }


def test_the_network_itself_is_left_as_it_was():
    network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), GlobalMean(), nn.Linear(6, 2)).eval()
    Captioner(network, 5, 4, 7, 0.1).train().features(torch.randn(2, 3, 8, 8))
    assert network[1].num_batches_tracked == 0
    assert not network.training
    assert all(weight.requires_grad for weight in network.parameters())


def test_forward_is_the_lstm_step_by_step():
    captioner = made().eval()
    features, words = torch.randn(3, 6), torch.tensor([[1, 2, 4], [1, 0, 3], [1, 4, 4]])
    state = captioner.lstm(captioner.norm(captioner.image(features))[:, None])[1]
    for t in range(3):
        heard, state = captioner.lstm(captioner.embed(words[:, t : t + 1]), state)
        torch.testing.assert_close(captioner(features, words)[:, t], captioner.next(heard[:, 0]))


def test_the_loss_is_a_sum_over_words_over_all_places():
    torch.manual_seed(0)
    logits, targets = torch.randn(2, 3, 5), torch.tensor([[1, 4, 2], [3, 0, 0]])
    said = torch.tensor([[True, True, True], [True, False, False]])
    total = 0.0
    for b, t in ((0, 0), (0, 1), (0, 2), (1, 0)):
        row = logits[b, t].double()
        total -= (row[targets[b, t]] - row.exp().sum().log()).item()
    assert word_loss(logits, targets, said).item() == pytest.approx(total / 6, rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_with_beams_for_all_sentences_the_likeliest_is_found(seed):
    captioner = made(vocabulary=4, seed=seed).eval()
    features = torch.randn(3, 6)
    sentences = torch.tensor(list(itertools.product(range(4), repeat=3)))
    found = captioner.say(features, START, beams=64, length=3)
    for own, feature in zip(found, features, strict=True):
        scores = scores_of(captioner, feature, sentences)
        assert torch.equal(own, sentences[scores.argmax()])


def scores_of(captioner, feature, sentences):
    """Sum of log-probabilities of each sentence (N, T) for one image."""
    read = torch.cat([torch.full((len(sentences), 1), START), sentences[:, :-1]], dim=1)
    with torch.no_grad():
        each = F.log_softmax(captioner(feature.expand(len(sentences), -1), read), dim=2)
    return each.gather(2, sentences[:, :, None]).sum(dim=(1, 2))


@pytest.mark.parametrize("beams", [1, 2, 5])
def test_the_search_is_a_slow_one_image_by_image(beams):
    captioner = made(vocabulary=6).eval()
    features = torch.randn(4, 6)
    found = captioner.say(features, START, beams, length=5)
    for own, feature in zip(found, features, strict=True):
        kept = [[]]
        for _ in range(5):
            more = [[*words, word] for words in kept for word in range(6)]
            scores = scores_of(captioner, feature, torch.tensor(more))
            kept = [more[k] for k in scores.argsort(descending=True)[:beams]]
        assert own.tolist() == kept[0]


def test_more_beams_find_likelier_sentences():
    """So that the search above is no greedy one."""
    captioner = made(vocabulary=6).eval()
    features = torch.randn(20, 6)
    one, many = (captioner.say(features, START, beams, length=5) for beams in (1, 20))
    gains = [
        (scores_of(captioner, f, b[None]) - scores_of(captioner, f, a[None])).item()
        for f, a, b in zip(features, one, many, strict=True)
    ]
    assert max(gains) > 0.01


def test_a_network_without_a_linear_layer_is_refused():
    with pytest.raises(UserError, match="does not end in a linear layer"):
        Captioner(nn.Conv2d(3, 4, 3), 5, 4, 7, 0.1)
