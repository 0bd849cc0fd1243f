"""Sampling for training from a vLLM server, whose weights follow the trainer's.

New weights lie in a file that both sides see (`engine.vllm_weights`).  Nothing is sampled from, and
no sample is kept of, any other version: a server that was restarted gets the weights again, one
that has somebody else's is refused.
"""

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from proofloop.core.completion import Completion, PolicyVersion, Request, SamplingParams
from proofloop.core.errors import EngineLost, UserError
from proofloop.engine.server import Address, ServerEngine
from proofloop.engine.vllm_weights import EXTENSION, EXTENSION_DIRECTORY, OFF, FollowingEngine

RESTART_RETRIES = 30
"""Of a server that was there before: about four minutes, in which it may be restarted."""
_NO_VERSION = ""
_TRIES = 3


class VllmEngine(FollowingEngine, ServerEngine):
    """`weights`: directory in which the trainer leaves the file of `write_weights`."""

    def __init__(self, address: Address, stop_ids: tuple[int, ...], weights: Path) -> None:
        """Raises UserError where there is no such server, or none that takes weights."""
        FollowingEngine.__init__(
            self,
            weights,
            where=f"engine.url: {address.url}",
            otherwise="another run uses it. Give each run a server of its own, and resume this one",
        )
        ServerEngine.__init__(self, address, stop_ids)
        self._lock = weights / ".lock"
        self.version()
        self.retries = RESTART_RETRIES

    def generate(self, requests: list[Request]) -> list[list[Completion]]:
        """Raises ModelError where the server has other weights than it was sent, EngineLost where
        it is not there."""
        wanted = self._wanted
        assert wanted is not None, "weights are published before anything is sampled"
        for _ in range(_TRIES):
            self._ensure(wanted)
            answers = ServerEngine.generate(self, requests)
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
        return super()._body(context, seed, sampling) | OFF

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

    @contextmanager
    def _alone(self) -> Generator[None]:
        with self._lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _reset_prefix_cache(self) -> bool:
        return bool(self._ask("POST", "/reset_prefix_cache", {}, beside=True)["success"])

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
