"""Checks the symbols of what was built.

check_symbols.py library LIBTORCHAO_OPS.SO   no C++ symbol of at::, c10:: or torch:: and none of Python, defined or undefined: the library
                                             uses PyTorch's stable ABI only. Of torch it needs libtorch_cpu, and of CUDA nothing: it
                                             loads where there is none
check_symbols.py isa OBJECT...               no weak definition: the linker keeps one copy of each for the whole library, and might keep the
                                             one that an older CPU cannot execute
"""

import re
import subprocess
import sys

# Mangled names that have a namespace at, c10 or torch anywhere: in the name itself, its arguments or template arguments.
TORCH_NAMESPACE = re.compile(r"^_Z\w*?(?:N[VKRO]*|N)(?:2at|3c10|5torch)")
PYTHON = re.compile(r"^_?Py[A-Z_]")
# Functions and libraries of CUDA and its libraries; not torch's C functions with cuda in their names.
CUDA = re.compile(r"^(lib)?(cuda|cu[A-Z]|cublas|cusparse|nv)")


def nm(*arguments: str) -> list[tuple[str, str]]:
    """Type and name of each symbol."""
    output = subprocess.run(["nm", *arguments], check=True, capture_output=True, text=True).stdout
    matches = re.findall(r"^(?:[0-9a-f]+ | +)([A-Za-z]) (\S+)$", output, re.MULTILINE)
    if not matches:
        sys.exit(f"nm {' '.join(arguments)} shows no symbols")
    return matches


def needed(library: str) -> list[str]:
    """The libraries that the dynamic linker must find."""
    output = subprocess.run(["readelf", "-d", "-W", library], check=True, capture_output=True, text=True).stdout
    return re.findall(r"\(NEEDED\) .*\[(.+)\]", output)


def check_library(library: str) -> list[str]:
    names = [name.split("@")[0] for _, name in nm("-D", library)]
    offenders = [name for name in names if TORCH_NAMESPACE.search(name) or PYTHON.search(name) or CUDA.search(name)]
    # A sanitized build needs the sanitizers' libraries, too.
    offenders += [name for name in needed(library) if CUDA.search(name) or name.startswith(("libtorch_cuda", "libc10"))]
    if "libtorch_cpu.so" not in needed(library):
        offenders.append("no libtorch_cpu.so")
    return [f"{library}: {offender}" for offender in offenders]


def check_isa(objects: list[str]) -> list[str]:
    # V, v, W, w: weak (a lower-case one is undefined, which picks up a copy from elsewhere); u: unique over the whole process.
    return [f"{path}: {kind} {name}" for path in objects for kind, name in nm(path) if kind in "VvWwu"]


def main() -> None:
    kind, *files = sys.argv[1:]
    offenders = check_library(*files) if kind == "library" else check_isa(files)
    if offenders:
        sys.exit("Symbols that must not be there:\n" + "\n".join(offenders))
    print(f"{len(files)} files, no offending symbol")


if __name__ == "__main__":
    main()
