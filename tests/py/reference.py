"""What the operators compute, in plain torch: obvious, slow, and independent of the library.

Computed on the CPU, and there are the results, wherever the operands are: torch divides by a number in another way on CUDA.
"""

import torch
from torch import Tensor

CODE_MAX = 15
SYMMETRIC_ZERO_POINT = 8


def group_of_column(in_features: int, group_size: int) -> Tensor:
    return torch.arange(in_features, device="cpu") // group_size


def unpack(weight_packed: Tensor, in_features: int) -> Tensor:
    """The codes [N, K] of packed bytes [N, ceil(K / 2)]; the even element is the low nibble."""
    weight_packed = weight_packed.cpu()
    low, high = weight_packed & 0x0F, weight_packed >> 4
    return torch.stack((low, high), dim=-1).flatten(1)[:, :in_features]


def pack(codes: Tensor) -> Tensor:
    """The packed bytes [N, ceil(K / 2)] of codes [N, K]."""
    even = torch.nn.functional.pad(codes, (0, codes.shape[1] % 2))
    return even[:, 0::2] | even[:, 1::2] << 4


def quantize(weight: Tensor, group_size: int, symmetric: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Arithmetic in fp32; the scale is rounded to the weight's dtype before the codes are computed with it."""
    out_features, in_features = weight.shape
    w = weight.cpu().float()
    scales, zero_points, codes = [], [], []
    for begin in range(0, in_features, group_size):
        group = w[:, begin : begin + group_size]
        lo = group.amin(1, keepdim=True).clamp(max=0)
        hi = group.amax(1, keepdim=True).clamp(min=0)
        scale = torch.maximum(-lo, hi) / 7 if symmetric else (hi - lo) / 15
        scale = scale.to(weight.dtype).float()
        usable = scale != 0
        if symmetric:
            zero_point = torch.full_like(scale, SYMMETRIC_ZERO_POINT)
        else:
            zero_point = torch.where(usable, (-lo / scale).round().clamp(0, CODE_MAX), 0)
        code = torch.where(usable, ((group / scale).round() + zero_point).clamp(0, CODE_MAX), zero_point)
        scales.append(scale)
        zero_points.append(zero_point)
        codes.append(code.to(torch.uint8))

    def joined(columns: list[Tensor], dtype: torch.dtype) -> Tensor:
        return (
            torch.cat(columns, dim=1).to(dtype) if columns else torch.empty(out_features, 0, dtype=dtype, device="cpu")
        )

    return pack(joined(codes, torch.uint8)), joined(scales, weight.dtype), joined(zero_points, weight.dtype)


def dequantize(
    weight_packed: Tensor,
    weight_scale: Tensor,
    weight_zero_point: Tensor | None,
    group_size: int,
    in_features: int,
    arithmetic: torch.dtype = torch.float64,
) -> Tensor:
    """[N, K] in the dtype of the arithmetic; in float64 the dequantized weight is exact."""
    groups = group_of_column(in_features, group_size)
    codes = unpack(weight_packed, in_features).to(arithmetic)
    if weight_zero_point is None:
        zero_point = torch.full_like(codes, SYMMETRIC_ZERO_POINT)
    else:
        zero_point = weight_zero_point.cpu().to(arithmetic)[:, groups]
    return (codes - zero_point) * weight_scale.cpu().to(arithmetic)[:, groups]


def int8_quantize(weight: Tensor, group_size: int) -> tuple[Tensor, Tensor]:
    """Arithmetic in fp32; the scale is rounded to the weight's dtype before the codes are computed with it."""
    out_features, in_features = weight.shape
    w = weight.cpu().float()
    scales, codes = [torch.empty(out_features, 0, device="cpu")], [torch.empty(out_features, 0, device="cpu")]
    for begin in range(0, in_features, group_size or max(in_features, 1)):
        group = w[:, begin : begin + (group_size or in_features)]
        scale = (group.abs().amax(1, keepdim=True) / 127).to(weight.dtype).float()
        codes.append(torch.where(scale != 0, (group / scale).round().clamp(-127, 127), 0))
        scales.append(scale)
    scale = torch.cat(scales, dim=1).to(weight.dtype)
    return torch.cat(codes, dim=1).to(torch.int8), scale.squeeze(1) if group_size == 0 else scale


def int8_dequantize(
    weight: Tensor, weight_scale: Tensor, group_size: int = 0, arithmetic: torch.dtype = torch.float64
) -> Tensor:
    """[N, K] in the dtype of the arithmetic; in float64 the dequantized weight is exact."""
    scale = weight_scale.cpu().to(arithmetic)
    if group_size == 0:
        scale = scale[:, None]
    else:
        scale = scale[:, group_of_column(weight.shape[1], group_size)]
    return weight.cpu().to(arithmetic) * scale


NF4_VALUES = torch.tensor(
    [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334]
    + [-0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224]
    + [0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0],
    device="cpu",
)


def nf4_quantize(weight: Tensor, block_size: int) -> tuple[Tensor, Tensor]:
    """Arithmetic in fp32; a last block that is not full divides where the others multiply."""
    midpoints = (NF4_VALUES[:-1] + NF4_VALUES[1:]) / 2
    codes, absmax = [torch.empty(0, dtype=torch.uint8, device="cpu")], []
    for block in weight.cpu().float().flatten().split(block_size):
        if not weight.numel():
            break
        divisor = block.abs().max().clamp(min=1e-38)
        full = len(block) == block_size
        scaled = block * (1 / divisor) if full else block / divisor
        code = (midpoints < scaled[:, None]).sum(1).to(torch.uint8)
        finite = block.isfinite().all()
        codes.append(code if finite else torch.full_like(code, 15))
        absmax.append((block.abs().max() if full else divisor) if finite else torch.tensor(float("nan"), device="cpu"))
    even = torch.nn.functional.pad(torch.cat(codes), (0, weight.numel() % 2), value=7)
    return even[0::2] << 4 | even[1::2], torch.stack(absmax) if absmax else torch.empty(0, device="cpu")


def nf4_quantize_absmax(absmax: Tensor, absmax_code: Tensor, nested_block_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Codes, nested_absmax and offset with the given numbers for codes: fp32, but for the mean."""
    values, code_values = absmax.cpu().float(), absmax_code.cpu()
    parts = torch.zeros(1024, dtype=torch.float64, device="cpu")
    for some in values.double().split(1024):
        parts[: len(some)] += some
    while len(parts) > 1:
        parts = parts[: len(parts) // 2] + parts[len(parts) // 2 :]
    offset = (parts[0] / max(len(values), 1)).float()
    midpoints = (code_values[:-1] + code_values[1:]) * 0.5
    codes, nested = [torch.empty(0, dtype=torch.uint8, device="cpu")], []
    for block in (values - offset).split(nested_block_size) if len(values) else ():
        nested.append(block.abs().max())
        v = (block * (1 / nested[-1])).clamp(-1, 1)
        # In float64, where this is exact, for the one rounding of a fused multiply-add.
        grid = (((v + 1) * 0.5).double() * 65535 + 0.5).float().floor()
        p = -1 + 2 * grid / 65535
        codes.append((midpoints < p[:, None]).sum(1).to(torch.uint8) if nested[-1] else torch.zeros_like(v).byte())
    return torch.cat(codes), torch.stack(nested) if nested else torch.empty(0, device="cpu"), offset


def nf4_absmax(
    absmax: Tensor,
    absmax_code: Tensor | None = None,
    nested_absmax: Tensor | None = None,
    absmax_offset: Tensor | None = None,
    nested_block_size: int = 256,
) -> Tensor:
    """absmax in fp32, in which its double quantization is defined."""
    absmax = absmax.cpu()
    if absmax_code is None:
        return absmax.float()
    nested = nested_absmax.cpu()[torch.arange(len(absmax), device="cpu") // nested_block_size]
    return absmax_code.cpu()[absmax.long()] * nested + absmax_offset.cpu()


def nf4_dequantize(
    weight_packed: Tensor,
    absmax: Tensor,
    shape: tuple[int, ...],
    block_size: int,
    arithmetic: torch.dtype = torch.float64,
) -> Tensor:
    """Of this shape, in the dtype of the arithmetic; in float64 the dequantized weight is exact."""
    count = torch.Size(shape).numel()
    packed = weight_packed.cpu().flatten()
    codes = torch.stack((packed >> 4, packed & 0x0F), dim=-1).flatten()[:count]
    scale = absmax.to(arithmetic)[torch.arange(count, device="cpu") // block_size]
    return (NF4_VALUES.to(arithmetic)[codes.long()] * scale).reshape(shape)


_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32}


def bits(tensor: Tensor) -> Tensor:
    """The numbers as integers: bit for bit comparable, and of a dtype that every function of torch takes."""
    return tensor.cpu().view(_BITS[tensor.element_size()])


def sparse24_value_columns(in_features: int) -> int:
    return -(-in_features // 4) * 2


def _quads(rows: Tensor, filler: float) -> Tensor:
    """[N, quads, 4] of [N, K]; `filler` are the elements that the last quad lacks."""
    padded = torch.nn.functional.pad(rows, (0, -rows.shape[1] % 4), value=filler)
    return padded.reshape(rows.shape[0], padded.shape[1] // 4, 4)


def _first_two(rank: Tensor, in_features: int) -> Tensor:
    """Which two of each quad of [N, quads, 4] have the highest rank, the first of equal ones, as a mask [N, quads, 4]."""
    chosen = rank.argsort(dim=-1, descending=True, stable=True)[..., :2]
    return torch.zeros_like(rank, dtype=torch.bool).scatter(-1, chosen, True)


def sparse24_prune(weight: Tensor) -> Tensor:
    """Where the two largest magnitudes of each quad are, NaN being larger than Inf."""
    magnitude = weight.cpu().double().abs()
    magnitude = torch.where(magnitude.isinf(), 1e300, magnitude).nan_to_num(nan=1e301)
    chosen = _first_two(_quads(magnitude, -1), weight.shape[1])
    return chosen.flatten(1)[:, : weight.shape[1]]


def sparse24_compress(weight: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Values and bitmask of a weight that needs no more than two of each quad."""
    out_features, in_features = weight.shape
    mask = sparse24_prune(weight) if mask is None else mask.cpu()
    kept = _first_two(
        _quads(mask.to(torch.int8), -1), in_features
    )  # what is marked, then what is free, then what does not exist
    numbers = _quads(torch.where(mask, bits(weight), 0), 0)
    values = numbers[kept].reshape(out_features, sparse24_value_columns(in_features))
    bit = torch.nn.functional.pad(kept.flatten(1)[:, :in_features].to(torch.uint8), (0, -in_features % 8))
    bit = bit.reshape(out_features, -(-in_features // 8), 8) << torch.arange(8, dtype=torch.uint8, device="cpu")
    return values.view(weight.dtype), bit.sum(-1).to(torch.uint8)


def sparse24_decompress(values: Tensor, bitmask: Tensor, in_features: int) -> Tensor:
    """[N, K] in the values' dtype."""
    bit = bitmask.cpu()[..., None] >> torch.arange(8, dtype=torch.uint8, device="cpu") & 1
    kept = _quads(bit.flatten(1)[:, :in_features], 0)
    slot = (kept.cumsum(-1) - 1).clamp(min=0)
    pairs = bits(values).reshape(*kept.shape[:2], 2)
    dense = torch.where(kept.bool(), pairs.gather(-1, slot), 0)
    return dense.flatten(1)[:, :in_features].contiguous().view(values.dtype)


FP8_BLOCK = 128


def fp8_quantize(x: Tensor, dtype: torch.dtype, granularity: str) -> tuple[Tensor, Tensor]:
    """Arithmetic in fp32; the scale is rounded to x's dtype before the numbers are computed with it."""
    rows, columns = x.shape
    high = {"tensor": rows, "row": 1, "block": FP8_BLOCK, "group": 1}[granularity]
    wide = columns if granularity in ("tensor", "row") else FP8_BLOCK
    largest = torch.finfo(dtype).max
    codes = torch.zeros(rows, columns, device="cpu").to(dtype)
    scale = torch.zeros(-(-rows // max(high, 1)), -(-columns // max(wide, 1)), dtype=x.dtype, device="cpu")
    for i in range(scale.shape[0]):
        for j in range(scale.shape[1]):
            part = slice(i * high, (i + 1) * high), slice(j * wide, (j + 1) * wide)
            block = x.cpu()[part].float()
            scale[i, j] = block.abs().max() / largest if block.isfinite().all() else float("nan")
            if scale[i, j] > 0:
                codes[part] = (block / scale[i, j].float()).clamp(-largest, largest).to(dtype)
    if granularity == "tensor":
        return codes, scale.sum()
    return codes, scale.sum(1) if granularity == "row" else scale


def fp8_dequantize(codes: Tensor, scale: Tensor, arithmetic: torch.dtype = torch.float64) -> Tensor:
    """[N, K] in the dtype of the arithmetic; in float64 the dequantized matrix is exact."""
    rows, columns = codes.shape
    scale = scale.cpu().to(arithmetic)
    if scale.dim() == 1:
        scale = scale[:, None]
    elif scale.dim() == 2:
        row, column = (torch.arange(size, device="cpu") for size in (rows, columns))
        scale = scale[row if scale.shape[0] == rows else row // FP8_BLOCK][:, column // FP8_BLOCK]
    return codes.cpu().to(arithmetic) * scale


def mm(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x @ weight.T + bias in float64."""
    y = x.cpu().double() @ weight.cpu().double().T
    return y if bias is None else y + bias.cpu().double()


def rounded_activations(x: Tensor, dtype: torch.dtype = torch.int8) -> Tensor:
    """x rounded per row to 8 bits, integers or floating-point numbers, as float64; rows that hold NaN or Inf, or only zeros, stay as they are."""
    x = x.cpu()
    if x.shape[-1] == 0:
        return x.double()
    x = x.float()
    largest = 127 if dtype == torch.int8 else torch.finfo(dtype).max
    scale = x.abs().amax(-1, keepdim=True) / largest
    usable = (scale != 0) & x.isfinite().all(-1, keepdim=True)
    quotients = (x / scale).clamp(-largest, largest)
    codes = quotients.round() if dtype == torch.int8 else quotients.to(dtype)
    return torch.where(usable, codes.double() * scale.double(), x.double())


def dynamic_mm(x: Tensor, weight: Tensor, bias: Tensor | None = None, dtype: torch.dtype = torch.int8) -> Tensor:
    """`mm` of the activations rounded to the dtype."""
    return mm(rounded_activations(x, dtype), weight, bias)


def relative_error(y: Tensor, expected: Tensor) -> float:
    """The Frobenius norm of the difference over that of the expected."""
    y, expected = y.cpu().double(), expected.cpu().double()
    norm = expected.norm()
    difference = (y - expected).norm()
    return 0.0 if norm == 0 and difference == 0 else (difference / norm).item()
