"""The `quantization_config` of `from_pretrained`."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from ..config import Config, config_from_alias, config_from_json, config_to_json
from ..linear import linear_class_of


class QuantMethod(str, Enum):
    """What config.json calls this package: a str for transformers, an Enum for diffusers."""

    TORCHAO_OPS = "torchao_ops"


class TorchAoOpsConfig:
    """How to quantize a model in `from_pretrained(path, quantization_config=...)` of transformers or diffusers.

    Args:
        quant_type: a config or a short name of one, as for `quantize_`; None quantizes what module_configs names and nothing else.
        modules_to_not_convert: patterns of the names of layers that stay dense. In transformers, None means the output embeddings and the
            module with the model's last parameter; [] means none. Layers with a tied weight stay dense in any case.
        module_configs: for patterns of names, another config, a short name, or None (which leaves the layer dense). The first that matches
            counts; it has precedence over quant_type and over what None means for modules_to_not_convert.
        options: fields of the config, such as group_size=64.

    A pattern is the name of a layer, the end of one ("down_proj"), the beginning of one up to a dot ("model.layers.0"), or a regular
    expression for the beginning (r"model\\.layers\\.\\d+\\.mlp").

    Raises:
        TypeError: quant_type or a value of module_configs is neither a config nor a string, or modules_to_not_convert is no list.
        ValueError: a short name is not known, an option is no field of the config, a pattern is no regular expression, or there is
            neither quant_type nor module_configs.
    """

    quant_method = QuantMethod.TORCHAO_OPS

    def __init__(
        self,
        quant_type: Config | str | None = None,
        modules_to_not_convert: list[str] | None = None,
        module_configs: Mapping[str, Config | str | None] | Iterable[tuple[str, Config | str | None]] | None = None,
        **options: Any,
    ) -> None:
        if isinstance(modules_to_not_convert, str):
            raise TypeError(
                f"TorchAoOpsConfig: modules_to_not_convert must be a list of strings, but got {modules_to_not_convert!r}"
            )
        self.quant_type = _with_options(quant_type, options)
        self.modules_to_not_convert = None if modules_to_not_convert is None else list(modules_to_not_convert)
        self.module_configs = {name: _config(value) for name, value in dict(module_configs or {}).items()}
        if self.quant_type is None and not self.module_configs:
            raise ValueError(
                "TorchAoOpsConfig: quant_type must be a config or a short name of one where there are no module_configs, but got None"
            )
        for pattern in (*(self.modules_to_not_convert or ()), *self.module_configs):
            _check_pattern(pattern)

    def config_of(self, *names: str, dense: Iterable[str] = ()) -> Config | None:
        """What a layer is to be quantized into; None: it stays dense.

        Args:
            names: what the layer is called; it may have more than one name.
            dense: more patterns of what stays dense, unless module_configs says otherwise.
        """
        if _match(self.modules_to_not_convert or (), names):
            return None
        for pattern, config in self.module_configs.items():
            if _match([pattern], names):
                return config
        return None if _match(dense, names) else self.quant_type

    def to_dict(self) -> dict[str, Any]:
        """What is written to config.json."""
        return {
            "quant_method": self.quant_method.value,
            "quant_type": None if self.quant_type is None else config_to_json(self.quant_type),
            "modules_to_not_convert": self.modules_to_not_convert,
            # Not an object: transformers sorts the keys of those, and the first pattern that matches counts.
            "module_configs": [
                [name, None if config is None else config_to_json(config)]
                for name, config in self.module_configs.items()
            ],
        }

    def to_diff_dict(self) -> dict[str, Any]:
        return self.to_dict()

    @classmethod
    def from_dict(cls, config_dict: Mapping[str, Any], **_) -> "TorchAoOpsConfig":
        """The inverse of to_dict. Written by hand, short names may stand for configs and module_configs may be an object."""
        arguments = {name: value for name, value in config_dict.items() if name != "quant_method"}
        arguments["quant_type"] = _from_json(arguments.get("quant_type"))
        module_configs = dict(arguments.get("module_configs") or {})
        arguments["module_configs"] = {name: _from_json(value) for name, value in module_configs.items()}
        return cls(**arguments)

    def __repr__(self) -> str:
        return (
            f"TorchAoOpsConfig({self.quant_type!r}, modules_to_not_convert={self.modules_to_not_convert!r}, "
            f"module_configs={self.module_configs!r})"
        )


def _config(value: Config | str | None) -> Config | None:
    if isinstance(value, str):
        return config_from_alias(value)
    if value is not None:
        linear_class_of(value)  # which complains about what is not a config
    return value


def _with_options(quant_type: Config | str | None, options: dict[str, Any]) -> Config | None:
    config = _config(quant_type)
    if not options:
        return config
    known = () if config is None else tuple(field.name for field in dataclasses.fields(config))
    for name in options:
        if name not in known:
            takes = ", ".join(known) or "nothing"
            raise ValueError(
                f"TorchAoOpsConfig: the options of {quant_type!r} must be among its fields ({takes}), but got {name}"
            )
    return dataclasses.replace(config, **options)


def _check_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"TorchAoOpsConfig: a pattern must be a layer's name or a regular expression, but got {pattern!r} ({error})"
        ) from None


def _match(patterns: Iterable[str], names: Iterable[str]) -> bool:
    """As transformers does it for modules_to_not_convert."""
    boundary = r"(?:(?<=\.)|(?=\.|$))"
    return any(
        re.match(f"(?:{pattern}){boundary}", name) or name.endswith(pattern) for pattern in patterns for name in names
    )


def _from_json(value: dict[str, Any] | Config | str | None) -> Config | str | None:
    return config_from_json(value) if isinstance(value, Mapping) else value
