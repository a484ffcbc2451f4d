"""What is particular to CUDA: the same numbers as on the CPU, streams, graphs, devices. Values, layouts, errors, gradients and compilation on CUDA
are in the other files, which take a device."""

import io
import re
import shutil
import sysconfig
import threading
from pathlib import Path

import pytest
import reference
import torch
import torchao_ops
from helpers import (
    FLOAT_DTYPES,
    INT8_MM_OPERATORS,
    MM_OPERATORS,
    SPARSE24_DTYPES,
    SPARSE24_MM_OPERATORS,
    Int4Weight,
    Int8Weight,
    Nf4Weight,
    Sparse24Weight,
    operator,
    run_python,
)
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torchao_ops import (
    int4_dequantize,
    int4_mm,
    int4_quantize,
    int8_dequantize,
    int8_quantize,
    nf4_dequantize,
    nf4_quantize,
    nf4_quantize_absmax,
    quantize_,
    sparse24_compress,
    sparse24_decompress,
    sparse24_prune,
)
from torchao_ops._library import OPERATORS

# Rows of x for which CUDA has an algorithm of its own: few, some, and many, for which the weight is dequantized.
ROWS = [1, 2, 7, 16, 40, 300]
PRODUCTS = [*MM_OPERATORS, *INT8_MM_OPERATORS, "nf4_mm", *SPARSE24_MM_OPERATORS]
# How a script for a process of its own begins.
SEEDED = "import torch, torchao_ops\ntorch.manual_seed(0)\n"


def random_product(op: str, rows: int, dtype: torch.dtype, out_features: int = 96, in_features: int = 512):
    """An operator's arguments on the CPU."""
    if op in INT8_MM_OPERATORS:
        weight = Int8Weight.random(out_features, in_features, 0, dtype).mm_args
    elif op in MM_OPERATORS:
        weight = Int4Weight.random(out_features, in_features, 32, dtype, dtype).mm_args
    elif op == "nf4_mm":
        weight = Nf4Weight.random(out_features, in_features, 64, dtype).mm_args()[:4]
    else:
        values_dtype = dtype if op == "sparse24_mm" else torch.int8
        weight = Sparse24Weight.random(out_features, in_features, values_dtype, dtype).mm_args
    x, bias = torch.randn(rows, in_features).to(dtype), torch.randn(out_features).to(dtype)
    return x, *weight, bias


def to_cuda(arguments: tuple) -> list:
    return [value.cuda() if isinstance(value, Tensor) else value for value in arguments]


# ---- without a device ----


def test_every_operator_has_a_kernel_for_cuda():
    for name in OPERATORS:
        if name != "capabilities":
            assert torch._C._dispatch_has_kernel_for_dispatch_key(f"torchao::{name}", "CUDA"), name


def test_capabilities_name_the_architectures():
    for name in torchao_ops.capabilities()["cuda_archs"]:
        assert re.fullmatch(r"(sm|compute)_\d+[a-z]?", name)


def test_fake_cuda_tensors():
    with FakeTensorMode():
        dense, x = torch.empty(8, 70, device="cuda"), torch.empty(3, 70, device="cuda", dtype=torch.bfloat16)
        int4, int8, nf4 = int4_quantize(dense, 32), int8_quantize(dense), nf4_quantize(dense)
        nested = nf4_quantize_absmax(nf4[1])
        weights = int4_dequantize(*int4, 32, 70), int8_dequantize(*int8), nf4_dequantize(*nf4, [8, 70])
        assert {tensor.device for tensor in (*int4, *int8, *nf4, *nested, *weights)} == {torch.device("cuda:0")}
        sparse = sparse24_compress(int8[0], sparse24_prune(dense))
        assert sparse24_decompress(*sparse, 70).device == torch.device("cuda:0")
        weights = {"int4": (*int4, 32), "int8": int8, "nf4": (*nf4, 8), "sparse24": (*sparse, int8[1])}
        for op in PRODUCTS:
            y = operator(op)(x, *weights[op.split("_")[0]])
            assert (y.shape, y.dtype, y.device) == ((3, 8), torch.bfloat16, torch.device("cuda:0"))


