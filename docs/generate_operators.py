"""Writes the parts of docs/operators.md between markers: schemas and devices from the library, the rest from the docstrings of torchao_ops.ops.

    make docs

A docstring is the summary and paragraphs of Markdown, then `Args:`, `Returns:`, `Raises:` and `Example:`, each if there is something to say.
"""

import inspect
import re
import textwrap
from pathlib import Path

import torch
import torchao_ops
from torchao_ops._library import OPERATORS

PAGE = Path(__file__).with_name("operators.md")
WIDTH = 118

# By the beginning of an operator's name: the section's title, and what it says before the operators.
FORMATS = {
    "int4": (
        "int4",
        "A weight of codes of four bits, with a scale and a zero point a group: the [int4 format](formats.md#int4).",
    ),
    "int8": (
        "int8",
        "A weight of codes of eight bits, with a scale a row or a group: the [int8 format](formats.md#int8).",
    ),
    "fp8": (
        "fp8",
        "A matrix of float8_e4m3fn or float8_e5m2, with a scale for everything, a row, a block or a group: the [fp8 format](formats.md#fp8).",
    ),
    "nf4": (
        "nf4",
        "A weight of codes of four bits that stand for 16 fixed numbers, with a scale a block: the [nf4 format](formats.md#nf4), bitsandbytes' bytes.",
    ),
    "sparse24": (
        "2:4 sparse",
        "A weight that keeps at most two of each four elements of a row: the [sparse24 format](formats.md#sparse24). What becomes of one that"
        " keeps more is said [above](#more-than-two-of-four).",
    ),
}
LIBRARY = ("The library", "")

# The columns of the table at the top, by verb.
COLUMNS = {
    "to the format": ("quantize", "quantize_absmax", "prune", "compress"),
    "back": ("dequantize", "decompress"),
    "product": ("mm", "mm_backward"),
    "product, x rounded": ("dynamic_mm",),
    "others": ("scaled_mm", "cusparselt_compress", "cusparselt_mm", "cusparselt_dynamic_mm"),
}

# What every error has in common; the page says it once, at its beginning.
COMMON_ERROR = "one sentence naming the argument, what it must be and what came: "


class Docstring:
    """Of the function of an operator: `text`, and the lines of each section by its name."""

    def __init__(self, operator: str):
        lines = inspect.getdoc(getattr(torchao_ops, operator)).split("\n")
        heads = [i for i, line in enumerate(lines) if re.fullmatch(r"(Args|Returns|Raises|Example):", line)]
        ends = [*heads[1:], len(lines)]
        self.text = "\n".join(lines[: heads[0]]).strip()
        self.sections = {
            lines[head][:-1]: textwrap.dedent("\n".join(lines[head + 1 : end])).strip()
            for head, end in zip(heads, ends, strict=True)
        }

    def entries(self, section: str) -> dict[str, str]:
        """`names: what is said of them` of a section; nothing where it is a sentence."""
        found: dict[str, str] = {}
        for line in self.sections.get(section, "").split("\n"):
            entry = re.match(r"([A-Za-z_]\w*(?:, \w+)*): (.*)", line)
            if entry:
                found[entry[1]] = entry[2]
            elif found:
                found[list(found)[-1]] += f" {line.strip()}"
        return found

    def names(self, section: str) -> list[str]:
        return [name for names in self.entries(section) for name in names.split(", ")]


def schemas(operator: str) -> list[torch._C.FunctionSchema]:
    packet = getattr(torch.ops.torchao, operator)
    return [getattr(packet, overload)._schema for overload in packet.overloads()]


def devices(operator: str) -> str:
    name = f"torchao::{operator}"
    if torch._C._dispatch_has_kernel_for_dispatch_key(name, "CompositeExplicitAutograd"):
        return "needs no tensors"
    # On the CPU, those of cuSPARSELt are registered to say that they are not for it.
    keys = ["CUDA"] if "cusparselt" in operator else ["CPU", "CUDA"]
    return ", ".join(key for key in keys if torch._C._dispatch_has_kernel_for_dispatch_key(name, key))


def format_of(operator: str) -> str | None:
    return next((name for name in FORMATS if operator.startswith(f"{name}_")), None)


