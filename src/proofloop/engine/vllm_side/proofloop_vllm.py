"""Part of vLLM's worker processes: takes new weights from a file, in place, and says which it runs.

vLLM's interpreter needs this file and nothing else of Proofloop (torch and safetensors are there):
put its directory on PYTHONPATH and start the server with
`--worker-extension-cls proofloop_vllm.Weights` (docs/vllm.md).

vLLM joins matrices, and some kernels pack them so that no parameter is left to read.  So after
loading every linear layer is asked for the product with the identity, which is its matrix to the
last bit whatever the layout, and that is compared with what was received.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

ROWS = 1024
"""Of the identity at once."""
_PIECE_BYTES = 8 << 20
"""Hashed at a time, as `proofloop.engine.models.weights` does."""
_JOINED = (("qkv_proj", ("q_proj", "k_proj", "v_proj")), ("gate_up_proj", ("gate_proj", "up_proj")))
"""As vLLM joins linear layers, for model classes that do not say so."""


class Weights:
    """Methods that vLLM adds to its worker class, called over `/collective_rpc`; they return
    {"problem": one line} in place of raising, which would end the server."""

    proofloop_now: dict[str, Any] | None = None
    """The version in use; None before the first one was sent, as after a restart."""

    def proofloop_version(self) -> dict[str, Any]:
        now = self.proofloop_now or {"step": 0, "sha256": ""}
        return now | {"problem": self.proofloop_unfit()}

    def proofloop_unfit(self) -> str:
        """Why this server cannot sample for training; empty where it can."""
        config: Any = self.vllm_config  # type: ignore[attr-defined]
        if config.model_config.logprobs_mode != "processed_logprobs":
            return (
                "log-probabilities are not of what was sampled: --logprobs-mode processed_logprobs"
            )
        on_cpu = getattr(self.device, "type", "") == "cpu"  # type: ignore[attr-defined]
        if on_cpu and config.scheduler_config.enable_chunked_prefill:
            return (
                "on a CPU, vLLM ends where a prompt of a request with a seed is read in parts: "
                "--no-enable-chunked-prefill"
            )
        return ""

    def proofloop_load(self, path: str, step: int, sha256: str) -> dict[str, Any]:
        """Refuses a file whose content has another hash, before anything is touched."""
        try:
            received = _sha256(path)
        except Exception as error:
            return {"problem": f"cannot read {path} ({error}); does this machine see that folder?"}
        if received != sha256:
            return {"problem": f"{path} has weights {received[:12]}, announced were {sha256[:12]}"}
        self.proofloop_now = None
        try:
            self.reload_weights(weights_iterator=_tensors(path))  # type: ignore[attr-defined]
            _pack_tied_head(self.model_runner.get_model())  # type: ignore[attr-defined]
            read_back = self.proofloop_read_back(path)
        except Exception as error:
            told = f"{type(error).__name__}: {error}".partition("\n")[0]
            return {"problem": f"cannot load {path} ({told}); restart the server"}
        if "problem" not in read_back:
            self.proofloop_now = {"step": step, "sha256": sha256, **read_back}
        return read_back if self.proofloop_now is None else self.proofloop_now

    @torch.inference_mode()
    def proofloop_read_back(self, path: str) -> dict[str, Any]:
        """Compares what the network computes by with the file, in which some classes have their
        matrices transposed.  `read_back`: the share of weights that could be compared; 0 where the
        model is cut up over several workers."""
        if self.vllm_config.parallel_config.world_size > 1:  # type: ignore[attr-defined]
            return {"read_back": 0.0}
        model: nn.Module = self.model_runner.get_model()  # type: ignore[attr-defined]
        places, sizes, compared, total = _Places(model), _shapes(path), 0, 0
        for name, sent in _tensors(path):
            total += sent.numel()
            found = [p for p in places.of(name, sizes) if p is not None]
            for runs in found:
                wanted = sent.to(device=runs.device, dtype=runs.dtype)
                turned = wanted.T if wanted.dim() == 2 else wanted
                if not torch.equal(wanted, runs) and not torch.equal(turned, runs):
                    return {"problem": f"after loading, {name} is not what was sent"}
            compared += sent.numel() if found else 0
        return {"read_back": compared / total}


def _pack_tied_head(model: nn.Module) -> None:
    """vLLM 0.32 reloads the table of a tied embedding, but leaves what its kernels for CPUs made
    of it for the head as it was: logits of the old weights."""
    modules = dict(model.named_modules())
    head: Any = modules.get("lm_head")
    tables = [m for n, m in modules.items() if "embed_tokens" in n or n.endswith("wte")]
    if head is None or not hasattr(head, "cpu_linear"):
        return
    if any(getattr(m, "weight", None) is head.weight for m in tables if m is not head):
        head.quant_method.process_weights_after_loading(head)


class _Places:
    """Where a checkpoint's tensors are in vLLM's model."""

    def __init__(self, model: nn.Module) -> None:
        self._modules = dict(model.named_modules())
        packed = getattr(model, "packed_modules_mapping", None) or {}
        self._joined = {**dict(_JOINED), **packed}
        tied = getattr(getattr(model, "config", None), "tie_word_embeddings", False)
        self._head = self._modules.get("lm_head") if tied else None
        self._last: tuple[nn.Module | None, Tensor | None] = (None, None)

    def of(self, name: str, sizes: dict[str, tuple[int, ...]]) -> Iterator[Tensor | None]:
        """What stands for a tensor wherever it is in use; None where that cannot be read."""
        path, _, leaf = name.rpartition(".")
        parent, _, own = path.rpartition(".")
        joined = next((j for j, parts in self._joined.items() if own in parts), own)
        whole = self._modules.get(f"{parent}.{joined}".lstrip("."))
        start = 0
        if path in self._modules:
            whole = self._modules[path]
        else:
            parts = self._joined.get(joined, ())
            for before in parts[: parts.index(own)] if own in parts else ():
                start += sizes[f"{parent}.{before}.{leaf}".lstrip(".")][0]
        size = sizes[name]
        found = None if whole is None else self._read(whole, leaf, size)
        yield found if found is None or found.dim() == 0 else _cut(found, start, size)
        if self._head is not None and own in ("embed_tokens", "wte"):
            found = self._read(self._head, leaf, size)
            yield None if found is None else found[: size[0]]

    def _read(self, module: nn.Module, leaf: str, size: tuple[int, ...]) -> Tensor | None:
        """A parameter, or the matrix that a linear layer multiplies by."""
        method = getattr(module, "quant_method", None)
        is_table = method is not None and "Embedding" in type(module).__name__
        if leaf != "weight" or method is None or is_table:
            parameter = getattr(module, leaf, None)
            whole = isinstance(parameter, Tensor) and parameter.numel() > 0
            return parameter if whole else None
        if self._last[0] is not module:
            into = getattr(module, "input_size", None) or size[-1]
            self._last = (module, _matrix(module, int(into), _like(module)))
        return self._last[1]


def _cut(found: Tensor, start: int, size: tuple[int, ...]) -> Tensor:
    """The rows of one of several joined tensors; all where it is transposed in the file."""
    if found.dim() == 2 and tuple(found.shape) == tuple(reversed(size)) and not start:
        return found
    return found[start : start + size[0]]


def _matrix(layer: Any, into: int, like: Tensor) -> Tensor:
    """(out, into): the layer's own product with the identity, without its bias."""
    rows = [
        layer.quant_method.apply(
            layer,
            torch.eye(into, dtype=like.dtype, device=like.device)[first : first + ROWS],
            None,
        )
        for first in range(0, into, ROWS)
    ]
    return torch.cat(rows).T


