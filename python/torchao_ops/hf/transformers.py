"""The quantizer that transformers' `from_pretrained` uses for a TorchAoOpsConfig. Importing this module registers both."""

import copy
import re

import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from transformers.core_model_loading import ConversionOps, WeightConverter, WeightTransform
from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING, register_quantizer
from transformers.quantizers.base import HfQuantizer
from transformers.utils import logging

from ..config import Config
from ..linear import QuantLinear, linear_class_of
from ..quantize import leave_fast_paths, quantize_
from .config import QuantMethod, TorchAoOpsConfig
from .experts import IMPLEMENTATION, expert_weights, experts_to_dense_, quantize_experts_
from .layers import layers_to_quantize, to_dense_

_logger = logging.get_logger("transformers.torchao_ops")


class TorchAoOpsQuantizer(HfQuantizer):
    """Quantizes a layer as soon as its weight has been read; or, where the checkpoint is quantized, before the weights are read."""

    quantization_config: TorchAoOpsConfig

    def __init__(self, quantization_config: TorchAoOpsConfig, **kwargs) -> None:
        # What stays dense is added to it, and it may be in use for other models.
        super().__init__(copy.deepcopy(quantization_config), **kwargs)
        self._layers: dict[str, Config] = {}
        self._experts: dict[str, Config] = {}
        self._experts_implementations: list[tuple[object, str | None]] = []
        self._loaded: set[str] = set()
        self._default_skips: list[str] = []

    # ---- what transformers asks ----

    def is_serializable(self) -> bool:
        return True

    @property
    def is_trainable(self) -> bool:
        return True

    @property
    def is_compileable(self) -> bool:
        return True

    def param_needs_quantization(self, model: nn.Module, param_name: str, **_) -> bool:
        return not self.pre_quantized and self._config_of_parameter(param_name) is not None

    def param_element_size(self, model: nn.Module, param_name: str, param: Tensor) -> float:
        config = self._config_of_parameter(param_name)
        if config is None or self.pre_quantized:
            return param.element_size()
        weight = torch.empty(param.shape[-2:], dtype=param.dtype, device="meta")
        quantized = linear_class_of(config).quantize_weight(weight, config)
        return sum(tensor.nbytes for tensor in quantized.values() if tensor is not None) / weight.numel()

    def get_quantize_ops(self) -> ConversionOps:
        return _Quantize(self)

    def get_new_dtype(self, converter: WeightTransform, param: Tensor, dtype: torch.dtype | None) -> torch.dtype | None:
        # Called with everything that is in a quantized checkpoint: this is how to know what is not.
        self._loaded.update(converter.target_patterns)
        return super().get_new_dtype(converter, param, dtype)

    # ---- from_pretrained ----

    def _process_model_before_weight_loading(
        self, model: nn.Module, checkpoint_files: list[str] | None = None, **_
    ) -> None:
        self._choose(model)
        for name in self._experts:
            # The config is that of a whole model.
            model_config = model.get_submodule(name.rpartition(".")[0]).config
            if model_config._experts_implementation != IMPLEMENTATION:
                self._experts_implementations.append((model_config, model_config._experts_implementation))
                model_config._experts_implementation = IMPLEMENTATION
        if self.pre_quantized:
            for name in (*(f"{name}.weight" for name in self._layers), *self._experts):
                self.quantize_(model, name)
            self._expect_input_scales(model, checkpoint_files or [])

    def _choose(self, model: nn.Module) -> None:
        """Decides which layers and experts to quantize, and says which experts it cannot."""
        config, prefix = self.quantization_config, f"{model.base_model_prefix}."
        if config.modules_to_not_convert is None:
            self._default_skips = self.get_modules_to_not_convert(model)
        dense = [*self._default_skips, *(model._keep_in_fp32_modules or ())]

        def config_of(name: str) -> Config | None:
            # Patterns may be those of the model with a head, or of that without.
            return config.config_of(name, name.removeprefix(prefix), prefix + name, dense=dense)

        # Tied weights are not tied yet.
        tied = {name for pair in model.all_tied_weights_keys.items() for name in pair}
        layers = layers_to_quantize(model, config_of)
        self._layers = {name: layer for name, layer in layers.items() if f"{name}.weight" not in tied}
        experts = expert_weights(model)
        self._experts = {name: chosen for name in experts if (chosen := config_of(name)) is not None}
        left = [
            name
            for name, parameter in model.named_parameters()
            if parameter.dim() == 3
            and min(parameter.shape) > 1
            and name not in experts
            and not isinstance(model.get_submodule(name.rpartition(".")[0]), _ConvNd)
            and config_of(name) is not None
        ]
        if left:
            _logger.warning(
                f"torchao_ops: {len(left)} parameters with three dimensions stay dense (experts of a layout that cannot be quantized, perhaps): "
                f"{', '.join(left[:3])}{', ...' if len(left) > 3 else ''}"
            )

    def quantize_(self, model: nn.Module, name: str) -> None:
        """Quantizes the layer, or the experts, whose weight has this name."""
        owner_name, _, parameter_name = name.rpartition(".")
        owner, config = model.get_submodule(owner_name), self._config_of_parameter(name)
        if name in self._experts:
            quantize_experts_(owner, parameter_name, config)
            quantized = getattr(owner, parameter_name)
        else:
            quantize_(owner, config)
            quantized = [owner]
        for layer in quantized:
            # transformers has nothing to fill with random numbers, except for a bias that the checkpoint lacks.
            layer._is_hf_initialized = (
                self.pre_quantized or layer.bias is None or hasattr(layer.bias, "_is_hf_initialized")
            )

    def _expect_input_scales(self, model: nn.Module, checkpoint_files: list[str]) -> None:
        """Which layers were smoothed is the checkpoint's to say."""
        smoothed = set()
        for path in checkpoint_files:
            if path.endswith(".safetensors"):
                with safe_open(path, framework="pt") as file:
                    smoothed.update(
                        key.removesuffix(".input_scale") for key in file.keys() if key.endswith(".input_scale")
                    )
        prefix = f"{model.base_model_prefix}."
        for name in self._layers:
            if smoothed & {name, name.removeprefix(prefix), prefix + name}:
                layer = model.get_submodule(name)
                layer.input_scale = torch.empty(layer.in_features, dtype=model.dtype, device="meta")

    def _process_model_after_weight_loading(self, model: nn.Module, **_) -> nn.Module:
        if self.pre_quantized:
            self._make_missing_layers_dense(model)
        self._note_dense_layers(model)
        leave_fast_paths(model)
        # Saving would take the experts for those of a dense model, and cut them up.
        model._weight_conversions = [
            conversion for conversion in model._weight_conversions if not self._is_of_experts(conversion)
        ]
        return model

    @torch.no_grad()
    def _make_missing_layers_dense(self, model: nn.Module) -> None:
        """A head that the checkpoint does not have is new: dense, and initialized to be trained."""
        for name in (*self._layers, *self._experts):
            layer = model.get_submodule(name)
            names = {f"{name}.{key}" for key in layer.state_dict()} - model.all_tied_weights_keys.keys()
            missing = sorted(names - self._loaded)
            if missing and (len(missing) < len(names) or name in self._experts):
                config = self._layers.get(name) or self._experts[name]
                raise ValueError(
                    f"torchao_ops: a checkpoint with {config} must have {', '.join(missing)}, but it does not"
                )
            if missing:
                to_dense_(layer, model.dtype)
                model._init_weights(layer)

    def _note_dense_layers(self, model: nn.Module) -> None:
        """Keeps layers dense, in checkpoints to come, that are so because the present one does not have them."""
        dense = [name for name in self._layers if not isinstance(model.get_submodule(name), QuantLinear)]
        if dense:
            config = self.quantization_config
            config.modules_to_not_convert = [*(config.modules_to_not_convert or self._default_skips), *dense]

    def _is_of_experts(self, conversion: WeightTransform) -> bool:
        return isinstance(conversion, WeightConverter) and any(
            re.search(target, name) for target in conversion.target_patterns for name in self._experts
        )

    def _config_of_parameter(self, name: str) -> Config | None:
        owner, _, parameter = name.rpartition(".")
        return self._experts.get(name) or (self._layers.get(owner) if parameter == "weight" else None)

    def _dequantize(self, model: nn.Module, dtype: torch.dtype | str) -> nn.Module:
        # save_pretrained leaves a string in the model's config.
        dtype = getattr(torch, dtype) if isinstance(dtype, str) else dtype
        for name in self._experts:
            owner_name, _, parameter_name = name.rpartition(".")
            experts_to_dense_(model.get_submodule(owner_name), parameter_name, dtype)
        for model_config, implementation in self._experts_implementations:
            model_config._experts_implementation = implementation
        for module in model.modules():
            if isinstance(module, QuantLinear):
                to_dense_(module, dtype)
        return model


class _Quantize(ConversionOps):
    """Runs when transformers has the weight of a layer, and instead of putting it there quantizes it."""

    def __init__(self, quantizer: TorchAoOpsQuantizer) -> None:
        self._quantizer = quantizer

    def convert(
        self,
        input_dict: dict[str, Tensor | list[Tensor]],
        *,
        model: nn.Module,
        full_layer_name: str,
        missing_keys: set[str],
        **_,
    ) -> dict[str, Tensor]:
        (weight,) = input_dict.values()
        owner_name, _, parameter_name = full_layer_name.rpartition(".")
        weight = weight[0] if isinstance(weight, list) else weight
        setattr(model.get_submodule(owner_name), parameter_name, nn.Parameter(weight, requires_grad=False))
        self._quantizer.quantize_(model, full_layer_name)
        missing_keys.discard(full_layer_name)
        return {}


# Not register_quantization_config, which wants a subclass of a class of transformers: diffusers takes the same config.
AUTO_QUANTIZATION_CONFIG_MAPPING[QuantMethod.TORCHAO_OPS.value] = TorchAoOpsConfig
register_quantizer(QuantMethod.TORCHAO_OPS.value)(TorchAoOpsQuantizer)
