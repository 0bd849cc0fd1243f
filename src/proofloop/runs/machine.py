"""What this machine can give: isolation tiers, cores, memory, devices."""

import os
import platform

import torch

import proofloop
from proofloop.core.record import Record
from proofloop.core.verdict import Tier
from proofloop.engine.native.library import why_not
from proofloop.runs.manifest import Hardware, read_hardware
from proofloop.runs.placement import placement, precisions
from proofloop.sandbox.probe import probe


class TierStatus(Record):
    """Whether an isolation tier can be had, and what was seen when it was tried."""

    tier: Tier
    available: bool
    reason: str
    advice: str
    """What to do to get it; empty where there is nothing to do, or nothing that we know."""


class Machine(Record):
    """What `proofloop doctor` shows."""

    proofloop: str
    python: str
    torch: str
    hardware: Hardware
    devices: tuple[str, ...]
    placement: str
    """Where `train.device = "auto"` puts a model, and why."""
    precision: str
    """What its products are made in, and what else the hardware has."""
    torch_threads: int
    sampling: str
    """What samples on the CPU: the compiled kernel, or PyTorch and why."""
    tiers: tuple[TierStatus, ...]
    warnings: tuple[str, ...]


def examine_machine() -> Machine:
    """Tries every tier for real; what holds then is what a run will get."""
    tiers = tuple(
        TierStatus(
            tier=found.tier,
            available=found.available,
            reason=found.reason,
            advice=found.advice,
        )
        for found in probe()
    )
    hardware = read_hardware()
    gpus = [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    return Machine(
        proofloop=proofloop.__version__,
        python=platform.python_version(),
        torch=str(torch.__version__),
        hardware=hardware,
        devices=("cpu", *gpus),
        placement=placement(),
        precision=precisions(),
        torch_threads=torch.get_num_threads(),
        sampling=_sampling(),
        tiers=tiers,
        warnings=tuple(_warnings(tiers, hardware)),
    )


def _sampling() -> str:
    reason = why_not()
    return "a kernel compiled for this processor" if reason is None else f"PyTorch: {reason}"


def _warnings(tiers: tuple[TierStatus, ...], hardware: Hardware) -> list[str]:
    warnings: list[str] = []
    if not any(status.available for status in tiers):
        warnings.append("no isolation tier can be had: untrusted programs cannot be run here")
    load = os.getloadavg()[0]
    if load > hardware.num_cores / 2:
        warnings.append(
            f"other work keeps {load:.1f} of {hardware.num_cores} cores busy: runs will be slower"
        )
    return warnings
