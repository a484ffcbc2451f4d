"""What `quantize_` can turn a model's linear layers into, as objects and as short strings."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class _Int4WeightConfig:
    """An int4 weight; the subclasses say what happens to the activations."""

    group_size: int
    symmetric: bool = False

    def __post_init__(self) -> None:
        name = type(self).__name__
        if type(self.group_size) is not int:
            raise TypeError(f"{name}: group_size must be an int, but got {self.group_size!r}")
        if self.group_size < 1:
            raise ValueError(f"{name}: group_size must be at least 1, but got {self.group_size}")


@dataclass(frozen=True)
class Int4WeightOnlyConfig(_Int4WeightConfig):
    """4-bit weights, exact activations (`int4_mm`).

    Args:
        group_size: how many weights along in_features share a scale; smaller is more accurate and larger in memory. Any
            size from 1 on; it need not divide in_features.
        symmetric: store no zero points (all are 8): slightly smaller, slightly less accurate.

    Raises:
        TypeError, ValueError: group_size is not an int or below 1.
    """

    group_size: int = 128


@dataclass(frozen=True)
class Int8DynamicActivationInt4WeightConfig(_Int4WeightConfig):
    """4-bit weights, activations rounded to 8 bits per row on the fly (`int4_dynamic_mm`).

    Faster than `Int4WeightOnlyConfig`, at an error of about 1 % of the result's norm.

    Args and errors: as `Int4WeightOnlyConfig`.
    """

    group_size: int = 32


Config = Int4WeightOnlyConfig | Int8DynamicActivationInt4WeightConfig

_ALIASES = {
    "int4wo": Int4WeightOnlyConfig,
    "int4_weight_only": Int4WeightOnlyConfig,
    "8da4w": Int8DynamicActivationInt4WeightConfig,
    "int8_dynamic_activation_int4_weight": Int8DynamicActivationInt4WeightConfig,
}


def config_from_alias(alias: str) -> Config:
    """The config of a short name such as "int4wo", or, with a group size, "int4wo-32".

    Raises:
        ValueError: the name is not known or its group size is below 1.
    """
    match = re.fullmatch(r"(?P<name>\w+?)(-(?P<group_size>\d+))?", alias, re.ASCII)
    config_class = _ALIASES.get(match["name"]) if match else None
    if config_class is None:
        known = ", ".join(f'"{name}"' for name in _ALIASES)
        raise ValueError(f"config must be one of {known}, or one of these and -<group_size>, but got {alias!r}")
    return config_class(group_size=int(match["group_size"])) if match["group_size"] else config_class()
