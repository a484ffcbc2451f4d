"""Linear layers with a quantized weight in plain buffers."""

import torch
from torch import Tensor, nn

from .config import Config, Int4WeightOnlyConfig, Int8DynamicActivationInt4WeightConfig


class QuantLinear(nn.Linear):
    """An `nn.Linear` whose weight is stored quantized: the base of one class per weight format.

    The quantized weight is plain buffers, so that saving, loading, copying, moving and compiling work as for any module.
    `weight` is a property that dequantizes: code that reads it (peft, say) gets a fresh tensor in the dtype of the scales,
    at the cost of a pass over the weight. The bias stays a Parameter. The weight has no gradient; x and bias do.

    A format's class defines `quantize_weight`, `_set_weight`, `weight`, `_format_repr` and `forward`.
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
        on_meta = self.quantize_weight(torch.empty(out_features, in_features, device="meta", dtype=dtype), config)
        self._set_weight(
            config,
            {
                name: None if tensor is None else torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
                for name, tensor in on_meta.items()
            },
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
        layer._set_weight(config, linear_class.quantize_weight(linear.weight, config))
        return layer.train(linear.training)

    @staticmethod
    def convert_(linear: nn.Linear, config: Config, weight: dict[str, Tensor | None]) -> None:
        """Turns a linear layer itself into a quantized one, with a weight that `quantize_weight` made.

        The object stays the same, and with it its bias, hooks, other attributes and everyone who holds it.
        """
        del linear.weight
        linear.__class__ = linear_class_of(config)
        linear._set_weight(config, weight)

    @staticmethod
    def quantize_weight(weight: Tensor, config: Config) -> dict[str, Tensor | None]:
        """The buffers, by name, of a weight [out_features, in_features]."""
        raise NotImplementedError

    def _set_weight(self, config: Config, weight: dict[str, Tensor | None]) -> None:
        raise NotImplementedError

    def _format_repr(self) -> str:
        raise NotImplementedError

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, {self._format_repr()}"


class Int4Linear(QuantLinear):
    """A linear layer with an int4 weight.

    Buffers (N = out_features, K = in_features, G = ceil(K / group_size)):
        weight_packed: uint8 [N, ceil(K / 2)], element 2j of a row in the low nibble of byte j.
        weight_scale: [N, G], fp32, fp16 or bf16; `.to(dtype)` converts it and leaves weight_packed alone.
        weight_zero_point: as weight_scale, or None for a symmetric weight (then it is 8 and not in the state dict).
    """

    __constants__ = [*nn.Linear.__constants__, "group_size", "dynamic_activations"]
    # The buffers are not annotated: one annotated Optional[Tensor] is no buffer to TorchScript, nor in its state dict.

    @staticmethod
    @torch.no_grad()
    def quantize_weight(weight: Tensor, config: Config) -> dict[str, Tensor | None]:
        packed, scale, zero_point = torch.ops.torchao.int4_quantize(weight, config.group_size, config.symmetric)
        return {
            "weight_packed": packed,
            "weight_scale": scale,
            "weight_zero_point": None if config.symmetric else zero_point,
        }

    def _set_weight(self, config: Config, weight: dict[str, Tensor | None]) -> None:
        self.group_size = config.group_size
        self.dynamic_activations = isinstance(config, Int8DynamicActivationInt4WeightConfig)
        for name, tensor in weight.items():
            self.register_buffer(name, tensor)

    @property
    def weight(self) -> Tensor:
        return torch.ops.torchao.int4_dequantize(
            self.weight_packed, self.weight_scale, self.weight_zero_point, self.group_size, self.in_features
        )

    def forward(self, input: Tensor) -> Tensor:
        if self.dynamic_activations:
            return torch.ops.torchao.int4_dynamic_mm(
                input, self.weight_packed, self.weight_scale, self.weight_zero_point, self.group_size, self.bias
            )
        return torch.ops.torchao.int4_mm(
            input, self.weight_packed, self.weight_scale, self.weight_zero_point, self.group_size, self.bias
        )

    def _format_repr(self) -> str:
        symmetric = self.weight_zero_point is None
        return f"int4, group_size={self.group_size}, {symmetric=}, dynamic_activations={self.dynamic_activations}"


_LINEAR_CLASSES: dict[type, type[QuantLinear]] = {
    Int4WeightOnlyConfig: Int4Linear,
    Int8DynamicActivationInt4WeightConfig: Int4Linear,
}


def linear_class_of(config: Config) -> type[QuantLinear]:
    """The layer class that a config asks for.

    Raises:
        TypeError: it is not a config.
    """
    linear_class = _LINEAR_CLASSES.get(type(config))
    if linear_class is None:
        known = ", ".join(config_class.__name__ for config_class in _LINEAR_CLASSES)
        raise TypeError(f"config must be an alias string or one of {known}, but got {config!r}")
    return linear_class
