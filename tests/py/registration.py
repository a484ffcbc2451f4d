"""What tests of registered operators share, whatever the weight's format: opcheck, gradients, capture as a graph."""

import io
from collections.abc import Callable, Iterable

import pytest
import reference
import torch
import torch._dynamo.testing
from helpers import operator
from torch import Tensor, nn
from torch.nn import functional as F


def opcheck(op: str, arguments: tuple, **tolerances: float) -> None:
    """torch's own comparison of tensors does not take float8: without the test of what a schema says of mutations."""
    tests = ["test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic"]
    if all(
        argument.dtype.itemsize > 1 or not argument.is_floating_point()
        for argument in arguments
        if isinstance(argument, Tensor)
    ):
        tests.append("test_schema")
    torch.library.opcheck(operator(op), arguments, test_utils=tests, **tolerances)


def expect_gradients_of_a_dense_layer(
    op: str, weight: tuple, dense: Tensor, batch: tuple[int, ...], dtype: torch.dtype
) -> None:
    """For x and bias, of a weight that is `dense` in float64."""
    out_features, in_features = dense.shape
    x = torch.randn(*batch, in_features).to(dtype).requires_grad_()
    bias = torch.randn(out_features).to(dtype).requires_grad_()
    grad_y = torch.randn(*batch, out_features).to(dtype)
    got = torch.autograd.grad(operator(op)(x, *weight, bias), (x, bias), grad_y)

    x64, bias64 = (tensor.detach().cpu().double().requires_grad_() for tensor in (x, bias))
    expected = torch.autograd.grad(F.linear(x64, dense, bias64), (x64, bias64), grad_y.cpu().double())
    for ours, theirs, operand in zip(got, expected, (x, bias), strict=True):
        assert ours.dtype == operand.dtype
        assert ours.shape == operand.shape
        assert reference.relative_error(ours, theirs) < 4 * torch.finfo(dtype).eps


def expect_second_derivatives(op: str, weight: tuple, dense: Tensor) -> None:
    x = torch.randn(3, dense.shape[1], requires_grad=True)
    (grad_x,) = torch.autograd.grad(operator(op)(x, *weight).pow(2).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(grad_x.sum(), x)
    expected = 2 * (torch.ones(x.shape, device="cpu").double() @ dense.T @ dense)
    assert reference.relative_error(second, expected) < 1e-5


def expect_one_compilation_for_any_batch(layer: nn.Module) -> None:
    """Of a layer with `in_features` and `bias`, which gets a gradient where it wants one."""
    torch._dynamo.reset()
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(layer, fullgraph=True, backend=counter)
    for batch in (2, 3, 17, 64):
        results = []
        for run in (layer, compiled):
            layer.bias.grad = None
            x = torch.randn(
                batch, layer.in_features, generator=torch.Generator(device=layer.bias.device).manual_seed(0)
            )
            torch._dynamo.mark_dynamic(x, 0)
            if layer.bias.requires_grad:
                x.requires_grad_()
                y = run(x)
                y.square().sum().backward()
                results.append((y.detach(), x.grad, layer.bias.grad))
            else:
                results.append((run(x),))
        torch.testing.assert_close(*results)
    assert counter.frame_count == 1


def expect_one_compilation_for_any_sizes(function: Callable, operands: Iterable[tuple]) -> None:
    """Every size of every operand dynamic: the fake kernels compute with them and specialize none."""
    torch._dynamo.reset()
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(function, fullgraph=True, backend=counter, dynamic=True)
    for arguments in operands:
        for got, expected in zip(compiled(*arguments), function(*arguments), strict=True):
            assert torch.equal(got, expected)
    assert counter.frame_count == 1


def expect_the_same_exported(layer: nn.Module) -> None:
    """With a dynamic batch, saved and loaded."""
    batch = torch.export.Dim("batch")
    exported = torch.export.export(layer, (torch.randn(5, layer.in_features),), dynamic_shapes=({0: batch},))
    file = io.BytesIO()
    torch.export.save(exported, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    for rows in (1, 2, 64):
        x = torch.randn(rows, layer.in_features)
        assert torch.equal(loaded(x), layer(x))


def trace(layer: nn.Module) -> torch.jit.ScriptModule:
    return torch.jit.trace(layer, torch.randn(2, layer.in_features))


# Parametrizes a test of TorchScript.
captures = pytest.mark.parametrize("capture", [torch.jit.script, trace])


def expect_the_same_in_torchscript(layer: nn.Module, capture: Callable[[nn.Module], torch.jit.ScriptModule]) -> None:
    captured = capture(layer)
    file = io.BytesIO()
    torch.jit.save(captured, file)
    file.seek(0)
    loaded = torch.jit.load(file)
    x = torch.randn(5, layer.in_features)
    assert torch.equal(captured(x), layer(x))
    assert torch.equal(loaded(x), layer(x))
    assert torch.equal(torch.jit.freeze(loaded.eval())(x), layer(x))
