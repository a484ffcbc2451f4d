"""Proves that the tests of CUDA kernels on the host can fail: breaks a kernel in one place, and a test program must notice.

mutants.py CONFIG.json [NAME...]   all mutants, or those with these names

CONFIG.json comes from CMake: for each build the name of the object library of kernels, and what the test program is linked from. Each mutant is
compiled as the build compiles that source, linked in place of it, and run. An unbroken kernel, treated the same way, must pass.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

MMA = "csrc/cuda/mm_mma.cuh"
FINISH = "csrc/cuda/mm_finish.cuh"
BF16 = "csrc/cuda/int4_mm_mma_bf16.cu"
INT8 = "csrc/cuda/int4_mm_mma_int8.cu"
CODES = "csrc/cuda/int4_codes.cuh"
SPARSE24 = "csrc/cuda/sparse24_codes.cuh"
SPARSE24_BF16 = "csrc/cuda/sparse24_mm_mma_bf16.cu"
SPARSE24_INT8 = "csrc/cuda/sparse24_mm_mma_int8.cu"
FP8 = "csrc/cuda/fp8_codes.cuh"
FP8_BF16 = "csrc/cuda/fp8_mm_mma_bf16.cu"
FP8_F16 = "csrc/cuda/fp8_mm_mma_f16.cu"
QUANTIZE = "csrc/cuda/quantize_activations.cu"
SECONDS_PER_RUN = 60


@dataclass
class Mutant:
    """One break: `text`, which occurs once in `file`, becomes `instead`, and `unit`, which includes `file`, is compiled again."""

    name: str
    file: str
    unit: str
    text: str
    instead: str
    # By build: what the program then says, a regular expression. A wrong value is one that differs from the reference.
    says: dict[str, str]
    tests: str = "*"


WRONG_VALUE = r"y\[\d+, \d+\] of "
RACE = "race: |to which nothing was written|not waited for"

MUTANTS = [
    Mutant(
        "x is staged while the slab before is in use",
        MMA,
        BF16,
        "__syncthreads();  // the slab before is not needed any more",
        "",
        {"race": "race: "},
        "*Rows/Bf16",
    ),
    Mutant(
        "x is used while it is staged",
        MMA,
        BF16,
        "    __syncthreads();\n\n    for (int chunk = warp_k;",
        "    for (int chunk = warp_k;",
        {"race": RACE},
        "*FewRows/Bf16",
    ),
    Mutant(
        "sums overwrite what others still read",
        MMA,
        INT8,
        "__syncthreads();  // nobody reads the ring, x or parameters any more: now sums lie there",
        "",
        {"race": "race: "},
        "*Rows/Int8",
    ),
    Mutant(
        "sums are added before all are there",
        MMA,
        INT8,
        "  __syncthreads();\n  for (int i = thread;",
        "  for (int i = thread;",
        {"race": RACE},
        "*FewRows/Int8",
    ),
    Mutant(
        "lanes do not wait for each other's copies",
        MMA,
        BF16,
        "__syncwarp();  // this chunk has come",
        "// this chunk has come",
        {"race": RACE},
        "*FewRows/Bf16",
    ),
    Mutant(
        "the wait leaves one group too many",
        MMA,
        BF16,
        "ptx::cp_async_wait<shape.stages - 2>();",
        "ptx::cp_async_wait<shape.stages - 1>();",
        {"race": "not waited for", "asan": "use-after-poison", "release": WRONG_VALUE},
        "*MoreRows/Bf16",
    ),
    Mutant(
        "the ring is filled where it is read",
        MMA,
        INT8,
        "stage == 0 ? shape.stages - 1 : stage - 1",
        "stage",
        {"race": "not waited for"},
        "*FewRows/Int8",
    ),
    Mutant(
        "the ring is read one stage ahead",
        MMA,
        BF16,
        "codes = ring + stage * stage_bytes<Format>;",
        "codes = ring + (stage + 1) % shape.stages * stage_bytes<Format>;",
        {"race": RACE},
        "*FewRows/Bf16",
    ),
    Mutant(
        "some warps skip a barrier",
        MMA,
        INT8,
        "    __syncthreads();\n\n    for (int chunk = warp_k;",
        "    if (warp != 1) __syncthreads();\n\n    for (int chunk = warp_k;",
        {"release": "__syncthreads: "},
        "*FewRows/Int8",
    ),
    Mutant(
        "registers of a fragment are swapped",
        CODES,
        BF16,
        "a[j / 2][j % 2 * 2] = pair<typename Dot::Element>(lo[0], j);",
        "a[j / 2][j % 2 * 2] = pair<typename Dot::Element>(lo[0], j ^ 1);",
        {"race": WRONG_VALUE},
        "*FewRows/Bf16",
    ),
    Mutant(
        "rows and halves of an 8-bit fragment are swapped",
        CODES,
        INT8,
        "a[0][1] = ((hi[0] << 4) & 0xf0f0f0f0u) ^ 0x80808080u;\n    a[0][2] =",
        "a[0][2] = ((hi[0] << 4) & 0xf0f0f0f0u) ^ 0x80808080u;\n    a[0][1] =",
        {"race": WRONG_VALUE},
        "*FewRows/Int8",
    ),
    Mutant(
        "accumulators are swapped",
        MMA,
        INT8,
        "const int m = 8 * tile + 2 * t + i % 2, row = 32 * warp_n + 16 * half + g + i / 2 * 8;",
        "const int m = 8 * tile + 2 * t + i / 2, row = 32 * warp_n + 16 * half + g + i % 2 * 8;",
        {"race": WRONG_VALUE},
        "*FewRows/Int8",
    ),
    Mutant(
        "matrices are loaded in another order",
        MMA,
        BF16,
        "lane / 8 * 16;\n        uint32_t b[4];",
        "(lane / 8 ^ 1) * 16;\n        uint32_t b[4];",
        {"race": WRONG_VALUE},
        "*FewRows/Bf16",
    ),
    Mutant(
        "rows of x that do not exist are read",
        MMA,
        BF16,
        "(m < rows ? m : 0)",
        "m",
        {"race": "ldmatrix: 16 bytes at offset"},
        "*Rows/Bf16",
    ),
    Mutant(
        "sums begin with whatever is there",
        MMA,
        BF16,
        "Total sums[2][n_tiles][4] = {};",
        "Total sums[2][n_tiles][4];",
        {"release": WRONG_VALUE},
        "*ManyRows/Bf16",  # sums of several warps overflow, and a kernel mends what is not finite
    ),
    Mutant(
        "rows beyond the weight are stored",
        MMA,
        INT8,
        "if (n0 + row >= N) continue;",
        "",
        {"release": "wrote around|not memory of the device|" + WRONG_VALUE},
        "*Rows/Int8",
    ),
    Mutant(
        "rows beyond the weight are copied",
        MMA,
        INT8,
        "const int bytes = i < rows_ ? left : 0;",
        "const int bytes = left;",
        {"race": "not memory of the device"},
        "*FewRows/Int8",
    ),
    Mutant(
        "bytes beyond a row of the weight are copied",
        MMA,
        INT8,
        "clamped(bytes, 16)",
        "16",
        {"race": "not memory of the device"},
        "*Rows/Int8",
    ),
    Mutant(
        "elements beyond a row of x are read",
        MMA,
        BF16,
        "if (k + 8 <= K && ",
        "if (",
        {"race": "not memory of the device"},
        "*Rows/Bf16",
    ),
    Mutant(
        "scales beyond the weight are read",
        MMA,
        BF16,
        "if (n < w.N && k < w.K) {",
        "if (k < w.K) {",
        {"race": "not memory of the device"},
        "*FewRows/Bf16",
    ),
    Mutant(
        "splits store to the same place",
        MMA,
        INT8,
        "[(int64_t{blockIdx.y} * M + m0 + m) * N",
        "[(m0 + m) * N",
        {"race": "of another block"},
        "*FewRows/Int8",
    ),
    Mutant(
        "bitmasks of rows beyond the weight are copied",
        MMA,
        SPARSE24_BF16,
        "row_bytes_(warp_row + lane < args.product.weight.N ? ",
        "row_bytes_(warp_row + lane >= 0 ? ",
        {"race": "not memory of the device"},
        "*FewRows/Sparse24Bf16",
    ),
    Mutant(
        "bytes beyond a row of the bitmask are copied",
        MMA,
        SPARSE24_INT8,
        "clamped(left - word, 4));\n",
        "4);\n",
        {"race": "not memory of the device"},
        "*Rows/Sparse24Int8",
    ),
    Mutant(
        "the bitmask is that of another step",
        MMA,
        SPARSE24_BF16,
        "bits[2 * half + 1] >> 8 * step",
        "bits[2 * half + 1] >> 8 * (step ^ 1)",
        {"release": WRONG_VALUE},
        "*FewRows/Sparse24Bf16",
    ),
    Mutant(
        "quads exchange their values",
        SPARSE24,
        SPARSE24_INT8,
        "i / 4 * 2 + sparse24::slot_of",
        "2 - i / 4 * 2 + sparse24::slot_of",
        {"release": WRONG_VALUE},
        "*FewRows/Sparse24Int8",
    ),
    Mutant(
        "a quad that keeps three counts in one lane's sums only",
        MMA,
        SPARSE24_INT8,
        "broken |= __shfl_xor_sync(all_lanes, broken, 1);",
        "",
        {"release": WRONG_VALUE},
        "*AreSeen/Sparse24Int8",
    ),
    Mutant(
        "a quad that keeps three counts in one warp's sums only",
        FINISH,
        SPARSE24_INT8,
        "if (a == broken_sum<Total>() || b == broken_sum<Total>()) return broken_sum<Total>();",
        "",
        {"release": WRONG_VALUE},
        "*AreSeen/Sparse24Int8",
    ),
    Mutant(
        "a scale lacks the power of two that the operand lacks",
        MMA,
        FP8_F16,
        "Format::scale(w, n, group) * Format::template missing_factor<Dot>",
        "Format::scale(w, n, group)",
        {"release": WRONG_VALUE},
        "*FewRows/Fp8E4m3fn",
    ),
    Mutant(
        "so does the sum of a row",
        MMA,
        FP8_F16,
        "sum *= Format::template missing_factor<Dot>;",
        ";",
        {"release": WRONG_VALUE},
        "*MoreRows/Fp8E4m3fn",
    ),
    Mutant(
        "an infinite number of the high half of an octet is not seen",
        FP8,
        FP8_BF16,
        " | ((octet[1] + lacking) ^ octet[1])",
        "",
        {"release": WRONG_VALUE},
        "*WhatIsNotFiniteIsSeen",
    ),
    Mutant(
        "magnitudes of a row are compared before all are there",
        QUANTIZE,
        QUANTIZE,
        "  __syncthreads();\n",
        "",
        {"race": RACE},
        "*FewRows/Int8",
    ),
]


class Builds:
    def __init__(self, config: dict) -> None:
        self.root = Path(config["root"])
        self.folder = Path(config["folder"])
        self.compiler = config["compiler"]
        self.builds = config["builds"]
        self.commands = json.loads(Path(config["compile_commands"]).read_text())

    def compile(self, build: str, unit: str, include: Path | None, source: Path, output: Path) -> None:
        """As the build does, except that headers are looked for in `include` first."""
        library = f"/{self.builds[build]['kernels']}.dir/"
        (entry,) = [c for c in self.commands if Path(c["file"]) == self.root / unit and library in c["command"]]
        words = shlex.split(entry["command"])
        words = words[: words.index("-c")]
        for option, values in (("-o", 1), ("-MD", 0), ("-MT", 1), ("-MF", 1)):
            while option in words:
                at = words.index(option)
                del words[at : at + 1 + values]
        if include is not None:
            words.insert(1, f"-I{include}")
        run([*words, "-o", str(output), "-c", str(source)], entry["directory"])

    def link(self, build: str, unit: str, mutated: Path, program: Path) -> None:
        entry = self.builds[build]
        replaced = f"/{self.builds[build]['kernels']}.dir/"
        objects = [o for o in entry["objects"].split(";") if not (replaced in o and o.endswith(f"{unit}.o"))]
        if len(objects) + 1 != len(entry["objects"].split(";")):
            sys.exit(f"mutants: {unit} is not an object of the {build} build")
        # The mutant comes first: of functions that several objects define, the linker takes the first.
        libraries = [word for word in entry["link"].split(";") if word]
        run([self.compiler, str(mutated), *objects, *libraries, "-o", str(program)], self.folder)


def run(command: list[str], folder: str | Path) -> None:
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"mutants: {shlex.join(command)} fails:\n{result.stdout}{result.stderr}")


def execute(program: Path, tests: str) -> tuple[int, str]:
    """Exit code and output; a run that does not end has none of the reports that are expected of it."""
    environment = dict(os.environ, ASAN_OPTIONS="detect_leaks=0", TORCHAO_OPS_TEST_SEED="1")
    command = [str(program), f"--gtest_filter={tests}", "--gtest_fail_fast"]
    try:
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, errors="replace", timeout=SECONDS_PER_RUN
        )
    except subprocess.TimeoutExpired:
        return 1, f"(no end within {SECONDS_PER_RUN} s)"
    return result.returncode, result.stdout + result.stderr


def make(builds: Builds, mutant: Mutant, build: str, folder: Path, *, broken: bool) -> Path:
    text = (builds.root / mutant.file).read_text()
    count = text.count(mutant.text)
    if count != 1:
        sys.exit(f"mutants: '{mutant.name}': its text occurs {count} times in {mutant.file}, not once:\n{mutant.text}")
    copy = folder / mutant.file
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_text(text.replace(mutant.text, mutant.instead) if broken else text)
    source = copy if mutant.file == mutant.unit else builds.root / mutant.unit
    builds.compile(build, mutant.unit, folder, source, folder / "mutant.o")
    program = folder / "program"
    builds.link(build, mutant.unit, folder / "mutant.o", program)
    return program


def judge(builds: Builds, mutant: Mutant, build: str, *, broken: bool) -> str | None:
    """What is wrong with the outcome, or None."""
    name = re.sub(r"\W+", "_", mutant.name if broken else f"control {mutant.unit}")
    folder = builds.folder / f"{name}_{build}"
    program = make(builds, mutant, build, folder, broken=broken)
    code, output = execute(program, mutant.tests)
    program.unlink()
    if not broken:
        return None if code == 0 else f"the unbroken kernel fails:\n{output}"
    if "[ RUN " not in output:
        return f"no test ran:\n{output}"
    if code == 0:
        return "not noticed"
    return None if re.search(mutant.says[build], output) else f"noticed, but not by '{mutant.says[build]}':\n{output}"


def main() -> int:
    config, *names = sys.argv[1:]
    builds = Builds(json.loads(Path(config).read_text()))
    mutants = [m for m in MUTANTS if not names or m.name in names]
    jobs = [(mutant, build, True) for mutant in mutants for build in mutant.says]
    # One control for each source that is compiled, in the build that most mutants of it meet.
    jobs += [(mutant, next(iter(mutant.says)), False) for mutant in {m.unit: m for m in mutants}.values()]

    def report(job: tuple[Mutant, str, bool]) -> bool:
        mutant, build, broken = job
        start = time.monotonic()
        problem = judge(builds, mutant, build, broken=broken)
        what = mutant.name if broken else f"control, {mutant.unit} as it is"
        verdict = "FAILED" if problem else "noticed" if broken else "passes"
        print(
            f"{verdict} ({build}, {time.monotonic() - start:.1f} s): {what}{': ' + problem if problem else ''}",
            flush=True,
        )
        return problem is None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        good = list(pool.map(report, jobs))
    print(f"{sum(good)} of {len(good)} as expected")
    return 0 if all(good) and good else 1


if __name__ == "__main__":
    sys.exit(main())
