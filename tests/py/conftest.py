"""Seeds, threads, devices, and what the run is about."""

import os

import pytest
import torch
import torchao_ops
from helpers import why_not_cuda
from torchao_ops._library import library_path


def pytest_report_header() -> str:
    found = torchao_ops.capabilities()
    return (
        f"torch {torch.__version__}, {library_path()} {found['version']}, "
        f"ISA in use {found['isa']} of {', '.join(found['isa_available'])}"
    )


# Runs the tests of one device only: cpu, or cuda and then nothing that does not use it.
_DEVICE_VARIABLE = "TORCHAO_OPS_TEST_DEVICE"
_CHOSEN_DEVICE = os.environ.get(_DEVICE_VARIABLE)
_DEVICES = [_CHOSEN_DEVICE] if _CHOSEN_DEVICE else ["cpu"] if why_not_cuda() else ["cpu", "cuda"]


# Runs a share of the tests of a run, evenly chosen, as the C++ tests do with it (tests/cpp/random.h).
_PERCENT = int(os.environ.get("TORCHAO_OPS_TEST_PERCENT", "100"))


def pytest_configure() -> None:
    if _CHOSEN_DEVICE not in (None, "cpu", "cuda"):
        raise pytest.UsageError(f"{_DEVICE_VARIABLE} must be cpu or cuda, but got {_CHOSEN_DEVICE}")
    if _CHOSEN_DEVICE == "cuda" and why_not_cuda():
        raise pytest.UsageError(f"{_DEVICE_VARIABLE}=cuda, but {why_not_cuda()}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if _CHOSEN_DEVICE == "cuda":
        others = [item for item in items if not {"device", "cuda"} & set(item.fixturenames)]
        _deselect(config, items, others)
    _deselect(config, items, [item for i, item in enumerate(items) if i * _PERCENT % 100 >= _PERCENT])


def _deselect(config: pytest.Config, items: list[pytest.Item], others: list[pytest.Item]) -> None:
    config.hook.pytest_deselected(items=others)
    left_out = set(others)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(params=_DEVICES)
def device(request):
    """Where a test runs: tensors that it makes without naming a device are there."""
    if request.param == "cpu":
        yield "cpu"
        return
    with torch.device(request.param):
        yield request.param


@pytest.fixture
def cuda():
    """For tests that name the device themselves."""
    if reason := why_not_cuda():
        pytest.skip(reason)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _threads_restored():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
