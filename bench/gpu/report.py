"""The tables of a run: all of it for a file, and the short end of it for a terminal that keeps 12,000 characters."""

from __future__ import annotations

from gpu import goals
from gpu.results import Results

#: Ours that a summary shows, and whom each is compared with, under a short name.
DENSE = {"F.linear bfloat16": "F.linear bf16"}
RIVALS = {
    "int4_mm g128": {**DENSE, "torch int4pack g128": "torch int4pack"},
    "int4_dynamic_mm g128": {**DENSE, "torch int4pack g128": "torch int4pack"},
    "int8_mm row": {**DENSE, "torch int8pack row": "torch int8pack"},
    "int8_dynamic_mm row": {**DENSE, "torch _int_mm row": "_int_mm"},
    "nf4_mm g64": {**DENSE, "bitsandbytes NF4 g64": "bitsandbytes"},
    "sparse24_mm bfloat16": {**DENSE, "torch semi-structured bfloat16": "semi-structured"},
    "sparse24_cusparselt_mm bfloat16": {**DENSE, "torch semi-structured bfloat16": "semi-structured"},
    "sparse24_dynamic_mm int8": DENSE,
    "sparse24_cusparselt_dynamic_mm int8": DENSE,
    "fp8_mm row": DENSE,
    "fp8_dynamic_mm row": DENSE,
    "fp8_scaled_mm row": {**DENSE, "torch _scaled_mm tensor": "_scaled_mm", "torch _scaled_mm row": "_scaled_mm row"},
    "fp8_scaled_mm tensor": {**DENSE, "torch _scaled_mm tensor": "_scaled_mm"},
    "fp8_scaled_mm group, block": {**DENSE, "torch _scaled_mm tensor": "_scaled_mm"},
}
MOST_NOTES = 6
MOST_NOTE_CHARACTERS = 160
BRIEF_SHAPES = 1
BRIEF_CONVERSIONS = 9


def summary(results: Results) -> str:
    """What the terminal shows last."""
    parts = [_head(results)]
    if results.ceilings:
        parts.append(_ceilings(results.ceilings))
        shapes = list(dict.fromkeys(results.shape(row) for row in results.rows if row["batch"] > 0))
        parts += [_shape_table(results, shape, brief=True) for shape in shapes[:BRIEF_SHAPES]]
        if len(shapes) > BRIEF_SHAPES:
            parts.append(f"\n{len(shapes) - BRIEF_SHAPES} more shapes and every rival: see the .txt file")
        parts += _conversions(results)[: 1 + BRIEF_CONVERSIONS]
        parts += ["", *goals.lines(results)]
    parts += _problems(results, brief=True)
    parts += ["", *(_step_line(step) for step in results.steps)]
    return "\n".join(_marked(results, parts))


def full(results: Results) -> str:
    """Everything: the file beside the JSON."""
    parts = [_head(results)]
    for step in results.steps:
        parts += [_step_line(step), *(f"    {note}" for note in step["notes"])]
    if results.ceilings:
        parts += ["", _ceilings(results.ceilings)]
        shapes = list(dict.fromkeys(results.shape(row) for row in results.rows if row["batch"] > 0))
        parts += [_shape_table(results, shape, brief=False) for shape in shapes]
        parts += _conversions(results)
        parts += ["", *goals.lines(results)]
    parts += _problems(results, brief=False)
    return "\n".join(_marked(results, parts)) + "\n"


def _marked(results: Results, parts: list[str]) -> list[str]:
    if not results.dry_run:
        return parts
    mark = "==== DRY RUN: no device, every figure is the host's and means nothing ===="
    return [mark, *parts, mark]


def _head(results: Results) -> str:
    d = results.device
    return f"{d.get('name', 'no device')}, driver {d.get('driver', 'none')}, torch {d.get('torch', 'none')}, commit {results.commit}"


def _step_line(step: dict) -> str:
    notes = step["notes"]
    text = "; ".join(note[:MOST_NOTE_CHARACTERS] for note in notes[:MOST_NOTES])
    more = f"; and {len(notes) - MOST_NOTES} more" if len(notes) > MOST_NOTES else ""
    limit = MOST_NOTE_CHARACTERS * (2 if step["status"] == "failed" else 1)
    return f"{step['status'].upper():8} {step['name']} ({step['seconds']:.0f} s): {text[:limit]}{more}"


def _ceilings(c: dict) -> str:
    int8 = f", int8 {c['int8_ops'] * 1e-12:.0f} TOP/s" if c["int8_ops"] else ""
    fp8 = f", fp8 {c['fp8_flops'] * 1e-12:.0f} TFLOP/s" if c["fp8_flops"] else ""
    return (
        f"ceilings: copy {c['copy_bytes_per_second'] * 1e-12:.2f} TB/s, read {c['read_bytes_per_second'] * 1e-12:.2f} TB/s, "
        f"bf16 {c['bf16_flops'] * 1e-12:.0f} TFLOP/s, fp16 {c['fp16_flops'] * 1e-12:.0f}{int8}{fp8}, "
        f"the smallest kernel {c['launch_seconds'] * 1e6:.1f} us"
    )


