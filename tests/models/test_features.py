"""A dense block with one buffer is a dense block that concatenates."""

import pytest
import torch
from torch import nn

from msda_train.models.densenet import DenseBlock
from msda_train.models.features import Features, norm_relu


def joined(block, x):
    """The slow way: every layer is given all tensors so far."""
    tensors = [x]
    for layer in block.layers:
        tensors.append(layer(*tensors))
    return torch.cat(tensors, dim=1)


def both(dtype, *, training=True, checkpointing=False, bf16=False):
    """Output, gradients of the input and all weights, running statistics: by concatenation and by buffer."""
    told = []
    for work in (joined, DenseBlock.forward):
        torch.manual_seed(0)
        block = DenseBlock(5, 4, 3, checkpointing=checkpointing and work is not joined).to(dtype)
        for norm in block.modules():
            if isinstance(norm, nn.BatchNorm2d):
                nn.init.normal_(norm.weight)
                nn.init.normal_(norm.bias)
        block.train(training)
        x = torch.randn(4, 5, 6, 7).to(dtype).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            out = work(block, x.bfloat16() if bf16 else x)
        (out.to(dtype) * torch.randn(out.shape).to(dtype)).sum().backward()
        told.append([out, x.grad, *(p.grad for p in block.parameters()), *block.buffers()])
    return zip(*told, strict=True)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_the_buffer_changes_no_number(training, checkpointing):
    for a, b in both(torch.float64, training=training, checkpointing=checkpointing):
        assert a.shape == b.shape
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_in_single_precision_it_agrees_to_its_rounding():
    for a, b in both(torch.float32):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_bf16_is_as_near_to_the_truth_as_concatenation():
    """Both round features to bfloat16; statistics and sums stay float32."""
    truth = [a.double() for a, _ in both(torch.float64)]
    for exact, (a, b) in zip(truth, both(torch.float32, bf16=True), strict=True):
        assert a.dtype == b.dtype
        wrong_a, wrong_b = (((v.double() - exact).norm() / exact.norm().clamp(min=1e-3)) for v in (a, b))
        assert wrong_b < 1.5 * wrong_a + 0.01


def test_a_layers_input_is_a_view_and_the_block_ends_with_the_buffer():
    x = torch.randn(2, 3, 4, 4)
    features = Features(x, 7, training=True)
    features.append(torch.ones(2, 2, 4, 4))
    seen = features.first
    features.append(torch.full((2, 2, 4, 4), 2.0))
    for view in (seen, features.first):
        assert view.data_ptr() == features.buffer.data_ptr()
    assert torch.equal(seen[:, 3:], torch.ones(2, 2, 4, 4))
    assert torch.equal(features.first[:, 5:], torch.full((2, 2, 4, 4), 2.0))
    assert features.first.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(features.mean, features.first.mean((0, 2, 3)))
    torch.testing.assert_close(features.var, features.first.var((0, 2, 3), correction=0))


def test_norm_relu_by_hand():
    """Values 1 and -3, scale 2, shift 1: 3 and 0; what is cut off has no gradient."""
    x = torch.tensor([1.0, -3.0]).view(1, 1, 1, 2).requires_grad_()
    scale, shift = torch.tensor([2.0], requires_grad=True), torch.tensor([1.0], requires_grad=True)
    out = norm_relu(x, scale, shift)
    assert out.flatten().tolist() == [3.0, 0.0]
    (10 * out).sum().backward()
    assert x.grad.flatten().tolist() == [20.0, 0.0]
    assert (scale.grad.item(), shift.grad.item()) == (10.0, 10.0)


def test_gradients_by_finite_differences():
    torch.manual_seed(0)
    block = DenseBlock(2, 2, 1, checkpointing=False).double()
    x = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(block, (x,), check_undefined_grad=False)


def test_two_backward_passes_and_a_second_batch_do_not_meet():
    torch.manual_seed(0)
    block = DenseBlock(4, 2, 2, checkpointing=False)
    x = torch.randn(2, 4, 4, 4, requires_grad=True)
    out = block(x)
    other = block(torch.randn(2, 4, 4, 4))
    (first,) = torch.autograd.grad(out.sum(), x, retain_graph=True)
    (second,) = torch.autograd.grad(out.sum(), x)
    assert torch.equal(first, second)
    assert out.data_ptr() != other.data_ptr()


def test_the_backward_pass_keeps_about_half():
    kept = []
    for work in (joined, DenseBlock.forward):
        block, stored = DenseBlock(16, 12, 4, checkpointing=False), {}

        def pack(t, stored=stored):
            stored[t.untyped_storage().data_ptr()] = (t, t.untyped_storage().nbytes())
            return t

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            work(block, torch.randn(2, 16, 16, 16)).sum()
        kept.append(sum(size for _, size in stored.values()))
    assert kept[1] < 0.75 * kept[0]
