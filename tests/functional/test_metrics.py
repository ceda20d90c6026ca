import pytest
import torch

from msda_train.functional.metrics import error_count, nll_sum


def test_errors_by_hand():
    logits = torch.tensor([[3.0, 2, 1, 0, -1, -2], [3.0, 2, 1, 0, -1, -2], [3.0, 2, 1, 0, -1, -2]])
    y = torch.tensor([0, 1, 5])
    assert error_count(logits, y) == 2
    assert error_count(logits, y, k=5) == 1


def test_ties_and_nan_do_not_score():
    assert error_count(torch.zeros(4, 3), torch.arange(4) % 3) == 4
    nan = float("nan")
    assert error_count(torch.full((2, 3), nan), torch.tensor([0, 1])) == 2
    for k in (1, 5):  # one NaN is enough: nobody knows what the network says
        assert error_count(torch.tensor([[nan, 1.0, 0.0], [2.0, nan, 0.0]]), torch.tensor([1, 0]), k=k) == 2


def test_fewer_classes_than_five():
    assert error_count(torch.eye(3), torch.tensor([1, 2, 0]), k=5) == 0


def test_nll_by_hand():
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]))
    assert nll_sum(logits, torch.tensor([0, 2])).item() == pytest.approx(
        -torch.tensor([0.5, 0.8]).log().sum().item()
    )
