"""SmoothQuant: moves outliers of the activations into the weights, so that both round well to 8 bits.

Xiao et al., SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language Models, 2022 (arXiv 2211.10438).
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from tqdm.auto import tqdm

from .linear import SmoothedLinear
from .quantize import is_plain_linear, parameter_owners


@torch.no_grad()
def smoothquant(
    model: nn.Module,
    calibration_inputs: Iterable[Any],
    alpha: float = 0.5,
    filter_fn: Callable[[nn.Module, str], bool] | None = None,
) -> dict[str, str | None]:
    """Makes the linear layers' activations easier to round, in place and without changing what the model computes.

    Channel k of a layer's input is divided by s[k] = max|x[:, k]|^alpha / max|w[:, k]|^(1 - alpha), and column k of its
    weight is multiplied by it; the maximum of x is over all calibration inputs. Layers with the same input (q, k and v,
    say) share s. The division costs nothing where the module that makes the input takes it up: one with a weight an
    output channel (LayerNorm, RMSNorm, Linear) whose output goes to these layers and nowhere else. Otherwise the layer
    keeps 1 / s as a buffer, `input_scale`, and multiplies by it.

    Call it before `quantize_(model, Int8DynamicActivationInt8WeightConfig())`, which takes the buffers over.

    Args:
        model: any module; it is run in eval mode.
        calibration_inputs: typical inputs, each a tensor, a tuple or list of positional arguments, or a mapping of
            keyword arguments. A few dozen are enough.
        alpha: from 0 (all of the difficulty stays in the activations) to 1 (all moves into the weights).
        filter_fn: called with each layer that `quantize_` would convert, and its name; returns whether to smooth it.

    Returns:
        For the name of each layer that was smoothed, the name of the module that took up its scale, or None for a layer that
        multiplies. Left alone, and not among them, are layers that the inputs did not reach, that are smoothed already,
        or whose weight belongs to other modules as well.

    Raises:
        ValueError: alpha is not from 0 to 1, there are no inputs, or a layer was given NaN or Inf.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"smoothquant: alpha must be from 0 to 1, but got {alpha!r}")
    owners = parameter_owners(model)
    names = {
        module: name
        for name, module in model.named_modules()
        if is_plain_linear(module)
        and not isinstance(module, SmoothedLinear)
        and owners[id(module.weight)] == 1
        and (filter_fn is None or filter_fn(module, name))
    }
    calibration = _Calibration(model, set(names))
    calibration.run(calibration_inputs)

    for layer, largest in calibration.largest.items():
        if not largest.isfinite().all():
            raise ValueError(f"smoothquant: the inputs of {names[layer]} must be finite, but got NaN or Inf")

    module_names = {module: name for name, module in model.named_modules()}
    smoothed: dict[str, str | None] = {}
    for layers in calibration.layers_by_input():
        scale = _scale(layers, calibration.largest[layers[0]], alpha)
        call = calibration.call_that_made_inputs(layers)
        folded = call is not None and _fold(call, scale, owners)
        for layer in layers:
            layer.weight.mul_(scale)
            if not folded:
                layer.__class__ = SmoothedLinear
                layer.register_buffer("input_scale", scale.reciprocal().to(layer.weight.dtype))
            smoothed[names[layer]] = module_names[call.module] if folded else None
    return {name: smoothed[name] for name in names.values() if name in smoothed}


def _scale(layers: list[nn.Linear], largest_x: Tensor, alpha: float) -> Tensor:
    """s [K] in fp32, such that 1 / s is a number of the weight's dtype.

    It is 1 for a channel in which the activations or the weights are all zero, or in which s or the weight would overflow.
    """
    dtype = layers[0].weight.dtype
    largest_w = torch.stack([layer.weight.float().abs().amax(0) for layer in layers]).amax(0)
    scale = (largest_w ** (1 - alpha) / largest_x**alpha).to(dtype).float().reciprocal()
    usable = (largest_x > 0) & (largest_w > 0) & (scale > 0) & (largest_w * scale < torch.finfo(dtype).max)
    return torch.where(usable, scale, 1.0)


@dataclass(frozen=True)
class _Call:
    """A call of a module. Of the first batch's calls, the arguments are kept, too."""

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
class _Batch:
    """What happens to tensors while the model runs once. Tensors are told apart by their id, so they are kept till the end of it."""

    kept: list[Tensor] = field(default_factory=list)
    #: By the id of a tensor: the call that made it, and how often it was used.
    makers: dict[int, _Call] = field(default_factory=dict)
    uses: Counter = field(default_factory=Counter)


