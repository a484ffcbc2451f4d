"""AdamW whose state takes a quarter or an eighth of the memory."""

from collections.abc import Callable
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from .moments import Float32Moments, Int4Moments, Int8Moments, Moments

# The state of smaller parameters (norms, biases) stays in fp32: it takes little, and they are sensitive.
_LEAST_ELEMENTS = 4096
_FLOAT32 = Float32Moments()
_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


class LowBitAdamW(Optimizer):
    """AdamW (Loshchilov and Hutter, 2017, arXiv 1711.05101), as torch's, on moments that the subclass says how to store.

    A step is computed in fp32, with moments that are rounded after it, and rounded once to the parameter's dtype.
    """

    _moments: Moments

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        **defaults: Any,
    ) -> None:
        """As torch.optim.AdamW.

        Args:
            params: of fp32, fp16 or bf16: parameters, or groups of them with settings of their own.
            defaults: of the subclass.

        Raises:
            ValueError: a number is out of its range, or a parameter of another dtype.
        """
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, **defaults})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        for name in ("lr", "eps", "weight_decay"):
            self._check(group[name] >= 0, name, "at least 0", group[name])
        self._check(all(0 <= beta < 1 for beta in group["betas"]), "betas", "from 0 to below 1", group["betas"])
        for parameter in group["params"]:
            dtype = str(parameter.dtype).removeprefix("torch.")
            self._check(parameter.dtype in _DTYPES, "params", "float32, float16 or bfloat16", dtype)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates the parameters that have a gradient.

        Args:
            closure: computes the loss anew, with gradients; its result is returned.

        Raises:
            RuntimeError: a gradient is sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        # torch has converted codes and scales to the dtype of their parameter.
        names = chain.from_iterable(group["params"] for group in state_dict["param_groups"])
        parameters = chain.from_iterable(group["params"] for group in self.param_groups)
        for name, parameter in zip(names, parameters, strict=True):
            if name in state_dict["state"]:
                self.state[parameter] = {
                    key: value.to(parameter.device, copy=True) if isinstance(value, Tensor) else value
                    for key, value in state_dict["state"][name].items()
                }

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        if parameter.grad.is_sparse:
            raise RuntimeError(f"{type(self).__name__}: gradients must be dense, but got a sparse one")
        state = self.state[parameter]
        state["step"] = state.get("step", 0) + 1
        gradient = self._projected(parameter.grad.float(), state, group)
        moments = self._moments if gradient.numel() >= _LEAST_ELEMENTS else _FLOAT32
        if "exp_avg" in state:
            first, second = moments.decode(state, gradient.shape)
        else:
            first, second = torch.zeros_like(gradient), torch.zeros_like(gradient)
        beta1, beta2 = group["betas"]
        first.lerp_(gradient, 1 - beta1)
        second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        state.update(moments.encode(first, second))

        denominator = (second / (1 - beta2 ** state["step"])).sqrt_().add_(group["eps"])
        change = self._unprojected(first / (1 - beta1 ** state["step"]) / denominator, state, group)
        updated = parameter.float() * (1 - group["lr"] * group["weight_decay"]) - group["lr"] * change
        parameter.copy_(updated)

    def _projected(self, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
        """The gradient as the moments see it."""
        return gradient

    def _unprojected(self, change: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
        return change

    def _check(self, holds: bool, name: str, requirement: str, value: Any) -> None:
        if not holds:
            raise ValueError(f"{type(self).__name__}: {name} must be {requirement}, but got {value}")


class AdamW8bit(LowBitAdamW):
    """AdamW with both moments in 8 bits: 2.03 bytes a parameter instead of 8."""

    _moments = Int8Moments()


class AdamW4bit(LowBitAdamW):
    """AdamW with both moments in 4 bits: 1.06 bytes a parameter instead of 8."""

    _moments = Int4Moments()
