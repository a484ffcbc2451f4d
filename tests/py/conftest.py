"""Seeds, threads, and what the run is about."""

import pytest
import torch
import torchao_ops
from torchao_ops._library import library_path


def pytest_report_header() -> str:
    found = torchao_ops.capabilities()
    return (
        f"torch {torch.__version__}, {library_path()} {found['version']}, "
        f"ISA in use {found['isa']} of {', '.join(found['isa_available'])}"
    )


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _threads_restored():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
