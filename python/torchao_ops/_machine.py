"""What the machine is, as far as times depend on it."""

import platform
from pathlib import Path

import torch

# Where the system does not say.
_USUAL_CACHE_BYTES = 32 << 20


def device_name(device: torch.device) -> str:
    """Of a GPU, or of the CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def last_level_cache_bytes(device: torch.device) -> int:
    """The size of a GPU's or of CPU 0's largest cache."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).L2_cache_size
    sizes = Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    return max((int(size.read_text().strip().removesuffix("K")) << 10 for size in sizes), default=_USUAL_CACHE_BYTES)
