"""Weights of vLLM's that follow the trainer's: sent, checked, and asked for around each batch.

vLLM runs `vllm_side/proofloop_vllm.py` in its workers.  New weights lie in a file; they count as
loaded once vLLM has hashed what it read, loaded it in place, and read it back from its layers.  How
its workers are called, over HTTP (`engine.vllm`) or in this process (`engine.vllm_offline`), is
the subclass's to say.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from proofloop.core.completion import Completion, PolicyVersion, Request
from proofloop.core.errors import ModelError, UserError

EXTENSION = "proofloop_vllm.Weights"
EXTENSION_DIRECTORY = Path(__file__).parent / "vllm_side"
"""For the PYTHONPATH of vLLM's interpreter."""
WEIGHTS_NAME = "weights.safetensors"
OFF = {
    "repetition_penalty": 1.0,
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
    "ignore_eos": True,
}
"""What only vLLM has and would change the distribution; what stops a completion is ours to say."""


def write_weights(named: Mapping[str, Tensor], directory: Path) -> Path:
    """By rename, so that a reader finds all of one version.  The order is that of the vector whose
    SHA-256 is the version's (`engine.models.weights`)."""
    directory.mkdir(parents=True, exist_ok=True)
    temporary, path = directory / f".{WEIGHTS_NAME}", directory / WEIGHTS_NAME
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in named.items()}
    save_file(tensors, temporary, metadata={"format": "pt", "order": json.dumps(list(tensors))})
    temporary.rename(path)
    return path


def options_for_training(model: Path, extension: str = EXTENSION) -> list[str]:
    """Arguments of vLLM's under which what it samples can be trained on; later ones win."""
    return [
        *("--model", str(model)),
        *("--dtype", "float32", "--generation-config", "vllm"),
        *("--logprobs-mode", "processed_logprobs", "--worker-extension-cls", extension),
    ]


class FollowingEngine(ABC):
    """Samples from no other weights than it was sent."""

    def __init__(self, weights: Path, *, where: str, otherwise: str) -> None:
        """`weights`: directory in which the trainer leaves the file of `write_weights`.  `where`
        begins a complaint; `otherwise` ends one of weights that are somebody else's."""
        self._weights = weights / WEIGHTS_NAME
        self._where = where
        self._otherwise = otherwise
        self._wanted: PolicyVersion | None = None

    @abstractmethod
    def generate(self, requests: list[Request]) -> list[list[Completion]]:
        """As `core.completion.Engine`."""

    @abstractmethod
    def _call(self, method: str, **arguments: Any) -> list[dict[str, Any]]:
        """One answer a worker of vLLM's."""

    @abstractmethod
    def _reset_prefix_cache(self) -> bool:
        """False where it is in use."""

    def version(self) -> PolicyVersion:
        """What all workers run; no hash where nothing was sent since vLLM started."""
        told = self._call("proofloop_version")
        unfit = next((one["problem"] for one in told if one["problem"]), None)
        if unfit:
            raise UserError(f"{self._where}: {unfit}; start it with this option")
        versions = {(int(one["step"]), str(one["sha256"])) for one in told}
        if len(versions) != 1:
            raise ModelError(f"{self._where}: its workers have different weights; restart it")
        ((step, sha256),) = versions
        return PolicyVersion(step=step, sha256=sha256)

    def expect(self, wanted: PolicyVersion) -> None:
        """From now on nothing else is sampled from."""
        self._wanted = wanted

    def load(self, wanted: PolicyVersion) -> float:
        """Has vLLM load the file, and forget the keys and values of what it had before.  Returns
        the share of weights that it could read back.

        Raises ModelError where it does not have these weights then.
        """
        self.expect(wanted)
        answers = self._call(
            "proofloop_load",
            path=str(self._weights.resolve()),
            step=wanted.step,
            sha256=wanted.sha256,
        )
        for answer in answers:
            if "problem" in answer:
                raise ModelError(f"{self._where}: {answer['problem']}")
        if not self._reset_prefix_cache():
            raise ModelError(
                f"{self._where} keeps keys and values of older weights while it answers somebody "
                f"else: {self._otherwise}"
            )
        self._check(self.version(), wanted)
        return min(float(answer["read_back"]) for answer in answers)

    def _check(self, found: PolicyVersion, wanted: PolicyVersion) -> None:
        if found != wanted:
            raise ModelError(
                f"{self._where} has weights {found.sha256[:12] or 'unknown'} of step {found.step}, "
                f"not {wanted.sha256[:12]} of step {wanted.step}: {self._otherwise}"
            )
