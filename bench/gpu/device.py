"""Which device, driver and torch a run is about, and how fast the device's clocks are."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: For nvidia-smi; the last one has another name in older drivers and may be missing.
CLOCKS = ("clocks.sm", "clocks.mem", "clocks.max.sm", "clocks.max.mem", "power.draw", "power.limit", "temperature.gpu")
THROTTLE = ("clocks_event_reasons.active", "clocks_throttle_reasons.active")

_PROBE = """
import json, platform, torch
found = {"torch": torch.__version__, "torch_cuda": torch.version.cuda, "python": platform.python_version()}
found["available"] = torch.cuda.is_available()
if found["available"]:
    p = torch.cuda.get_device_properties(0)
    found |= {"name": p.name, "compute_capability": 10 * p.major + p.minor, "multiprocessors": p.multi_processor_count,
              "memory_bytes": p.total_memory, "l2_bytes": p.L2_cache_size}
print(json.dumps(found))
"""

#: In place of a device where there is none. The name ends up in no results: a dry run writes none.
DRY_RUN = {
    "name": "DRY RUN",
    "compute_capability": 90,
    "multiprocessors": 132,
    "memory_bytes": 1 << 36,
    "l2_bytes": 1 << 20,
}


def probe(dry_run: bool, limit_seconds: float) -> dict:
    """torch's view of the first device. Raises RuntimeError with the reason where there is none."""
    done = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=limit_seconds)
    if done.returncode != 0:
        raise RuntimeError(f"{sys.executable} cannot ask torch: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    if dry_run:
        return found | DRY_RUN
    if not found["available"]:
        raise RuntimeError(f"torch {found['torch']} (CUDA {found['torch_cuda']}) sees no CUDA device")
    return found | {"driver": _query(("driver_version",)).get("driver_version", "unknown")}


def clocks() -> dict:
    """MHz, watts, degrees, and a bit mask of why the clocks are lower than they could be; empty without nvidia-smi."""
    found = _query(CLOCKS)
    for field in THROTTLE:
        if value := _query((field,)).get(field):
            return found | {"throttle_reasons": value}
    return found


def _query(fields: tuple[str, ...]) -> dict:
    command = ["nvidia-smi", "--id=0", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    values = [value.strip() for value in done.stdout.strip().split(",")]
    if done.returncode != 0 or len(values) != len(fields):
        return {}
    return dict(zip(fields, values, strict=True))


def folder_name(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def commit() -> str:
    """The commit that is checked out, with "+" where the sources differ from it; "unknown" without git."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        head = git("rev-parse", "--short=12", "HEAD")
        return (head or "unknown") + ("+" if head and git("status", "--porcelain", "--", *SOURCES) else "")
    except OSError:
        return "unknown"


#: What the library and its test programs are built from.
SOURCES = ("CMakeLists.txt", "csrc", "setup_cmake", "tests/cpp")
