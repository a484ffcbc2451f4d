"""The quantizer that diffusers' `from_pretrained` uses for a TorchAoOpsConfig. Importing this module registers both."""

import torch
from diffusers.configuration_utils import FrozenDict
from diffusers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING, AUTO_QUANTIZER_MAPPING
from diffusers.quantizers.base import DiffusersQuantizer
from torch import Tensor, nn

from ..config import Config
from ..linear import QuantLinear
from ..quantize import leave_fast_paths, quantize_
from .config import QuantMethod, TorchAoOpsConfig
from .layers import layers_to_quantize, to_dense_


class TorchAoOpsQuantizer(DiffusersQuantizer):
    """Quantizes a layer as soon as its weight has been read; or, where the checkpoint is quantized, before the weights are read."""

    use_keep_in_fp32_modules = True
    quantization_config: TorchAoOpsConfig

    def __init__(self, quantization_config: TorchAoOpsConfig, **kwargs) -> None:
        super().__init__(quantization_config, **kwargs)
        self._layers: dict[str, Config] = {}

    @property
    def is_serializable(self) -> bool:
        return True

    @property
    def is_trainable(self) -> bool:
        return True

    @property
    def is_compileable(self) -> bool:
        return True

    def _process_model_before_weight_loading(self, model: nn.Module, keep_in_fp32_modules: list[str] = (), **_) -> None:
        def config_of(name: str) -> Config | None:
            # As diffusers finds these.
            return (
                None if set(keep_in_fp32_modules) & set(name.split(".")) else self.quantization_config.config_of(name)
            )

        self._layers = layers_to_quantize(model, config_of)
        if self.pre_quantized:
            for name, config in self._layers.items():
                quantize_(model.get_submodule(name), config)

    def check_if_quantized_param(
        self, model: nn.Module, param_value: Tensor, param_name: str, state_dict: dict[str, Tensor], **_
    ) -> bool:
        owner, _, name = param_name.rpartition(".")
        return owner in self._layers and name != "bias"

    def create_quantized_param(
        self,
        model: nn.Module,
        param_value: Tensor,
        param_name: str,
        target_device: torch.device,
        state_dict: dict[str, Tensor],
        *_,
        **__,
    ) -> None:
        owner_name, _, name = param_name.rpartition(".")
        owner = model.get_submodule(owner_name)
        if self.pre_quantized:
            # Not param_value, which diffusers has converted to the dtype of the model: some scales are fp32 in any case.
            dtype = getattr(owner, name).dtype
            setattr(owner, name, state_dict[param_name].to(target_device, dtype))
        else:
            owner.weight = nn.Parameter(param_value.to(target_device), requires_grad=False)
            quantize_(owner, self._layers[owner_name])

    def _process_model_after_weight_loading(self, model: nn.Module, **_) -> nn.Module:
        leave_fast_paths(model)
        return model

    def _dequantize(self, model: nn.Module) -> nn.Module:
        for module in model.modules():
            if isinstance(module, QuantLinear):
                to_dense_(module)
        # diffusers would write it to the config of the dense checkpoint.
        model._internal_dict = FrozenDict({k: v for k, v in model.config.items() if k != "quantization_config"})
        return model


AUTO_QUANTIZATION_CONFIG_MAPPING[QuantMethod.TORCHAO_OPS.value] = TorchAoOpsConfig
AUTO_QUANTIZER_MAPPING[QuantMethod.TORCHAO_OPS.value] = TorchAoOpsQuantizer
