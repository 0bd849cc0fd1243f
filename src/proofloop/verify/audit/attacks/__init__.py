"""All attacks, by family of the catalogue."""

from proofloop.verify.audit.attack import Attack
from proofloop.verify.audit.attacks import (
    endings,
    finding,
    forging,
    gaming,
    lenient,
    memory,
    protocols,
    reaching,
    resources,
    toolchain,
)

ATTACKS: tuple[Attack, ...] = (
    *gaming.ATTACKS,
    *protocols.ATTACKS,
    *endings.ATTACKS,
    *reaching.ATTACKS,
    *memory.ATTACKS,
    *forging.ATTACKS,
    *toolchain.ATTACKS,
    *finding.ATTACKS,
    *resources.ATTACKS,
    *lenient.ATTACKS,
)
