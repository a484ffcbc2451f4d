"""Linear layers with a quantized weight in plain buffers: what those of all formats share."""

from typing import get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import Config

_LINEAR_CLASSES: dict[type, type["QuantLinear"]] = {}


def takes(*config_classes: type):
    """Decorates the layer class that configs of these classes ask for."""

    def register(linear_class: type["QuantLinear"]) -> type["QuantLinear"]:
        _LINEAR_CLASSES.update(dict.fromkeys(config_classes, linear_class))
        return linear_class

    return register


def linear_class_of(config: Config) -> type["QuantLinear"]:
    """The layer class that a config asks for.

    Raises:
        TypeError: it is not a config.
    """
    linear_class = _LINEAR_CLASSES.get(type(config))
    if linear_class is None:
        known = ", ".join(config_class.__name__ for config_class in config_classes())
        raise TypeError(f"config must be an alias string or one of {known}, but got {config!r}")
    return linear_class


def config_classes() -> tuple[type, ...]:
    """Those of all configs."""
    return get_args(Config)


def scaled(input: Tensor, input_scale: Tensor) -> Tensor:
    """input * input_scale, in the dtype of input."""
    return (input * input_scale).to(input.dtype)


class SmoothedLinear(nn.Linear):
    """A dense layer that multiplies x by `input_scale` [in_features] first: what `smoothquant` makes and `quantize_` takes."""

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(scaled(input, self.input_scale), self.weight, self.bias)


class QuantLinear(nn.Linear):
    """An `nn.Linear` whose weight is stored quantized: the base of one class per weight format.

    The quantized weight is plain buffers, so that saving, loading, copying, moving and compiling work as for any module.
    `weight` is a property that dequantizes: code that reads it (peft, say) gets a fresh tensor in the dtype of the scales,
    at the cost of a pass over the weight. The bias stays a Parameter. The weight has no gradient; x and bias do.

    Buffer `input_scale`: [in_features] or None; x is multiplied by it first (see `smoothquant`). A state dict that has it
    gives it to a layer that has none.

    `config` says how the weight is quantized. A format's class defines `quantize_weight`, `_set_options`,
    `_dequantized_weight`, `_product` and `_format_repr`.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        config: Config,
    ) -> None:
        """An uninitialized layer, to load a state dict into.

        Args:
            in_features, out_features, bias, device: as for nn.Linear.
            dtype: of the bias and of the scales.
            config: how the weight in the state dict was quantized.
        """
        # Not nn.Linear's constructor, which would allocate the dense weight.
        super(nn.Linear, self).__init__()
        self.in_features = in_features
        self.out_features = out_features
        if bias:
            self.bias = nn.Parameter(torch.empty(out_features, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.register_buffer("input_scale", None)
        on_meta = self.quantize_weight(torch.empty(out_features, in_features, device="meta", dtype=dtype), config)
        self._set_weight(
            config,
            {
                name: None if tensor is None else torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
                for name, tensor in on_meta.items()
            },
            dtype or torch.get_default_dtype(),
        )

    @staticmethod
    def from_linear(linear: nn.Linear, config: Config) -> "QuantLinear":
        """A quantized copy of a linear layer; it shares the bias.

        Raises:
            TypeError: config is not a config.
            RuntimeError: the weight is not fp32, fp16 or bf16.
        """
        linear_class = linear_class_of(config)
        layer = linear_class(linear.in_features, linear.out_features, bias=False, device="meta", config=config)
        layer.bias = linear.bias
        layer.input_scale = getattr(linear, "input_scale", None)
        layer._set_weight(config, linear_class.quantize_weight(linear.weight, config), linear.weight.dtype)
        return layer.train(linear.training)

    @staticmethod
    def convert_(linear: nn.Linear, config: Config, weight: dict[str, Tensor | None]) -> None:
        """Turns a linear layer itself into a quantized one, with a weight that `quantize_weight` made.

        The object stays the same, and with it its bias, hooks, other attributes and everyone who holds it.
        """
        dtype = linear.weight.dtype
        del linear.weight
        linear.__class__ = linear_class_of(config)
        if "input_scale" not in linear._buffers:
            linear.register_buffer("input_scale", None)
        linear._set_weight(config, weight, dtype)

    @staticmethod
    def quantize_weight(weight: Tensor, config: Config) -> dict[str, Tensor | None]:
        """The buffers, by name, of a weight [out_features, in_features]."""
        raise NotImplementedError

    def _set_weight(self, config: Config, weight: dict[str, Tensor | None], dtype: torch.dtype) -> None:
        self.config = config
        self._set_options(config, dtype)
        for name, tensor in weight.items():
            self.register_buffer(name, tensor)

    @torch.no_grad()
    def requantize_(self, weight: Tensor) -> None:
        """Replaces the weight by another one [out_features, in_features], quantized as the present one was."""
        if self.input_scale is not None:
            weight = scaled(weight, self.input_scale.reciprocal())
        self._set_weight(self.config, self.quantize_weight(weight, self.config), weight.dtype)

    def _set_options(self, config: Config, dtype: torch.dtype) -> None:
        """Sets what the product needs to know of the config, and of the dense weight's dtype, as attributes that TorchScript
        understands."""
        raise NotImplementedError

    def _dequantized_weight(self) -> Tensor:
        raise NotImplementedError

    def _product(self, input: Tensor) -> Tensor:
        raise NotImplementedError

    def _format_repr(self) -> str:
        raise NotImplementedError

    @property
    def weight(self) -> Tensor:
        weight = self._dequantized_weight()
        return weight if self.input_scale is None else scaled(weight, self.input_scale)

    def forward(self, input: Tensor) -> Tensor:
        if self.input_scale is not None:
            input = scaled(input, self.input_scale)
        return self._product(input)

    def _load_from_state_dict(self, state_dict, prefix, *arguments) -> None:
        # Whether a layer was smoothed is the checkpoint's to say.
        if self.input_scale is None and f"{prefix}input_scale" in state_dict:
            dtype, device = state_dict[f"{prefix}input_scale"].dtype, next(self.buffers()).device
            self.input_scale = torch.empty(self.in_features, dtype=dtype, device=device)
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def extra_repr(self) -> str:
        smoothed = "" if self.input_scale is None else ", input_scale=True"
        return f"{super().extra_repr()}, {self._format_repr()}{smoothed}"
