"""What methods that learn from inputs share: which layers they treat, how the model is run, and which layers have the same inputs."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from .quantize import is_plain_linear, parameter_owners


def own_linear_layers(model: nn.Module, filter_fn: Callable[[nn.Module, str], bool] | None) -> dict[nn.Linear, str]:
    """By layer, the name: those that `quantize_` would convert and whose weight is theirs alone."""
    owners = parameter_owners(model)
    return {
        module: name
        for name, module in model.named_modules()
        if is_plain_linear(module) and owners[id(module.weight)] == 1 and (filter_fn is None or filter_fn(module, name))
    }


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in training.items():
            module.training = mode


def call(model: nn.Module, inputs: Any) -> Any:
    """`inputs`: a tensor, a tuple or list of positional arguments, or a mapping of keyword arguments."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    if isinstance(inputs, tuple | list):
        return model(*inputs)
    return model(inputs)


def rows_of(arguments: tuple, keywords: dict) -> Tensor:
    """[rows, K], of the arguments of a linear layer."""
    x = arguments[0] if arguments else keywords["input"]
    return x.reshape(-1, x.shape[-1])


def largest_magnitude(rows: Tensor) -> Tensor:
    return (rows.abs().amax(0) if len(rows) else rows.new_zeros(rows.shape[1])).float()


def sum_of_magnitudes(rows: Tensor) -> Tensor:
    return rows.abs().sum(0, dtype=torch.float32)


class LayerInputs:
    """Runs a model and sees what goes into its linear layers."""

    def __init__(
        self,
        method: str,
        model: nn.Module,
        names: dict[nn.Linear, str],
        of_rows: Callable[[Tensor], Tensor],
        combine: Callable[[Tensor, Tensor], Tensor],
    ) -> None:
        """
        Args:
            method: what errors and the progress bar call it.
            names: the layers to watch.
            of_rows, combine: make the statistic [K] of inputs, and that of two such.
        """
        self._method = method
        self._model = model
        self._names = names
        self._of_rows = of_rows
        self._combine = combine
        self._runs = 0
        # Tensors are told apart by their id, so they are kept till the end of a run.
        self._kept: list[Tensor] = []
        # By layer: the inputs that it got, as (index of run, id).
        self._inputs: dict[nn.Linear, list[tuple[int, int]]] = defaultdict(list)
        #: By layer that was reached, over all of its inputs.
        self.statistics: dict[nn.Linear, Tensor] = {}

    def run(self, calibration_inputs: Iterable[Any]) -> None:
        """
        Raises:
            ValueError: there are no inputs, or a layer was given NaN or Inf.
        """
        handles = self._register_hooks()
        try:
            with eval_mode(self._model):
                for inputs in tqdm(calibration_inputs, desc=self._method, disable=None):
                    self._run_once(inputs)
                    self._kept.clear()
                    self._runs += 1
        finally:
            for handle in handles:
                handle.remove()
        if not self._runs:
            raise ValueError(f"{self._method}: calibration_inputs must not be empty")
        for layer, statistic in self.statistics.items():
            if not statistic.isfinite().all():
                raise ValueError(
                    f"{self._method}: the inputs of {self._names[layer] or 'the model'} must be finite, but got NaN or Inf"
                )

    def layers_by_input(self) -> list[list[nn.Linear]]:
        """The layers that were reached, in the order in which they were; those that always had the same inputs stand in one list."""
        groups: dict[tuple, list[nn.Linear]] = defaultdict(list)
        for layer, inputs in self._inputs.items():
            groups[(layer.in_features, *inputs)].append(layer)
        return list(groups.values())

    def calls(self, layer: nn.Linear) -> list[int]:
        """How often each run called it."""
        runs = [run for run, _ in self._inputs[layer]]
        return [runs.count(run) for run in range(self._runs)]

    def _register_hooks(self) -> list:
        return [layer.register_forward_pre_hook(self._see_input, with_kwargs=True) for layer in self._names]

    def _run_once(self, inputs: Any) -> Any:
        return call(self._model, inputs)

    def _see_input(self, layer: nn.Linear, arguments: tuple, keywords: dict) -> None:
        x = arguments[0] if arguments else keywords["input"]
        self._kept.append(x)
        self._inputs[layer].append((self._runs, id(x)))
        statistic = self._of_rows(rows_of(arguments, keywords))
        if layer in self.statistics:
            statistic = self._combine(self.statistics[layer], statistic)
        self.statistics[layer] = statistic


class _Reached(Exception):
    """Ends a run of the model: what comes after the layer is of no interest."""


def gram_matrix(model: nn.Module, calibration_inputs: Iterable[Any], layer: nn.Linear, calls: list[int]) -> Tensor:
    """The sum of x^T x over a layer's inputs x [rows, K], fp32 [K, K].

    Args:
        calls: for each of the inputs, after how many calls of the layer the run may end.
    """
    gram = torch.zeros(layer.in_features, layer.in_features, device=layer.weight.device)
    remaining = 0

    def see(layer: nn.Linear, arguments: tuple, keywords: dict) -> None:
        nonlocal remaining
        rows = rows_of(arguments, keywords).float()
        gram.addmm_(rows.T, rows)
        remaining -= 1
        if remaining == 0:
            raise _Reached

    handle = layer.register_forward_pre_hook(see, with_kwargs=True)
    try:
        for inputs, remaining in zip(calibration_inputs, calls, strict=True):
            if remaining:
                try:
                    call(model, inputs)
                except _Reached:
                    pass
    finally:
        handle.remove()
    return gram
