"""Where and of what a figure was taken."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
#: x86 family and model ranges, for CPUs whose name does not tell (virtual machines often hide it).
MICROARCHITECTURES = {
    (25, range(0x00, 0x10)): "Zen 3",
    (25, range(0x10, 0x20)): "Zen 4",
    (26, range(0x00, 0x20)): "Zen 5",
    (6, range(0x6A, 0x6D)): "Ice Lake",
    (6, range(0x8F, 0x90)): "Sapphire Rapids",
    (6, range(0xCF, 0xD0)): "Emerald Rapids",
}
INSTRUCTION_SETS = ("avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile")


def describe() -> dict:
    """The CPU, its last-level cache, its cores and instruction sets, and torch's version."""
    cpuinfo = dict(
        re.findall(r"^(\S[^\t:]*)\s*: (.*)$", Path("/proc/cpuinfo").read_text().split("\n\n")[0], re.MULTILINE)
    )
    family, model = int(cpuinfo["cpu family"]), int(cpuinfo["model"])
    names = [name for (known, models), name in MICROARCHITECTURES.items() if family == known and model in models]
    flags = cpuinfo["flags"].split()
    return {
        "cpu": cpuinfo["model name"].strip(),
        "microarchitecture": names[0] if names else f"family {family} model {model}",
        "cores": len(os.sched_getaffinity(0)),
        "isa": [name for name in INSTRUCTION_SETS if name in flags],
        "last_level_cache_bytes": last_level_cache_bytes(),
        "torch": torch.__version__,
    }


def folder_name(machine: dict) -> str:
    """A folder for this machine's results, e.g. "amd-epyc-zen-3-2-cores"."""
    text = f"{machine['cpu']} {machine['microarchitecture']} {machine['cores']} cores"
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def last_level_cache_bytes() -> int:
    """Size of CPU 0's largest cache; 32 MiB where the system does not say."""
    sizes = []
    for size in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        sizes.append(int(size.read_text().strip().rstrip("K")) * 1024)
    return max(sizes, default=32 << 20)


def commit() -> str:
    """The commit that is checked out, with "+" if the library's sources differ from it."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "--", "csrc", "python", "CMakeLists.txt", "setup_cmake")
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + ("+" if changed else "")
