"""Writes what a C++ program needs to check that it gets Python's numbers: python make_consumer_models.py OUTDIR

OUTDIR/model.ts   a quantized MLP as TorchScript
OUTDIR/model.pt2  the same as an AOTInductor package (its batch size is dynamic)
OUTDIR/io.pt      the list [x, y] of an input and its result, for torch::pickle_load
"""

import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torchao_ops import quantize_

IN_FEATURES = 96
CONFIGS = {"int4": "int4wo-32", "dynamic_int4": "8da4w-64", "int8": "int8wo", "dynamic_int8": "int8dq"}


class Mlp(nn.Module):
    """A layer for each product, biases and none, and a last group that is partial."""

    def __init__(self) -> None:
        super().__init__()
        self.int4 = nn.Linear(IN_FEATURES, 200)
        self.dynamic_int4 = nn.Linear(200, 120, bias=False)
        self.int8 = nn.Linear(120, 40)
        self.dynamic_int8 = nn.Linear(40, 7, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.dynamic_int4(torch.relu(self.int4(x))))
        return self.dynamic_int8(torch.relu(self.int8(x)))


def quantized_mlp() -> Mlp:
    torch.manual_seed(0)
    model = Mlp().eval()
    for name, config in CONFIGS.items():
        quantize_(model.get_submodule(name), config)
    return model.requires_grad_(False)


def save_torchscript(model: nn.Module, path: Path) -> None:
    torch.jit.save(torch.jit.script(model), path)


def save_aotinductor(model: nn.Module, x: Tensor, path: Path) -> None:
    batch = torch.export.Dim("batch", min=1, max=1024)
    exported = torch.export.export(model, (x,), dynamic_shapes={"x": {0: batch}})
    torch._inductor.aoti_compile_and_package(exported, package_path=str(path))


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    model = quantized_mlp()
    x = torch.randn(5, IN_FEATURES)
    save_torchscript(model, directory / "model.ts")
    save_aotinductor(model, x, directory / "model.pt2")
    torch.save([x, model(x)], directory / "io.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