def _shape_table(results: Results, shape: tuple[int, int], brief: bool) -> str:
    """Microseconds by candidate and batch size; for ours also the rate, the part of the ceiling and the ratio to each rival."""
    rows = [row for row in results.rows if results.shape(row) == shape and row["batch"] > 0]
    batches = sorted({row["batch"] for row in rows})
    names = [name for name in dict.fromkeys(row["candidate"] for row in rows) if name in RIVALS or not brief]
    width = max(map(len, names), default=0)

    def line(label: str, cells: list[str]) -> str:
        return f"{label:{width}}" + "".join(f"{cell:>7}" for cell in cells)

    lines = [f"\nN={shape[0]} K={shape[1]}", line("us, M =", [str(batch) for batch in batches])]
    for name in names:
        of_batch = {row["batch"]: row for row in rows if row["candidate"] == name}
        by_batch = [of_batch.get(batch) for batch in batches]
        lines.append(line(name, [_microseconds(row, "seconds") for row in by_batch]))
        if not brief:
            lines.append(line("  from Python", [_microseconds(row, "eager_seconds") for row in by_batch]))
        if not any(row["ours"] for row in of_batch.values()):
            continue
        if not brief:
            lines.append(line("  TB/s of weights", [_terabytes(row) for row in by_batch]))
        lines.append(line("  of ceiling", [_of_ceiling(results, row) for row in by_batch]))
        for rival, label in RIVALS.get(name, DENSE).items():
            cells = [_ratio_cell(results, shape, row, rival) for row in by_batch]
            if any(cell != "-" for cell in cells):
                lines.append(line(f"  {label} /", cells))
    return "\n".join(lines)


def _is_timed(row: dict | None) -> bool:
    return row is not None and row["seconds"] is not None and row["problem"] is None


def _microseconds(row: dict | None, field: str) -> str:
    if not _is_timed(row):
        return "-" if row is None else "!"
    return f"{row[field] * 1e6:.1f}" if row[field] < 1e-3 else f"{row[field] * 1e6:.0f}"


def _terabytes(row: dict | None) -> str:
    return f"{row['bytes'] / row['seconds'] * 1e-12:.2f}" if _is_timed(row) else "-"


def _of_ceiling(results: Results, row: dict | None) -> str:
    """The least possible time, the longer of reading the weight and of the arithmetic, over the measured one."""
    if not _is_timed(row):
        return "-"
    c = results.ceilings
    operations = 2.0 * row["batch"] * row["out_features"] * row["in_features"]
    peak = {"int8": c["int8_ops"], "float8": c["fp8_flops"]}.get(row["activations"]) or c["bf16_flops"]
    least = max(row["bytes"] / c["read_bytes_per_second"], operations / peak)
    return f"{least / row['seconds']:.0%}"


def _ratio_cell(results: Results, shape: tuple[int, int], row: dict | None, rival: str) -> str:
    """How many times as long the rival takes: above 1, ours is faster."""
    if not _is_timed(row):
        return "-"
    seconds = results.seconds(shape, row["batch"], rival)
    return f"{seconds / row['seconds']:.2f}" if seconds else "-"


def _conversions(results: Results) -> list[str]:
    lines = []
    for row in results.conversions():
        lines.append(
            f"{row['candidate']} {row['out_features']}x{row['in_features']}: {row['seconds'] * 1e6:.1f} us, "
            f"{row['bytes'] / row['seconds'] * 1e-12:.2f} TB/s, {results.fraction_of_copy(row):.0%} of copy"
        )
    return ["", *lines] if lines else []


def _problems(results: Results, brief: bool) -> list[str]:
    """A line for each candidate and problem, with the cases; and what was left out."""
    places: dict[tuple[str, str], list[str]] = {}
    for row in results.rows:
        if row["problem"]:
            places.setdefault((row["candidate"], row["problem"]), []).append(results.place(row))
    lines = [
        f"! {name}: {problem} ({places_[0]}{f' and {len(places_) - 1} more' if len(places_) > 1 else ''})"
        for (name, problem), places_ in places.items()
    ]
    lines += [f"! {note}" for note in results.notes]
    more = [f"! and {len(lines) - MOST_NOTES} more, see the .txt file"] if brief and len(lines) > MOST_NOTES else []
    return [*(line[:MOST_NOTE_CHARACTERS] for line in lines[:MOST_NOTES]), *more] if brief else lines
