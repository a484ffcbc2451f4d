"""NF4 weights as values: quantize a tensor, multiply by it, and take over what bitsandbytes and torchao have quantized."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

# What bitsandbytes and torchao's papers use: the absmax of 256 blocks share a scale.
NESTED_BLOCK_SIZE = 256


@dataclass(frozen=True)
class NF4Weight:
    """A quantized tensor of any shape, in the tensors that `nf4_mm` and `nf4_dequantize` take (their docstrings say what each is).

    absmax is a plain float, or uint8 with absmax_code, nested_absmax and absmax_offset (double quantization).
    """

    packed: Tensor
    absmax: Tensor
    shape: tuple[int, ...]
    block_size: int
    dtype: torch.dtype
    absmax_code: Tensor | None = None
    nested_absmax: Tensor | None = None
    absmax_offset: Tensor | None = None
    nested_block_size: int = NESTED_BLOCK_SIZE

    def dequantize(self, dtype: torch.dtype | None = None) -> Tensor:
        """The tensor, in `dtype` or that of the tensor that was quantized."""
        return torch.ops.torchao.nf4_dequantize(
            self.packed,
            self.absmax,
            self.shape,
            self.block_size,
            dtype or self.dtype,
            self.absmax_code,
            self.nested_absmax,
            self.absmax_offset,
            self.nested_block_size,
        )

    @staticmethod
    def from_bitsandbytes(state_dict: Mapping[str, Tensor], name: str = "weight") -> "NF4Weight":
        """A weight as bitsandbytes' Linear4bit saves it: `name`, `name.absmax`, `name.quant_map`, `name.quant_state.*`, ....

        The tensors are taken as they are.

        Raises:
            ValueError: a tensor is missing, or the weight is not NF4.
        """
        state_name = f"{name}.quant_state.bitsandbytes__nf4"
        if state_name not in state_dict:
            raise ValueError(f"from_bitsandbytes: the state dict must have {state_name}, but it has not: no NF4 weight")
        state = json.loads(bytes(state_dict[state_name].tolist()))
        nested = "nested_blocksize" in state
        names = [name, f"{name}.absmax", f"{name}.quant_map"]
        names += [f"{name}.nested_absmax", f"{name}.nested_quant_map"] if nested else []
        missing = [wanted for wanted in names if wanted not in state_dict]
        if missing:
            raise ValueError(f"from_bitsandbytes: the state dict must have {missing[0]}, but it has not")
        packed, absmax, code, *rest = (state_dict[wanted] for wanted in names)
        if not torch.equal(code.cpu().float(), nf4_code()):
            raise ValueError(
                f"from_bitsandbytes: {name}.quant_map must be the 16 numbers of NF4, but got {code.tolist()}"
            )
        weight = NF4Weight(
            packed.flatten(), absmax, tuple(state["shape"]), state["blocksize"], getattr(torch, state["dtype"])
        )
        if not nested:
            return weight
        nested_absmax, absmax_code = rest
        offset = torch.tensor(state["nested_offset"], dtype=torch.float32, device=packed.device)
        return replace(
            weight,
            absmax_code=absmax_code,
            nested_absmax=nested_absmax,
            absmax_offset=offset,
            nested_block_size=state["nested_blocksize"],
        )

    @staticmethod
    def from_torchao(tensor: Tensor) -> "NF4Weight":
        """A torchao NF4Tensor. Its scales, which torchao rounds to 8 bits in another way, are taken over as plain numbers."""
        absmax = tensor.dequantize_scalers(
            tensor.quantized_scalers, tensor.quantization_factor, tensor.scaler_block_size
        )
        return NF4Weight(
            tensor.quantized_data.flatten(), absmax.flatten(), tuple(tensor.shape), tensor.block_size, tensor.dtype
        )


def nf4_code() -> Tensor:
    """The 16 numbers that the codes stand for, fp32."""
    codes = torch.arange(0, 16, dtype=torch.uint8, device="cpu")
    packed = codes[0::2] << 4 | codes[1::2]
    return torch.ops.torchao.nf4_dequantize(packed, torch.ones(1, device="cpu"), [16], 32)


@torch.no_grad()
def to_nf4(tensor: Tensor, block_size: int = 64, nested_block_size: int | None = NESTED_BLOCK_SIZE) -> NF4Weight:
    """Rounds a tensor to NF4.

    Args:
        tensor: any shape, fp32, fp16 or bf16.
        block_size: how many elements of the flattened tensor share a scale; a power of two from 32 on.
        nested_block_size: how many scales share a scale of theirs, in double quantization; None: they stay fp32.

    Raises:
        RuntimeError: as `nf4_quantize`.
    """
    packed, absmax = torch.ops.torchao.nf4_quantize(tensor, block_size)
    weight = NF4Weight(packed, absmax, tuple(tensor.shape), block_size, tensor.dtype)
    if nested_block_size is None:
        return weight
    codes, absmax_code, nested_absmax, offset = torch.ops.torchao.nf4_quantize_absmax(absmax, nested_block_size)
    return replace(
        weight,
        absmax=codes,
        absmax_code=absmax_code,
        nested_absmax=nested_absmax,
        absmax_offset=offset,
        nested_block_size=nested_block_size,
    )


def linear_nf4(input: Tensor, weight: NF4Weight, bias: Tensor | None = None) -> Tensor:
    """input @ weight.T + bias, differentiable in input and bias; the weight [N, K] is never dequantized as a whole."""
    return torch.ops.torchao.nf4_mm(
        input,
        weight.packed,
        weight.absmax,
        weight.shape[0],
        weight.block_size,
        bias,
        weight.absmax_code,
        weight.nested_absmax,
        weight.absmax_offset,
        weight.nested_block_size,
    )
