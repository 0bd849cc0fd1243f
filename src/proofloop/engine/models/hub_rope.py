"""The position encoding in a `config.json`, in both of its styles.

Transformers 4 wrote `rope_theta` and, for scaled positions, `rope_scaling`; 5 writes both as
`rope_parameters`.  We read either and write the first, which both read.
"""

from collections.abc import Mapping
from typing import Any, assert_never

import msgspec

from proofloop.engine.models.config import (
    DecoderConfig,
    DynamicScaling,
    LinearScaling,
    Llama3Scaling,
    RopeScaling,
    YarnScaling,
)
from proofloop.engine.models.rotary import yarn_attention_factor

ROPE_TYPES = ("default", "linear", "dynamic", "llama3", "yarn")


class _Plain(msgspec.Struct, forbid_unknown_fields=True):
    """Of type `default`."""

    partial_rotary_factor: float = 1.0


class _Factor(_Plain, forbid_unknown_fields=True, kw_only=True):
    """Of types `linear` and `dynamic`."""

    factor: float


class _Llama3(_Factor, forbid_unknown_fields=True, kw_only=True):
    low_freq_factor: float
    high_freq_factor: float
    original_max_position_embeddings: int | None = None


class _Yarn(_Plain, forbid_unknown_fields=True, kw_only=True):
    factor: float | None = None
    original_max_position_embeddings: int | None = None
    attention_factor: float | None = None
    beta_fast: float | None = None
    beta_slow: float | None = None
    mscale: float | None = None
    mscale_all_dim: float | None = None
    truncate: bool = True


def read_rope(
    scaling: Mapping[str, Any] | None,
    parameters: Mapping[str, Any] | None,
    *,
    theta: float | None,
    default_theta: float,
    max_positions: int,
) -> tuple[float, RopeScaling | None]:
    """Base and scaling.  Raises ValueError or msgspec.ValidationError for what we do not do."""
    given = dict(parameters or {})
    if scaling and parameters and _without_base(scaling) != _without_base(parameters):
        raise ValueError("rope_scaling and rope_parameters differ; take one of them out")
    given |= scaling or {}
    base = given.pop("rope_theta", None)
    if theta is not None and base is not None and float(base) != theta:
        raise ValueError(f"rope_theta is {theta:g} and, in rope_parameters, {base:g}")
    base = float(next(b for b in (base, theta, default_theta) if b is not None))
    if base <= 1:
        raise ValueError(f"rope_theta = {base:g}")
    kind = given.pop("rope_type", None)
    older = given.pop("type", None)
    kind = kind or older or "default"
    if kind not in ROPE_TYPES:
        raise ValueError(f"rope_type {kind!r} is not supported; supported: {', '.join(ROPE_TYPES)}")
    return base, _scaling(kind, given, max_positions)


def _without_base(rope: Mapping[str, Any]) -> dict[str, Any]:
    """One name for one thing."""
    rest = {k: v for k, v in rope.items() if k not in ("rope_theta", "type", "rope_type")}
    return rest | {"rope_type": rope.get("rope_type", rope.get("type", "default"))}


def _scaling(kind: str, given: Mapping[str, Any], max_positions: int) -> RopeScaling | None:
    read: _Plain
    match kind:
        case "linear" | "dynamic":
            read = msgspec.convert(given, _Factor)
            found = (LinearScaling if kind == "linear" else DynamicScaling)(factor=read.factor)
        case "llama3":
            read = msgspec.convert(given, _Llama3)
            found = Llama3Scaling(
                factor=read.factor,
                low_freq_factor=read.low_freq_factor,
                high_freq_factor=read.high_freq_factor,
                original_max_position_embeddings=read.original_max_position_embeddings
                or max_positions,
            )
            if not 0 < found.low_freq_factor < found.high_freq_factor:
                raise ValueError("rope: low_freq_factor must lie between 0 and high_freq_factor")
        case "yarn":
            read = msgspec.convert(given, _Yarn)
            found = _yarn(read, max_positions)
        case _:
            read = msgspec.convert(given, _Plain)
            found = None
    if read.partial_rotary_factor != 1:
        raise ValueError(
            f"partial_rotary_factor = {read.partial_rotary_factor:g} is not supported; heads are "
            "rotated whole"
        )
    if found is not None and found.factor < 1:
        raise ValueError(f"rope: factor = {found.factor:g}, below 1")
    return found


def _yarn(read: _Yarn, max_positions: int) -> YarnScaling:
    """`factor` as it is written: Transformers 4 took the ratio of the lengths where the file has
    both, 5 and vLLM take the factor."""
    original = read.original_max_position_embeddings or max_positions
    factor = max_positions / original if read.factor is None else read.factor
    sharpened = yarn_attention_factor(factor, read.mscale or 0.0, read.mscale_all_dim or 0.0)
    return YarnScaling(
        factor=factor,
        original_max_position_embeddings=original,
        attention_factor=sharpened if read.attention_factor is None else read.attention_factor,
        beta_fast=read.beta_fast or 32.0,
        beta_slow=read.beta_slow or 1.0,
        truncate=read.truncate,
    )


def rope_of(config: DecoderConfig) -> dict[str, Any]:
    """`rope_theta` and, where positions are scaled, `rope_scaling`."""
    match config.rope_scaling:
        case None:
            return {"rope_theta": config.rope_theta}
        case LinearScaling(factor=factor):
            scaling = {"rope_type": "linear", "factor": factor}
        case DynamicScaling(factor=factor):
            scaling = {"rope_type": "dynamic", "factor": factor}
        case Llama3Scaling() as s:
            scaling = {
                "rope_type": "llama3",
                "factor": s.factor,
                "low_freq_factor": s.low_freq_factor,
                "high_freq_factor": s.high_freq_factor,
                "original_max_position_embeddings": s.original_max_position_embeddings,
            }
        case YarnScaling() as s:
            scaling = {
                "rope_type": "yarn",
                "factor": s.factor,
                "original_max_position_embeddings": s.original_max_position_embeddings,
                "attention_factor": s.attention_factor,
                "beta_fast": s.beta_fast,
                "beta_slow": s.beta_slow,
                "truncate": s.truncate,
            }
        case _:
            assert_never(config.rope_scaling)
    return {"rope_theta": config.rope_theta, "rope_scaling": scaling}
