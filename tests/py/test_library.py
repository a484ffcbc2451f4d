"""Loading the library: where it is found, what an error says, and that nothing breaks it or is broken by it."""

import importlib.util
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torchao_ops
from helpers import Int4Weight, run_python
from torchao_ops import _library

SCHEMAS = {
    "capabilities": "torchao::capabilities() -> str",
    "fp8_quantize": 'torchao::fp8_quantize(Tensor input, ScalarType? dtype=None, str granularity="row")'
    " -> (Tensor output, Tensor scale)",
    "fp8_dequantize": "torchao::fp8_dequantize(Tensor input, Tensor scale, ScalarType? dtype=None) -> Tensor",
    "fp8_mm": "torchao::fp8_mm(Tensor x, Tensor weight, Tensor weight_scale, Tensor? bias=None) -> Tensor",
    "fp8_dynamic_mm": "torchao::fp8_dynamic_mm(Tensor x, Tensor weight, Tensor weight_scale, Tensor? bias=None) -> Tensor",
    "fp8_scaled_mm": "torchao::fp8_scaled_mm(Tensor a, Tensor b, Tensor scale_a, Tensor scale_b, Tensor? bias=None,"
    " ScalarType? out_dtype=None) -> Tensor",
    "int4_quantize": "torchao::int4_quantize(Tensor weight, int group_size, bool symmetric=False)"
    " -> (Tensor weight_packed, Tensor weight_scale, Tensor weight_zero_point)",
    "int4_dequantize": "torchao::int4_dequantize(Tensor weight_packed, Tensor weight_scale, Tensor? weight_zero_point,"
    " int group_size, int in_features, ScalarType? dtype=None) -> Tensor",
    "int4_mm": "torchao::int4_mm(Tensor x, Tensor weight_packed, Tensor weight_scale, Tensor? weight_zero_point,"
    " int group_size, Tensor? bias=None) -> Tensor",
    "int4_dynamic_mm": "torchao::int4_dynamic_mm(Tensor x, Tensor weight_packed, Tensor weight_scale,"
    " Tensor? weight_zero_point, int group_size, Tensor? bias=None) -> Tensor",
    "int8_quantize": "torchao::int8_quantize(Tensor weight, int group_size=0) -> (Tensor weight, Tensor weight_scale)",
    "int8_dequantize": "torchao::int8_dequantize(Tensor weight, Tensor weight_scale, int group_size=0,"
    " ScalarType? dtype=None) -> Tensor",
    "int8_mm": "torchao::int8_mm(Tensor x, Tensor weight, Tensor weight_scale, int group_size=0, Tensor? bias=None)"
    " -> Tensor",
    "int8_dynamic_mm": "torchao::int8_dynamic_mm(Tensor x, Tensor weight, Tensor weight_scale, int group_size=0,"
    " Tensor? bias=None) -> Tensor",
    "nf4_quantize": "torchao::nf4_quantize(Tensor weight, int block_size=64) -> (Tensor weight_packed, Tensor absmax)",
    "nf4_quantize_absmax": "torchao::nf4_quantize_absmax(Tensor absmax, int nested_block_size=256)"
    " -> (Tensor absmax, Tensor absmax_code, Tensor nested_absmax, Tensor absmax_offset)",
    "nf4_dequantize": "torchao::nf4_dequantize(Tensor weight_packed, Tensor absmax, int[] shape, int block_size=64,"
    " ScalarType? dtype=None, Tensor? absmax_code=None, Tensor? nested_absmax=None, Tensor? absmax_offset=None,"
    " int nested_block_size=256) -> Tensor",
    "nf4_mm": "torchao::nf4_mm(Tensor x, Tensor weight_packed, Tensor absmax, int out_features, int block_size=64,"
    " Tensor? bias=None, Tensor? absmax_code=None, Tensor? nested_absmax=None, Tensor? absmax_offset=None,"
    " int nested_block_size=256) -> Tensor",
    "nf4_mm_backward": "torchao::nf4_mm_backward(Tensor grad_output, Tensor weight_packed, Tensor absmax,"
    " int in_features, int block_size=64, Tensor? absmax_code=None, Tensor? nested_absmax=None,"
    " Tensor? absmax_offset=None, int nested_block_size=256) -> Tensor",
    "sparse24_prune": "torchao::sparse24_prune(Tensor weight) -> Tensor",
    "sparse24_compress": "torchao::sparse24_compress(Tensor weight, Tensor? mask=None)"
    " -> (Tensor values, Tensor bitmask)",
    "sparse24_decompress": "torchao::sparse24_decompress(Tensor values, Tensor bitmask, int in_features) -> Tensor",
    "sparse24_mm": "torchao::sparse24_mm(Tensor x, Tensor values, Tensor bitmask, Tensor? weight_scale=None,"
    " Tensor? bias=None) -> Tensor",
    "sparse24_dynamic_mm": "torchao::sparse24_dynamic_mm(Tensor x, Tensor values, Tensor bitmask, Tensor weight_scale,"
    " Tensor? bias=None) -> Tensor",
    "sparse24_cusparselt_compress": "torchao::sparse24_cusparselt_compress(Tensor values, Tensor bitmask,"
    " int in_features) -> Tensor",
    "sparse24_cusparselt_mm": "torchao::sparse24_cusparselt_mm(Tensor x, Tensor packed, int out_features,"
    " Tensor? bias=None) -> Tensor",
    "sparse24_cusparselt_dynamic_mm": "torchao::sparse24_cusparselt_dynamic_mm(Tensor x, Tensor packed, Tensor values,"
    " Tensor bitmask, Tensor weight_scale, Tensor? bias=None) -> Tensor",
}

