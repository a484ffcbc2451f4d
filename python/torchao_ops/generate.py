"""How fast a Llama of a given shape generates, and how much memory it takes, in each format: `python -m torchao_ops.generate`.

The weights are random: speed and memory do not depend on them, and what is generated means nothing.
"""

import argparse
import gc
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console
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
from ._llama import Llama, LlamaShape
from .autoquant import autoquant
from .quantize import quantize_
from .size import model_size

DENSE = "dense"
AUTOQUANT = "autoquant"


@dataclass(frozen=True)
class Result:
    """One format. The seconds are of the fastest sample: of the prompt, and of one token after it.

    streamed_bytes: what is read for each token: all of the model but its embedding table.
    """

    format: str
    model_bytes: int
    cache_bytes: int
    streamed_bytes: int
    peak_device_bytes: int | None
    prompt_seconds: float
    token_seconds: float

    @property
    def tokens_per_second(self) -> float:
        return 1 / self.token_seconds


def main(arguments: Sequence[str] | None = None) -> list[Result]:
    parser = _parser()
    options = parser.parse_args(arguments)
    device = set_machine(options)
    try:
        shape = LlamaShape(options.layers, options.dim, options.vocabulary)
    except ValueError as error:
        parser.error(str(error))
    console = new_console()
    results = []
    for name in dict.fromkeys([DENSE, *(options.quantization or [*config_names(), AUTOQUANT])]):
        with console.status(name):
            results.append(_measure(name, shape, options, device, console))
        console.print(f"{name}: {results[-1].tokens_per_second:.2f} tokens/s")
    console.print(_table(results, shape, options, device))
    if options.json:
        measured = {name: str(value) for name, value in vars(options).items() if name not in ("json", "plot")}
        settings = measured | {"torch": torch.__version__}
        written = {"title": title(device), "settings": settings, "results": [asdict(result) for result in results]}
        options.json.write_text(json.dumps(written, indent=1) + "\n")
    if options.plot:
        _plot(results, title(device), options.plot)
    return results


def generate(
    model: nn.Module, step: Callable[[Tensor, Tensor], Tensor], prompt: Tensor, new_tokens: int
) -> tuple[Tensor, float, float]:
    """Greedy tokens [1, new_tokens] after a prompt [1, T]; seconds of the prompt, and of all tokens after the first.

    step: gives the next token [1, 1] for the last one and its position [1]; a compiled `next_token`.
    """
    positions = torch.arange(prompt.shape[1], device=prompt.device)
    begin = _now(prompt.device)
    token = next_token(model, prompt, positions)
    prompt_done = _now(prompt.device)
    position, tokens = positions[-1:] + 1, [token]
    for _ in range(new_tokens - 1):
        token = step(token, position).clone()  # a CUDA graph writes its next result to the same place
        position = position + 1
        tokens.append(token)
    return torch.cat(tokens, dim=1), prompt_done - begin, _now(prompt.device) - prompt_done


