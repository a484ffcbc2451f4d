"""GPTQ: rounds an int4 weight column by column, and lets the columns to come make up for the error.

Frantar et al., GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers, 2022 (arXiv 2210.17323).
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from .calibration import LayerInputs, eval_mode, gram_matrix, own_linear_layers, sum_of_magnitudes
from .config import Int4WeightOnlyConfig, Int8DynamicActivationInt4WeightConfig, config_from_alias
from .int4_codes import pack_nibbles, per_column, rounded_codes
from .linear import QuantLinear, linear_class_of
from .quantize import leave_fast_paths

# The columns after a block of this many are corrected once a block, in one product.
_COLUMNS_AT_A_TIME = 128


@torch.no_grad()
def gptq(
    model: nn.Module,
    calibration_inputs: Iterable[Any],
    config: Int4WeightOnlyConfig | Int8DynamicActivationInt4WeightConfig | str = "int4wo",
    filter_fn: Callable[[nn.Module, str], bool] | None = None,
    damping: float = 0.01,
) -> list[str]:
    """Turns the linear layers of a model into int4 ones, in place, such that their outputs for typical inputs change little.

    Layers are treated in the order in which the model calls them, those with the same input (q, k and v, say) at once, each with the
    inputs that the layers before it give when they are quantized already. So the model is run up to each of them, on all inputs: half a run
    for each group of layers on average, and once more at the beginning.

    Scales and zero points are those that `quantize_` would choose; columns are rounded in the order of falling magnitude of their inputs.
    What comes out is an ordinary `Int4Linear`.

    Args:
        model: any module; it is run in eval mode.
        calibration_inputs: typical inputs, each a tensor, a tuple or list of positional arguments, or a mapping of keyword arguments. A
            hundred are a good number. They are kept: the model is run on them many times.
        config: an int4 config or a short name of one. With qparams="hqq", zero points are HQQ's.
        filter_fn: called with each layer that `quantize_` would convert, and its name; returns whether to convert it.
        damping: what is added to the mean square of every channel, in units of their average; more is safer where there are few inputs.

    Returns:
        The names of the layers that were converted. Left alone, for `quantize_` to round, are those that the inputs did not reach and those
        whose weight belongs to other modules as well.

    Raises:
        TypeError: config is not an int4 config.
        ValueError: config is a string that names no config, damping is not above 0, there are no inputs, or a layer was given NaN or Inf.
    """
    if isinstance(config, str):
        config = config_from_alias(config)
    if not isinstance(config, Int4WeightOnlyConfig | Int8DynamicActivationInt4WeightConfig):
        raise TypeError(
            f"gptq: config must be an Int4WeightOnlyConfig or Int8DynamicActivationInt4WeightConfig, but got {config!r}"
        )
    if not damping > 0:
        raise ValueError(f"gptq: damping must be above 0, but got {damping!r}")
    calibration_inputs = list(calibration_inputs)
    names = own_linear_layers(model, filter_fn)
    inputs = LayerInputs("gptq", model, names, sum_of_magnitudes, torch.add)
    inputs.run(calibration_inputs)

    with eval_mode(model):
        for layers in tqdm(inputs.layers_by_input(), desc="gptq", disable=None):
            gram = gram_matrix(model, calibration_inputs, layers[0], inputs.calls(layers[0]))
            if not gram.isfinite().all():
                raise ValueError(
                    f"gptq: the inputs of {names[layers[0]] or 'the model'} must be finite, but got NaN or Inf"
                )
            for layer in layers:
                input_scale = getattr(layer, "input_scale", None)
                of_layer = gram if input_scale is None else gram * input_scale.outer(input_scale)
                QuantLinear.convert_(layer, config, quantize_weight(layer.weight, of_layer, config, damping))
    leave_fast_paths(model)
    return [name for layer, name in names.items() if isinstance(layer, QuantLinear)]


@torch.no_grad()
def quantize_weight(
    weight: Tensor, gram: Tensor, config: Int4WeightOnlyConfig | Int8DynamicActivationInt4WeightConfig, damping: float
) -> dict[str, Tensor | None]:
    """The buffers of a weight [N, K], given the sum of x^T x over inputs x [rows, K]."""
    quantized = linear_class_of(config).quantize_weight(weight, config)
    scale, zero_point = quantized["weight_scale"], quantized["weight_zero_point"]
    if zero_point is None:
        zero_point = torch.full_like(scale, 8)
    scale, zero_point = (per_column(t.float(), config.group_size, weight.shape[1]) for t in (scale, zero_point))

    order = gram.diagonal().argsort(descending=True, stable=True)
    codes = torch.empty_like(weight, dtype=torch.float32)
    codes[:, order] = _rounded_in_order(
        weight.float()[:, order], scale[:, order], zero_point[:, order], _inverse_factor(gram[order][:, order], damping)
    )
    return quantized | {"weight_packed": pack_nibbles(codes)}


def _inverse_factor(gram: Tensor, damping: float) -> Tensor:
    """U, upper triangular, with U^T U = the inverse of the damped matrix."""
    # A channel that is always 0 has nothing to do with the others.
    diagonal = gram.diagonal()
    damped = gram + torch.diag(torch.where(diagonal == 0, 1.0, 0.0))
    mean = damped.diagonal().mean()
    identity = torch.eye(len(gram), device=gram.device)
    while True:
        factor, failed = torch.linalg.cholesky_ex(damped + damping * mean * identity)
        if not failed:
            return torch.linalg.cholesky(torch.cholesky_inverse(factor), upper=True)
        damping *= 10


def _rounded_in_order(weight: Tensor, scale: Tensor, zero_point: Tensor, inverse_factor: Tensor) -> Tensor:
    """The codes [N, K], chosen from left to right; `weight` is overwritten."""
    in_features = weight.shape[1]
    codes = torch.empty_like(weight)
    for begin in range(0, in_features, _COLUMNS_AT_A_TIME):
        end = min(begin + _COLUMNS_AT_A_TIME, in_features)
        errors = torch.empty_like(weight[:, begin:end])
        for k in range(begin, end):
            w, s, z = weight[:, k], scale[:, k], zero_point[:, k]
            codes[:, k] = rounded_codes(w, s, z)
            error = (w - (codes[:, k] - z) * s) / inverse_factor[k, k]
            # A group that is NaN leaves the others alone.
            errors[:, k - begin] = error.nan_to_num(0, 0, 0)
            weight[:, k:end] -= errors[:, k - begin, None] * inverse_factor[k, k:end]
        weight[:, end:] -= errors @ inverse_factor[begin:end, end:]
    return codes
