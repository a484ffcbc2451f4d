"""Chooses the fastest format for each linear layer of a model, by trying all of them on the machine at hand."""

import dataclasses
import json
import math
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from ._machine import device_name, last_level_cache_bytes
from ._text import counted
from ._timing import fastest_seconds
from .config import Config, Int4WeightOnlyConfig, alias_of, config_from_alias, config_from_json, config_to_json
from .linear import QuantLinear, SmoothedLinear, config_classes
from .ops.capabilities import capabilities
from .quantize import layers_by_weight, quantize_

# Of a layer's inputs, for its error.
_SAMPLED_ROWS = 32
# For each shape of a weight and number of rows.
_SECONDS_PER_TRIAL = 0.2


@dataclass(frozen=True)
class Trial:
    """One format, tried on one layer.

    seconds: of all recorded calls of the layer; None where the format cannot be used here.
    error: of its output, relative to the dense layer's, in the Frobenius norm. None where it was not needed to choose.
    problem: what was raised, where the format cannot be used.
    """

    config: Config | None
    seconds: float | None = None
    error: float | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Choice:
    """What was chosen for one layer; None is dense. calls: how often it was called with how many rows."""

    config: Config | None
    out_features: int
    in_features: int
    dtype: str
    calls: dict[int, int]
    trials: tuple[Trial, ...]


@dataclass(frozen=True)
class AutoquantReport:
    """What `autoquant` chose and why. `str` shows it as a table.

    weights_cold: whether weights were timed as they come from memory, as in a model that is larger than the cache.
    not_reached: layers that the example inputs did not reach, which stay dense.
    """

    device: str
    threads: int
    max_error: float
    weights_cold: bool
    layers: dict[str, Choice]
    not_reached: tuple[str, ...] = ()

    def save(self, path: str | Path) -> None:
        """Writes it as JSON, for `apply_autoquant`."""
        head = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "layers"}
        # A layer to a line, so that the difference of two files is readable.
        lines = ",\n".join(f"  {json.dumps(name)}: {_choice_to_json(choice)}" for name, choice in self.layers.items())
        Path(path).write_text(json.dumps(head, indent=1)[:-2] + ',\n "layers": {\n' + lines + "\n }\n}\n")

    @staticmethod
    def load(path: str | Path) -> "AutoquantReport":
        """What `save` has written.

        Raises:
            ValueError: the file holds something else, or a config that this version does not know.
        """

        def config_from(data: dict[str, Any] | None) -> Config | None:
            return None if data is None else config_from_json(data)

        try:
            data = json.loads(Path(path).read_text())
            for name, choice in data["layers"].items():
                choice["config"] = config_from(choice["config"])
                choice["calls"] = {int(rows): count for rows, count in choice["calls"].items()}
                trials = [trial | {"config": config_from(trial["config"])} for trial in choice["trials"]]
                data["layers"][name] = Choice(**choice | {"trials": tuple(Trial(**trial) for trial in trials)})
            return AutoquantReport(**data | {"not_reached": tuple(data["not_reached"])})
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{path} must be what AutoquantReport.save wrote, but got {error!r} from it") from error

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(width=140, highlight=False)
        with console.capture() as captured:
            console.print(self)
        return captured.get()

    def __rich__(self):
        from rich.console import Group
        from rich.table import Table

        where = "read from memory" if self.weights_cold else "in the cache"
        table = Table(
            title=f"autoquant on {self.device}, {counted(self.threads, 'thread')}, weights {where}; largest error {self.max_error:g}",
            caption="dense / x: how many times as fast as the dense layer. -: an error that was not needed to choose.",
        )
        for header in ("layers", "weight", "rows", "format"):
            table.add_column(header)
        for header in ("us", "dense / x", "error"):
            table.add_column(header, justify="right")
        table.add_column("why")
        for names, choices in self._groups():
            cells = [
                _pattern(names),
                f"{choices[0].out_features} x {choices[0].in_features} {choices[0].dtype}",
                ", ".join(
                    f"{rows}" + (f" ({count}x)" if count > 1 else "") for rows, count in choices[0].calls.items()
                ),
            ]
            for line in self._lines(choices):
                style = "bold" if line[-1] == "chosen" else None
                table.add_row(*cells, *line, style=style)
                cells = [""] * len(cells)
            table.add_section()
        if not self.not_reached:
            return table
        return Group(table, f"Not reached by the example inputs, left dense: {', '.join(self.not_reached)}")

    def _groups(self) -> list[tuple[list[str], list[Choice]]]:
        """Layers for which the same was measured and chosen."""
        groups: dict[tuple, list[str]] = defaultdict(list)
        for name, choice in self.layers.items():
            measured = tuple((trial.config, trial.seconds, trial.error is None) for trial in choice.trials)
            kind = re.sub(r"\b\d+\b", "*", name)
            groups[kind, choice.out_features, choice.in_features, choice.config, measured].append(name)
        return [(names, [self.layers[name] for name in names]) for names in groups.values()]

    def _lines(self, choices: list[Choice]) -> Iterable[tuple[str, ...]]:
        """Format, microseconds, speed, error and verdict of each trial, the fastest first."""
        dense = next(trial.seconds for trial in choices[0].trials if trial.config is None)
        by_time = sorted(zip(*(choice.trials for choice in choices), strict=True), key=lambda same: _seconds(same[0]))
        for same in by_time:
            trial = same[0]
            name = "dense" if trial.config is None else alias_of(trial.config)
            if trial.seconds is None:
                yield name, "", "", "", trial.problem
                continue
            error = max((trial.error for trial in same if trial.error is not None), default=None)
            if trial.config == choices[0].config:
                verdict = "chosen"
            else:
                verdict = "slower" if error is None else "error too large"
            speed, shown = f"{dense / trial.seconds:.2f}", "-" if error is None else f"{error:.2g}"
            yield name, f"{trial.seconds * 1e6:,.0f}", speed, shown, verdict