# Prints the sum of a small product, to compare between processes.
SMALL_PRODUCT = """
import torch
torch.manual_seed(0)
weight = torch.ops.torchao.int4_quantize(torch.randn(8, 64), 32)
print(torch.ops.torchao.int4_mm(torch.randn(2, 64), *weight, 32).sum().item())
"""


def test_every_operator_has_its_schema():
    assert set(_library.OPERATORS) == set(SCHEMAS)
    for name, schema in SCHEMAS.items():
        assert str(getattr(torch.ops.torchao, name).default._schema) == schema
    assert str(torch.ops.torchao.nf4_dequantize.out._schema) == (
        "torchao::nf4_dequantize.out(Tensor weight_packed, Tensor absmax, int[] shape, int block_size=64,"
        " Tensor? absmax_code=None, Tensor? nested_absmax=None, Tensor? absmax_offset=None, int nested_block_size=256,"
        " *, Tensor(a!) out) -> Tensor(a!)"
    )


def test_capabilities():
    found = torchao_ops.capabilities()
    assert found == json.loads(torch.ops.torchao.capabilities())
    assert found["version"] == torchao_ops.__version__
    assert found["isa"] in found["isa_available"]
    assert found["isa_available"][0] == "scalar"


def test_the_environment_names_the_library(monkeypatch):
    path = _library.library_path()
    monkeypatch.setenv("TORCHAO_OPS_LIBRARY", str(path))
    assert _library.library_path() == path
    monkeypatch.setenv("TORCHAO_OPS_LIBRARY", "/nowhere/lib.so")
    with pytest.raises(ImportError) as error:
        _library.library_path()
    assert str(error.value) == (
        "TORCHAO_OPS_LIBRARY must name the built libtorchao_ops.so, but got /nowhere/lib.so, which is not a file"
    )


def test_a_wheel_goes_before_a_checkout(monkeypatch, tmp_path):
    monkeypatch.delenv("TORCHAO_OPS_LIBRARY", raising=False)
    package = tmp_path / "python" / "torchao_ops"
    package.mkdir(parents=True)
    monkeypatch.setattr(_library, "__file__", str(package / "_library.py"))
    in_wheel, in_checkout = package / "libtorchao_ops.so", tmp_path / "build" / "libtorchao_ops.so"

    with pytest.raises(ImportError) as error:
        _library.library_path()
    assert str(error.value) == (
        f"libtorchao_ops.so was not found at {in_wheel} or {in_checkout}: run `make build`, or set TORCHAO_OPS_LIBRARY"
        " to where it was built"
    )
    in_checkout.parent.mkdir()
    in_checkout.touch()
    assert _library.library_path() == in_checkout
    in_wheel.touch()
    assert _library.library_path() == in_wheel


