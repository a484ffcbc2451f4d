"""Builds the native parts of the benchmark (CMakeLists.txt beside this file) and loads them."""

from __future__ import annotations

import ctypes
import os
import subprocess
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parent
BUILD = SOURCE.parent / "build" / "bench"


@cache
def library(target: str) -> ctypes.CDLL:
    """The shared library of that CMake target, built if it is missing or older than its source.

    Raises RuntimeError with the end of the compiler's output if the build fails.
    """
    configure = ["cmake", "-S", str(SOURCE), "-B", str(BUILD), f"-DGGML_DIR={os.environ.get('GGML_DIR', '')}"]
    build = ["cmake", "--build", str(BUILD), "--target", target, "--parallel", "2"]
    for command in (configure, build):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"`{' '.join(command)}` failed: {done.stdout[-2000:]}")
    return ctypes.CDLL(str(BUILD / f"lib{target}.so"))
