"""AWQ: makes the weights of channels with large activations larger, so that rounding harms them less.

Lin et al., AWQ: Activation-aware Weight Quantization for LLM Compression and Acceleration, 2023 (arXiv 2306.00978).
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from .calibration import eval_mode, gram_matrix, sum_of_magnitudes
from .config import Config, config_from_alias
from .input_scales import InputSources, layers_to_scale, move_scale, usable_scale
from .linear import QuantLinear, linear_class_of

# The exponents that are tried are 1 / _STEPS, 2 / _STEPS, ..., 1.
_STEPS = 20


@torch.no_grad()
def awq(
    model: nn.Module,
    calibration_inputs: Iterable[Any],
    config: Config | str = "int4wo",
    filter_fn: Callable[[nn.Module, str], bool] | None = None,
) -> dict[str, str | None]:
    """Makes the linear layers' weights easier to round, in place and without changing what the model computes.

    Channel k of a layer's input is divided by s[k] = (mean|x[:, k]|)^alpha, and column k of its weight is multiplied by it, with the alpha
    from 0 to 1 for which rounding the weight as `config` says changes the outputs for the calibration inputs least. Layers with the same
    input (q, k and v, say) share s. Where the division goes, see `smoothquant`.

    Call it before `quantize_(model, config)` or, for int4, before `gptq(model, calibration_inputs, config)`.

    The model is run up to each layer, on all inputs: half a run for each group of layers with the same input on average, and once more at the
    beginning.

    Args:
        model: any module; it is run in eval mode.
        calibration_inputs: typical inputs, each a tensor, a tuple or list of positional arguments, or a mapping of keyword arguments. A
            few dozen are enough. They are kept: the model is run on them many times.
        config: the config that the model will be quantized with, or a short name of it.
        filter_fn: called with each layer that `quantize_` would convert, and its name; returns whether to scale it.

    Returns:
        For the name of each layer that was scaled, the name of the module that took up its scale, or None for a layer that multiplies. Left
        alone, and not among them, are layers for which no alpha is better than 0, that the inputs did not reach, that are scaled
        already, or whose weight belongs to other modules as well.

    Raises:
        TypeError: config is neither a config nor a string.
        ValueError: config is a string that names no config, there are no inputs, or a layer was given NaN or Inf.
    """
    if isinstance(config, str):
        config = config_from_alias(config)
    linear_class_of(config)
    calibration_inputs = list(calibration_inputs)
    names = layers_to_scale(model, filter_fn)
    sources = InputSources("awq", model, names, sum_of_magnitudes, torch.add)
    sources.run(calibration_inputs)

    module_names = {module: name for name, module in model.named_modules()}
    scaled: dict[str, str | None] = {}
    with eval_mode(model):
        for layers in tqdm(sources.layers_by_input(), desc="awq", disable=None):
            gram = gram_matrix(model, calibration_inputs, layers[0], sources.calls(layers[0]))
            scale = _best_scale(layers, sources.statistics[layers[0]], gram, config)
            if scale is not None:
                module = move_scale(layers, scale, sources)
                scaled.update(dict.fromkeys((names[layer] for layer in layers), module_names.get(module)))
    return {name: scaled[name] for name in names.values() if name in scaled}


def _best_scale(layers: list[nn.Linear], magnitudes: Tensor, gram: Tensor, config: Config) -> Tensor | None:
    """s [K]; None where none is better than no scale."""
    unscaled = torch.ones_like(magnitudes)
    best, least = None, sum(_output_error(layer.weight, unscaled, gram, config) for layer in layers)
    for step in range(1, _STEPS + 1):
        scale = magnitudes ** (step / _STEPS)
        # About 1, so that neither the weight nor what takes up the scale overflows. A channel of zeros is not scaled.
        scale = scale / (scale[magnitudes > 0].log().mean().exp())
        scale = usable_scale(torch.where(magnitudes > 0, scale.reciprocal(), 1.0), layers)
        error = sum(_output_error(layer.weight, scale, gram, config) for layer in layers)
        if error < least:
            best, least = scale, error
    return best


def _output_error(weight: Tensor, scale: Tensor, gram: Tensor, config: Config) -> Tensor:
    """The sum of squares by which rounding changes the outputs for inputs whose sum of x^T x is `gram`."""
    difference = _rounded((weight * scale).to(weight.dtype), config) / scale - weight
    return ((difference @ gram) * difference).sum()


def _rounded(weight: Tensor, config: Config) -> Tensor:
    """fp32."""
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    linear.weight = nn.Parameter(weight, requires_grad=False)
    return QuantLinear.from_linear(linear, config).weight.float()
