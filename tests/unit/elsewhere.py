"""A device that is not there: tensors that say they are elsewhere, hold real numbers, and refuse to
meet tensors of the CPU, as those of a GPU do.

`elsewhere()` is a mode in which the device `meta` is such a device.  Its tensors compute what the
CPU computes (but for a last digit where PyTorch takes composite operations apart for it), so a step
that runs through on it and ends with the CPU's numbers has made every tensor where its inputs are.
`.numpy()` raises TypeError, `.tolist()`, `float()` and `.cpu()` copy, and CPU scalars (no axes) may
join in, all as on a GPU.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta")
"""The only device beside the CPU with which autograd works where there is no GPU."""
_SET_DATA = torch.Tensor.data.__set__  # type: ignore[attr-defined]


class WrongPlace(AssertionError):
    """Tensors of two devices met."""


class Away(Tensor):
    """A tensor that is elsewhere."""

    there: Tensor

    @staticmethod
    def __new__(cls, there: Tensor) -> "Away":
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            there.size(),
            strides=there.stride(),
            storage_offset=there.storage_offset(),
            dtype=there.dtype,
            device=DEVICE,
            requires_grad=False,
        )
        made.there = there
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Away({self.there!r})"

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    name = str(func)
    tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
    away = [t for t in tensors if isinstance(t, Away)]
    crossing = name.startswith(("aten._to_copy", "aten.copy_", "aten._local_scalar_dense"))
    if away and not crossing:
        fused = name.startswith("aten._fused")  # reads even its counts on the device
        strangers = [t for t in tensors if not isinstance(t, Away) and (t.dim() or fused)]
        if strangers:
            shapes = [tuple(t.shape) for t in strangers]
            raise WrongPlace(f"{name}: tensors {shapes} of the CPU meet tensors elsewhere")
    wanted = kwargs.get("device")
    to_there = torch.device(wanted) == DEVICE if wanted is not None else bool(away)
    if name.startswith("aten._local_scalar_dense"):
        to_there = False
    if wanted is not None:
        kwargs = kwargs | {"device": torch.device("cpu")}
    args, kwargs = tree_map(_there, args), tree_map(_there, kwargs)
    found = func(*args, **kwargs)
    if _returns_its_argument(func):
        return _same(found, tensors)
    return tree_map(lambda x: Away(x) if isinstance(x, Tensor) and to_there else x, found)


def _returns_its_argument(func: Any) -> bool:
    returns = func._schema.returns
    return bool(returns) and all(r.alias_info and r.alias_info.is_write for r in returns)


def _same(found: Any, given: list[Tensor]) -> Any:
    """What was written in place is the very tensor that was given."""
    by_id = {id(_there(t)): t for t in given}
    return tree_map(lambda x: by_id.get(id(x), x) if isinstance(x, Tensor) else x, found)


def _there(x: Any) -> Any:
    return x.there if isinstance(x, Away) else x


class _Making(TorchDispatchMode):
    """Tensors made on the device are made elsewhere."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _run(func, args, kwargs or {})


class _Methods(TorchFunctionMode):
    """What never reaches an operation: `x.data = y` takes the numbers along, `tolist` copies, and
    NumPy sees the CPU's memory only."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func == _SET_DATA and isinstance(args[0], Away) != isinstance(args[1], Away):
            raise WrongPlace("x.data = y: of two devices; this mode cannot move it")
        wanted = (kwargs or {}).get("device")
        if func is torch.tensor and wanted is not None and torch.device(wanted) == DEVICE:
            return Away(func(*args, **{**(kwargs or {}), "device": "cpu"}))
        if func is torch.Tensor.tolist and isinstance(args[0], Away):
            return args[0].there.tolist()
        if func is torch.Tensor.numpy and isinstance(args[0], Away):
            raise TypeError("can't convert a tensor elsewhere to numpy; .cpu() first")
        found = func(*args, **(kwargs or {}))
        if func == _SET_DATA and isinstance(args[0], Away):
            args[0].there = args[1].there
        return found


@contextmanager
def elsewhere() -> Generator[None]:
    """Inference mode, which has no place for tensors of a class of their own, is no_grad in it."""
    with pytest.MonkeyPatch.context() as patch, _Methods(), _Making():
        patch.setattr(torch.inference_mode, "__enter__", _without_gradients)
        patch.setattr(torch.inference_mode, "__exit__", _with_gradients)
        yield


def _without_gradients(self: Any) -> None:
    self.before = torch.is_grad_enabled()
    torch.set_grad_enabled(False)


def _with_gradients(self: Any, *error: object) -> None:
    torch.set_grad_enabled(self.before)


def moved(module: nn.Module) -> nn.Module:
    """As `module.to(DEVICE)`, which cannot replace tensors by those of another class."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                replaced = nn.Parameter(Away(parameter.detach().clone()), parameter.requires_grad)
                part._parameters[name] = _once(parameter, replaced)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = Away(buffer.detach().clone())
    return module


def _once(parameter: Any, replaced: Any) -> Any:
    """Tied weights stay tied."""
    if not hasattr(parameter, "moved"):
        parameter.moved = replaced
    return parameter.moved