def autoquant(
    model: nn.Module,
    example_inputs: Any = None,
    *,
    max_error: float = 0.1,
    candidates: Sequence[Config | str] | None = None,
    filter_fn: Callable[[nn.Module, str], bool] | None = None,
) -> nn.Module:
    """Turns each linear layer of a model into the fastest of all formats whose error is small enough, or leaves it dense.

    The model is run once on example inputs, to see with how many rows each layer is called. Then every format is timed
    beside the dense layer, for each shape, on the device on which the model is. Layers of equal shape are timed once;
    the error is that of each layer's own weight and inputs.

    The report, `model.autoquant_report`, says what was chosen and why, and can be saved for `apply_autoquant`.

    Args:
        model: any module, quantized in place; also one that `torch.compile` has returned.
        example_inputs: a tensor, a tuple of positional arguments or a mapping of keyword arguments; or a list of several
            of those (a prompt and a single token, say: the sum of all calls' times is what counts). None: the first call of
            the model gives them.
        max_error: of a layer's output, relative to the dense layer's (Frobenius norm). Rounding normally distributed weights
            to 8 bits costs 0.01, to 4 bits 0.1.
        candidates: configs, or short names of them; by default each config as it is by default, and "int4wo-32".
        filter_fn: called with each layer that `quantize_` would convert, and its name; returns whether to choose for it.

    Returns:
        The model.

    Raises:
        ValueError: max_error is not above 0, a candidate is a string that names no config, or no layer is reached.
        TypeError: a candidate is neither a config nor a string.
    """
    if not max_error > 0:
        raise ValueError(f"autoquant: max_error must be above 0, but got {max_error}")
    configs = _configs(candidates)
    if example_inputs is None:
        _OnFirstCall(model, lambda inner, inputs: _autoquant(inner, [inputs], max_error, configs, filter_fn))
    else:
        inputs = example_inputs if isinstance(example_inputs, list) else [example_inputs]
        _autoquant(_uncompiled(model), [_arguments(one) for one in inputs], max_error, configs, filter_fn)
    return model


def apply_autoquant(model: nn.Module, report: AutoquantReport | str | Path) -> None:
    """Quantizes a model, in place, as `autoquant` chose for it or for another of the same layers.

    Args:
        model: any module; meta tensors are converted to meta tensors, for a state dict to be assigned later.
        report: a report, or the file that its `save` wrote.

    Raises:
        ValueError: the file is no report, or the report has a layer that the model has not, or has in another shape.
    """
    if not isinstance(report, AutoquantReport):
        report = AutoquantReport.load(report)
    model = _uncompiled(model)
    layers = {
        name: layer for name, layer in model.named_modules(remove_duplicate=False) if isinstance(layer, nn.Linear)
    }
    names: dict[Config, set[str]] = defaultdict(set)
    for name, choice in report.layers.items():
        layer = layers.get(name)
        wanted = choice.out_features, choice.in_features
        found = None if layer is None else (layer.out_features, layer.in_features)
        if found != wanted:
            has = "none of that name" if found is None else list(found)
            raise ValueError(f"apply_autoquant: {name} must be a linear layer {list(wanted)}, but the model has {has}")
        if choice.config is not None:
            names[choice.config].add(name)
    for config, chosen in names.items():
        quantize_(model, config, lambda layer, name, chosen=chosen: name in chosen)