class _Calibration(TorchFunctionMode):
    """Runs a model and sees what goes into its linear layers, where it comes from, and where else it goes."""

    def __init__(self, model: nn.Module, layers: set[nn.Linear]) -> None:
        super().__init__()
        self._model = model
        self._layers = layers
        self._batches: list[_Batch] = []
        self._batch = _Batch()
        self._watching = False
        #: By layer: the largest magnitude in each channel of its inputs, fp32 [K].
        self.largest: dict[nn.Linear, Tensor] = {}
        # By layer: the inputs that it got, as (index of batch, id).
        self._inputs: dict[nn.Linear, list[tuple[int, int]]] = defaultdict(list)

    def run(self, calibration_inputs: Iterable[Any]) -> None:
        training = {module: module.training for module in self._model.modules()}
        handles = [layer.register_forward_pre_hook(self._see_input, with_kwargs=True) for layer in self._layers]
        handles += [
            module.register_forward_hook(self._see_output, with_kwargs=True)
            for module in self._model.modules()
            if module._parameters.get("weight") is not None
        ]
        try:
            self._model.eval()
            for inputs in tqdm(calibration_inputs, desc="smoothquant", disable=None):
                self._run_once(inputs)
        finally:
            for handle in handles:
                handle.remove()
            for module, mode in training.items():
                module.training = mode
        if not self._batches:
            raise ValueError("smoothquant: calibration_inputs must not be empty")

    def layers_by_input(self) -> list[list[nn.Linear]]:
        """The layers that were reached; those that always had the same inputs stand in one list."""
        groups: dict[tuple, list[nn.Linear]] = defaultdict(list)
        for layer, inputs in self._inputs.items():
            groups[(layer.in_features, *inputs)].append(layer)
        return list(groups.values())

    def call_that_made_inputs(self, layers: list[nn.Linear]) -> _Call | None:
        """The first call of the module that made all inputs of these layers, if its outputs went nowhere else."""
        inputs = self._inputs[layers[0]]
        makers = [self._batches[batch].makers.get(tensor) for batch, tensor in inputs]
        if None in makers or len({maker.module for maker in makers}) != 1:
            return None
        if any(self._batches[batch].uses[tensor] != len(layers) for batch, tensor in inputs):
            return None
        calls = [call for batch in self._batches for call in batch.makers.values() if call.module is makers[0].module]
        return makers[0] if len(calls) == len(inputs) else None

    def _run_once(self, inputs: Any) -> None:
        self._batch = _Batch()
        self._batches.append(self._batch)
        with self:
            self._watching = True
            if isinstance(inputs, Mapping):
                output = self._model(**inputs)
            elif isinstance(inputs, tuple | list):
                output = self._model(*inputs)
            else:
                output = self._model(inputs)
            self._watching = False
        self._use(output)
        self._batch.kept.clear()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **kwargs or {})
        # What returns no tensor (a shape, a dtype) does nothing with one.
        if self._watching and any(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(result)):
            self._use((args, kwargs))
        return result

    def _use(self, arguments: Any) -> None:
        for leaf in pytree.tree_leaves(arguments):
            if isinstance(leaf, Tensor):
                self._batch.uses[id(leaf)] += 1

    def _see_input(self, layer: nn.Linear, arguments: tuple, keywords: dict) -> None:
        x = arguments[0] if arguments else keywords["input"]
        self._watching = False
        self._batch.kept.append(x)
        self._inputs[layer].append((len(self._batches) - 1, id(x)))
        rows = x.abs().reshape(-1, x.shape[-1])
        largest = (rows.amax(0) if len(rows) else x.new_zeros(x.shape[-1])).float()
        self.largest[layer] = torch.maximum(self.largest[layer], largest) if layer in self.largest else largest
        self._watching = True

    def _see_output(self, module: nn.Module, arguments: tuple, keywords: dict, output: Any) -> None:
        if not isinstance(output, Tensor):
            return
        self._watching = False
        self._batch.kept.append(output)
        if len(self._batches) == 1:
            arguments, keywords = pytree.tree_map_only(Tensor, torch.clone, (arguments, keywords))
            self._batch.makers[id(output)] = _Call(module, arguments, keywords)
        else:
            self._batch.makers[id(output)] = _Call(module)
        self._watching = True
