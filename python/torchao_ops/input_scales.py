"""Moves scales from a linear layer's input into its weight: what SmoothQuant and AWQ do, each with scales of its own.

Channel k of the input is divided by s[k], column k of the weight is multiplied by it. The division costs nothing where the module that makes
the input takes it up; otherwise the layer keeps 1 / s as a buffer, `input_scale`.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from .calibration import LayerInputs, own_linear_layers
from .linear import SmoothedLinear
from .quantize import parameter_owners


def layers_to_scale(model: nn.Module, filter_fn: Callable[[nn.Module, str], bool] | None) -> dict[nn.Linear, str]:
    """Once is enough: a layer that has an `input_scale` is not among them."""
    layers = own_linear_layers(model, filter_fn)
    return {layer: name for layer, name in layers.items() if not isinstance(layer, SmoothedLinear)}


def usable_scale(reciprocal: Tensor, layers: list[nn.Linear]) -> Tensor:
    """s [K] in fp32, such that 1 / s is a number of the weights' dtype.

    It is 1 for a channel in which the weights are all zero, or in which s, 1 / s or the weight would overflow.
    """
    dtype = layers[0].weight.dtype
    largest_w = largest_weights(layers)
    scale = reciprocal.to(dtype).float().reciprocal()
    usable = (largest_w > 0) & (scale > 0) & (largest_w * scale < torch.finfo(dtype).max)
    return torch.where(usable, scale, 1.0)


def largest_weights(layers: list[nn.Linear]) -> Tensor:
    """[K] in fp32: the largest magnitude in each column."""
    return torch.stack([layer.weight.float().abs().amax(0) for layer in layers]).amax(0)


def move_scale(layers: list[nn.Linear], scale: Tensor, sources: "InputSources") -> nn.Module | None:
    """Moves s, a `usable_scale` of layers with the same inputs. Returns the module that took it up, or None where the layers multiply."""
    source = sources.call_that_made_inputs(layers)
    folded = source is not None and _fold(source, scale, sources.owners)
    for layer in layers:
        layer.weight.mul_(scale)
        if not folded:
            layer.__class__ = SmoothedLinear
            layer.register_buffer("input_scale", scale.reciprocal().to(layer.weight.dtype))
    return source.module if folded else None


@dataclass(frozen=True)
class _Call:
    """A call of a module. Of the first run's calls, the arguments are kept, too."""

    module: nn.Module
    arguments: tuple = ()
    keywords: dict = field(default_factory=dict)

    def again(self) -> Tensor:
        return self.module(*self.arguments, **self.keywords)


def _fold(call: _Call, scale: Tensor, owners: Counter) -> bool:
    """Divides the output channels of a module by `scale` through its parameters, if that is what comes of it."""
    parameters = [parameter for parameter in call.module._parameters.values() if parameter is not None]
    if any(owners[id(parameter)] != 1 or parameter.shape[:1] != scale.shape for parameter in parameters):
        return False
    expected = call.again()
    before = [parameter.clone() for parameter in parameters]
    for parameter in parameters:
        parameter.div_(scale.view(-1, *(1,) * (parameter.dim() - 1)))
    # Each number is rounded thrice: the parameter, what the module computes with it, and here.
    tolerance = 4 * torch.finfo(expected.dtype).eps
    # A norm that adds 1 to its weight, say, is not linear in it.
    if (call.again() * scale - expected).norm() <= tolerance * expected.norm():
        return True
    for parameter, value in zip(parameters, before, strict=True):
        parameter.copy_(value)
    return False


@dataclass
class _Run:
    """What happens to tensors while the model runs once."""

    #: By the id of a tensor: the call that made it, and how often it was used.
    makers: dict[int, _Call] = field(default_factory=dict)
    uses: Counter = field(default_factory=Counter)


class InputSources(LayerInputs, TorchFunctionMode):
    """Sees also where the inputs of the layers come from, and where else they go."""

    def __init__(
        self,
        method: str,
        model: nn.Module,
        names: dict[nn.Linear, str],
        of_rows: Callable[[Tensor], Tensor],
        combine: Callable[[Tensor, Tensor], Tensor],
    ) -> None:
        TorchFunctionMode.__init__(self)
        LayerInputs.__init__(self, method, model, names, of_rows, combine)
        self.owners = parameter_owners(model)
        self._history: list[_Run] = []
        self._watching = False

    def call_that_made_inputs(self, layers: list[nn.Linear]) -> _Call | None:
        """The first call of the module that made all inputs of these layers, if its outputs went nowhere else."""
        inputs = self._inputs[layers[0]]
        makers = [self._history[run].makers.get(tensor) for run, tensor in inputs]
        if None in makers or len({maker.module for maker in makers}) != 1:
            return None
        if any(self._history[run].uses[tensor] != len(layers) for run, tensor in inputs):
            return None
        calls = [call for run in self._history for call in run.makers.values() if call.module is makers[0].module]
        return makers[0] if len(calls) == len(inputs) else None

    def _register_hooks(self) -> list:
        return super()._register_hooks() + [
            module.register_forward_hook(self._see_output, with_kwargs=True)
            for module in self._model.modules()
            if module._parameters.get("weight") is not None
        ]

    def _run_once(self, inputs: Any) -> None:
        self._history.append(_Run())
        with self:
            self._watching = True
            output = super()._run_once(inputs)
            self._watching = False
        self._use(output)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **kwargs or {})
        # What returns no tensor (a shape, a dtype) does nothing with one.
        if self._watching and any(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(result)):
            self._use((args, kwargs))
        return result

    def _use(self, arguments: Any) -> None:
        for leaf in pytree.tree_leaves(arguments):
            if isinstance(leaf, Tensor):
                self._history[-1].uses[id(leaf)] += 1

    def _see_input(self, layer: nn.Linear, arguments: tuple, keywords: dict) -> None:
        self._watching = False
        super()._see_input(layer, arguments, keywords)
        self._watching = True

    def _see_output(self, module: nn.Module, arguments: tuple, keywords: dict, output: Any) -> None:
        if not isinstance(output, Tensor):
            return
        self._watching = False
        self._kept.append(output)
        if len(self._history) == 1:
            arguments, keywords = pytree.tree_map_only(Tensor, torch.clone, (arguments, keywords))
            self._history[-1].makers[id(output)] = _Call(module, arguments, keywords)
        else:
            self._history[-1].makers[id(output)] = _Call(module)
        self._watching = True