class _OnFirstCall:
    """A hook that runs once, with what the model is called with."""

    def __init__(self, model: nn.Module, run: Callable[[nn.Module, tuple[tuple, dict]], None]) -> None:
        self._run = run
        self._handle = model.register_forward_pre_hook(self, with_kwargs=True)

    @torch.compiler.disable
    def __call__(self, module: nn.Module, arguments: tuple, keywords: dict) -> None:
        self._handle.remove()
        self._run(_uncompiled(module), (arguments, keywords))


def _uncompiled(model: nn.Module) -> nn.Module:
    return getattr(model, "_orig_mod", model)


def _configs(candidates: Sequence[Config | str] | None) -> list[Config]:
    if candidates is None:
        candidates = [config_class() for config_class in config_classes()] + [Int4WeightOnlyConfig(group_size=32)]
    configs = [config_from_alias(one) if isinstance(one, str) else one for one in candidates]
    for config in configs:
        if type(config) not in config_classes():
            raise TypeError(f"autoquant: candidates must be configs or alias strings, but got {config!r}")
    return configs


def _arguments(inputs: Any) -> tuple[tuple, dict]:
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    return (inputs if isinstance(inputs, tuple) else (inputs,)), {}


@torch.no_grad()
def _autoquant(
    model: nn.Module,
    inputs: list[tuple[tuple, dict]],
    max_error: float,
    configs: list[Config],
    filter_fn: Callable[[nn.Module, str], bool] | None,
) -> None:
    names = {layer: name for name, layer in model.named_modules()}
    units = layers_by_weight(model, filter_fn)
    recorded = _record(model, [layer for layers in units for layer in layers], inputs)
    reached = [layers for layers in units if any(layer in recorded for layer in layers)]
    if not reached:
        raise ValueError("autoquant: example_inputs must reach a linear layer that quantize_ converts, but reach none")

    device = reached[0][0].weight.device
    cold = sum(layers[0].weight.nbytes for layers in units) > last_level_cache_bytes(device)
    trials_by_shape: dict[tuple, list[Trial]] = {}
    choices: dict[str, Choice] = {}
    for layers in tqdm(reached, desc="autoquant", disable=None):
        layer = layers[0]
        seen = [recorded[layer] for layer in layers if layer in recorded]
        calls = sum((one.calls for one in seen), Counter())
        shape = (layer.weight.shape, layer.weight.dtype, layer.bias is None, type(layer), frozenset(calls.items()))
        if shape not in trials_by_shape:
            trials_by_shape[shape] = _trials(layer, seen[0].sample, calls, configs, cold)
        config, trials = _choose(layers, recorded, trials_by_shape[shape], max_error)
        dtype = str(layer.weight.dtype).removeprefix("torch.")
        choice = Choice(config, *layer.weight.shape, dtype, dict(sorted(calls.items())), trials)
        choices |= {names[layer]: choice for layer in layers}

    report = AutoquantReport(
        device=device_name(device) + ("" if device.type == "cuda" else f" ({capabilities()['isa']})"),
        threads=torch.get_num_threads(),
        max_error=max_error,
        weights_cold=cold,
        layers=choices,
        not_reached=tuple(names[layer] for layers in units if layers not in reached for layer in layers),
    )
    apply_autoquant(model, report)
    model.autoquant_report = report


@dataclass
class _Recorded:
    """A layer's calls by their number of rows, and some rows of its inputs."""

    calls: Counter
    sample: Tensor