def next_token(model: nn.Module, tokens: Tensor, positions: Tensor) -> Tensor:
    return model(tokens, positions).argmax(-1, keepdim=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m torchao_ops.generate", description=__doc__)
    shape = LlamaShape()
    parser.add_argument(
        "--quantization",
        type=format_or(DENSE, AUTOQUANT),
        nargs="+",
        metavar="FORMAT",
        help=f"short names of configs, such as int4wo-64, and {AUTOQUANT}; all by default. Dense is always measured",
    )
    parser.add_argument("--compile", action="store_true", help="torch.compile the step that generates a token")
    for name in ("layers", "dim", "vocabulary"):
        parser.add_argument(f"--{name}", type=at_least(1), default=getattr(shape, name), help="%(default)s by default")
    parser.add_argument("--prompt-tokens", type=at_least(1), default=32, help="%(default)s by default")
    parser.add_argument("--new-tokens", type=at_least(2), default=32, help="at least 2; %(default)s by default")
    parser.add_argument(
        "--samples", type=at_least(1), default=3, help="of which the fastest counts; %(default)s by default"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the results; needs matplotlib")
    add_machine_options(parser)
    return parser


@torch.no_grad()
def _measure(
    name: str, shape: LlamaShape, options: argparse.Namespace, device: torch.device, console: Console
) -> Result:
    gc.collect()  # the model before
    torch.compiler.reset()
    model = Llama.random(shape, options.prompt_tokens + options.new_tokens, device, options.dtype)
    prompt = torch.arange(options.prompt_tokens, device=device)[None] % shape.vocabulary
    if name == AUTOQUANT:
        positions = torch.arange(options.prompt_tokens, device=device)
        steps = [(prompt[:, :1], positions[:1])] * options.new_tokens
        console.print(autoquant(model, [(prompt, positions), *steps]).autoquant_report)
    elif name != DENSE:
        with no_warnings_of_pruning():
            quantize_(model, name)

    def step(token: Tensor, position: Tensor) -> Tensor:
        return next_token(model, token, position)

    if options.compile:
        step = torch.compile(step, mode="reduce-overhead", fullgraph=True)
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    generate(model, step, prompt, min(options.new_tokens, 4))  # compiles
    samples = [generate(model, step, prompt, options.new_tokens)[1:] for _ in range(options.samples)]
    cache_bytes = sum(layer.keys.nbytes + layer.values.nbytes for layer in model.layers)
    return Result(
        name,
        model_size(model) - cache_bytes,
        cache_bytes,
        model_size(model) - cache_bytes - model.embedding.weight.nbytes,
        torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
        min(prompt_seconds for prompt_seconds, _ in samples),
        min(seconds for _, seconds in samples) / (options.new_tokens - 1),
    )


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _table(results: list[Result], shape: LlamaShape, options: argparse.Namespace, device: torch.device) -> Table:
    table = Table(
        title=f"{shape.layers} layers of {shape.dim}, {dtype_name(options.dtype)}, prompt of {options.prompt_tokens}, "
        f"{options.new_tokens} new tokens, {'compiled' if options.compile else 'eager'}; {title(device)}",
        caption="GB/s: weights read for each token. Random weights: nothing here is about quality.",
    )
    table.add_column("format")
    for header in ("model, MB", "of dense", "prompt, tokens/s", "tokens/s", "times as fast", "GB/s"):
        table.add_column(header, justify="right")
    if device.type == "cuda":
        table.add_column("peak, MB", justify="right")
    dense = results[0]
    for result in results:
        row = [
            result.format,
            f"{result.model_bytes / 1e6:,.1f}",
            f"{result.model_bytes / dense.model_bytes:.0%}",
            f"{options.prompt_tokens / result.prompt_seconds:.1f}",
            f"{result.tokens_per_second:.2f}",
            f"{dense.token_seconds / result.token_seconds:.2f}",
            f"{result.streamed_bytes * result.tokens_per_second * 1e-9:.1f}",
        ]
        if result.peak_device_bytes is not None:
            row.append(f"{result.peak_device_bytes / 1e6:,.1f}")
        table.add_row(*row)
    return table


def _plot(results: list[Result], where: str, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(11, 1.2 + 0.45 * len(results)), layout="constrained", sharey=True)
    names = [result.format for result in results]
    for panel, label, values, digits in (
        (panels[0], "tokens/s (more is better)", [result.tokens_per_second for result in results], 1),
        (panels[1], "weights, MB (less is better)", [result.model_bytes / 1e6 for result in results], 0),
    ):
        colors = ["#777777" if name == DENSE else "#d62728" for name in names]
        panel.bar_label(panel.barh(names, values, color=colors), fmt=f"%.{digits}f", padding=3)
        panel.set_xlabel(label)
        panel.set_xlim(right=1.15 * max(values))
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].invert_yaxis()
    figure.suptitle(where)
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
