"""GGUF: Q4_0 becomes int4 with groups of 32, Q8_0 int8 with groups of 32. What else is there is dequantized by the package gguf.

Tensors get transformers' names where llama.cpp's converter does no more than rename them, and permute rows of q and k.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..int4_codes import pack_nibbles
from .checkpoint import Checkpoint
from .layer import ImportedLayer, int4_layer, int8_layer

NAME = "GGUF"
_FORMAT_KEY = "gguf.architecture"
_GROUP_SIZE = 32
_SCALE_BYTES = 2

# llama.cpp turns the halves of each head's rows, which rotary embeddings pair, into neighbours.
_PERMUTES_HEADS = "llama"
_ARCHITECTURES = (_PERMUTES_HEADS, "qwen2", "qwen3")
_MODULES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_MODULES_OF_BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
# What llama.cpp computes its rotary embeddings from; transformers has its config for that.
_NOT_OF_THE_MODEL = ("rope_freqs.weight",)


@dataclass(frozen=True)
class Blocks:
    """A quantized tensor as it stands in the file; bytes uint8 [N, bytes of a row]."""

    bytes: Tensor
    kind: str
    shape: tuple[int, ...]

    def dequantize(self) -> Tensor:
        import gguf

        kind = gguf.GGMLQuantizationType[self.kind]
        return torch.from_numpy(gguf.quants.dequantize(self.bytes.numpy(), kind)).view(self.shape)


def read(file: Path) -> Checkpoint:
    try:
        import gguf
    except ImportError:
        raise ImportError(f"load_quantized: the package gguf must be installed to read {file}, but is not") from None
    reader = gguf.GGUFReader(file)
    architecture = reader.get_field("general.architecture").contents()
    tensors: dict[str, Any] = {}
    for tensor in reader.tensors:
        if tensor.name in _NOT_OF_THE_MODEL:
            continue
        data = torch.from_numpy(tensor.data.copy())
        if architecture == _PERMUTES_HEADS:
            data = _heads_in_halves(data, tensor.name, reader)
        if tensor.tensor_type.name not in ("F32", "F16"):
            data = Blocks(data, tensor.tensor_type.name, tuple(int(size) for size in reversed(tensor.shape)))
        tensors[_name(tensor.name, architecture)] = data
    return Checkpoint(tensors, metadata={_FORMAT_KEY: architecture})


def _name(name: str, architecture: str) -> str:
    """As transformers calls it."""
    if architecture not in _ARCHITECTURES:
        return name
    match = re.fullmatch(r"(?:blk\.(?P<block>\d+)\.)?(?P<module>\w+)\.(?P<kind>weight|bias)", name)
    module = match and (_MODULES if match["block"] is None else _MODULES_OF_BLOCK).get(match["module"])
    if not module:
        return name
    layer = "" if match["block"] is None else f"model.layers.{match['block']}."
    return f"{layer}{module}.{match['kind']}"


def _heads_in_halves(rows: Tensor, name: str, reader: Any) -> Tensor:
    counts = {".attn_q.": "head_count", ".attn_k.": "head_count_kv"}
    for part, key in counts.items():
        if part in name:
            heads = int(reader.get_field(f"{_PERMUTES_HEADS}.attention.{key}").contents())
            return rows.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2)
    return rows


def recognizes(checkpoint: Checkpoint) -> bool:
    return _FORMAT_KEY in checkpoint.metadata


def layers(checkpoint: Checkpoint, linears: Mapping[str, nn.Linear]) -> dict[str, ImportedLayer]:
    found = {}
    for module in checkpoint.modules_with("weight"):
        blocks = checkpoint.peek(module, "weight")
        if isinstance(blocks, Blocks) and blocks.kind in _READERS and module in linears:
            found[module] = _READERS[blocks.kind](checkpoint.take(module, "weight"))
    for name, value in checkpoint.tensors.items():
        if isinstance(value, Blocks):
            checkpoint.tensors[name] = value.dequantize()
            checkpoint.notes.append(f"{name} was {value.kind} and is dequantized")
    return found


def _scale_and_codes(blocks: Blocks) -> tuple[Tensor, Tensor]:
    """[N, G] and the bytes of the codes [N, G, bytes of a block]."""
    in_blocks = blocks.bytes.unflatten(1, (blocks.shape[1] // _GROUP_SIZE, -1))
    scale = in_blocks[..., :_SCALE_BYTES].contiguous().view(torch.float16).squeeze(-1)
    return scale, in_blocks[..., _SCALE_BYTES:]


def _q4_0(blocks: Blocks) -> ImportedLayer:
    """Byte i of a block has element i in its low nibble and element i + 16 in the high one."""
    scale, packed = _scale_and_codes(blocks)
    codes = torch.cat((packed & 0xF, packed >> 4), dim=-1).flatten(1)
    return int4_layer(pack_nibbles(codes), scale, None, _GROUP_SIZE, blocks.shape[1])


def _q8_0(blocks: Blocks) -> ImportedLayer:
    scale, codes = _scale_and_codes(blocks)
    return int8_layer(codes.contiguous().view(torch.int8).flatten(1), scale, _GROUP_SIZE)


_READERS = {"Q4_0": _q4_0, "Q8_0": _q8_0}
