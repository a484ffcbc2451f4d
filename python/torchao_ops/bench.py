"""Times of quantized linear layers beside dense ones, of given shapes: `python -m torchao_ops.bench`.

With the package alone, on any machine. The repository's bench/ measures against other libraries and the machine's limits.
"""

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.table import Table
from torch import Tensor, nn

from ._command_line import (
    add_machine_options,
    at_least,
    config_names,
    dtype_name,
    format_or,
    new_console,
    no_warnings_of_pruning,
    set_machine,
    title,
)
from ._timing import fastest_seconds
from .config import config_from_alias
from .linear import QuantLinear
from .size import model_size


@dataclass(frozen=True)
class Row:
    """One layer at one number of rows. error: relative to the dense layer in fp32, Frobenius norm."""

    out_features: int
    in_features: int
    rows: int
    format: str
    seconds: float
    layer_bytes: int
    error: float


class _Float32Linear(nn.Linear):
    """The dense layer in fp32 for any x: on CPUs without instructions for bf16 that is the faster one."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.float(), self.weight).to(x.dtype)


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    options = _parser().parse_args(arguments)
    device = set_machine(options)
    console = new_console()
    rows = []
    for out_features, in_features in options.shapes:
        with console.status(f"{out_features} x {in_features}"):
            measured = _measure(out_features, in_features, options, device)
        console.print(_table(measured))
        rows += measured
    where = "read from memory" if options.cold else "in the cache"
    console.print(f"{title(device)}; x in {dtype_name(options.dtype)}, weights {where}.")
    console.print(
        "error: of the result, against the dense layer in fp32. Weights are random, which 2:4 sparsity does not suit."
    )
    if options.json:
        written = {"title": title(device), "cold": options.cold, "dtype": dtype_name(options.dtype)}
        options.json.write_text(json.dumps(written | {"rows": [asdict(row) for row in rows]}, indent=1) + "\n")
    return rows


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m torchao_ops.bench", description=__doc__)
    parser.add_argument(
        "--shapes",
        type=_shape,
        nargs="+",
        default=[(4096, 4096)],
        metavar="NxK",
        help="out_features x in_features; 4096x4096 by default",
    )
    parser.add_argument(
        "--rows", type=at_least(1), nargs="+", default=[1, 16, 256], metavar="M", help="of x; 1 16 256 by default"
    )
    parser.add_argument(
        "--quantization",
        type=format_or(),
        nargs="+",
        metavar="FORMAT",
        help="short names of configs, such as int4wo-64; all by default",
    )
    parser.add_argument(
        "--warm", dest="cold", action="store_false", help="weights in the cache, as in a small model; else from memory"
    )
    parser.add_argument("--seconds", type=float, default=0.5, help="for each figure; %(default)s by default")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results")
    add_machine_options(parser)
    return parser


def _shape(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"must be out_features x in_features, as 4096x4096, but got {text!r}")
    return int(match[1]), int(match[2])


@torch.no_grad()
def _measure(out_features: int, in_features: int, options: argparse.Namespace, device: torch.device) -> list[Row]:
    generator = torch.Generator(device).manual_seed(0)
    dense = nn.Linear(in_features, out_features, bias=False, device=device, dtype=options.dtype)
    dense.weight.normal_(std=in_features**-0.5, generator=generator)
    layers: dict[str, nn.Linear] = {f"dense {dtype_name(options.dtype)}": dense}
    in_float32 = _Float32Linear(in_features, out_features, bias=False, device="meta")
    in_float32.weight = nn.Parameter(dense.weight.float())
    if options.dtype != torch.float32:
        layers["dense float32"] = in_float32
    for name in options.quantization or config_names():
        with no_warnings_of_pruning():
            layers[name] = QuantLinear.from_linear(dense, config_from_alias(name))
    rows = []
    for m in options.rows:
        x = torch.randn(m, in_features, device=device, generator=generator).to(options.dtype)
        expected = in_float32(x.float())
        seconds = fastest_seconds(layers, x, options.cold, options.seconds)
        for name, layer in layers.items():
            error = ((layer(x).float() - expected).norm() / expected.norm()).item()
            rows.append(Row(out_features, in_features, m, name, seconds[name], model_size(layer), error))
    return rows


def _table(rows: list[Row]) -> Table:
    """Of one shape."""
    table = Table(title=f"{rows[0].out_features} x {rows[0].in_features}")
    for header in ("rows of x", "format", "us", "times as fast as the best dense", "weight, GB/s", "GFLOP/s", "error"):
        table.add_column(header, justify="left" if header == "format" else "right")
    for m in dict.fromkeys(row.rows for row in rows):
        same = [row for row in rows if row.rows == m]
        best = min(row.seconds for row in same if row.format.startswith("dense"))
        for i, row in enumerate(same):
            table.add_row(
                str(m) if i == 0 else "",
                row.format,
                f"{row.seconds * 1e6:,.0f}",
                f"{best / row.seconds:.2f}",
                f"{row.layer_bytes / row.seconds * 1e-9:.1f}",
                f"{2 * m * row.out_features * row.in_features / row.seconds * 1e-9:.0f}",
                f"{row.error:.1e}",
            )
        table.add_section()
    return table


if __name__ == "__main__":
    main()
