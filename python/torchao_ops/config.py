"""What `quantize_` can turn a model's linear layers into, as objects and as short strings."""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import torch


def _check_size(config: object, name: str, value: object) -> None:
    """For a field that is a number of weights."""
    config_name = type(config).__name__
    if type(value) is not int:
        raise TypeError(f"{config_name}: {name} must be an int, but got {value!r}")
    if value < 1:
        raise ValueError(f"{config_name}: {name} must be at least 1, but got {value}")


@dataclass(frozen=True)
class _Int4WeightConfig:
    """An int4 weight; the subclasses say what happens to the activations."""

    group_size: int
    symmetric: bool = False
    qparams: Literal["minmax", "hqq"] = "minmax"

    def __post_init__(self) -> None:
        _check_size(self, "group_size", self.group_size)
        name = type(self).__name__
        if self.qparams not in ("minmax", "hqq"):
            raise ValueError(f'{name}: qparams must be "minmax" or "hqq", but got {self.qparams!r}')
        if self.symmetric and self.qparams == "hqq":
            raise ValueError(
                f'{name}: symmetric must be False with qparams="hqq", which chooses zero points, but got True'
            )


@dataclass(frozen=True)
class Int4WeightOnlyConfig(_Int4WeightConfig):
    """4-bit weights, exact activations (`int4_mm`).

    Args:
        group_size: how many weights along in_features share a scale; smaller is more accurate and larger in memory. Any
            size from 1 on; it need not divide in_features.
        symmetric: store no zero points (all are 8): slightly smaller, slightly less accurate.
        qparams: how scales and zero points come of the weights of a group: "minmax" is what `int4_quantize` does; "hqq" fits the zero
            point to them (slower to quantize; the same size and speed).

    Raises:
        TypeError, ValueError: group_size is not an int or below 1; qparams is neither of the two, or "hqq" with symmetric.
    """

    group_size: int = 128


@dataclass(frozen=True)
class Int8DynamicActivationInt4WeightConfig(_Int4WeightConfig):
    """4-bit weights, activations rounded to 8 bits per row on the fly (`int4_dynamic_mm`).

    Faster than `Int4WeightOnlyConfig`, at an error of about 1 % of the result's norm.

    Args and errors: as `Int4WeightOnlyConfig`.
    """

    group_size: int = 32


@dataclass(frozen=True)
class Int8WeightOnlyConfig:
    """8-bit weights, exact activations (`int8_mm`).

    Args:
        group_size: how many weights along in_features share a scale; None: a whole row does, which is what other tools
            write and what is fastest.

    Raises:
        TypeError, ValueError: group_size is neither None nor an int, or below 1.
    """

    group_size: int | None = None

    def __post_init__(self) -> None:
        if self.group_size is not None:
            _check_size(self, "group_size", self.group_size)


@dataclass(frozen=True)
class Int8DynamicActivationInt8WeightConfig:
    """8-bit weights with a scale a row, activations rounded to 8 bits per row on the fly (`int8_dynamic_mm`).

    The fastest for large batches. Activations with outliers in a few channels lose accuracy: see `smoothquant`.
    """


@dataclass(frozen=True)
class NF4WeightOnlyConfig:
    """4-bit weights whose 16 values are quantiles of the normal distribution, exact activations (`nf4_mm`): QLoRA's format, in
    bitsandbytes' bytes.

    Args:
        block_size: how many weights of the flattened weight share a scale; a power of two from 32 on.
        double_quant: store the scales in 8 bits (4.13 bits a weight instead of 4.5 with block_size 64).

    Raises:
        TypeError, ValueError: block_size is not an int, or no power of two from 32 on.
    """

    block_size: int = 64
    double_quant: bool = True

    def __post_init__(self) -> None:
        _check_size(self, "block_size", self.block_size)
        if self.block_size < 32 or self.block_size & (self.block_size - 1):
            raise ValueError(
                f"NF4WeightOnlyConfig: block_size must be a power of two from 32 on, but got {self.block_size}"
            )


