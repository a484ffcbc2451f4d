"""Quantizes the linear layers of a model in place."""

from collections import Counter
from collections.abc import Callable

from torch import nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from torch.nn.parameter import is_lazy
from tqdm.auto import tqdm

from .config import Config, QATConfig, config_from_alias
from .linear import QuantLinear, SmoothedLinear, linear_class_of
from .qat import QATLinear

# Smaller models are quantized in a few seconds.
_PROGRESS_BAR_MIN_BYTES = 1 << 30


def quantize_(
    model: nn.Module, config: Config | QATConfig | str, filter_fn: Callable[[nn.Module, str], bool] | None = None
) -> None:
    """Turns the linear layers of a model, or the model itself if it is one, into quantized ones, in place.

    Converted are `nn.Linear` and its subclasses that compute the same product, except
    - `nn.MultiheadAttention`'s out_proj, whose weight the attention reads itself: it would be dequantized at every call;
    - layers whose weight belongs to another module too (an embedding, a layer that filter_fn turns down): weights that
      are tied stay tied. Give the layer a copy of its own to have it quantized all the same.

    Linear layers that share one weight share the quantized one. A layer that is quantized already is left as it is.

    Args:
        model: any module; meta tensors are converted to meta tensors, for a state dict to be assigned later.
        config: a config or a short name of one, such as "int4wo-32". With a QATConfig, these layers become layers to be trained
            (step "prepare"), or layers that have been, and no others, become quantized ones (step "convert").
        filter_fn: called with each of these layers and its fully qualified name; returns whether to convert it.

    Raises:
        ValueError: config is a string that names no config, or a layer was prepared for another one.
        TypeError: config is neither a config nor a string.
        RuntimeError: a weight is not fp32, fp16 or bf16, or not initialized yet (a lazy module).
    """
    if isinstance(config, str):
        config = config_from_alias(config)
    step = None
    if isinstance(config, QATConfig):
        step, config = config.step, config.base_config
    linear_class = linear_class_of(config)
    if step == "prepare":
        for layers in layers_by_weight(model, filter_fn):
            for layer in layers:
                QATLinear.prepare_(layer, config)
        leave_fast_paths(model)
        return
    if step == "convert":
        _check_prepared_for(model, config)

    layers_of_weights = layers_by_weight(model, filter_fn, _is_prepared if step == "convert" else is_plain_linear)
    total_bytes = sum(layers[0].weight.nbytes for layers in layers_of_weights)
    # disable=None shows the bar on a terminal only.
    disable = None if total_bytes >= _PROGRESS_BAR_MIN_BYTES else True
    with tqdm(total=total_bytes, unit="B", unit_scale=True, desc="quantize_", disable=disable) as progress:
        for layers in layers_of_weights:
            weight_bytes = layers[0].weight.nbytes
            quantized = linear_class.quantize_weight(layers[0].weight, config)
            for layer in layers:
                QuantLinear.convert_(layer, config, quantized)
            progress.update(weight_bytes)

    leave_fast_paths(model)


def parameter_owners(model: nn.Module) -> Counter[int]:
    """By the id of a Parameter: at how many places in the model it is registered."""
    return Counter(id(parameter) for module in model.modules() for parameter in module._parameters.values())


def is_plain_linear(module: nn.Module) -> bool:
    """Whether a quantized layer can take the module's place without a change of what is computed."""
    return (
        isinstance(module, nn.Linear)
        and not isinstance(module, NonDynamicallyQuantizableLinear)
        and type(module).forward in (nn.Linear.forward, SmoothedLinear.forward)
        # A parametrized weight (weight norm, LoRA by parametrization) is computed, not stored.
        and "weight" in module._parameters
    )


def layers_by_weight(
    model: nn.Module,
    filter_fn: Callable[[nn.Module, str], bool] | None,
    is_candidate: Callable[[nn.Module], bool] = is_plain_linear,
) -> list[list[nn.Linear]]:
    """The layers to convert, by default those that are plain; those that share a weight stand in one list."""
    owners = parameter_owners(model)
    layers: dict[int, list[nn.Linear]] = {}
    for name, module in model.named_modules():
        if not is_candidate(module) or (filter_fn is not None and not filter_fn(module, name)):
            continue
        if is_lazy(module.weight):
            raise RuntimeError(
                f"quantize_: {name}.weight must be initialized, but got a lazy module: run the model once before"
            )
        layers.setdefault(id(module.weight), []).append(module)
    return [sharing for weight_id, sharing in layers.items() if len(sharing) == owners[weight_id]]


def _is_prepared(module: nn.Module) -> bool:
    return isinstance(module, QATLinear)


def _check_prepared_for(model: nn.Module, config: Config) -> None:
    for name, module in model.named_modules():
        if _is_prepared(module) and module.config != config:
            raise ValueError(
                f"quantize_: base_config must be what {name or 'the layer'} was prepared with, {module.config}, but got {config}"
            )


def leave_fast_paths(model: nn.Module) -> None:
    """Keeps PyTorch's transformer layers from their fused inference path, which reads the weights of their linear layers
    directly: it would dequantize them at every call and ignore dynamic activations."""
    quantized = QuantLinear | QATLinear
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoderLayer) and isinstance(module.linear1, quantized):
            module.activation_relu_or_gelu = 0
        if isinstance(module, nn.TransformerEncoder) and any(
            isinstance(child, quantized) for child in module.modules()
        ):
            module.use_nested_tensor = False
