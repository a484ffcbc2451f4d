"""The modules that are run as `python -m torchao_ops.NAME`, on small shapes, and the Llama that one of them measures."""

import json
import os
import subprocess
import sys

import pytest
import torch
import torchao_ops
from helpers import run_python
from torchao_ops import bench, generate, info
from torchao_ops._command_line import config_names
from torchao_ops._llama import Llama, LlamaShape
from torchao_ops.linear import config_classes

SHAPE = LlamaShape(layers=2, dim=128, vocabulary=50)
GENERATE = "--layers 2 --dim 128 --vocabulary 50 --prompt-tokens 5 --new-tokens 4 --samples 1 --threads 1".split()
BENCH = "--shapes 32x48 --seconds 0.001 --threads 1 --warm".split()


def llama(max_tokens: int = 9, dtype: torch.dtype = torch.float32) -> Llama:
    return Llama.random(SHAPE, max_tokens, torch.device("cpu"), dtype)


@torch.no_grad()
def test_the_llama_computes_what_transformers_computes():
    from transformers import LlamaConfig, LlamaForCausalLM  # takes seconds, which the other tests need not wait for

    ours = llama()
    theirs = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=SHAPE.vocabulary,
            hidden_size=SHAPE.dim,
            intermediate_size=SHAPE.hidden,
            num_hidden_layers=SHAPE.layers,
            num_attention_heads=SHAPE.heads,
            num_key_value_heads=SHAPE.kv_heads,
            rms_norm_eps=1e-5,
        )
    ).eval()
    names = {
        "query": "self_attn.q_proj",
        "key": "self_attn.k_proj",
        "value": "self_attn.v_proj",
        "out": "self_attn.o_proj",
        "gate": "mlp.gate_proj",
        "up": "mlp.up_proj",
        "down": "mlp.down_proj",
        "attention_norm": "input_layernorm",
        "mlp_norm": "post_attention_layernorm",
    }
    for i, layer in enumerate(ours.layers):
        for name, their_name in names.items():
            # Larger than generate's: what attention does must be seen in the logits.
            getattr(layer, name).weight.normal_(std=0.2)
            theirs.get_parameter(f"model.layers.{i}.{their_name}.weight").copy_(getattr(layer, name).weight)
    theirs.model.embed_tokens.weight.copy_(ours.embedding.weight)
    theirs.model.norm.weight.copy_(ours.norm.weight)
    theirs.lm_head.weight.copy_(ours.head.weight)

    tokens = torch.randint(0, SHAPE.vocabulary, (1, 9))
    expected = theirs(tokens).logits[0]
    torch.testing.assert_close(ours(tokens[:, :6], torch.arange(6))[0], expected[5])
    for i in range(6, 9):  # one by one, on the cache
        torch.testing.assert_close(ours(tokens[:, i : i + 1], torch.tensor([i]))[0], expected[i])


@torch.no_grad()
def test_generate_continues_greedily():
    model, prompt = llama(), torch.tensor([[3, 1, 4, 1, 5]])
    tokens, prompt_seconds, seconds = generate.generate(
        model, lambda token, position: generate.next_token(model, token, position), prompt, 4
    )
    whole = torch.cat([prompt, tokens], dim=1)
    for i in range(5, 9):
        assert llama()(whole[:, :i], torch.arange(i)).argmax() == whole[0, i]
    assert prompt_seconds > 0 and seconds > 0