@dataclass(frozen=True)
class SemiSparseWeightConfig:
    """2:4 sparse weights: of each four consecutive in_features two are kept, as they are, and the others are zeros; exact activations
    (`sparse24_mm`).

    A weight that is not 2:4 already is pruned by magnitude, with a warning: without calibration or training that costs much
    accuracy (see `WandaSparsifier`).
    """


@dataclass(frozen=True)
class Int8DynamicActivationInt8SemiSparseWeightConfig:
    """2:4 sparse weights of 8 bits with a scale a row, activations rounded to 8 bits per row on the fly (`sparse24_dynamic_mm`).

    Pruned as with `SemiSparseWeightConfig`, then rounded.
    """


@dataclass(frozen=True)
class PerTensor:
    """One scale for the whole weight."""

    name: ClassVar[str] = "tensor"


@dataclass(frozen=True)
class PerRow:
    """A scale for each row of the weight, an out_feature."""

    name: ClassVar[str] = "row"


@dataclass(frozen=True)
class PerBlock:
    """A scale for each block of 128 x 128 weights."""

    name: ClassVar[str] = "block"


@dataclass(frozen=True)
class _Float8WeightConfig:
    """An 8-bit floating-point weight; the subclasses say what happens to the activations."""

    granularity: PerTensor | PerRow | PerBlock = PerRow()
    weight_dtype: torch.dtype = torch.float8_e4m3fn

    def __post_init__(self) -> None:
        name = type(self).__name__
        if not isinstance(self.granularity, PerTensor | PerRow | PerBlock):
            raise TypeError(
                f"{name}: granularity must be PerTensor(), PerRow() or PerBlock(), but got {self.granularity!r}"
            )
        if self.weight_dtype not in (torch.float8_e4m3fn, torch.float8_e5m2):
            raise ValueError(
                f"{name}: weight_dtype must be torch.float8_e4m3fn or torch.float8_e5m2, but got {self.weight_dtype!r}"
            )


@dataclass(frozen=True)
class Float8WeightOnlyConfig(_Float8WeightConfig):
    """8-bit floating-point weights, exact activations (`fp8_mm`).

    Args:
        granularity: how many weights share a scale: `PerTensor()`, `PerRow()` or `PerBlock()`.
        weight_dtype: torch.float8_e4m3fn (3 bits after the point) or torch.float8_e5m2 (2, and a wider range).

    Raises:
        TypeError, ValueError: granularity or weight_dtype is something else.
    """


@dataclass(frozen=True)
class Float8DynamicActivationFloat8WeightConfig(_Float8WeightConfig):
    """8-bit floating-point weights, activations rounded to the weight's dtype on the fly, a scale a row (`fp8_dynamic_mm`).

    Args and errors: as `Float8WeightOnlyConfig`.
    """


@dataclass(frozen=True)
class QATConfig:
    """Quantization-aware training: for `quantize_`, which it tells to begin or to end it.

    Args:
        base_config: what the trained model will be quantized with: a config or a short name of one, the same for both steps.
        step: "prepare" makes linear layers compute what they will when they are quantized, with a weight that is still dense and trained
            (`QATLinear`); "convert" quantizes these layers.

    Raises:
        ValueError: base_config is a string that names no config; step is neither of the two.
    """

    base_config: "Config | str"
    step: Literal["prepare", "convert"]

    def __post_init__(self) -> None:
        if isinstance(self.base_config, str):
            object.__setattr__(self, "base_config", config_from_alias(self.base_config))
        if self.step not in ("prepare", "convert"):
            raise ValueError(f'QATConfig: step must be "prepare" or "convert", but got {self.step!r}')


Config = (
    Int4WeightOnlyConfig
    | Int8DynamicActivationInt4WeightConfig
    | Int8WeightOnlyConfig
    | Int8DynamicActivationInt8WeightConfig
    | NF4WeightOnlyConfig
    | SemiSparseWeightConfig
    | Int8DynamicActivationInt8SemiSparseWeightConfig
    | Float8WeightOnlyConfig
    | Float8DynamicActivationFloat8WeightConfig
)

