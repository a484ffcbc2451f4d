"""diffusers: from_pretrained with a TorchAoOpsConfig, on small random transformers and a whole pipeline."""

import json
from pathlib import Path

import diffusers
import numpy as np
import pytest
import reference
import tokenizers
import torch
import transformers
from diffusers import DiffusionPipeline, PipelineQuantizationConfig
from diffusers.quantizers import auto
from diffusers.utils import logging
from torch import Tensor, nn
from torchao_ops import Int4Linear, Int8Linear, QuantLinear, quantize_
from torchao_ops.config import _ALIASES
from torchao_ops.hf import TorchAoOpsConfig

logging.disable_progress_bar()
transformers.utils.logging.disable_progress_bar()


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def flux() -> diffusers.FluxTransformer2DModel:
    return diffusers.FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=4,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=[4, 4, 8],
    ).eval()


def cogvideox() -> diffusers.CogVideoXTransformer3DModel:
    return diffusers.CogVideoXTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        out_channels=4,
        time_embed_dim=2,
        text_embed_dim=8,
        num_layers=2,
        sample_width=8,
        sample_height=8,
        sample_frames=8,
        patch_size=2,
        temporal_compression_ratio=4,
        max_text_seq_length=8,
    ).eval()


def inputs_of(model: nn.Module) -> dict[str, Tensor]:
    if isinstance(model, diffusers.FluxTransformer2DModel):
        return {
            "hidden_states": torch.randn(1, 16, 16),
            "encoder_hidden_states": torch.randn(1, 8, 32),
            "pooled_projections": torch.randn(1, 32),
            "timestep": torch.tensor([1.0]),
            "img_ids": torch.zeros(16, 3),
            "txt_ids": torch.zeros(8, 3),
        }
    return {
        "hidden_states": torch.randn(1, 2, 4, 8, 8),
        "encoder_hidden_states": torch.randn(1, 8, 8),
        "timestep": torch.tensor([1]),
    }


@torch.no_grad()
def run(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    return model(**{k: x.to(model.dtype) if x.is_floating_point() else x for k, x in inputs.items()})[0]


def saved(model, path: Path, **options) -> Path:
    model.save_pretrained(path, **options)
    return path


def quantized_names(model: nn.Module) -> set[str]:
    return {name for name, module in model.named_modules() if isinstance(module, QuantLinear)}


@pytest.mark.parametrize("alias", _ALIASES)
@pytest.mark.filterwarnings("ignore:.*pruned by magnitude")
def test_every_alias_is_what_quantize_makes_and_survives_saving(alias, tmp_path):
    dense = flux().bfloat16()
    path = saved(dense, tmp_path / "dense")
    inputs = inputs_of(dense)
    model = type(dense).from_pretrained(path, quantization_config=TorchAoOpsConfig(alias), dtype=torch.bfloat16)
    expected = type(dense).from_pretrained(path, dtype=torch.bfloat16)
    quantize_(expected, alias)
    assert quantized_names(model) == quantized_names(expected)
    assert torch.equal(run(model, inputs), run(expected, inputs))
    reloaded = type(dense).from_pretrained(saved(model, tmp_path / "quantized"), dtype=torch.bfloat16)
    assert repr(reloaded) == repr(model)
    assert torch.equal(run(reloaded, inputs), run(model, inputs))


@pytest.mark.parametrize("make", [flux, cogvideox])
@pytest.mark.parametrize("alias", ["int4wo-32", "nf4"])
def test_a_transformer_survives_saving_in_shards_and_dequantizes(make, alias, tmp_path):
    dense = make()
    path = saved(dense, tmp_path / "dense")
    inputs = inputs_of(dense)
    model = type(dense).from_pretrained(path, quantization_config=TorchAoOpsConfig(alias))
    assert reference.relative_error(run(model, inputs), run(dense, inputs)) < 0.25
    saved(model, tmp_path / "quantized", max_shard_size="20KB")
    assert len(list((tmp_path / "quantized").glob("*.safetensors"))) > 1
    reloaded, info = type(dense).from_pretrained(tmp_path / "quantized", output_loading_info=True)
    assert not any(info.values())
    y = run(reloaded, inputs)
    assert torch.equal(y, run(model, inputs))

    reloaded.dequantize()
    assert not quantized_names(reloaded)
    assert reference.relative_error(run(reloaded, inputs), y) < 1e-5
    assert "quantization_config" not in json.loads((saved(reloaded, tmp_path / "again") / "config.json").read_text())
    # Dense products may differ in the last bit with where a weight lies in memory.
    assert reference.relative_error(run(type(dense).from_pretrained(tmp_path / "again"), inputs), y) < 1e-5


def test_scales_that_are_fp32_stay_so_in_a_bf16_model(tmp_path):
    path = saved(flux(), tmp_path / "dense")
    options = {"dtype": torch.bfloat16}
    config = TorchAoOpsConfig("nf4", double_quant=False)
    model = diffusers.FluxTransformer2DModel.from_pretrained(path, quantization_config=config, **options)
    reloaded = diffusers.FluxTransformer2DModel.from_pretrained(saved(model, tmp_path / "quantized"), **options)
    for one in (model, reloaded):
        assert one.proj_out.weight_absmax.dtype == torch.float32
        assert one.proj_out.bias.dtype == torch.bfloat16
    assert torch.equal(reloaded.proj_out.weight_absmax, model.proj_out.weight_absmax)


def test_modules_to_not_convert_and_module_configs(tmp_path):
    path = saved(flux(), tmp_path / "dense")
    config = TorchAoOpsConfig(
        "int8wo", modules_to_not_convert=["proj_out"], module_configs={r"transformer_blocks\.\d+\.ff": "int4wo-32"}
    )
    model = diffusers.FluxTransformer2DModel.from_pretrained(path, quantization_config=config)
    assert type(model.proj_out) is nn.Linear
    assert type(model.x_embedder) is Int8Linear
    assert type(model.transformer_blocks[0].ff.net[2]) is Int4Linear
    reloaded = diffusers.FluxTransformer2DModel.from_pretrained(saved(model, tmp_path / "quantized"))
    assert repr(reloaded) == repr(model)


# ---- a pipeline ----


def tokenizer(max_length: int) -> transformers.PreTrainedTokenizerFast:
    words = {word: i for i, word in enumerate(("<pad>", "<unk>", "</s>", "a", "cat", "in", "the", "rain"))}
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    model.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=model, pad_token="<pad>", unk_token="<unk>", eos_token="</s>", model_max_length=max_length
    )


