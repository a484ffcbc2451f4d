"""The library and the test programs for a device: built here, or brought along ("carried").

    python -m gpu.build FOLDER      (`make gpu-check-build`) puts a build to carry into FOLDER

A carried build runs where there is no GoogleTest and nothing to compile with: the programs have GoogleTest and the CUDA runtime in them. It says from
which sources it was made, and is not used for others. Each program has all the kernels in it: the archive is compressed with a window that is larger
than one of them, so that it has the kernels once.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from gpu import device, process

LIBRARY = "libtorchao_ops.so"
PROGRAM_PATTERN = "test_*_cuda_device"
MANIFEST = "manifest.json"
ARCHIVE = "build.tar.xz"
ARCHIVE_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 1, "dict_size": 256 << 20}]
#: Hopper's own code, which the devices at hand run, and PTX for any other.
CARRIED_ARCHITECTURES = "90a-real;80-virtual"
MOST_CARRIED_BYTES = 60 << 20


@dataclass
class Build:
    library: Path
    programs: list[Path]
    origin: str  # for the report
    commit: str


def sources_hash() -> str:
    """Of everything that the library and its tests are built from, whatever git knows of it."""
    digest = hashlib.sha256()
    for top in device.SOURCES:
        path = device.ROOT / top
        files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
        for file in files:
            if "__pycache__" not in file.parts:
                digest.update(str(file.relative_to(device.ROOT)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def carried(folder: Path) -> Build:
    """Raises RuntimeError where the folder has no build, or one of other sources."""
    if not (folder / MANIFEST).is_file():
        raise RuntimeError(f"{folder} has no {MANIFEST}")
    manifest = json.loads((folder / MANIFEST).read_text())
    if manifest["sources"] != sources_hash():
        raise RuntimeError(f"{folder} was built from other sources (commit {manifest['commit']})")
    unpacked = folder / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    with tarfile.open(folder / ARCHIVE) as archive:
        archive.extractall(unpacked, filter="data")
    return Build(unpacked / LIBRARY, sorted(unpacked.glob(PROGRAM_PATTERN)), "carried", manifest["commit"])


def pack(folder: Path, files: list[Path], manifest: dict) -> None:
    """Makes a folder that `carried` takes."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with lzma.open(folder / ARCHIVE, "wb", filters=ARCHIVE_FILTERS) as stream:
        with tarfile.open(fileobj=stream, mode="w|") as archive:
            for file in files:
                archive.add(file, file.name)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")


def make(folder: Path, architectures: str, log: Path, limit_seconds: float, jobs: int) -> Build:
    """Configures and builds. Without GoogleTest, only the library. Raises RuntimeError with the end of the output."""

    def run(limit: float, *command: str) -> process.Finished:
        return process.run([*command], limit, log.with_suffix(f".{command[0]}.log"), cwd=device.ROOT)

    if shutil.which("cmake") is None:
        raise RuntimeError("cmake was not found")
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    options = {
        "CMAKE_BUILD_TYPE": "Release",
        "TORCHAO_OPS_CUDA": "ON",
        "TORCHAO_OPS_CUDA_ARCHITECTURES": architectures,
        "TORCHAO_OPS_PYTHON": sys.executable,
    }
    remaining = limit_seconds
    for with_tests in ("ON", "OFF"):
        defines = [f"-D{name}={value}" for name, value in {**options, "TORCHAO_OPS_BUILD_TESTS": with_tests}.items()]
        configured = run(remaining, "cmake", "-S", str(device.ROOT), "-B", str(folder), *generator, *defines)
        remaining -= configured.seconds
        if configured.exit_code == 0 or "GTest" not in configured.output:
            break
    if configured.exit_code != 0:
        raise RuntimeError("cmake failed: " + " | ".join(configured.tail()))
    targets = ["torchao_ops", *(_programs_of(folder) if with_tests == "ON" else [])]
    built = run(remaining, "cmake", "--build", str(folder), "--parallel", str(jobs), "--target", *targets)
    if built.exit_code != 0:
        what = f"took longer than {remaining:.0f} s" if built.timed_out else "failed"
        raise RuntimeError(f"the build {what}: " + " | ".join(built.tail()))
    programs = sorted((folder / "tests" / "cpp").glob(PROGRAM_PATTERN))
    return Build(
        folder / LIBRARY, [p for p in programs if p.is_file() and os.access(p, os.X_OK)], "built here", device.commit()
    )


def _programs_of(folder: Path) -> list[str]:
    """The CMake targets that PROGRAM_PATTERN names."""
    targets = subprocess.run(
        ["cmake", "--build", str(folder), "--target", "help"], capture_output=True, text=True, check=True
    ).stdout
    names = [line.split(":")[0].strip().removeprefix("... ") for line in targets.splitlines()]
    prefix, suffix = PROGRAM_PATTERN.split("*")
    return sorted({name for name in names if name.startswith(prefix) and name.endswith(suffix) and "/" not in name})


def carry(folder: Path, jobs: int) -> None:
    """Makes the build to carry."""
    work = folder.with_name(folder.name + "_work")
    build = make(work, CARRIED_ARCHITECTURES, work / "build.log", 3600, jobs)
    if not build.programs:
        raise RuntimeError("GoogleTest is needed to build what is carried")
    stripped = work / "stripped"
    stripped.mkdir(exist_ok=True)
    files = [build.library, *build.programs]
    for file in files:
        subprocess.run(["strip", "--strip-debug", "-o", str(stripped / file.name), str(file)], check=True)
    manifest = {"commit": build.commit, "sources": sources_hash(), "architectures": CARRIED_ARCHITECTURES}
    pack(folder, [stripped / file.name for file in files], manifest)
    total = sum(file.stat().st_size for file in folder.iterdir())
    print(
        f"{folder}: {len(build.programs)} programs and the library, {total / (1 << 20):.1f} MiB, commit {build.commit}"
    )
    if total > MOST_CARRIED_BYTES:
        raise RuntimeError(f"{folder} must be smaller than {MOST_CARRIED_BYTES >> 20} MiB to be carried")


if __name__ == "__main__":
    carry(Path(sys.argv[1]).resolve(), len(os.sched_getaffinity(0)))
