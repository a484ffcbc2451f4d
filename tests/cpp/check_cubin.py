"""Checks the machine code of the CUDA kernels, without a device.

    check_cubin.py OBJECT...             every kernel in these objects, for every architecture, against KERNELS
    check_cubin.py --self-test OBJECT    finds what is planted in bad_kernels.cu

For every kernel: no spills and no local memory; registers within what __launch_bounds__ promises, so that the blocks fit that it asks for. Beyond
that, what KERNELS says of the instructions. A kernel that KERNELS does not name fails, and so does a row that no kernel has.

Needs cuobjdump and nvdisasm (nvidia-cuda-cuobjdump and nvidia-cuda-nvdisasm on PyPI, or the toolkit's). Exit code 77 where they are missing.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SKIPPED = 77
REGISTERS = 65536  # of a multiprocessor, for all compute capabilities from 7.0 on
REGISTERS_STEP = 8  # a thread's registers are handed out in this unit
#: Whose instructions are read, if the objects have code for one of them: reading takes seconds for each, and the others are variants of these.
CODE_ARCHS = ("sm_80", "sm_90a")


@dataclass
class Kernel:
    """One kernel for one architecture."""

    name: str  # demangled
    arch: str  # "sm_90a"
    registers: int
    stack_bytes: int
    local_bytes: int
    threads: int | None  # from __launch_bounds__; None where the kernel has none
    blocks: int
    code: list["Instruction"] | None = None  # None: not read

    def count(self, pattern: str) -> int:
        matches = re.compile(pattern).match
        return sum(matches(instruction.opcode) is not None for instruction in self.code)

    def most_registers(self) -> int:
        return min(255, REGISTERS // (self.threads * self.blocks) // REGISTERS_STEP * REGISTERS_STEP)

    def loop_around(self, pattern: str) -> "Kernel | None":
        """The smallest loop that has every instruction of the kernel that the pattern matches, as a kernel of its own."""
        inside = [i.address for i in self.code if re.match(pattern, i.opcode)]
        jumps_back = [i for i in self.code if i.target is not None and i.target <= i.address]
        for jump in sorted(jumps_back, key=lambda jump: jump.address - jump.target):
            if inside and jump.target <= min(inside) and max(inside) <= jump.address:
                return replace(self, code=[i for i in self.code if jump.target <= i.address <= jump.address])
        return None


class Instruction(NamedTuple):
    address: int
    opcode: str  # "LDG.E.128"
    target: int | None  # of a branch


#: "/*0490*/  @!P0 LDG.E.128 R4, [R2] ;"
INSTRUCTION = re.compile(r"^\s+/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+ )?([A-Z][\w.]*)(.*?);", re.MULTILINE)


def instructions(function: str) -> list[Instruction]:
    found = []
    for address, opcode, rest in INSTRUCTION.findall(function):
        target = re.search(r" 0x([0-9a-f]+)\s*$", rest) if opcode.startswith("BRA") else None
        found.append(Instruction(int(address, 16), opcode, int(target[1], 16) if target else None))
    return found


@dataclass
class Row:
    """What is expected of the kernels whose name the pattern matches."""

    pattern: str
    #: Instructions that must be there, each at least so many times.
    instructions: dict[str, int] = field(default_factory=dict)
    #: The main loop is the smallest around all of these instructions; what must be in it, and what must not.
    loop: str | None = None
    loop_instructions: dict[str, int] = field(default_factory=dict)
    forbidden: tuple[str, ...] = ()


# Bytes that one instruction moves are the last number of its name: LDGSTS is cp.async, LDSM is ldmatrix. The tensor-core product copies the weight in
# four pieces of 16 bytes a lane and chunk, while it multiplies, and its fragments of x come by ldmatrix, four matrices at a time.
MMA_LOOP = {r"LDGSTS\.E\.BYPASS\.LTC128B\.128": 4, r"LDSM\.16\.M88\.4": 1}
# Codes of nf4 look their operands up: 16 permutations for each of a chunk's 16 octets (nf4_codes.cuh).
NF4_MMA_LOOP = MMA_LOOP | {r"PRMT": 256}
# 2:4 sparse weights: the bitmask is copied, too, 8 bytes a lane or 16, and each quad becomes dense by permutations, two of a quad's 16-bit values and one of
# its bytes, which a selector read from the cache directs: 16 and 32 quads a lane and chunk (sparse24_codes.cuh).
SPARSE24_16_LOOP = MMA_LOOP | {r"LDGSTS\.E\.64": 1, r"PRMT": 32, r"LDG\.E\.CONSTANT$": 16}
SPARSE24_8_LOOP = MMA_LOOP | {r"LDGSTS\.E\.BYPASS\.LTC128B\.128": 5, r"PRMT": 32, r"LDG\.E\.CONSTANT$": 32}
# Numbers of fp8 in bf16: 32 pairs a lane and chunk are multiplied by a power of two (fp8_codes.cuh).
FP8_BF16_LOOP = MMA_LOOP | {r"H(MUL2|FMA2)": 32}
KERNELS = [
    Row(
        r"mm_mma_kernel<Fp8<.*>, Bf16Dot,",
        loop=r"HMMA\.16816\.F32\.BF16",
        loop_instructions=FP8_BF16_LOOP,
        forbidden=("IMMA",),
    ),
    Row(
        r"mm_mma_kernel<Sparse24Of<unsigned short>, Bf16Dot,",
        loop=r"HMMA\.16816\.F32\.BF16",
        loop_instructions=SPARSE24_16_LOOP,
    ),
    Row(
        r"mm_mma_kernel<Sparse24Of<unsigned short>, F16Dot,",
        loop=r"HMMA\.16816\.F32$",
        loop_instructions=SPARSE24_16_LOOP,
    ),
    Row(r"mm_mma_kernel<Sparse24Of<.*>, Bf16Dot,", loop=r"HMMA\.16816\.F32\.BF16", loop_instructions=SPARSE24_8_LOOP),
    Row(r"mm_mma_kernel<Sparse24Of<.*>, F16Dot,", loop=r"HMMA\.16816\.F32$", loop_instructions=SPARSE24_8_LOOP),
    Row(
        r"mm_mma_kernel<Sparse24Of<.*>, Int8Dot,",
        loop=r"IMMA\.16832\.S8\.S8",
        loop_instructions=SPARSE24_8_LOOP,
        forbidden=("HMMA",),
    ),
    Row(r"mm_mma_kernel<Nf4, Bf16Dot,", loop=r"HMMA\.16816\.F32\.BF16", loop_instructions=NF4_MMA_LOOP),
    Row(r"mm_mma_kernel<Nf4, F16Dot,", loop=r"HMMA\.16816\.F32$", loop_instructions=NF4_MMA_LOOP),
    Row(r"mm_mma_kernel<.* Bf16Dot,", loop=r"HMMA\.16816\.F32\.BF16", loop_instructions=MMA_LOOP, forbidden=("IMMA",)),
    Row(r"mm_mma_kernel<.* F16Dot,", loop=r"HMMA\.16816\.F32$", loop_instructions=MMA_LOOP, forbidden=("IMMA",)),
    Row(r"mm_mma_kernel<.* Int8Dot,", loop=r"IMMA\.16832\.S8\.S8", loop_instructions=MMA_LOOP, forbidden=("HMMA",)),
    Row(r"mm_add_splits_kernel<"),
    Row(r"mm_finish_sums_kernel<"),
    Row(r"mm_simt_kernel<.*ExactRows", instructions={r"LDG\.E\.128": 1, r"FFMA": 8}),
    Row(r"mm_simt_kernel<.*QuantizedRows", instructions={r"FFMA": 8}),
    Row(r"convert_bias_kernel<"),
    Row(r"dequantize_kernel<"),
    Row(r"fp8_quantize_groups_kernel"),
    Row(r"fp8_row_magnitudes_kernel"),
    Row(r"fp8_block_scales_kernel"),
    Row(r"fp8_block_codes_kernel"),
    Row(r"fp8_pad_kernel", instructions={r"LDG\.E\.64": 1, r"STG\.E\.64": 1}),
    Row(r"fp8_gemm_group_scales_kernel"),
    Row(r"fp8_gemm_block_scales_kernel"),
    Row(r"fp8_numbers_kernel", instructions={r"LDG\.E\.64": 1}),
    Row(r"fp8_finish_kernel", instructions={r"FFMA": 1}),
    Row(r"int4_group_parameters_kernel"),
    Row(r"int4_pack_kernel"),
    Row(r"int8_quantize_kernel"),
    Row(r"nf4_quantize_kernel"),
    Row(r"nf4_absmax_mean_kernel", instructions={r"DADD": 1}),
    Row(r"nf4_quantize_absmax_kernel"),
    Row(r"sparse24_prune_kernel<"),
    Row(r"sparse24_compress_kernel<"),
    Row(r"sparse24_decompress_kernel<"),
    Row(r"sparse24_violation_kernel"),
    Row(r"copy_padded_kernel"),
    Row(r"quantize_activations_kernel<", instructions={r"LDG\.E\.128": 1}),
]

# For --self-test: what bad_kernels.cu plants, and the sentence that must be said of it.
BAD_KERNELS = [
    Row(r"good_kernel"),
    Row(r"spilling_kernel"),
    Row(r"indexed_kernel"),
    Row(r"unbounded_kernel"),
    Row(r"narrow_kernel", instructions={r"LDG\.E\.128": 1}),
    Row(r"loopless_kernel", loop=r"FFMA", loop_instructions={r"LDG": 1}),
    Row(r"idle_loop_kernel", loop=r"FFMA", loop_instructions={r"LDG\.E\.128": 1}),
    Row(r"forbidden_kernel", forbidden=("ATOM", "RED")),
    Row(r"absent_kernel"),
]
BAD_FINDINGS = {
    "spilling_kernel": {"local memory", "LDL"},
    "indexed_kernel": {"local memory", "LDL"},
    "unbounded_kernel": {"has no __launch_bounds__"},
    "narrow_kernel": {"LDG"},
    "loopless_kernel": {"no loop"},
    "idle_loop_kernel": {"main loop"},
    "forbidden_kernel": {"must not have"},
    "unlisted_kernel": {"no row of the table"},
    "absent_kernel": {"matches no kernel"},
}


def find_tool() -> str | None:
    folders = [Path(sysconfig.get_path("purelib"))]
    folders += ROOT.glob(".venv/lib/python3*/site-packages")
    folders = [folder / "nvidia" / "cu13" / "bin" for folder in folders]
    path = os.pathsep.join([*map(str, folders), os.environ.get("PATH", ""), "/usr/local/cuda/bin"])
    os.environ["PATH"] = path  # cuobjdump looks for nvdisasm there
    tool = shutil.which("cuobjdump", path=path)
    return tool if shutil.which("nvdisasm", path=path) else None


def output_of(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"`{' '.join(command)}` failed: {done.stderr.strip() or done.stdout[-500:]}")
    return done.stdout


def demangled(names: list[str]) -> dict[str, str]:
    if not names:
        return {}
    done = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True)
    # Without our own namespaces and the types of result and parameters.
    short = re.sub(r"^void |torchao_ops::cuda::|\(anonymous namespace\)::", "", done.stdout, flags=re.MULTILINE)
    return {name: text.split("(")[0] for name, text in zip(names, short.splitlines(), strict=True)}


def sections(text: str, kind: str) -> list[tuple[str, str]]:
    """The architecture and the text of each cubin ("elf") or PTX ("ptx") in a dump."""
    parts = re.split(r"^Fatbin (elf|ptx) code:$", text, flags=re.MULTILINE)[1:]
    found = [body for part, body in zip(parts[::2], parts[1::2], strict=True) if part == kind]
    return [(re.search(r"^arch = (\w+)$", body, re.MULTILINE)[1], body) for body in found]


def kernels_of(tool: str, path: str) -> list[Kernel]:
    bounds: dict[str, tuple[int, int]] = {}
    for _, text in sections(output_of(tool, "-ptx", path), "ptx"):
        for entry in re.split(r"\.entry ", text)[1:]:
            # Directives of a kernel stand between its parameters and its body.
            head = entry.split("\n{", 1)[0]
            threads = re.search(r"\.maxntid (\d+)(?:, (\d+))?(?:, (\d+))?", head)
            blocks = re.search(r"\.minnctapersm (\d+)", head)
            if threads:
                sizes = [int(size) for size in threads.groups() if size]
                product = sizes[0] * (sizes[1] if len(sizes) > 1 else 1) * (sizes[2] if len(sizes) > 2 else 1)
                bounds[re.match(r"\w+", entry)[0]] = product, int(blocks[1]) if blocks else 1

    kernels: dict[tuple[str, str], Kernel] = {}
    for arch, text in sections(output_of(tool, "-res-usage", path), "elf"):
        for name, usage in re.findall(r"^ Function (\w+):\n(.*)$", text, re.MULTILINE):
            numbers = {key: int(value) for key, value in re.findall(r"(\w+):(\d+)", usage)}
            threads, blocks = bounds.get(name, (None, 1))
            kernels[name, arch] = Kernel(
                name, arch, numbers["REG"], numbers["STACK"], numbers["LOCAL"], threads, blocks
            )
    archs = {kernel.arch for kernel in kernels.values()}
    for arch in archs & set(CODE_ARCHS) or archs:
        for kernel in kernels.values():
            if kernel.arch == arch:
                kernel.code = []
        text = output_of(tool, "-sass", "-arch", arch, path)
        for function in re.split(r"^\t\tFunction : ", text, flags=re.MULTILINE)[1:]:
            kernel = kernels[re.match(r"\w+", function)[0], arch]
            kernel.code = instructions(function)
    names = demangled(sorted({kernel.name for kernel in kernels.values()}))
    for kernel in kernels.values():
        kernel.name = names[kernel.name]
    return list(kernels.values())


def findings(kernel: Kernel, row: Row | None) -> list[str]:
    """What is wrong with a kernel, a sentence each."""
    found = []
    if kernel.stack_bytes or kernel.local_bytes:
        found.append(f"has {kernel.stack_bytes} bytes of stack and {kernel.local_bytes} of local memory, not 0")
    if kernel.threads is None:
        found.append("has no __launch_bounds__")
    elif kernel.registers > kernel.most_registers():
        found.append(
            f"has {kernel.registers} registers, but {kernel.blocks} blocks of {kernel.threads} threads leave {kernel.most_registers()}"
        )
    if row is None:
        return [*found, "no row of the table in check_cubin.py is for it"]
    return found if kernel.code is None else [*found, *code_findings(kernel, row)]


def code_findings(kernel: Kernel, row: Row) -> list[str]:
    found = []
    if not kernel.code:
        found.append("has no code that could be read")
    if spills := kernel.count(r"(LDL|STL)\b"):
        found.append(f"has {spills} instructions LDL or STL")
    for pattern, least in row.instructions.items():
        if (count := kernel.count(pattern)) < least:
            found.append(f"has {count} instructions {pattern}, not {least} or more")
    for pattern in row.forbidden:
        if count := kernel.count(pattern):
            found.append(f"must not have {pattern}, but has {count}")
    if row.loop:
        loop = kernel.loop_around(row.loop)
        if loop is None:
            found.append(f"no loop has all its {row.loop}, of which there are {kernel.count(row.loop)}")
        else:
            for pattern, least in row.loop_instructions.items():
                if (count := loop.count(pattern)) < least:
                    found.append(f"has {count} instructions {pattern} in its main loop, not {least} or more")
    return found


def check(kernels: list[Kernel], rows: list[Row]) -> dict[str, list[str]]:
    """The findings by kernel and architecture, or by pattern for rows that no kernel has."""
    found: dict[str, list[str]] = {}
    unused = list(rows)
    for kernel in kernels:
        matching = [row for row in rows if re.search(row.pattern, kernel.name)]
        unused = [row for row in unused if row not in matching]
        if sentences := findings(kernel, matching[0] if matching else None):
            found[f"{kernel.name} [{kernel.arch}]"] = sentences
    for row in unused:
        found[row.pattern] = ["matches no kernel"]
    return found


def self_test(found: dict[str, list[str]]) -> list[str]:
    """What the checker missed of BAD_FINDINGS, and what it says beyond them."""
    missed = []
    for planted, parts in BAD_FINDINGS.items():
        text = " ".join(sentence for name, sentences in found.items() if planted in name for sentence in sentences)
        missed += [f"{planted}: nothing was said of '{part}', only '{text}'" for part in parts if part not in text]
    missed += [f"{name}: unexpected" for name in found if not any(planted in name for planted in BAD_FINDINGS)]
    return missed


def main() -> int:
    is_self_test = sys.argv[1:2] == ["--self-test"]
    paths = sys.argv[2 if is_self_test else 1 :]
    if not paths:
        sys.exit(__doc__)
    tool = find_tool()
    if tool is None:
        print(
            "PROGRAM SKIPPED: cuobjdump and nvdisasm are missing (pip install nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm)"
        )
        return SKIPPED
    paths = [path for path in paths if not path.endswith(".cpp.o")]  # host code, from an object library
    with ThreadPoolExecutor(2) as pool:
        kernels = [kernel for some in pool.map(lambda path: kernels_of(tool, path), paths) for kernel in some]
    if is_self_test:
        missed = self_test(check(kernels, BAD_KERNELS))
        print("\n".join(missed) or f"{len(kernels)} kernels, every planted fault was found")
        return int(bool(missed))

    for kernel in sorted(kernels, key=lambda kernel: (kernel.name, kernel.arch)):
        bounds = f"{kernel.blocks} x {kernel.threads} threads" if kernel.threads else "no launch bounds"
        size = "" if kernel.code is None else f", {len(kernel.code)} instructions"
        print(f"  {kernel.arch:8}{kernel.registers:4} registers, {bounds}{size}  {kernel.name}")
    found = check(kernels, KERNELS)
    for name, sentences in found.items():
        for sentence in sentences:
            print(f"{name}: {sentence}")
    archs = sorted({kernel.arch for kernel in kernels})
    print(
        f"{len(kernels)} kernels for {', '.join(archs)}: "
        + (f"{len(found)} are not as they should be" if found else "all as they should be")
    )
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