@pytest.mark.parametrize("device, other", [("cuda:0", "cpu"), ("cpu", "cuda:0"), ("cuda:1", "cuda:0")])
def test_fake_tensors_on_different_devices(device, other):
    with FakeTensorMode():
        packed, scale, zero_point = int4_quantize(torch.empty(8, 70, device=device), 32)
        x = torch.empty(3, 70, device=device)
        for op in MM_OPERATORS:
            with pytest.raises(RuntimeError) as error:
                operator(op)(x, packed, scale.to(other), zero_point, 32)
            assert str(error.value) == f"{op}: weight_scale must be on x's device {device}, but got {other}"


# ---- the same numbers as on the CPU ----


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("shape, group_size", [((5, 7), 3), ((33, 512), 32), ((16, 384), 256), ((4, 1031), 2000)])
def test_a_quantized_weight_is_the_same_bytes_on_both_devices(cuda, shape, group_size, dtype, symmetric):
    weight = torch.randn(shape).to(dtype)
    weight[1] = 0
    weight[2, :3] *= 1e-6
    weight[3, 2] = float("nan")
    on_cpu, on_cuda = (int4_quantize(w, group_size, symmetric) for w in (weight, weight.cuda()))
    for ours, theirs in zip(on_cuda, on_cpu, strict=True):
        assert ours.is_cuda
        torch.testing.assert_close(ours.cpu(), theirs, rtol=0, atol=0, equal_nan=True)
    dequantized = (int4_dequantize(*quantized, group_size, shape[1]) for quantized in (on_cuda, on_cpu))
    torch.testing.assert_close(*(w.cpu() for w in dequantized), rtol=0, atol=0, equal_nan=True)

    if not symmetric:
        return
    for size in (0, group_size):
        on_cpu, on_cuda = (int8_quantize(w, size) for w in (weight, weight.cuda()))
        dequantized = (int8_dequantize(*quantized, size) for quantized in (on_cuda, on_cpu))
        for ours, theirs in (*zip(on_cuda, on_cpu, strict=True), tuple(dequantized)):
            torch.testing.assert_close(ours.cpu(), theirs, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("shape, block_size", [((5, 7), 32), ((33, 512), 64), ((16, 384), 128), ((41, 1031), 64)])
def test_an_nf4_weight_is_the_same_bytes_on_both_devices(cuda, shape, block_size, dtype):
    weight = torch.randn(shape).to(dtype)
    weight[1] = 0
    weight[2, :3] *= 1e-6
    results = []
    for w in (weight, weight.cuda()):
        packed, absmax = nf4_quantize(w, block_size)
        codes, *nested = nf4_quantize_absmax(absmax, 16)
        plain = nf4_dequantize(packed, absmax, shape, block_size, dtype)
        doubly = nf4_dequantize(packed, codes, shape, block_size, dtype, *nested, 16)
        w[3, 2] = float("nan")
        of_nan = nf4_quantize(w, block_size)
        results.append(
            (packed, absmax, codes, *nested, plain, doubly, *of_nan, nf4_dequantize(*of_nan, shape, block_size))
        )
    for theirs, ours in zip(*results, strict=True):
        assert ours.is_cuda
        torch.testing.assert_close(ours.cpu(), theirs, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", SPARSE24_DTYPES)
@pytest.mark.parametrize("shape", [(5, 7), (33, 512), (16, 385), (41, 1031)])
def test_a_sparse_weight_is_the_same_bytes_on_both_devices(cuda, shape, dtype):
    weight = torch.randint(-4, 5, shape).to(dtype)
    results = []
    for w in (weight, weight.cuda()):
        mask = sparse24_prune(w)
        compressed = sparse24_compress(w, mask)
        pruned = sparse24_decompress(*compressed, shape[1])
        results.append((mask, *compressed, pruned, *sparse24_compress(pruned)))
    for theirs, ours in zip(*results, strict=True):
        assert ours.is_cuda
        assert torch.equal(reference.bits(ours), reference.bits(theirs))


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("in_features", [512, 390])
def test_the_gradient_of_nf4_mm_is_that_of_the_cpu_but_for_rounding(cuda, dtype, rows, in_features):
    weight, grad = Nf4Weight.random(96, in_features, 64, torch.uint8), torch.randn(rows, 96).to(dtype)
    on_cpu = operator("nf4_mm_backward")(grad, *weight.backward_args)
    on_cuda = operator("nf4_mm_backward")(grad.cuda(), *weight.to("cuda").backward_args)
    limit = 2 * torch.finfo(dtype).eps if dtype != torch.float32 else 1e-6
    assert reference.relative_error(on_cuda, on_cpu) < limit


@pytest.mark.parametrize("op", PRODUCTS)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("rows", ROWS)
def test_a_product_is_that_of_the_cpu_but_for_rounding(cuda, op, dtype, rows):
    arguments = random_product(op, rows, dtype)
    on_cpu, on_cuda = operator(op)(*arguments), operator(op)(*to_cuda(arguments))
    assert on_cuda.is_cuda
    # Each is rounded once to dtype; many rows also have the weight rounded to it.
    limit = 2 * torch.finfo(dtype).eps if dtype != torch.float32 else 1e-6
    assert reference.relative_error(on_cuda, on_cpu) < limit


@pytest.mark.parametrize("config", ["int4wo-32", "8da4w-32", "int8wo", "int8dq"])
def test_one_checkpoint_serves_both_devices(cuda, config):
    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(70, 48), nn.GELU(), nn.Linear(48, 33, bias=False))

    dense, x = model(), torch.randn(5, 70)
    models = [model() for _ in range(2)]
    for quantized, device in zip(models, ("cpu", "cuda"), strict=True):
        quantized.load_state_dict(dense.state_dict())
        quantize_(quantized.to(device), config)
    on_cpu, on_cuda = models
    for name, tensor in on_cpu.state_dict().items():
        assert torch.equal(on_cuda.state_dict()[name].cpu(), tensor), name

    file = io.BytesIO()
    torch.save(on_cpu.state_dict(), file)
    file.seek(0)
    y = on_cuda(x.cuda())
    on_cuda.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(on_cuda(x.cuda()), y)
    assert torch.equal(on_cuda.cpu()(x), on_cpu(x))


# ---- errors ----


@pytest.mark.parametrize("op", PRODUCTS)
def test_tensors_on_different_devices(cuda, op):
    names = ["x", "weight_packed", "weight_scale", "weight_zero_point", "group_size", "bias"]
    if op in INT8_MM_OPERATORS:
        names = ["x", "weight", "weight_scale", "group_size", "bias"]
    elif op == "nf4_mm":
        names = ["x", "weight_packed", "absmax", "out_features", "block_size", "bias"]
    elif op in SPARSE24_MM_OPERATORS:
        names = ["x", "values", "bitmask", "weight_scale", "bias"]
    on_cpu = dict(zip(names, random_product(op, 3, torch.float32), strict=True))
    on_cuda = dict(zip(names, to_cuda(tuple(on_cpu.values())), strict=True))
    for name in set(names) - {"x", "group_size", "out_features", "block_size"}:
        with pytest.raises(RuntimeError) as error:
            operator(op)(*{**on_cuda, name: on_cpu[name]}.values())
        assert str(error.value).splitlines()[0] == f"{op}: {name} must be on x's device cuda:0, but got cpu"
        with pytest.raises(RuntimeError) as error:
            operator(op)(*{**on_cpu, name: on_cuda[name]}.values())
        assert str(error.value).splitlines()[0] == f"{op}: {name} must be on x's device cpu, but got cuda:0"


# ---- layouts ----


def shifted(tensor: Tensor) -> Tensor:
    storage = torch.empty(tensor.numel() + 1, dtype=tensor.dtype, device=tensor.device)
    storage[1:] = tensor.flatten()
    return storage[1:].view(tensor.shape)


def with_gaps(tensor: Tensor) -> Tensor:
    wide = torch.full((*tensor.shape[:-1], tensor.shape[-1] + 3), 7, dtype=tensor.dtype, device=tensor.device)
    wide[..., :-3] = tensor
    return wide[..., :-3]


def expanded(tensor: Tensor) -> Tensor:
    return tensor[:1].expand(tensor.shape)


@pytest.mark.parametrize("op", PRODUCTS)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("layout", [shifted, with_gaps, expanded])
@pytest.mark.parametrize("in_features", [512, 390])
def test_the_layout_of_an_operand_changes_no_bit(cuda, op, dtype, rows, layout, in_features):
    """Aligned operands may be read by another kernel, and cuBLASLt chooses by strides and addresses: these see copies."""
    arguments = to_cuda(random_product(op, rows, dtype, in_features=in_features))
    for i, operand in enumerate(arguments):
        if isinstance(operand, Tensor):
            strided = layout(operand)
            got, expected = (
                operator(op)(*arguments[:i], t, *arguments[i + 1 :]) for t in (strided, strided.contiguous())
            )
            assert torch.equal(got, expected), i


@pytest.mark.parametrize("op", PRODUCTS)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_more_rows_than_a_grid_has(cuda, op, dtype):
    x, *weight, bias = to_cuda(random_product(op, 70_001, dtype, out_features=9, in_features=64))
    y = operator(op)(x, *weight, bias)
    limit = 2 * torch.finfo(dtype).eps if dtype != torch.float32 else 1e-6
    assert reference.relative_error(y[-5:], operator(op)(x[-5:], *weight, bias)) < limit


# ---- streams, graphs, devices ----


@pytest.mark.parametrize("op", PRODUCTS)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("rows", ROWS)
def test_runs_give_the_same_bits(cuda, op, dtype, rows):
    arguments = to_cuda(random_product(op, rows, dtype, out_features=517, in_features=2048))
    expected = operator(op)(*arguments)
    for _ in range(10):
        assert torch.equal(operator(op)(*arguments), expected)


@pytest.mark.parametrize("op", PRODUCTS)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("rows", ROWS)
def test_a_replayed_graph_gives_the_same_bits(cuda, op, dtype, rows):
    x, *weight, bias = to_cuda(random_product(op, rows, dtype))
    operator(op)(x, *weight, bias)
    graph = torch.cuda.CUDAGraph()
    captured_x = torch.zeros_like(x)
    with torch.cuda.graph(graph):
        captured_y = operator(op)(captured_x, *weight, bias)
    for _ in range(3):
        x = torch.randn_like(x)
        captured_x.copy_(x)
        graph.replay()
        assert torch.equal(captured_y, operator(op)(x, *weight, bias))


def test_quantize_and_dequantize_in_a_graph(cuda):
    weight = torch.randn(64, 96, device="cuda")
    expected = int4_dequantize(*int4_quantize(weight, 32), 32, 96)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        dequantized = int4_dequantize(*int4_quantize(weight, 32), 32, 96)
    dequantized.zero_()
    graph.replay()
    assert torch.equal(dequantized, expected)


@pytest.mark.parametrize("rows", [1, 300])
def test_a_graph_may_be_captured_by_the_first_call(cuda, rows):
    """Then the context of cuBLASLt is created during the capture."""
    result = run_python(f"""{SEEDED}
x, weight = torch.randn({rows}, 512, device="cuda").half(), torch.randn(96, 512, device="cuda").half()
weight = torch.ops.torchao.int4_quantize(weight, 32)
graph = torch.cuda.CUDAGraph()
with torch.cuda.graph(graph):
    y = torch.ops.torchao.int4_mm(x, *weight, 32)
graph.replay()
assert torch.equal(y, torch.ops.torchao.int4_mm(x, *weight, 32))
""")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("op", PRODUCTS)
@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("rows", ROWS)
def test_work_goes_to_the_current_stream_and_nobody_waits_for_it(cuda, op, dtype, rows):
    x, *weight, bias = to_cuda(random_product(op, rows, dtype))
    expected = operator(op)(x, *weight, bias)
    late_x = torch.zeros_like(x)
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(100_000_000)  # cycles: about 50 ms, in which another stream would read zeros
        late_x.copy_(x)
        y = operator(op)(late_x, *weight, bias)
        assert not stream.query()
    stream.synchronize()
    assert torch.equal(y, expected)


def test_threads_with_streams_of_their_own(cuda):
    arguments = to_cuda(random_product("int4_mm", 300, torch.bfloat16))
    expected = int4_mm(*arguments)
    torch.cuda.synchronize()
    results: list[Tensor] = []

    def work() -> None:
        with torch.cuda.stream(torch.cuda.Stream()):
            for _ in range(20):
                y = int4_mm(*arguments)
            torch.cuda.current_stream().synchronize()
            results.append(y)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(torch.equal(y, expected) for y in results)


@pytest.mark.parametrize("op", PRODUCTS)
@pytest.mark.parametrize("rows", ROWS)
def test_a_call_keeps_no_memory(cuda, op, rows):
    arguments = to_cuda(random_product(op, rows, torch.bfloat16))
    y = operator(op)(*arguments)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    for _ in range(3):
        y = operator(op)(*arguments)
    assert torch.cuda.memory_allocated() == before
    assert y.shape[0] == rows


@pytest.mark.parametrize("op", PRODUCTS)
@pytest.mark.parametrize("rows", ROWS)
def test_a_device_that_is_not_the_current_one(cuda, op, rows):
    if torch.cuda.device_count() < 2:
        pytest.skip("this machine has one CUDA device")
    arguments = random_product(op, rows, torch.bfloat16)
    first, second = ([v.to(d) if isinstance(v, Tensor) else v for v in arguments] for d in ("cuda:0", "cuda:1"))
    with torch.cuda.device(0):
        y = operator(op)(*second)
        assert torch.cuda.current_device() == 0
    assert y.device == torch.device("cuda:1")
    if torch.cuda.get_device_properties(0).name == torch.cuda.get_device_properties(1).name:
        assert torch.equal(y.cpu(), operator(op)(*first).cpu())


BATCH_INVARIANCE = f"""{SEEDED}
from itertools import product
x, dense = torch.randn(300, 2048), torch.randn(130, 2048).cuda()
weights = {{
    "int4": (*torch.ops.torchao.int4_quantize(dense, 32), 32),
    "int8": torch.ops.torchao.int8_quantize(dense),
    "nf4": (*torch.ops.torchao.nf4_quantize(dense), 130),
}}
codes, scale = weights["int8"]
weights["sparse24"] = (*torch.ops.torchao.sparse24_compress(codes, torch.ops.torchao.sparse24_prune(dense)), scale)
for op, dtype in product({PRODUCTS}, (torch.float32, torch.float16, torch.bfloat16)):
    all_rows, run, weight = x.to("cuda", dtype), getattr(torch.ops.torchao, op), weights[op.split("_")[0]]
    results = [run(all_rows[:rows], *weight) for rows in (1, 2, 3, 8, 9, 16, 17, 33, 64, 129, 300)]
    print(op, dtype, all(torch.equal(y, results[-1][: len(y)]) for y in results))
"""


def test_batch_invariance_can_be_asked_for(cuda):
    result = run_python(BATCH_INVARIANCE, TORCHAO_OPS_BATCH_INVARIANT="1")
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 3 * len(PRODUCTS)
    assert "False" not in result.stdout


def test_aotinductor(cuda, tmp_path):
    for tool, is_there in (
        ("nvcc", shutil.which("nvcc") is not None),
        ("Python.h", Path(sysconfig.get_path("include"), "Python.h").is_file()),
    ):
        if not is_there:
            pytest.skip(f"AOTInductor compiles for CUDA with {tool}, which is not there")
    model = nn.Sequential(nn.Linear(96, 200), nn.ReLU(), nn.Linear(200, 7)).cuda().eval().requires_grad_(False)
    quantize_(model, "int4wo-32")
    batch = torch.export.Dim("batch", min=1, max=1024)
    exported = torch.export.export(model, (torch.randn(5, 96, device="cuda"),), dynamic_shapes=({0: batch},))
    path = torch._inductor.aoti_compile_and_package(exported, package_path=str(tmp_path / "model.pt2"))
    packaged = torch._inductor.aoti_load_package(path)
    for rows in (1, 5, 300):
        x = torch.randn(rows, 96, device="cuda")
        torch.testing.assert_close(packaged(x), model(x))
