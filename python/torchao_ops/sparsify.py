"""Makes the linear layers of a model 2:4 sparse in place."""

from collections.abc import Callable

from torch import nn
from torch.nn.utils import parametrize

from .config import Config, Int8DynamicActivationInt8SemiSparseWeightConfig, SemiSparseWeightConfig
from .quantize import quantize_
from .sparsifier import KeptWeights


def sparsify_(
    model: nn.Module, config: Config | None = None, filter_fn: Callable[[nn.Module, str], bool] | None = None
) -> None:
    """Turns the linear layers of a model into 2:4 sparse ones, in place: `quantize_` for the configs of sparse weights.

    Weights that a sparsifier has pruned are kept as they are. Others are pruned by magnitude, with a warning.

    Args:
        model, filter_fn: as for `quantize_`.
        config: `SemiSparseWeightConfig()`, the default, or `Int8DynamicActivationInt8SemiSparseWeightConfig()`.

    Raises:
        TypeError: config is no config of a sparse weight.
        RuntimeError: a weight is still under a sparsifier, which `squash_mask` ends; or as `quantize_`.
    """
    config = SemiSparseWeightConfig() if config is None else config
    sparse_configs = SemiSparseWeightConfig, Int8DynamicActivationInt8SemiSparseWeightConfig
    if not isinstance(config, sparse_configs):
        known = " or ".join(config_class.__name__ for config_class in sparse_configs)
        raise TypeError(f"sparsify_: config must be a {known}, but got {config!r}")
    for name, module in model.named_modules():
        if parametrize.is_parametrized(module, "weight") and any(
            isinstance(parametrization, KeptWeights) for parametrization in module.parametrizations.weight
        ):
            raise RuntimeError(
                f"sparsify_: {name}.weight must be final, but its sparsifier's squash_mask was not called"
            )
    quantize_(model, config, filter_fn)
