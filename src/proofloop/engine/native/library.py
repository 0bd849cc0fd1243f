"""The kernels' functions and records, as `decode.c` and `train.c` declare them."""

import ctypes
import functools
from ctypes import POINTER, Structure, c_float, c_int32, c_int64, c_void_p
from typing import Any

import numpy as np

from proofloop.engine.native.build import KernelUnavailable, library_path


class Layer(Structure):
    _fields_ = (
        *(
            (name, c_void_p)
            for name in (
                *("input_norm", "post_norm", "qkv", "qkv_bias", "q_norm", "k_norm", "o", "o_bias"),
                *("gate_up", "gate_up_bias", "down", "down_bias"),
            )
        ),
        ("rotary", c_int32),
        ("window", c_int32),
    )


class Model(Structure):
    _fields_ = (
        *(
            (name, c_int32)
            for name in (
                *("num_layers", "width", "num_heads", "num_kv_heads", "head_dim", "inner", "vocab"),
                "rounds",
            )
        ),
        ("eps", c_float),
        ("scale", c_float),
        *((name, c_void_p) for name in ("embedding", "final_norm", "head", "cos", "sin", "layers")),
    )


class Team(Structure):
    _fields_ = tuple(
        (name, c_int32) for name in ("size", "taken", "arrived", "meeting", "score_floats")
    )


ROW = np.dtype(
    [
        ("seed", np.uint64),
        *((name, np.uint64) for name in ("pages", "tokens", "logprobs", "entropies")),
        *((name, np.float32) for name in ("temperature", "top_p", "min_p")),
        *(
            (name, np.int32)
            for name in (
                *("top_k", "token", "position", "num_sampled", "max_tokens", "stopped", "reserved"),
            )
        ),
    ],
    align=True,
)
"""One growing sample; addresses as numbers."""

SEGMENT = np.dtype(
    [(name, np.int32) for name in ("start", "length", "context_start", "context_length")]
)
"""Tokens that follow each other, and those before them that they share with others."""

_MODEL, _TEAM = POINTER(Model), POINTER(Team)
_SIZES = (c_int32, c_int32, c_int32)
_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "panel_size": (c_int32, ()),
    "block_size": (c_int32, ()),
    "row_bytes": (c_int32, ()),
    "pack": (None, (c_void_p, c_int32, c_int32, c_void_p)),
    "pack_rounded": (None, (c_void_p, c_int32, c_int32, c_void_p)),
    "scratch_floats": (c_int64, (_MODEL, _TEAM, c_int32, c_int32)),
    "decode_floats": (c_int64, (_MODEL, c_int32)),
    "forward": (None, (_MODEL, _TEAM, c_int32, c_int32, *(c_void_p,) * 6)),
    "logits_of": (None, (_MODEL, _TEAM, c_int32, c_void_p, c_void_p)),
    "decode": (
        c_int64,
        (_MODEL, _TEAM, c_int32, c_void_p, *_SIZES[:2], c_void_p, c_int32, *(c_void_p,) * 7),
    ),
    "segment_bytes": (c_int32, ()),
    "norm": (
        None,
        (
            *(*_SIZES, c_void_p, c_int64, c_void_p, c_float),
            *(c_void_p, c_int64, c_void_p, c_int32),
        ),
    ),
    "norm_backward": (
        None,
        (
            *(*_SIZES, c_void_p, c_int64, c_void_p, c_void_p),
            *(c_void_p, c_int64, c_void_p, c_int64, c_void_p, c_int32),
        ),
    ),
    "turn": (None, (*_SIZES, c_void_p, c_int64, c_void_p, c_void_p, c_void_p, c_int32)),
    "round_all": (None, (c_int64, c_void_p)),
    "gated": (None, (c_int32, c_int32, c_void_p, c_void_p, c_int32)),
    "gated_backward": (None, (c_int32, c_int32, c_void_p, c_void_p)),
    "attention_floats": (c_int64, (c_int32, c_void_p, c_int32)),
    "attention": (None, (c_int32, c_void_p, *_SIZES, *(c_void_p,) * 4)),
    "attention_backward": (None, (c_int32, c_void_p, *_SIZES, *(c_void_p,) * 6)),
}


@functools.cache
def kernel() -> Any:
    """The loaded library.  Raises KernelUnavailable."""
    try:
        library = ctypes.CDLL(str(library_path()))
    except OSError as error:
        raise KernelUnavailable(f"the compiled kernel cannot be loaded ({error})") from error
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    assert library.row_bytes() == ROW.itemsize, "decode.c and this file declare one Row"
    assert library.segment_bytes() == SEGMENT.itemsize, "train.c and this file, one Segment"
    return library


def why_not() -> str | None:
    """Why there is no kernel on this machine; None where there is one."""
    try:
        kernel()
    except KernelUnavailable as reason:
        return str(reason)
    return None