def test_a_file_that_is_no_library(monkeypatch, tmp_path):
    path = tmp_path / "libtorchao_ops.so"
    path.write_text("text")
    monkeypatch.setenv("TORCHAO_OPS_LIBRARY", str(path))
    with pytest.raises(ImportError, match=f"{path} could not be loaded into torch .*: .*"):
        _library.load()


def test_a_library_that_lacks_an_operator(monkeypatch):
    monkeypatch.setattr(_library, "OPERATORS", (*_library.OPERATORS, "int3_mm", "int2_mm"))
    with pytest.raises(ImportError) as error:
        _library.load()
    assert str(error.value) == (
        f"{_library.library_path()} lacks the operators int3_mm, int2_mm: it is older than this package, so run"
        " `make build` again"
    )


def test_loading_again_does_nothing():
    _library.load()
    weight = Int4Weight.random(8, 64, 32)
    assert torchao_ops.int4_mm(torch.randn(2, 64), *weight.mm_args).shape == (2, 8)


@pytest.fixture(scope="session")
def small_product() -> str:
    """What a process prints that only imports the package."""
    return run_python(f"import torchao_ops\n{SMALL_PRODUCT}").stdout


def test_loading_a_second_copy_does_nothing(tmp_path, small_product):
    copy = shutil.copy(_library.library_path(), tmp_path / "copy_of_libtorchao_ops.so")
    for second in (
        f"import torchao_ops, torch; torch.ops.load_library({str(copy)!r})\n{SMALL_PRODUCT}",
        f"import torch; torch.ops.load_library({str(copy)!r}); import torchao_ops\n{SMALL_PRODUCT}",
    ):
        result = run_python(second)
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout == small_product


def test_an_import_writes_nothing():
    result = run_python("import torchao_ops")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.skipif(importlib.util.find_spec("torchao") is None, reason="the PyPI package torchao is not installed")
@pytest.mark.parametrize("imports", ["import torchao, torchao_ops", "import torchao_ops, torchao"])
def test_beside_the_package_torchao(imports, small_product):
    quantize = """
from torchao.quantization import Int8WeightOnlyConfig, quantize_
model = torch.nn.Sequential(torch.nn.Linear(64, 64))
quantize_(model, Int8WeightOnlyConfig())
assert model(torch.randn(2, 64)).shape == (2, 64)
"""
    result = run_python(f"{imports}\n{SMALL_PRODUCT}\n{quantize}")
    assert result.returncode == 0, result.stderr
    assert result.stdout == small_product


def _product_in_child(weight: Int4Weight, x: torch.Tensor, results) -> None:
    results.put(torchao_ops.int4_mm(x, *weight.mm_args).tolist())


def test_an_operator_returns_after_fork():
    """Threads do not survive a fork: a child that waits for its parent's never returns."""
    torch.set_num_threads(2)
    weight, x = Int4Weight.random(512, 512, 32), torch.randn(64, 512)
    expected = torchao_ops.int4_mm(x, *weight.mm_args).tolist()
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    child = context.Process(target=_product_in_child, args=(weight, x, results))
    child.start()
    try:
        # The result has to be read before the child can end.
        assert results._reader.poll(30), "the operator did not return in the forked child"
        assert results.get() == expected
        child.join(timeout=30)
        assert child.exitcode == 0
    finally:
        child.kill()
        child.join()


