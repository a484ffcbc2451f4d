"""How much memory a model's weights take."""

from itertools import chain

from torch import nn


def model_size(model: nn.Module) -> int:
    """The bytes of a model's parameters and buffers; storage that several of them share counts once."""
    storages = (tensor.untyped_storage() for tensor in chain(model.parameters(), model.buffers()))
    return sum({storage._cdata: storage.nbytes() for storage in storages}.values())