def check_documented(operator: str, documentation: Docstring) -> None:
    """The docstring has exactly the schema's arguments and, where they have names, its results."""
    arguments = {argument.name for schema in schemas(operator) for argument in schema.arguments}
    if set(documentation.names("Args")) != arguments:
        raise ValueError(f"{operator}: Args must be {sorted(arguments)}, but got {documentation.names('Args')}")
    results = [result.name for result in schemas(operator)[0].returns]
    if any(results) and documentation.names("Returns") != results:
        raise ValueError(f"{operator}: Returns must be {results}, but got {documentation.names('Returns')}")


def schema_text(schema: torch._C.FunctionSchema) -> str:
    """In lines that are not too long, which break between arguments."""
    call, result = str(schema).removeprefix("torchao::").split(" -> ")
    name, arguments = call.split("(", 1)
    # Spaces within an argument are no place to break.
    arguments = re.sub(r"(?<!,) ", "\0", arguments)
    indent = " " * (len(name) + 1)
    lines = textwrap.wrap(f"{name}({arguments}", WIDTH, subsequent_indent=indent, break_on_hyphens=False)
    if len(lines[-1]) + len(result) + 4 > WIDTH:
        lines.append("   ")
    lines[-1] += f" -> {result}"
    return "\n".join(lines).replace("\0", " ")


def linked(text: str, operator: str) -> str:
    """Names of other operators, which stand in backquotes, become links to their sections."""
    others = "|".join(sorted(set(OPERATORS) - {operator}, key=len, reverse=True))
    return re.sub(rf"`({others})`", r"[`\1`](#\1)", text)


def table(head: str, entries: dict[str, str], operator: str) -> list[str]:
    lines = [f"| {head} | |", "| --- | --- |"]
    for names, text in entries.items():
        codes = ", ".join(f"`{name}`" for name in names.split(", "))
        escaped = linked(text, operator).replace("|", r"\|")
        lines.append(f"| {codes} | {escaped} |")
    return lines


def section(operator: str) -> list[str]:
    documentation = Docstring(operator)
    check_documented(operator, documentation)
    lines = [
        f"### {operator}",
        "```",
        *map(schema_text, schemas(operator)),
        "```",
        linked(documentation.text, operator),
    ]
    if documentation.entries("Args"):
        lines += ["", *table("argument", documentation.entries("Args"), operator)]
    if documentation.entries("Returns"):
        lines += ["", *table("result", documentation.entries("Returns"), operator)]
    elif "Returns" in documentation.sections:
        result = " ".join(documentation.sections["Returns"].split())
        lines += ["", f"**Result:** {linked(result, operator)}"]
    raised = documentation.entries("Raises").get("RuntimeError")
    if raised:
        lines += ["", f"**Errors:** {linked(raised.removeprefix(COMMON_ERROR), operator)}"]
    lines += ["", f"**Devices:** {devices(operator)}."]
    if "Example" in documentation.sections:
        lines += ["", "```python", documentation.sections["Example"], "```"]
    return [*lines, ""]


def overview() -> list[str]:
    verbs = {verb: column for column, verbs in COLUMNS.items() for verb in verbs}
    cells: dict[str, dict[str, list[str]]] = {name: {column: [] for column in COLUMNS} for name in FORMATS}
    for operator in OPERATORS:
        name = format_of(operator)
        if name is not None:
            cells[name][verbs[operator.removeprefix(f"{name}_")]].append(f"[`{operator}`](#{operator})")
    lines = [f"| | {' | '.join(COLUMNS)} |", f"| --- |{' --- |' * len(COLUMNS)}"]
    return lines + [
        f"| {FORMATS[name][0]} | {' | '.join(map(', '.join, row.values()))} |" for name, row in cells.items()
    ]


def operators() -> list[str]:
    lines: list[str] = []
    for name, (title, introduction) in [*FORMATS.items(), (None, LIBRARY)]:
        lines += [f"## {title}", introduction, ""] if introduction else [f"## {title}"]
        for operator in OPERATORS:
            if format_of(operator) == name:
                lines += section(operator)
    return lines[:-1]


def generated(page: str) -> str:
    """The page with what is between its markers made anew."""
    for name, lines in (("overview", overview()), ("operators", operators())):
        begin, end = f"<!-- {name}:begin, written by generate_operators.py -->\n", f"<!-- {name}:end -->"
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = before + begin + "\n".join(lines) + "\n" + end + after
    return page


if __name__ == "__main__":
    PAGE.write_text(generated(PAGE.read_text()))