@pytest.fixture(scope="module")
def pipeline_path(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    clip = transformers.CLIPTextConfig(
        hidden_size=32, intermediate_size=48, num_attention_heads=4, num_hidden_layers=2, vocab_size=100, eos_token_id=2
    )
    t5 = transformers.T5Config(d_model=32, d_ff=64, d_kv=8, num_heads=4, num_layers=2, vocab_size=100)
    pipeline = diffusers.FluxPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=diffusers.AutoencoderKL(
            sample_size=32,
            block_out_channels=(8,),
            latent_channels=4,
            norm_num_groups=1,
            use_quant_conv=False,
            use_post_quant_conv=False,
            shift_factor=0.06,
            scaling_factor=1.5,
        ),
        text_encoder=transformers.CLIPTextModel(clip),
        tokenizer=tokenizer(77),
        text_encoder_2=transformers.T5EncoderModel(t5),
        tokenizer_2=tokenizer(16),
        transformer=flux(),
    )
    return saved(pipeline, tmp_path_factory.mktemp("pipeline"))


def image(pipeline: DiffusionPipeline) -> np.ndarray:
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    options = {"height": 16, "width": 16, "num_inference_steps": 2, "max_sequence_length": 16, "output_type": "np"}
    return pipeline("a cat in the rain", generator=generator, **options).images[0]


@pytest.mark.parametrize(
    "config",
    [
        PipelineQuantizationConfig(
            quant_backend="torchao_ops",
            quant_kwargs={"quant_type": "int8_weight_only"},
            components_to_quantize=["transformer", "text_encoder_2"],
        ),
        PipelineQuantizationConfig(
            quant_mapping={
                "transformer": TorchAoOpsConfig("int8dq"),
                "text_encoder_2": TorchAoOpsConfig("int4_weight_only", group_size=32),
            }
        ),
    ],
    ids=["quant_backend", "quant_mapping"],
)
def test_a_pipeline_makes_an_image_beside_the_one_in_bf16(config, pipeline_path, tmp_path):
    dense = image(DiffusionPipeline.from_pretrained(pipeline_path, dtype=torch.bfloat16))
    pipeline = DiffusionPipeline.from_pretrained(pipeline_path, quantization_config=config, dtype=torch.bfloat16)
    assert len(quantized_names(pipeline.transformer)) > 20
    # T5 keeps its wo in fp32.
    assert len(quantized_names(pipeline.text_encoder_2)) == 10
    assert not quantized_names(pipeline.text_encoder)
    quantized = image(pipeline)
    assert quantized.shape == (16, 16, 3)
    # An image, not one color; and the same one, but not to the bit.
    assert quantized.std() > 0.1
    assert 0 < np.abs(quantized - dense).mean() < 0.02
    assert np.corrcoef(quantized.ravel(), dense.ravel())[0, 1] > 0.99

    reloaded = DiffusionPipeline.from_pretrained(saved(pipeline, tmp_path), dtype=torch.bfloat16)
    assert np.array_equal(image(reloaded), quantized)


def test_without_this_package_diffusers_names_it(tmp_path, monkeypatch):
    path = saved(flux(), tmp_path / "dense")
    model = diffusers.FluxTransformer2DModel.from_pretrained(path, quantization_config=TorchAoOpsConfig("int8wo"))
    saved(model, tmp_path / "quantized")
    monkeypatch.delitem(auto.AUTO_QUANTIZATION_CONFIG_MAPPING, "torchao_ops")
    with pytest.raises(ValueError, match="Unknown quantization type, got torchao_ops"):
        diffusers.FluxTransformer2DModel.from_pretrained(tmp_path / "quantized")
