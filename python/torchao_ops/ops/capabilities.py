"""torchao::capabilities."""

import json
from typing import Any

import torch


def capabilities() -> dict[str, Any]:
    """What the loaded library was built with and which instruction set it uses on this machine."""
    return json.loads(torch.ops.torchao.capabilities())
