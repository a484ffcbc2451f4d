"""2:4 sparse weights in cuSPARSELt's layout: what can be said without a device, and on one that they multiply as sparse24_mm does."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torchao_ops import (
    sparse24_compress,
    sparse24_cusparselt_compress,
    sparse24_cusparselt_mm,
    sparse24_mm,
    sparse24_prune,
)

DTYPES = (torch.float16, torch.bfloat16)


def error_of(call) -> str:
    with pytest.raises(RuntimeError) as error:
        call()
    return str(error.value)


def compressed(shape: tuple[int, int], dtype: torch.dtype, device: str = "cpu"):
    weight = torch.randn(shape, device=device).to(dtype)
    return sparse24_compress(weight, sparse24_prune(weight))


def test_cpu_tensors_are_refused_by_operators_and_fakes():
    values, bitmask = compressed((16, 64), torch.float16)
    x = torch.randn(8, 64).half()
    for mode in (None, FakeTensorMode(allow_non_fake_inputs=True)):
        calls = {
            "sparse24_cusparselt_compress: values": lambda: sparse24_cusparselt_compress(values, bitmask, 64),
            "sparse24_cusparselt_mm: x": lambda: sparse24_cusparselt_mm(x, values.flatten(), 16),
        }
        for start, call in calls.items():
            expected = f"{start} must be on a CUDA device, which cuSPARSELt is for, but got cpu"
            if mode is None:
                assert error_of(call) == expected
            else:
                with mode:
                    assert error_of(call) == expected


def test_fake_cuda_tensors():
    with FakeTensorMode(shape_env=ShapeEnv()):
        values = torch.empty(16, 32, dtype=torch.bfloat16, device="cuda")
        bitmask = torch.empty(16, 8, dtype=torch.uint8, device="cuda")
        packed = sparse24_cusparselt_compress(values, bitmask, 64)
        assert (packed.dim(), packed.dtype, packed.device) == (1, torch.bfloat16, torch.device("cuda:0"))
        x = torch.empty(2, 5, 64, dtype=torch.bfloat16, device="cuda")
        scale = torch.empty(16, device="cuda")
        y = sparse24_cusparselt_mm(x, packed, 16, scale, scale)
        assert (y.shape, y.dtype, y.device) == ((2, 5, 16), torch.bfloat16, torch.device("cuda:0"))
        op = "sparse24_cusparselt_mm"
        assert (
            error_of(lambda: sparse24_cusparselt_mm(x, packed, -1))
            == f"{op}: out_features must be at least 0, but got -1"
        )
        assert (
            error_of(lambda: sparse24_cusparselt_mm(x.half(), packed, 16))
            == f"{op}: packed must be float16, but got bfloat16"
        )
        assert (
            error_of(lambda: sparse24_cusparselt_mm(x.float(), packed, 16))
            == f"{op}: x must be float16 or bfloat16, but got float32"
        )
        assert (
            error_of(lambda: sparse24_cusparselt_mm(x, packed, 16, scale[:8]))
            == f"{op}: weight_scale must be [N] = [16], but got [8]"
        )
        assert (
            error_of(lambda: sparse24_cusparselt_mm(x.requires_grad_(), packed, 16))
            == f"{op}: x must not require grad, but got requires_grad=True"
        )


# ---- on a device ----


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows, shape", [(256, (512, 1024)), (1, (32, 64)), (130, (41, 390)), (3, (5, 7))])
def test_multiplies_as_sparse24_mm_does(cuda, rows, shape, dtype):
    values, bitmask = compressed(shape, dtype, "cuda")
    x, scale = torch.randn(rows, shape[1], device="cuda").to(dtype), torch.rand(shape[0], device="cuda")
    bias = torch.randn(shape[0], device="cuda").to(dtype)
    packed = sparse24_cusparselt_compress(values, bitmask, shape[1])
    for arguments in ((), (scale,), (None, bias), (scale, bias)):
        for _ in range(2):  # the first one searches for an algorithm
            y = sparse24_cusparselt_mm(x, packed, shape[0], *arguments).float()
            expected = sparse24_mm(x.float(), values.float(), bitmask, *arguments)
            error = (y - expected).norm() / expected.norm()
            assert error < (1e-3 if dtype == torch.float16 else 8e-3), arguments


def test_a_product_in_a_graph(cuda):
    values, bitmask = compressed((64, 128), torch.float16, "cuda")
    x, packed = torch.randn(48, 128, device="cuda").half(), sparse24_cusparselt_compress(values, bitmask, 128)
    expected = sparse24_cusparselt_mm(x, packed, 64)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = sparse24_cusparselt_mm(x, packed, 64)
    y.zero_()
    graph.replay()
    assert torch.equal(y, expected)
