"""Files that the package gguf has written, laid out as llama.cpp's converter does; transformers reads them, too."""

import gguf
import numpy as np
import pytest
import torch
from tiny_llama import CONFIG, assert_same_weights, tiny_llama, weights_of
from torch import Tensor, nn
from torchao_ops import Int4Linear, Int8Linear, load_quantized
from transformers import LlamaForCausalLM

BLOCKS = CONFIG.num_hidden_layers


def permuted(weight: Tensor, heads: int) -> Tensor:
    """As llama.cpp has the rows of q and k: those of a head's two halves in turn."""
    return weight.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)


def write(
    path, model: LlamaForCausalLM, kind: str, architecture: str = "llama", left_out: tuple[str, ...] = ()
) -> None:
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(BLOCKS)
    writer.add_context_length(CONFIG.max_position_embeddings)
    writer.add_embedding_length(CONFIG.hidden_size)
    writer.add_feed_forward_length(CONFIG.intermediate_size)
    writer.add_head_count(CONFIG.num_attention_heads)
    writer.add_head_count_kv(CONFIG.num_key_value_heads)
    writer.add_layer_norm_rms_eps(CONFIG.rms_norm_eps)
    writer.add_rope_dimension_count(CONFIG.hidden_size // CONFIG.num_attention_heads)
    writer.add_vocab_size(CONFIG.vocab_size)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, BLOCKS)
    for name, weight in model.state_dict().items():
        theirs = names.get_name(name, try_suffixes=(".weight",))
        if theirs in left_out:
            continue
        if architecture == "llama" and "attn_q" in theirs:
            weight = permuted(weight, CONFIG.num_attention_heads)
        if architecture == "llama" and "attn_k" in theirs:
            weight = permuted(weight, CONFIG.num_key_value_heads)
        # The output is of another kind in llama.cpp's files, too.
        quantized = gguf.GGMLQuantizationType["Q4_1" if theirs == "output.weight" else kind]
        data = weight.numpy()
        if weight.dim() == 2 and kind not in ("F32", "F16"):
            writer.add_tensor(theirs, gguf.quants.quantize(data, quantized), raw_dtype=quantized)
        else:
            writer.add_tensor(theirs, data)
    writer.add_tensor("rope_freqs.weight", np.ones(8, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def rounded(weight: Tensor, kind: str) -> Tensor:
    quantized = gguf.GGMLQuantizationType[kind]
    return torch.from_numpy(gguf.quants.dequantize(gguf.quants.quantize(weight.numpy(), quantized), quantized))


@pytest.mark.parametrize("kind, linear_class", [("Q4_0", Int4Linear), ("Q8_0", Int8Linear)])
@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_a_model(kind, linear_class, architecture, tmp_path):
    theirs, ours = tiny_llama(), tiny_llama(seed=1)
    write(tmp_path / "a.gguf", theirs, kind, architecture)
    report = load_quantized(ours, tmp_path / "a.gguf")
    bits = 4 if kind == "Q4_0" else 8
    assert str(report).startswith(f"GGUF: 7 layers as int{bits}, group_size=32")
    assert report.dense == ("lm_head",)
    assert report.notes == (
        f"model.embed_tokens.weight was {kind} and is dequantized",
        "lm_head.weight was Q4_1 and is dequantized",
    )
    layer = ours.model.layers[0].self_attn.q_proj
    assert type(layer) is linear_class and layer.weight_scale.dtype == torch.float16
    expected = weights_of(theirs)
    for name, weight in expected.items():
        if weight.dim() == 2:
            in_scale_dtype = torch.float32 if name.startswith(("lm_head", "model.embed")) else torch.float16
            expected[name] = rounded(weight, "Q4_1" if name.startswith("lm_head") else kind).to(in_scale_dtype)
    assert_same_weights(ours, expected)


def test_transformers_reads_the_same_model(tmp_path):
    write(tmp_path / "a.gguf", tiny_llama(), "Q8_0")
    theirs = LlamaForCausalLM.from_pretrained(tmp_path, gguf_file="a.gguf", dtype=torch.float32)
    ours = tiny_llama(seed=1)
    load_quantized(ours, tmp_path / "a.gguf")
    ids = torch.arange(12)[None]
    with torch.no_grad():
        torch.testing.assert_close(ours(ids).logits, theirs(ids).logits, rtol=1e-3, atol=1e-4)


def test_names_of_other_architectures_are_given(tmp_path):
    write(tmp_path / "a.gguf", tiny_llama(), "Q8_0", architecture="starcoder")
    model = nn.ModuleDict({"up": nn.Linear(64, 96, bias=False)})
    with pytest.raises(
        ValueError, match="^load_quantized: the checkpoint must have all tensors of the model, but lacks up.weight$"
    ):
        load_quantized(model, tmp_path / "a.gguf")
    report = load_quantized(
        model,
        tmp_path / "a.gguf",
        rename=lambda name: "up.weight" if name == "blk.0.ffn_up.weight" else name,
        strict=False,
    )
    assert list(report.quantized) == ["up"] and len(report.unexpected) == 11
    assert torch.equal(model["up"].weight, rounded(tiny_llama().model.layers[0].mlp.up_proj.weight, "Q8_0").half())
