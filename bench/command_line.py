"""What the benchmark's programs have in common on their command lines."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def parser(documentation: str) -> argparse.ArgumentParser:
    """With the options that all of them take."""
    made = argparse.ArgumentParser(description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--dtype", choices=DTYPES, default="bf16", help="of x, for the candidates that have a choice")
    return made


def shape(text: str) -> tuple[int, int]:
    out_features, in_features = text.split("x")
    return int(out_features), int(in_features)


def comma_separated(kind: Callable) -> Callable[[str], list]:
    def parse(text: str) -> list:
        return [kind(item) for item in text.split(",")]

    return parse
