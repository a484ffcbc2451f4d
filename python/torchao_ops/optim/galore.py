"""GaLore: AdamW on a projection of the gradient to few dimensions.

Zhao et al., GaLore: Memory-Efficient LLM Training by Gradient Low-Rank Projection, 2024 (arXiv 2403.03507).
"""

from typing import Any

import torch
from torch import Tensor

from .adamw import LowBitAdamW
from .moments import Float32Moments, Int8Moments


class GaLoreAdamW(LowBitAdamW):
    """AdamW whose moments, for matrices, are those of the gradient's projection to its `rank` largest singular directions.

    The shorter side of the matrix is projected; the state of an [N, K] matrix with N >= K has N * rank elements a moment and
    K * rank for the projection, in fp32. The projection is renewed every `update_proj_gap` steps, at the cost of a singular
    value decomposition.
    """

    _moments = Float32Moments()

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        rank: int | None = None,
        update_proj_gap: int = 200,
        scale: float = 0.25,
    ) -> None:
        """The last three are usually given for a group of its own, that of the large matrices.

        Args:
            params, lr, betas, eps, weight_decay: as torch.optim.AdamW; the dtypes are fp32, fp16 and bf16.
            rank: of the projection; None: none. Parameters that are no matrices, or whose shorter side is not above the rank,
                are not projected.
            update_proj_gap: after how many steps the projection is renewed.
            scale: by which a projected update is multiplied.

        Raises:
            ValueError: a number is out of its range, or a parameter of another dtype.
        """
        projection = {"rank": rank, "update_proj_gap": update_proj_gap, "scale": scale}
        super().__init__(params, lr, betas, eps, weight_decay, **projection)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        self._check(group["rank"] is None or group["rank"] >= 1, "rank", "None or at least 1", group["rank"])
        self._check(group["update_proj_gap"] >= 1, "update_proj_gap", "at least 1", group["update_proj_gap"])

    def _projected(self, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
        rank = group["rank"]
        if rank is None or gradient.dim() != 2 or min(gradient.shape) <= rank:
            return gradient
        if (state["step"] - 1) % group["update_proj_gap"] == 0:
            left, _, right = torch.linalg.svd(gradient, full_matrices=False)
            # A copy: a slice would keep all of the singular vectors.
            state["projection"] = (right[:rank].T if _is_tall(gradient) else left[:, :rank]).clone()
        projection = state["projection"]
        return gradient @ projection if _is_tall(gradient) else projection.T @ gradient

    def _unprojected(self, change: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
        projection = state.get("projection")
        if projection is None:
            return change
        # What was the shorter side has the size of the rank.
        back = change @ projection.T if change.shape[1] == projection.shape[1] else projection @ change
        return group["scale"] * back


class GaLoreAdamW8bit(GaLoreAdamW):
    """GaLoreAdamW with both moments in 8 bits."""

    _moments = Int8Moments()


def _is_tall(matrix: Tensor) -> bool:
    return matrix.shape[0] >= matrix.shape[1]
