"""nf4_dequantize against copying memory and against bitsandbytes, and the memory of a training step.

    .venv/bin/python bench/nf4_conversions.py            writes bench/results/MACHINE/nf4_conversions_cpu.json, prints Markdown
    .venv/bin/python bench/nf4_conversions.py --markdown bench/results/MACHINE/nf4_conversions_cpu.json

A dequantized weight of 4096 x 4096 in bf16 is 32 MiB, which no cache of ours holds. The rate is bytes read and written over time; the copy
reads and writes as many. Calls take turns (timing.py). Memory is what a process of its own grows by, at its highest, in
forward and backward of one layer: y = x @ w.T, and the gradient of x.
"""

# ruff: noqa: E402 (limit_spinning comes before torch)
from __future__ import annotations

import timing

timing.limit_spinning()  # before torch loads OpenMP

import argparse
import json
import subprocess
import sys
from pathlib import Path

import bitsandbytes
import machine
import torch
import torchao_ops

SHAPE = (4096, 4096)
BLOCK_SIZE = 64
TRAINING_ROWS = 64
ROUNDS, BUDGET_SECONDS = 9, 1.0


def dequantize_seconds(threads: int) -> dict[str, tuple[int, float]]:
    """For each way: bytes read and written, and the shortest call."""
    torch.set_num_threads(threads)
    weight = torch.randn(SHAPE, dtype=torch.bfloat16)
    out = torch.empty_like(weight)
    plain = torchao_ops.to_nf4(weight, BLOCK_SIZE, nested_block_size=None)
    double = torchao_ops.to_nf4(weight, BLOCK_SIZE)
    theirs, their_state = bitsandbytes.functional.quantize_4bit(weight, blocksize=BLOCK_SIZE, quant_type="nf4")
    moved = weight.nbytes + plain.packed.nbytes + plain.absmax.nbytes
    source, target = (torch.empty(moved // 2, dtype=torch.uint8).fill_(1) for _ in range(2))

    def into_out(w: torchao_ops.NF4Weight):
        nested = (w.absmax_code, w.nested_absmax, w.absmax_offset)
        return lambda: torchao_ops.nf4_dequantize(w.packed, w.absmax, SHAPE, BLOCK_SIZE, None, *nested, out=out)

    ways = {
        "copy": lambda: target.copy_(source),
        "nf4_dequantize.out": into_out(plain),
        "nf4_dequantize.out, doubly quantized": into_out(double),
        "nf4_dequantize": plain.dequantize,
        "bitsandbytes dequantize_4bit": lambda: bitsandbytes.functional.dequantize_4bit(theirs, their_state),
    }
    contestants = {name: timing.Contestant([call], timing.estimate_seconds(call)) for name, call in ways.items()}
    timing.interleave(list(contestants.values()), threads, True, ROUNDS, BUDGET_SECONDS, "wall")
    return {name: (moved, min(contestant.times)) for name, contestant in contestants.items()}


def train_once(layer_kind: str) -> None:
    """Prints by how many bytes forward and backward raise this process's highest memory."""
    torch.set_num_threads(1)
    rows, columns = SHAPE
    linear = torch.nn.Linear(columns, rows, bias=False, dtype=torch.bfloat16).requires_grad_(False)
    if layer_kind == "nf4":
        torchao_ops.quantize_(linear, torchao_ops.NF4WeightOnlyConfig(BLOCK_SIZE))
        layer = linear
    elif layer_kind == "bitsandbytes":
        layer = bitsandbytes.nn.Linear4bit(
            columns, rows, bias=False, compute_dtype=torch.bfloat16, compress_statistics=True, quant_type="nf4"
        )
        layer.weight = bitsandbytes.nn.Params4bit(linear.weight.data, requires_grad=False, quant_type="nf4")
        layer = layer.to("cpu")
    else:
        layer = linear

    def step(batch: int) -> None:
        x = torch.randn(batch, columns, dtype=torch.bfloat16, requires_grad=True)
        layer(x).sum().backward()

    def memory(field: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{field}:"))

    Path("/proc/self/clear_refs").write_text("5")  # the highest memory counts from here on
    before = memory("VmRSS")
    step(TRAINING_ROWS)
    print(memory("VmHWM") - before)


def training_bytes() -> dict[str, int]:
    kinds = {"nf4_mm": "nf4", "bitsandbytes Linear4bit": "bitsandbytes", "dense bf16": "dense"}
    found = {}
    for name, kind in kinds.items():
        ran = subprocess.run(
            [sys.executable, __file__, "--train-once", kind], capture_output=True, text=True, check=True
        )
        found[name] = int(ran.stdout)
    return found


def markdown(run: dict) -> str:
    where = run["machine"]
    lines = [
        f"nf4_dequantize of {SHAPE[0]} x {SHAPE[1]} in blocks of {BLOCK_SIZE} to bf16, on {where['cpu']} ({where['microarchitecture']}), "
        f"commit `{run['commit']}`, {run['bitsandbytes']}:",
        "",
        "| | " + " | ".join(f"{t} thread{'s' * (t != '1')}, ms | GB/s | of copy" for t in run["dequantize"]) + " |",
        "| --- | " + "--- | --- | --- | " * len(run["dequantize"]),
    ]
    for name in next(iter(run["dequantize"].values())):
        cells = []
        for ways in run["dequantize"].values():
            moved, seconds = ways[name]
            cells.append(f"{seconds * 1e3:.2f} | {moved / seconds * 1e-9:.1f} | {ways['copy'][1] / seconds:.0%}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += [
        "",
        f"Memory that forward and backward take at their highest, {TRAINING_ROWS} rows of x in bf16, weight not counted: "
        + ", ".join(f"{name} {size / 2**20:.1f} MiB" for name, size in run["training_bytes"].items())
        + ".",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--markdown", type=Path, metavar="JSON", help="print the table of earlier results")
    parser.add_argument("--train-once", choices=("nf4", "bitsandbytes", "dense"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train_once:
        train_once(arguments.train_once)
        return
    if arguments.markdown:
        print(markdown(json.loads(arguments.markdown.read_text())))
        return
    where = machine.describe()
    run = {
        "machine": where,
        "commit": machine.commit(),
        "bitsandbytes": f"bitsandbytes {bitsandbytes.__version__}",
        "dequantize": {str(count): dequantize_seconds(count) for count in (1, 2) if count <= where["cores"]},
        "training_bytes": training_bytes(),
    }
    path = machine.ROOT / "bench" / "results" / machine.folder_name(where) / "nf4_conversions_cpu.json"
    path.write_text(json.dumps(run, indent=1) + "\n")
    print(markdown(run))


if __name__ == "__main__":
    main()
