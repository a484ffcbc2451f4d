"""Makes tests/py/checkpoints/*.safetensors: weights packed by GPTQModel's and AutoAWQ's own code, and what that code dequantizes them to.

Both come as source only, ask for other versions of torch and transformers, and quantize whole models on a GPU; but their layers pack and dequantize
on a CPU. So their sources are unpacked and put on the path, with those of their dependencies that are asked for:

    pip download --no-deps --no-binary :all: gptqmodel==7.7.0 autoawq==0.2.9    # then tar xzf; each in a process of its own
    GPTQMODEL_DISABLE_PACK_EXT=1 PYTHONPATH=gptqmodel-7.7.0 python make_checkpoints.py gptq
    PYTHONPATH=autoawq-0.2.9 python make_checkpoints.py awq
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

FOLDER = Path(__file__).parent / "checkpoints"
# (N, K): as small as their packers take.
SHAPE = (32, 128)
GROUP_SIZE = 32


def rounded(weight: Tensor, bits: int, symmetric: bool, group_size: int) -> tuple[Tensor, Tensor]:
    """fp16 scale and zero point [N, G]. Some zero points are 0: where no weight of a group is negative."""
    groups = weight.unflatten(1, (-1, group_size))
    high, low = groups.amax(-1).clamp(min=0), groups.amin(-1).clamp(max=0)
    largest = 2**bits - 1
    if symmetric:
        scale = torch.maximum(high, -low) * 2 / largest
        return scale.half().float(), torch.full_like(scale, 2 ** (bits - 1))
    scale = ((high - low) / largest).half().float()
    return scale, (-low / scale).round().clamp(0, largest)


def random_linear(bias: bool) -> nn.Linear:
    out_features, in_features = SHAPE
    linear = nn.Linear(in_features, out_features, bias=bias)
    with torch.no_grad():
        linear.weight[:3, :GROUP_SIZE].abs_()
    return linear


def gptq() -> dict[str, Tensor]:
    from gptqmodel.nn_modules.qlinear.torch import TorchLinear
    from gptqmodel.quantization.config import FORMAT, QuantizeConfig
    from gptqmodel.utils.model import convert_gptq_v2_to_v1_format_module

    cases = {
        "sym_v1": {},
        "sym_v2": {"format": "gptq_v2"},
        "asym_v1": {"symmetric": False},
        "asym_v2": {"symmetric": False, "format": "gptq_v2", "bias": True},
        "channel_v1": {"group_size": SHAPE[1]},
        "int8_v1": {"bits": 8},
        "act_order_v1": {"act_order": True},
    }
    tensors = {}
    for name, case in cases.items():
        bits, group_size = case.get("bits", 4), case.get("group_size", GROUP_SIZE)
        symmetric, act_order = case.get("symmetric", True), case.get("act_order", False)
        linear = random_linear(case.get("bias", False))
        scale, zero_point = rounded(linear.weight.detach(), bits, symmetric, group_size)
        g_idx = torch.arange(SHAPE[1], dtype=torch.int32) // group_size
        if act_order:
            g_idx = g_idx[torch.randperm(SHAPE[1])]
        layer = TorchLinear(
            bits,
            group_size,
            symmetric,
            act_order,
            SHAPE[1],
            SHAPE[0],
            bias=linear.bias is not None,
            register_buffers=True,
        )
        layer.pack_block(linear, scale, zero_point, g_idx)
        tensors[f"{name}.expected"] = layer.dequantize_weight().T
        if case.get("format") != "gptq_v2":
            convert_gptq_v2_to_v1_format_module(
                layer, QuantizeConfig(bits=bits, group_size=group_size, format=FORMAT.GPTQ)
            )
        for key in ("qweight", "qzeros", "scales", "g_idx") + (("bias",) if linear.bias is not None else ()):
            tensors[f"{name}.{key}"] = getattr(layer, key)
    return tensors


def awq() -> dict[str, Tensor]:
    from awq.modules.linear.gemm import WQLinear_GEMM
    from awq.utils.packing_utils import dequantize_gemm

    tensors = {}
    for name, group_size, bias in (("grouped", GROUP_SIZE, False), ("channel", SHAPE[1], True)):
        linear = random_linear(bias).half()
        scale, zero_point = rounded(linear.weight.detach().float(), 4, False, group_size)
        layer = WQLinear_GEMM.from_linear(
            linear, 4, group_size, scales=scale.T.contiguous().half(), zeros=zero_point.T.contiguous().half()
        )
        expected = dequantize_gemm(layer.qweight, layer.qzeros, layer.scales, 4, group_size)
        tensors[f"{name}.expected"] = expected.T
        for key in ("qweight", "qzeros", "scales") + (("bias",) if bias else ()):
            tensors[f"{name}.{key}"] = getattr(layer, key)
    return tensors


if __name__ == "__main__":
    torch.manual_seed(0)
    kind = sys.argv[1]
    made = {"gptq": gptq, "awq": awq}[kind]()
    save_file({name: tensor.detach().contiguous() for name, tensor in made.items()}, FOLDER / f"{kind}.safetensors")