def test_random_llamas_are_equal_and_of_their_dtype():
    one, other = (llama(dtype=torch.bfloat16) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert {parameter.dtype for parameter in one.parameters()} == {torch.bfloat16}
    assert one.rotations.dtype == torch.float32 and torch.equal(one.rotations[:, 0, 0], torch.tensor([1.0, 0.0]))


def test_shapes_of_llamas():
    """TinyLlama-1.1B: 32 heads, 4 of keys and values, and a hidden size of 5632."""
    assert (LlamaShape().heads, LlamaShape().kv_heads, LlamaShape().hidden) == (32, 4, 5632)
    with pytest.raises(ValueError, match="LlamaShape: dim must be a multiple of 64, but got 100"):
        LlamaShape(dim=100)
    with pytest.raises(ValueError, match="LlamaShape: layers must be at least 1, but got 0"):
        LlamaShape(layers=0)


def test_generate_measures_every_format(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.modules["torchao_ops.autoquant"], "_SECONDS_PER_TRIAL", 0)
    results = generate.main(
        [*GENERATE, "--json", f"{tmp_path}/r.json", "--plot", f"{tmp_path}/r.png", "--dtype=float32"]
    )
    assert [result.format for result in results] == ["dense", *config_names(), "autoquant"]
    assert all(result.tokens_per_second > 0 and result.prompt_seconds > 0 for result in results)
    dense, int4 = results[0], next(result for result in results if result.format == "int4wo-128")
    assert dense.streamed_bytes == dense.model_bytes - 50 * 128 * 4
    assert dense.cache_bytes == 2 * 2 * 9 * 64 * 4  # keys and values, layers, tokens, one head of 64 floats
    # Linear layers: 4 bits and two scales for 128 weights.
    linear = 4 * sum(layer.weight.numel() for layer in llama().modules() if isinstance(layer, torch.nn.Linear))
    assert dense.model_bytes - int4.model_bytes == pytest.approx(linear * (1 - 4.5 / 32), rel=0.01)
    shown = capsys.readouterr().out
    assert all(f" {name} " in shown for name in (*config_names(), "dense", "autoquant"))
    written = json.loads((tmp_path / "r.json").read_text())
    assert [result["format"] for result in written["results"]] == [result.format for result in results]
    assert written["settings"]["dim"] == "128"
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")


def test_generate_compiles_the_whole_step(monkeypatch):
    compiled = []
    compile_ = torch.compile

    def with_aot_eager(function, mode, fullgraph):
        compiled.append((mode, fullgraph))
        return compile_(function, backend="aot_eager", fullgraph=fullgraph)

    monkeypatch.setattr(torch, "compile", with_aot_eager)
    generate.main([*GENERATE, "--compile", "--quantization", "int4wo-64"])
    assert compiled == [("reduce-overhead", True)] * 2


def test_bench_measures_and_shows(tmp_path, capsys):
    rows = bench.main([*BENCH, "--rows", "1", "3", "--json", f"{tmp_path}/r.json"])
    formats = ["dense bfloat16", "dense float32", *config_names()]
    assert [(row.rows, row.format) for row in rows] == [(m, name) for m in (1, 3) for name in formats]
    by_name = {row.format: row for row in rows if row.rows == 3}
    assert all(0 < row.seconds < 1 for row in rows)
    assert by_name["dense float32"].error < 5e-3 and by_name["int8wo"].error < 0.02 < by_name["nf4-64"].error < 0.2
    assert by_name["dense bfloat16"].layer_bytes == 32 * 48 * 2
    shown = capsys.readouterr().out
    assert "32 x 48" in shown and "weights in the cache" in shown and all(name in shown for name in formats)
    assert len(json.loads((tmp_path / "r.json").read_text())["rows"]) == len(rows)


def test_bench_of_one_format_in_fp32():
    rows = bench.main([*BENCH, "--rows", "2", "--dtype", "float32", "--quantization", "int4wo-32"])
    assert [row.format for row in rows] == ["dense float32", "int4wo-32"]
    assert rows[0].error < 1e-6


@pytest.mark.parametrize("shape", ["32", "0x32", "32x", "axb"])
def test_bench_of_a_wrong_shape(shape, capsys):
    with pytest.raises(SystemExit):
        bench.main(["--shapes", shape])
    assert f"must be out_features x in_features, as 4096x4096, but got '{shape}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "arguments", "sentence"),
    [
        (bench, ["--quantization", "int5"], "must be a short name of a config, such as int4wo-128, "),
        (bench, ["--quantization", "autoquant"], "but got 'autoquant'"),
        (bench, ["--rows", "0"], "must be a whole number of at least 1, but got '0'"),
        (bench, ["--threads", "-1"], "must be a whole number of at least 1, but got '-1'"),
        (bench, ["--device", "gpu"], "must be a device, such as cpu or cuda:0, but got 'gpu'"),
        (bench, ["--device", "cuda:99"], "must be a device that is there, but got 'cuda:99': torch finds "),
        (generate, ["--quantization", "int4wo-64", "int5"], ", dense, autoquant, but got 'int5'"),
        (generate, ["--new-tokens", "1"], "must be a whole number of at least 2, but got '1'"),
        (generate, ["--dim", "100"], "LlamaShape: dim must be a multiple of 64, but got 100"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be_measured_is_said_in_a_sentence(command, arguments, sentence, capsys):
    with pytest.raises(SystemExit):
        command.main(arguments)
    assert sentence in capsys.readouterr().err


def test_random_weights_are_pruned_without_a_word(recwarn):
    bench.main([*BENCH, "--rows", "1", "--quantization", "sparse24"])
    generate.main([*GENERATE, "--quantization", "sparse24"])
    assert not recwarn.list


def test_info_tells_everything(capsys, monkeypatch):
    monkeypatch.setenv("TORCHAO_OPS_BATCH_INVARIANT", "1")
    info.main([])
    page = capsys.readouterr().out
    found = torchao_ops.capabilities()
    assert all(
        word in page for word in (found["version"], found["isa"], torch.__version__, "TORCHAO_OPS_BATCH_INVARIANT")
    )
    assert all(name in page for name in config_names())
    assert all(name in page for name in ("16-bit numbers", "cuBLASLt", "cuSPARSELt"))
    info.main(["--json"])
    told = json.loads(capsys.readouterr().out)
    assert told == info.collect()
    # Nothing that the library says of itself is left out.
    values = [value for entries in told.values() for value in entries.values()]
    assert all(values.count(value) for value in (found["isa_available"], found["cuda_archs"]) if value)


def test_a_command_as_a_command():
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(torchao_ops.__file__))}
    command = [sys.executable, "-m", "torchao_ops.info", "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["Library"]["version"] == torchao_ops.__version__
    assert ran.stderr == ""


def test_the_package_alone_imports_neither_rich_nor_matplotlib():
    ran = run_python(
        "import sys, torchao_ops; print([n for n in ('rich', 'matplotlib', 'transformers') if n in sys.modules])"
    )
    assert ran.stdout == "[]\n"


def test_every_config_has_a_name_of_its_own():
    assert len(set(config_names())) == len(config_classes())
