"""torchao::capabilities."""

import json
from typing import Any

import torch


def capabilities() -> dict[str, Any]:
    """What the loaded library was built with and which instruction set it uses on this machine.

    The operator returns JSON; this function, the dict.

    Returns:
        version: of the library.
        torch_abi: the oldest torch whose stable ABI the library needs: `"2.10"`.
        isa: in use: `"scalar"`, `"avx2"` or `"avx512"`.
        isa_available: those that this CPU has.
        avx512_bf16: whether the bf16 dot product is used as well.
        avx512_vbmi2: whether expanding of 16-bit numbers is, too.
        cuda_archs: what is built in: `sm_90a` is code for a device, `compute_80` PTX for any later one; `[]` if built without CUDA.
        cublaslt, cusparselt: whether the process has loaded it, as torch with CUDA does.

    Raises:
        RuntimeError: `TORCHAO_OPS_ISA` names an instruction set that does not exist or that this CPU lacks.
    """
    return json.loads(torch.ops.torchao.capabilities())
