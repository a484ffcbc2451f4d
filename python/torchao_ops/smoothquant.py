"""SmoothQuant: moves outliers of the activations into the weights, so that both round well to 8 bits.

Xiao et al., SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language Models, 2022 (arXiv 2211.10438).
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from .calibration import largest_magnitude
from .input_scales import InputSources, largest_weights, layers_to_scale, move_scale, usable_scale


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
    names = layers_to_scale(model, filter_fn)
    sources = InputSources("smoothquant", model, names, largest_magnitude, torch.maximum)
    sources.run(calibration_inputs)

    module_names = {module: name for name, module in model.named_modules()}
    smoothed: dict[str, str | None] = {}
    for layers in sources.layers_by_input():
        largest_x = sources.statistics[layers[0]]
        reciprocal = torch.where(largest_x > 0, largest_weights(layers) ** (1 - alpha) / largest_x**alpha, 1.0)
        module = move_scale(layers, usable_scale(reciprocal, layers), sources)
        smoothed.update(dict.fromkeys((names[layer] for layer in layers), module_names.get(module)))
    return {name: smoothed[name] for name in names.values() if name in smoothed}
