"""Which two of each four weights to keep: by their size, or by their size and that of their inputs (Wanda)."""

import warnings
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.utils.hooks import RemovableHandle

from .quantize import layers_by_weight


class KeptWeights(nn.Module):
    """The parametrization of a weight under a sparsifier: what the mask leaves out is zero, and gets no gradient."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", torch.ones_like(weight, dtype=torch.bool))

    def forward(self, weight: Tensor) -> Tensor:
        return torch.where(self.mask, weight, 0)


class Sparsifier:
    """Prunes linear layers to 2:4: of each four consecutive in_features two stay. The subclasses say which.

        sparsifier.prepare(model)
        sparsifier.step()  # chooses what stays; the model computes with it from now on
        ...  # train, if need be: what is pruned stays zero; another step() chooses anew, from the dense weight
        sparsifier.squash_mask()  # the weights themselves become sparse
        sparsify_(model, SemiSparseWeightConfig())

    Layers are those that `quantize_` converts. Layers that share one weight keep the same of it.
    """

    def __init__(self, sparsity_level: float = 0.5, semi_structured_block_size: int = 4) -> None:
        """
        Args:
            sparsity_level: the part of the weights that is pruned; 0.5 in 2:4 sparsity.
            semi_structured_block_size: of how many consecutive weights that part is pruned; 4 in 2:4 sparsity.

        Raises:
            ValueError: another sparsity than 2:4 is asked for.
        """
        for name, value, only in (
            ("sparsity_level", sparsity_level, 0.5),
            ("semi_structured_block_size", semi_structured_block_size, 4),
        ):
            if value != only:
                raise ValueError(f"{self._name}: {name} must be {only} (2:4 sparsity), but got {value!r}")
        #: The layers of each weight.
        self._layers: list[list[nn.Linear]] = []
        #: "<name of the layer>.weight" by layer.
        self._weight_names: dict[nn.Linear, str] = {}

    def prepare(self, model: nn.Module, config: Sequence[dict[str, str]] | None = None) -> None:
        """Puts the weights of a model's linear layers under this sparsifier. Nothing is pruned yet.

        Args:
            model: any module.
            config: `{"tensor_fqn": "<name of the layer>.weight"}` for each weight; None: all.

        Raises:
            RuntimeError: a model was prepared before, and `squash_mask` not called.
            ValueError: config names something else than the weight of a layer that `quantize_` converts.
        """
        if self._layers:
            raise RuntimeError(f"{self._name}.prepare: squash_mask must be called before the next model, but was not")
        wanted = None if config is None else {entry["tensor_fqn"] for entry in config}
        names = {module: f"{name}.weight".removeprefix(".") for name, module in model.named_modules()}
        layers = layers_by_weight(model, lambda module, _: wanted is None or names[module] in wanted)
        self._weight_names = {layer: names[layer] for sharing in layers for layer in sharing}
        if wanted is not None and (unknown := wanted - set(self._weight_names.values())):
            raise ValueError(
                f"{self._name}.prepare: tensor_fqn must name the weight of a linear layer that quantize_ converts, but "
                f"got {min(unknown)!r}"
            )
        for sharing in layers:
            kept = KeptWeights(sharing[0].weight)
            for layer in sharing:
                # unsafe leaves out a check that calls the parametrization: this one changes neither shape nor dtype.
                parametrize.register_parametrization(layer, "weight", kept, unsafe=True)
        self._layers = layers

    @torch.no_grad()
    def step(self) -> None:
        """Chooses which weights stay, by their present values.

        Raises:
            RuntimeError: `prepare` was not called.
        """
        self._check_prepared("step")
        for layers in self._layers:
            kept = layers[0].parametrizations.weight
            kept[0].mask.copy_(torch.ops.torchao.sparse24_prune(self._importance(layers, kept.original)))

    def squash_mask(self) -> None:
        """Ends the work on the model: its layers are plain again, their weights sparse.

        Raises:
            RuntimeError: `prepare` was not called.
        """
        self._check_prepared("squash_mask")
        for layers in self._layers:
            for layer in layers:
                parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
        self._layers = []

    @abstractmethod
    def _importance(self, layers: list[nn.Linear], weight: Tensor) -> Tensor:
        """What is largest where a weight [out_features, in_features] of these layers matters most."""

    def _check_prepared(self, method: str) -> None:
        if not self._layers:
            raise RuntimeError(f"{self._name}.{method}: prepare must be called before, but was not")

    @property
    def _name(self) -> str:
        return type(self).__name__


class WeightNormSparsifier(Sparsifier):
    """Keeps the two largest of each four weights. Without training under the sparsifier that costs much accuracy."""

    def _importance(self, layers: list[nn.Linear], weight: Tensor) -> Tensor:
        return weight


class WandaSparsifier(Sparsifier):
    """Keeps those two of each four weights that are largest when multiplied by the norm of what they multiply, |w[n, k]| * |x[:, k]|.

    Run the model on typical inputs, a few dozen, between `prepare` and `step`; all inputs since `prepare` count. A layer
    that these do not reach is pruned by magnitude, with a warning.

    Sun et al., A Simple and Effective Pruning Approach for Large Language Models, 2023 (arXiv 2306.11695).
    """

    def __init__(self, sparsity_level: float = 0.5, semi_structured_block_size: int = 4) -> None:
        super().__init__(sparsity_level, semi_structured_block_size)
        #: By layer: the sum of the squares of its inputs, fp32 [K].
        self._squares: dict[nn.Linear, Tensor] = {}
        self._hooks: list[RemovableHandle] = []

    def prepare(self, model: nn.Module, config: Sequence[dict[str, str]] | None = None) -> None:
        super().prepare(model, config)
        self._squares = {}
        self._hooks = [
            layer.register_forward_pre_hook(self._see_input, with_kwargs=True) for layer in self._weight_names
        ]

    def step(self) -> None:
        """Chooses which weights stay, by their present values and the inputs since `prepare`.

        Raises:
            RuntimeError: `prepare` was not called, or the model not run since.
            ValueError: a layer was given NaN or Inf.
        """
        self._check_prepared("step")
        if not self._squares:
            raise RuntimeError("WandaSparsifier.step: the model must be run on typical inputs before, but was not")
        super().step()

    def squash_mask(self) -> None:
        super().squash_mask()
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    @torch.no_grad()
    def _see_input(self, layer: nn.Linear, arguments: tuple, keywords: dict) -> None:
        x = arguments[0] if arguments else keywords["input"]
        squares = x.reshape(-1, x.shape[-1]).float().square().sum(0)
        self._squares[layer] = self._squares[layer] + squares if layer in self._squares else squares

    def _importance(self, layers: list[nn.Linear], weight: Tensor) -> Tensor:
        name = self._weight_names[layers[0]]
        seen = [self._squares[layer] for layer in layers if layer in self._squares]
        if not seen:
            warnings.warn(f"WandaSparsifier.step: no input reached {name}, which is pruned by magnitude", stacklevel=4)
            return weight
        norm = torch.stack(seen).sum(0).sqrt()
        if not norm.isfinite().all():
            raise ValueError(
                f"WandaSparsifier.step: the inputs that {name} multiplies must be finite, but got NaN or Inf"
            )
        return weight.abs() * norm