def _record(model: nn.Module, layers: list[nn.Linear], inputs: list[tuple[tuple, dict]]) -> dict[nn.Linear, _Recorded]:
    """Runs the model, in eval mode and not compiled."""
    recorded: dict[nn.Linear, _Recorded] = {}

    def see_input(layer: nn.Linear, arguments: tuple, keywords: dict) -> None:
        x = arguments[0] if arguments else keywords["input"]
        x = x.detach().reshape(-1, x.shape[-1])
        if not len(x):
            return
        one = recorded.setdefault(layer, _Recorded(Counter(), x[:0]))
        one.calls[len(x)] += 1
        missing = _SAMPLED_ROWS - len(one.sample)
        one.sample = torch.cat([one.sample, x[:: math.ceil(len(x) / max(missing, 1))][:missing]])

    training = {module: module.training for module in model.modules()}
    handles = [layer.register_forward_pre_hook(see_input, with_kwargs=True) for layer in layers]
    try:
        model.eval()
        with torch.compiler.set_stance("force_eager"):
            for arguments, keywords in inputs:
                model(*arguments, **keywords)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in training.items():
            module.training = mode
    return recorded


def _trials(layer: nn.Linear, sample: Tensor, calls: Counter, configs: list[Config], cold: bool) -> list[Trial]:
    """The time of every format, and of the dense layer."""
    variants: dict[Config | None, nn.Linear] = {None: _bare(layer)}
    problems: list[Trial] = []
    for config in configs:
        try:
            variant = _quantized(layer, config)
            variant(sample[:1])
            variants[config] = variant
        except (RuntimeError, NotImplementedError) as error:
            problems.append(Trial(config, problem=str(error).partition("\n")[0]))
    seconds = dict.fromkeys(variants, 0.0)
    for rows, count in calls.items():
        x = sample.repeat(math.ceil(rows / len(sample)), 1)[:rows]
        for config, one in fastest_seconds(variants, x, cold, _SECONDS_PER_TRIAL).items():
            seconds[config] += count * one
    return [Trial(config, time) for config, time in seconds.items()] + problems


def _choose(
    layers: list[nn.Linear], recorded: dict[nn.Linear, _Recorded], trials: list[Trial], max_error: float
) -> tuple[Config | None, tuple[Trial, ...]]:
    """The fastest whose error is small enough. Errors of slower ones are not looked at."""
    errors: dict[Config, float] = {}
    for trial in sorted(trials, key=_seconds):
        if trial.config is None:
            break
        errors[trial.config] = _error(layers, recorded, trial.config)
        if errors[trial.config] <= max_error:
            break
    chosen = trial.config
    return chosen, tuple(dataclasses.replace(trial, error=errors.get(trial.config)) for trial in trials)


def _error(layers: list[nn.Linear], recorded: dict[nn.Linear, _Recorded], config: Config) -> float:
    """The largest of layers that share a weight."""
    largest = 0.0
    for layer in layers:
        if layer in recorded:
            sample = recorded[layer].sample
            expected = _bare(layer)(sample).float()
            norm = (_quantized(layer, config)(sample).float() - expected).norm()
            error = (norm / expected.norm()).item() if norm > 0 else norm.item()
            # max() would lose a NaN.
            largest = max(largest, error) if math.isfinite(error) else math.inf
    return largest


def _quantized(layer: nn.Linear, config: Config) -> nn.Linear:
    with warnings.catch_warnings():
        # That a format loses much is what the error tells.
        warnings.simplefilter("ignore")
        return QuantLinear.from_linear(layer, config)


def _bare(layer: nn.Linear) -> nn.Linear:
    """A dense layer with the same weight, without hooks."""
    bare = nn.Linear(layer.in_features, layer.out_features, bias=False, device="meta")
    bare.weight, bare.bias = layer.weight, layer.bias
    if isinstance(layer, SmoothedLinear):
        bare.__class__ = SmoothedLinear
        bare.register_buffer("input_scale", layer.input_scale)
    return bare


def _seconds(trial: Trial) -> float:
    return math.inf if trial.seconds is None else trial.seconds


def _choice_to_json(choice: Choice) -> str:
    def config(owner: Choice | Trial) -> dict[str, Any] | None:
        return None if owner.config is None else config_to_json(owner.config)

    trials = [vars(trial) | {"config": config(trial)} for trial in choice.trials]
    return json.dumps(vars(choice) | {"config": config(choice), "trials": trials})


def _pattern(names: list[str]) -> str:
    """ "layers.0.up" and "layers.1.up" are "layers.*.up (2)"."""
    parts = [
        parts[0] if len(set(parts)) == 1 else "*" for parts in zip(*(name.split(".") for name in names), strict=True)
    ]
    return ".".join(parts) + (f" ({len(names)})" if len(names) > 1 else "")
