"""Where a run's model is and what it computes in: `train.device`, `train.precision` and
`train.activation_checkpointing` (docs/decisions/0025)."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from proofloop.core.errors import ConfigError
from proofloop.engine.models.arithmetic import compute_in
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.models.networks import empty_network
from proofloop.engine.models.weights import adopt
from proofloop.runs.recipe import Recipe
from proofloop.runs.recipe_train import TrainConfig
from proofloop.train.config import Device, Precision

LEAST_PARAMETERS = 30_000_000
"""From which on `auto` takes a GPU: below, a token costs a GPU more in starting its kernels than in
running them, and the CPU's kernels are as fast."""
_COPIES = 8
"""Float32 numbers a trained parameter: weights, two moments, a gradient in hand and its two halves,
their sum, and the clipped one."""


class Placement(NamedTuple):
    device: torch.device
    reason: str
    """Why this one."""


CPU = torch.device("cpu")


def place(train: TrainConfig, num_parameters: int) -> Placement:
    """Raises ConfigError for a GPU that is not there, or that cannot do what is asked."""
    missing = why_no_gpu()
    if train.device is Device.CPU:
        return Placement(CPU, "train.device = cpu")
    if train.device is Device.CUDA:
        if missing is not None:
            raise ConfigError(f"train.device: cuda, but {missing}. Take cpu, or auto")
        _check_precision(train.precision)
        return Placement(_gpu(), "train.device = cuda")
    if missing is not None:
        return Placement(CPU, missing)
    if train.workers > 1:
        return Placement(CPU, f"train.workers = {train.workers} asks for processes on the CPU")
    if num_parameters < LEAST_PARAMETERS:
        return Placement(
            CPU,
            f"{num_parameters / 1e6:.1f} million parameters are fewer than "
            f"{LEAST_PARAMETERS / 1e6:.0f} million; train.device = cuda takes the GPU all the same",
        )
    _check_precision(train.precision)
    return Placement(_gpu(), f"{num_parameters / 1e6:.1f} million parameters")


def why_no_gpu() -> str | None:
    """None where PyTorch sees one."""
    if not torch.backends.cuda.is_built():
        return f"this PyTorch ({torch.__version__}) has no CUDA: install a build that has"
    if not torch.cuda.is_available():
        return "PyTorch sees no GPU: look at `nvidia-smi` and CUDA_VISIBLE_DEVICES"
    return None


def placed(model: Decoder, recipe: Recipe) -> Decoder:
    """`model`, moved to where the recipe has it, which computes as the recipe says.  Raises
    ConfigError."""
    num_parameters = sum(p.numel() for p in model.parameters())
    device = place(recipe.train, num_parameters).device
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        check_room(num_parameters, free, recipe)
    prepare(model, recipe.train)
    return model.to(device)


def prepare(model: nn.Module, train: TrainConfig) -> None:
    """Sets what `model` computes in and what it keeps for the backward pass."""
    if not isinstance(model, Decoder):
        return
    compute_in(model, None if train.precision is Precision.FLOAT32 else torch.bfloat16)
    model.recomputes = train.activation_checkpointing


def network_over(path: Path, recipe: Recipe, flat: Tensor) -> Decoder:
    """The network of a checkpoint over the weights in `flat`, where these are, as the recipe has
    networks compute."""
    network = empty_network(path, recipe.model.backend)
    adopt(network, flat)
    prepare(network, recipe.train)
    return network


def check_room(num_parameters: int, free_bytes: int, recipe: Recipe) -> None:
    """Before anything is moved.  Raises ConfigError where weights, gradients and moments alone are
    more than what is free."""
    trains = recipe.train.num_steps > 0 and not recipe.lora.rank
    copies = _COPIES if trains else 2 if recipe.lora.rank else 1
    rounded = 2 if recipe.train.precision is Precision.BFLOAT16 else 0
    needed = num_parameters * (4 * copies + rounded)
    if needed > free_bytes:
        less = "lora.rank above 0 trains adapters" if trains else "take a smaller model"
        raise ConfigError(
            f"train.device: {num_parameters / 1e9:.2f} billion parameters need "
            f"{needed / 2**30:.1f} GiB of GPU memory beside all activations (float32 weights"
            f"{', gradients and moments' if trains else ''}), {free_bytes / 2**30:.1f} GiB are "
            f"free; {less}, or train.device = cpu"
        )


def says(train: TrainConfig, device: torch.device) -> str | None:
    """For a run's record: what it computes on and in; None for float32 on a CPU."""
    if device.type == "cpu" and train.precision is Precision.FLOAT32:
        return None
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return f"{device} ({where}), products in {train.precision}"


def placement() -> str:
    """For a person: what `train.device = auto` comes to on this machine."""
    missing = why_no_gpu()
    if missing is not None:
        return f"train.device = auto is the CPU: {missing}"
    device = _gpu()
    free, whole = torch.cuda.mem_get_info(device)
    return (
        f"train.device = auto is {device} ({torch.cuda.get_device_name(device)}, "
        f"{free / 2**30:.1f} of {whole / 2**30:.1f} GiB free) from {LEAST_PARAMETERS / 1e6:.0f} "
        "million parameters on, where train.workers asks for no processes; else the CPU"
    )


def precisions() -> str:
    """For a person: what `train.precision` there is, and whether the hardware has it."""
    told = "train.precision = float32 unless asked; bfloat16 is "
    if why_no_gpu() is None:
        has = torch.cuda.is_bf16_supported(including_emulation=False)
        return told + f"{'' if has else 'not '}in the GPU's hardware"
    found = sorted(_BFLOAT16_FLAGS & _cpu_flags())
    if found:
        return told + f"in this processor's hardware ({', '.join(found)})"
    return told + "not in this processor's hardware, and slower here"


_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
"""As Linux names them, the last one on Arm."""


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    told = (line.partition(":")[2] for line in lines if line.startswith(("flags", "Features")))
    return set(next(told, "").split())


def _gpu() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device())


def _check_precision(precision: Precision) -> None:
    if precision is Precision.BFLOAT16 and not torch.cuda.is_bf16_supported(
        including_emulation=False
    ):
        raise ConfigError(
            f"train.precision: bfloat16 is not in {torch.cuda.get_device_name()}'s hardware; take "
            "float32"
        )