def test_an_operator_returns_in_a_forked_data_loader():
    torch.set_num_threads(2)
    weight, rows = Int4Weight.random(256, 512, 32), torch.randn(8, 512)
    expected = torchao_ops.int4_mm(rows, *weight.mm_args)

    class Products(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(rows)

        def __getitem__(self, index: int) -> torch.Tensor:
            return torchao_ops.int4_mm(rows[index], *weight.mm_args)

    loader = torch.utils.data.DataLoader(
        Products(), batch_size=4, num_workers=2, multiprocessing_context="fork", timeout=30
    )
    torch.testing.assert_close(torch.cat(list(loader)), expected)


@pytest.mark.parametrize("isa", ["scalar", "avx2", "avx512"])
def test_forcing_an_instruction_set(isa):
    result = run_python("import torchao_ops; print(torchao_ops.capabilities()['isa'])", TORCHAO_OPS_ISA=isa)
    if isa in torchao_ops.capabilities()["isa_available"]:
        assert (result.returncode, result.stdout) == (0, f"{isa}\n")
    else:
        assert result.returncode == 1
        assert result.stderr.splitlines()[-1] == (
            "RuntimeError: capabilities: the environment variable TORCHAO_OPS_ISA must name an instruction set that this"
            f" CPU has, but got {isa}"
        )


def test_forcing_an_unknown_instruction_set():
    result = run_python(
        f"import torch; torch.ops.load_library({str(_library.library_path())!r})\n{SMALL_PRODUCT}",
        TORCHAO_OPS_ISA="sse9",
    )
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        "RuntimeError: int4_quantize: the environment variable TORCHAO_OPS_ISA must be scalar, avx2 or avx512, but got sse9"
    )


BATCH_INVARIANCE = """
import torch, torchao_ops
from itertools import product
torch.manual_seed(0)
x, weight = torch.randn(200, 2048), torch.randn(130, 2048)
int4, int8 = torch.ops.torchao.int4_quantize(weight, 32), torch.ops.torchao.int8_quantize(weight, 32)
weights = {"int4_mm": int4, "int4_dynamic_mm": int4, "int8_mm": int8, "int8_dynamic_mm": int8}
weights["nf4_mm"] = (*torch.ops.torchao.nf4_quantize(weight, 32), 130)
weights["nf4_mm_backward"] = (*torch.ops.torchao.nf4_quantize(weight.t(), 32), 130)
weights = {op: (*arguments, 32) for op, arguments in weights.items()}
mask = torch.ops.torchao.sparse24_prune(weight)
weights["sparse24_mm"] = torch.ops.torchao.sparse24_compress(weight, mask)
codes, scale = torch.ops.torchao.int8_quantize(weight)
weights["sparse24_dynamic_mm"] = (*torch.ops.torchao.sparse24_compress(codes, mask), scale)
weights["fp8_mm"] = weights["fp8_dynamic_mm"] = torch.ops.torchao.fp8_quantize(weight, granularity="block")
for op, dtype in product(weights, (torch.float32, torch.float16, torch.bfloat16)):
    all_rows, run = x.to(dtype), getattr(torch.ops.torchao, op)
    results = [run(all_rows[:rows], *weights[op]) for rows in (1, 2, 3, 4, 5, 16, 33, 64, 200)]
    print(op, dtype, all(torch.equal(y, results[-1][: len(y)]) for y in results))
"""


def test_batch_invariance_can_be_asked_for():
    result = run_python(BATCH_INVARIANCE, TORCHAO_OPS_BATCH_INVARIANT="1")
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 30
    assert "False" not in result.stdout


OTHER_ISAS = [isa for isa in torchao_ops.capabilities()["isa_available"] if isa != torchao_ops.capabilities()["isa"]]


@pytest.mark.parametrize("isa", OTHER_ISAS)
@pytest.mark.parametrize("format", ["fp8", "int4", "int8", "nf4", "sparse24"])
def test_values_and_layouts_with_every_other_instruction_set(format, isa):
    """A fifth of them: the C++ tests have all cases of each kernel; here it is the way to the kernel that could differ."""
    tests = Path(__file__).parent
    files = [str(tests / f"test_{format}_{what}.py") for what in ("values", "layouts")]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "not more_than_two_to_the_31", *files],
        env={
            **os.environ,
            "TORCHAO_OPS_ISA": isa,
            "TORCHAO_OPS_TEST_DEVICE": "cpu",
            "TORCHAO_OPS_TEST_PERCENT": "20",
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        timeout=540,
    )
    assert result.returncode == 0, result.stdout[-8000:]
    assert f"ISA in use {isa}" in result.stdout
