"""Sampling for training from a vLLM server, whose weights follow the trainer's.

The server runs `vllm_side/proofloop_vllm.py` in its workers.  New weights lie in a file that both
sides see; they count as loaded once vLLM has hashed what it read, loaded it in place, and read it
back from its layers.  Nothing is sampled from, and no sample is kept of, any other version: a
server that was restarted gets the weights again, one that has somebody else's is refused.
"""

import fcntl
import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from proofloop.core.completion import Completion, PolicyVersion, Request, SamplingParams
from proofloop.core.errors import EngineLost, ModelError, UserError
from proofloop.engine.server import Address, ServerEngine

EXTENSION = "proofloop_vllm.Weights"
EXTENSION_DIRECTORY = Path(__file__).parent / "vllm_side"
"""For the PYTHONPATH of vLLM's interpreter."""
WEIGHTS_NAME = "weights.safetensors"
RESTART_RETRIES = 30
"""Of a server that was there before: about four minutes, in which it may be restarted."""
_NO_VERSION = ""
_TRIES = 3


def write_weights(named: Mapping[str, Tensor], directory: Path) -> Path:
    """By rename, so that a reader finds all of one version.  The order is that of the vector whose
    SHA-256 is the version's (`engine.models.weights`)."""
    directory.mkdir(parents=True, exist_ok=True)
    temporary, path = directory / f".{WEIGHTS_NAME}", directory / WEIGHTS_NAME
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in named.items()}
    save_file(tensors, temporary, metadata={"format": "pt", "order": json.dumps(list(tensors))})
    temporary.rename(path)
    return path


class VllmEngine(ServerEngine):
    """`weights`: directory in which the trainer leaves the file of `write_weights`."""

    def __init__(self, address: Address, stop_ids: tuple[int, ...], weights: Path) -> None:
        """Raises UserError where there is no such server, or none that takes weights."""
        super().__init__(address, stop_ids)
        self._weights = weights / WEIGHTS_NAME
        self._lock = weights / ".lock"
        self._wanted: PolicyVersion | None = None
        self.version()
        self.retries = RESTART_RETRIES

    def version(self) -> PolicyVersion:
        """What all workers of the server run; no hash where nothing was sent since it started."""
        told = self._call("proofloop_version")
        unfit = next((one["problem"] for one in told if one["problem"]), None)
        if unfit:
            raise UserError(f"engine.url: {self._address.url}: {unfit}; start it with this option")
        versions = {(int(one["step"]), str(one["sha256"])) for one in told}
        if len(versions) != 1:
            raise ModelError(
                f"engine.url: the workers of {self._address.url} have different weights; restart it"
            )
        ((step, sha256),) = versions
        return PolicyVersion(step=step, sha256=sha256)

    def expect(self, wanted: PolicyVersion) -> None:
        """From now on nothing else is sampled from."""
        self._wanted = wanted

    def load(self, wanted: PolicyVersion) -> float:
        """Has the server load the file, and forget the keys and values of what it had before.
        Returns the share of weights that it could read back.

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
                raise ModelError(f"engine.url: {self._address.url}: {answer['problem']}")
        if not self._ask("POST", "/reset_prefix_cache", {}, beside=True)["success"]:
            raise ModelError(
                f"engine.url: {self._address.url} keeps keys and values of older weights while it "
                "answers somebody else; a server that trains is for one run only"
            )
        self._check(self.version(), wanted)
        return min(float(answer["read_back"]) for answer in answers)

    def generate(self, requests: list[Request]) -> list[list[Completion]]:
        """Raises ModelError where the server has other weights than it was sent, EngineLost where
        it is not there."""
        wanted = self._wanted
        assert wanted is not None, "weights are published before anything is sampled"
        for _ in range(_TRIES):
            self._ensure(wanted)
            answers = super().generate(requests)
            found = self.version()
            if found == wanted:
                return answers
            if found.sha256 != _NO_VERSION:
                self._check(found, wanted)
        raise EngineLost(
            f"{self._address.url} was restarted {_TRIES} times while it sampled; look at its log "
            "(out of memory?). What is resumed goes on where it was"
        )

    def _body(
        self, context: tuple[int, ...], seed: int, sampling: SamplingParams
    ) -> dict[str, Any]:
        """What only vLLM has and would change the distribution is off; what stops a completion is
        ours to say."""
        off = {"repetition_penalty": 1.0, "frequency_penalty": 0.0, "presence_penalty": 0.0}
        return super()._body(context, seed, sampling) | off | {"ignore_eos": True}

    def _ensure(self, wanted: PolicyVersion) -> None:
        """One worker of a run loads the weights again into a server that was restarted."""
        if self.version() == wanted:
            return
        with self._alone():
            found = self.version()
            if found.sha256 == _NO_VERSION:
                self.load(wanted)
            else:
                self._check(found, wanted)

    def _check(self, found: PolicyVersion, wanted: PolicyVersion) -> None:
        if found != wanted:
            raise ModelError(
                f"engine.url: {self._address.url} has weights {found.sha256[:12] or 'unknown'} of "
                f"step {found.step}, not {wanted.sha256[:12]} of step {wanted.step}: another run "
                "uses it. Give each run a server of its own, and resume this one"
            )

    @contextmanager
    def _alone(self) -> Generator[None]:
        with self._lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _call(self, method: str, **arguments: Any) -> list[dict[str, Any]]:
        """One answer a worker of the server."""
        body = {"method": method, "kwargs": arguments}
        try:
            answer = self._ask("POST", "/collective_rpc", body, beside=True)
        except (UserError, EngineLost) as error:
            told = str(error)
            if "no attribute" in told or "Not Found" in told or "404" in told:
                raise UserError(
                    f"engine.url: {self._address.url} takes no weights: start vLLM with "
                    f"VLLM_SERVER_DEV_MODE=1, PYTHONPATH={EXTENSION_DIRECTORY} and "
                    f"--worker-extension-cls {EXTENSION} (docs/vllm.md)"
                ) from error
            raise
        return list(answer["results"])