# The second is the field that "-<number>" behind the name sets, if the config has one.
_ALIASES: dict[str, tuple[type, str | None]] = {
    "int4wo": (Int4WeightOnlyConfig, "group_size"),
    "int4_weight_only": (Int4WeightOnlyConfig, "group_size"),
    "8da4w": (Int8DynamicActivationInt4WeightConfig, "group_size"),
    "int8_dynamic_activation_int4_weight": (Int8DynamicActivationInt4WeightConfig, "group_size"),
    "int8wo": (Int8WeightOnlyConfig, "group_size"),
    "int8_weight_only": (Int8WeightOnlyConfig, "group_size"),
    "int8dq": (Int8DynamicActivationInt8WeightConfig, None),
    "int8_dynamic_activation_int8_weight": (Int8DynamicActivationInt8WeightConfig, None),
    "nf4": (NF4WeightOnlyConfig, "block_size"),
    "sparse24": (SemiSparseWeightConfig, None),
    "semi_sparse_weight": (SemiSparseWeightConfig, None),
    "int8dq_sparse24": (Int8DynamicActivationInt8SemiSparseWeightConfig, None),
    "int8_dynamic_activation_int8_semi_sparse_weight": (Int8DynamicActivationInt8SemiSparseWeightConfig, None),
    "float8wo": (Float8WeightOnlyConfig, None),
    "float8_weight_only": (Float8WeightOnlyConfig, None),
    "float8dq": (Float8DynamicActivationFloat8WeightConfig, None),
    "float8_dynamic_activation_float8_weight": (Float8DynamicActivationFloat8WeightConfig, None),
}


def config_from_alias(alias: str) -> Config:
    """The config of a short name such as "int4wo", or, with a group size, "int4wo-32".

    Raises:
        ValueError: the name is not known, has a number that it does not take, or its number is below 1.
    """
    match = re.fullmatch(r"(?P<name>\w+?)(-(?P<number>\d+))?", alias, re.ASCII)
    if match is None or match["name"] not in _ALIASES or (match["number"] and not _ALIASES[match["name"]][1]):
        known = ", ".join(f'"{name}-<{field}>"' if field else f'"{name}"' for name, (_, field) in _ALIASES.items())
        raise ValueError(f"config must be one of {known}, where the part after - may be left out, but got {alias!r}")
    config_class, field = _ALIASES[match["name"]]
    return config_class(**{field: int(match["number"])}) if match["number"] else config_class()


def alias_of(config: Config) -> str:
    """The short name of a config, with its group size; a config that has none is shown as it is written in Python."""
    for alias, (config_class, field) in _ALIASES.items():
        if type(config) is config_class:
            number = getattr(config, field) if field else None
            name = alias if number is None else f"{alias}-{number}"
            return name if config_from_alias(name) == config else repr(config)
    return repr(config)


_GRANULARITIES = {granularity.name: granularity for granularity in (PerTensor, PerRow, PerBlock)}


def config_to_json(config: Config) -> dict[str, Any]:
    """A config as json.dumps takes it."""

    def to_json(value: Any) -> Any:
        if isinstance(value, tuple(_GRANULARITIES.values())):
            return value.name
        return str(value).removeprefix("torch.") if isinstance(value, torch.dtype) else value

    fields = {field.name: to_json(getattr(config, field.name)) for field in dataclasses.fields(config)}
    return {"type": type(config).__name__, **fields}


def config_from_json(data: Mapping[str, Any]) -> Config:
    """The inverse of `config_to_json`.

    Raises:
        ValueError: the type is not that of a config.
    """
    fields = dict(data)
    known = {config_class.__name__: config_class for config_class in get_args(Config)}
    name = fields.pop("type", None)
    if name not in known:
        raise ValueError(f"a config's type must be one of {', '.join(known)}, but got {name!r}")
    if "granularity" in fields:
        fields["granularity"] = _GRANULARITIES[fields["granularity"]]()
    if "weight_dtype" in fields:
        fields["weight_dtype"] = getattr(torch, fields["weight_dtype"])
    return known[name](**fields)