def _like(layer: nn.Module) -> Tensor:
    """Of the type that the layer computes in; a packed layer's empty parameter still has it."""
    return next(layer.parameters()).detach()


def _names(file: Any) -> list[str]:
    return json.loads(file.metadata()["order"])


def _tensors(path: str) -> Iterator[tuple[str, Tensor]]:
    with safe_open(path, framework="pt") as file:
        for name in _names(file):
            yield name, file.get_tensor(name)


def _shapes(path: str) -> dict[str, tuple[int, ...]]:
    with safe_open(path, framework="pt") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in _names(file)}


def _sha256(path: str) -> str:
    """Of all tensors one after another, as `proofloop.engine.models.weights.sha256` has it: with
    more than a piece of them, of the pieces' hashes."""
    pieces, now, left = [], hashlib.sha256(), _PIECE_BYTES
    for _, tensor in _tensors(path):
        data = tensor.contiguous().numpy().data.cast("B")
        while len(data):
            if not left:
                pieces.append(now.digest())
                now, left = hashlib.sha256(), _PIECE_BYTES
            part, data = data[:left], data[left:]
            now.update(part)
            left -= len(part)
    if not pieces:
        return now.hexdigest()
    return hashlib.sha256(b"".join((*pieces, now.digest()))).hexdigest()
