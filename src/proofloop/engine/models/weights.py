"""All parameters of a model as one flat vector, so that weights move, hash and save as one piece.

With `share`, the vector lies in shared memory: processes that adopt it see an optimiser's step
without any copying, and agree on the hash of what they see.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn

PIECE_BYTES = 8 << 20
"""Hashed at a time: of more, the hash is that of the pieces' hashes, which threads take at once."""


def flatten(model: nn.Module) -> Tensor:
    """Makes every parameter of `model` a view into one new vector (float32), which is returned."""
    flat = torch.cat([p.detach().flatten() for p in model.parameters()])
    adopt(model, flat)
    return flat


def adopt(model: nn.Module, flat: Tensor) -> None:
    """Makes every parameter of `model` a view into `flat`, in the order of `parameters()`."""
    parameters = list(model.parameters())
    if sum(p.numel() for p in parameters) != flat.numel():
        raise ValueError(f"{flat.numel()} weights do not fit a model of another size")
    for p, piece in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        p.data = piece.view_as(p)


def adopt_gradient(model: nn.Module, flat: Tensor) -> None:
    """Makes every parameter's gradient a view into `flat`, which backward then adds to."""
    parameters = list(model.parameters())
    for p, piece in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        p.grad = piece.view_as(p)


def sha256(flat: Tensor, num_threads: int = 1) -> str:
    """Of the vector's bytes; of more than a piece (`PIECE_BYTES`), of the pieces' hashes."""
    data = flat.numpy().data.cast("B")
    pieces = [data[i : i + PIECE_BYTES] for i in range(0, len(data), PIECE_BYTES)]
    if len(pieces) <= 1:
        return hashlib.sha256(data).hexdigest()
    with ThreadPoolExecutor(num_threads) as threads:  # the interpreter's lock is free meanwhile
        return hashlib.sha256(b"".join(threads.map(_digest, pieces))).hexdigest()


def _digest(piece: memoryview) -> bytes:
    return hashlib.sha256(piece).digest()
