"""peft's LoRA over quantized layers. Nothing has to be called: the package sets it up when peft is imported.

peft takes a quantized layer for an nn.Linear, which it is, and trains adapters over it. Merging is what needs help: peft adds to the
tensor that `layer.weight` returns, which here is a fresh one.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from peft.tuners.lora import model
from peft.tuners.lora.layer import Linear
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from .linear import QuantLinear


class LoraQuantLinear(Linear):
    """peft's LoRA layer over a QuantLinear.

    merge() dequantizes the weight, adds the adapters and quantizes it again; unmerge() brings back the very weight of before.
    """

    _before_merge: dict[str, Tensor | None] | None = None

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        before, merged = dict(self.base_layer._buffers), len(self.merged_adapters)
        with self._dense_base() as dense:
            super().merge(safe_merge, adapter_names)
        if len(self.merged_adapters) > merged:
            self.base_layer.requantize_(dense.weight)
            self._before_merge = self._before_merge or before

    def unmerge(self) -> None:
        with self._dense_base():
            super().unmerge()
        if self._before_merge is not None:
            device = next(self.base_layer.buffers()).device
            for name, tensor in self._before_merge.items():
                self.base_layer._buffers[name] = None if tensor is None else tensor.to(device)
            self._before_merge = None

    @contextmanager
    def _dense_base(self) -> Iterator[nn.Linear]:
        """Puts a dense layer with the same weight and bias where peft looks for the base."""
        quantized = self.base_layer
        dense = nn.Linear(quantized.in_features, quantized.out_features, bias=False, device="meta")
        dense.weight = nn.Parameter(quantized.weight, requires_grad=False)
        dense.bias = quantized.bias
        self.base_layer = dense
        try:
            yield dense
        finally:
            self.base_layer = quantized


_dispatch_default = model.dispatch_default


def _dispatch(target: nn.Module, adapter_name: str, config, **options) -> nn.Module | None:
    """As peft's dispatch functions: the LoRA layer for a layer of ours, and for others what peft has."""
    base = target.get_base_layer() if isinstance(target, BaseTunerLayer) else target
    if isinstance(base, QuantLinear) and options.get("parameter_name") is None:
        return LoraQuantLinear(target, adapter_name, config=config, **options)
    return _dispatch_default(target, adapter_name, config, **options)


# peft has no registry: its list of dispatch functions is made of the names in this module.
model.dispatch_default = _dispatch
