"""Sampling for training from vLLM in this very process: no server, no HTTP, one device.

vLLM's `LLM` takes token ids and gives token ids; its weights follow the trainer's as a server's do
(`engine.vllm_weights`).  Importing this needs no vLLM; building the engine does.
"""

import gc
import itertools
import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import torch

from proofloop.core.completion import Completion, PolicyVersion, Request
from proofloop.core.errors import ConfigError, EngineLost, ProofloopError, UserError
from proofloop.engine.server import logprobs_of_sampled, settings_of, stop_reason
from proofloop.engine.vllm_guest import Guest
from proofloop.engine.vllm_weights import OFF, FollowingEngine, options_for_training

HERE = "vLLM in this process"
EXTENSION = "proofloop.engine.vllm_side.proofloop_vllm.Weights"
"""As `vllm_weights.EXTENSION`, which a server finds by a path of its own."""
_SEVERAL = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")


class OfflineVllmEngine(FollowingEngine):
    """To be closed: the device's memory is vLLM's until then."""

    def __init__(
        self,
        model: Path,
        stop_ids: tuple[int, ...],
        weights: Path,
        *,
        options: Sequence[str] = (),
        log: Path,
        num_threads: int = 1,
    ) -> None:
        """`model`: checkpoint directory.  `weights`: directory in which the trainer leaves the
        file of `write_weights`.  `options`: arguments as `vllm serve` takes them.  `log`: file
        for what vLLM says.  `num_threads`: of torch's, where vLLM computes on the CPU.

        Raises ConfigError where vLLM is not there or refuses an option, EngineLost where it fails.
        """
        super().__init__(
            weights,
            where=f"engine.kind: {HERE}",
            otherwise="something else in it has loaded them. Resume this run",
        )
        self._stop_ids = stop_ids
        self._log = log
        self._names = map(str, itertools.count())
        self._guest = Guest(log, num_threads)
        try:
            with self._guest.starting(), self._lost("before it could sample"):
                self._llm: Any = _start([*options_for_training(model, EXTENSION), *options])
                self._params: Any = _vllm().SamplingParams
                self._final_only: Any = _vllm(".sampling_params").RequestOutputKind.FINAL_ONLY
                self._room = int(self._llm.llm_engine.model_config.max_model_len)
        except BaseException:
            self._guest.close()
            raise
        try:
            self.version()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        with self._guest.computing():
            self._llm.llm_engine.engine_core.shutdown()
            self._llm = None
            gc.collect()
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()
        self._guest.close()

    def generate(self, requests: list[Request]) -> list[list[Completion]]:
        """Raises ModelError where vLLM has other weights than it was sent, UserError for what it
        refuses, EngineLost where it fails."""
        answers = dict(self.generate_each(requests))
        return [answers[place] for place in range(len(requests))]

    def generate_each(self, requests: list[Request]) -> Iterator[tuple[int, list[Completion]]]:
        """As `generate`: each request's place and its completions, as soon as it has them all."""
        wanted = self._wanted
        assert wanted is not None, "weights are published before anything is sampled"
        self._check(self.version(), wanted)
        for request in requests:
            self._check_fits(request)
        answers: list[dict[int, Completion]] = [{} for _ in requests]
        growing: dict[str, tuple[int, int]] = {}
        try:
            for place, request in enumerate(requests):
                for i in range(len(request.seeds)):
                    name = next(self._names)
                    growing[name] = place, i
                    self._begin(name, request, request.seeds[i])
            while growing:
                for name, output in self._step():
                    place, i = growing.pop(name)
                    request = requests[place]
                    answers[place][i] = self._completion(output, request, i, wanted)
                    if len(answers[place]) == len(request.seeds):
                        self._check(self.version(), wanted)
                        yield place, [answers[place][k] for k in range(len(request.seeds))]
        finally:
            if growing and self._llm is not None:
                with suppress(Exception):  # it may be what failed
                    self._llm.llm_engine.abort_request(list(growing))

    def _begin(self, name: str, request: Request, seed: int) -> None:
        settings = settings_of(seed, request.sampling, self._stop_ids) | OFF
        with self._guest.computing(), self._lost("when it was asked"):
            params = self._params(**settings, detokenize=bool(request.sampling.stop))
            params.output_kind = self._final_only
            prompt = {"type": "token", "prompt_token_ids": list(request.context)}
            self._llm.llm_engine.add_request(name, prompt, params)

    def _step(self) -> list[tuple[str, Any]]:
        """One token more of every completion: those that have ended, each by its name."""
        with self._guest.computing(), self._lost("while it sampled"):
            outputs = self._llm.llm_engine.step()
        return [(str(o.request_id), o.outputs[0]) for o in outputs if o.finished]

    def _completion(
        self, output: Any, request: Request, i: int, version: PolicyVersion
    ) -> Completion:
        tokens = tuple(output.token_ids)
        if not tokens or output.finish_reason not in ("stop", "length"):
            raise EngineLost(
                f"{HERE} gave up a completion ({output.finish_reason}); look at {self._log}. What "
                "is resumed goes on where it was"
            )
        return Completion(
            tokens=tokens,
            logprobs=logprobs_of_sampled(
                [told[token].logprob for token, told in zip(tokens, output.logprobs, strict=True)],
                request.sampling,
            ),
            entropies=(math.nan,) * len(tokens),
            stop_reason=stop_reason(tokens, output.finish_reason, self._stop_ids),
            seed=request.seeds[i],
            sampling=request.sampling,
            policy=version,
        )

    def _check_fits(self, request: Request) -> None:
        """vLLM would end the completion where its room ends."""
        longest = len(request.context) + request.sampling.max_tokens
        if longest > self._room:
            raise UserError(
                f"sampling.max_tokens: a context of {len(request.context)} tokens and "
                f"{request.sampling.max_tokens} more are over vLLM's {self._room}; raise "
                "--max-model-len in engine.options, or ask for fewer"
            )

    def _reset_prefix_cache(self) -> bool:
        with self._guest.computing():
            return bool(self._llm.reset_prefix_cache())

    def _call(self, method: str, **arguments: Any) -> list[dict[str, Any]]:
        with self._guest.computing(), self._lost(f"in {method}"):
            return list(self._llm.collective_rpc(method, kwargs=arguments))

    @contextmanager
    def _lost(self, when: str) -> Generator[None]:
        """What vLLM raises is no traceback of ours."""
        try:
            yield
        except ProofloopError:
            raise
        except torch.OutOfMemoryError as error:
            raise EngineLost(
                f"{HERE} ran out of memory {when}: {_line(error)}. It shares the device with the "
                "trainer: lower --gpu-memory-utilization in engine.options, and resume"
            ) from error
        except Exception as error:
            raise EngineLost(
                f"{HERE} failed {when}: {_line(error)} (all of it in {self._log}). What is resumed "
                "goes on where it was"
            ) from error


def _vllm(module: str = "") -> Any:
    """Raises ConfigError where it is not there."""
    try:
        return import_module(f"vllm{module}")
    except Exception as error:  # of whatever kind: it imports much
        raise ConfigError(
            f"engine.kind: vllm cannot be imported by this interpreter ({_line(error)}); name one "
            "that has it (engine.python), or a server (engine.url)"
        ) from error


def _start(options: list[str]) -> Any:
    """Its `LLM`.  Raises ConfigError."""
    if _vllm(".platforms").current_platform.is_cpu():  # see `proofloop_vllm.proofloop_unfit`
        options = ["--no-enable-chunked-prefill", *options]
    arguments = _arguments(["--disable-log-stats", *options])  # as `LLM` has it
    try:
        return _vllm().LLM.from_engine_args(arguments)
    except ValueError as error:  # pydantic's are, too
        raise ConfigError(f"engine.options: {HERE} refuses: {_line(error)}") from error


def _arguments(options: list[str]) -> Any:
    """Its EngineArgs, by its own parser.  Raises ConfigError."""
    known = _vllm(".engine.arg_utils").EngineArgs
    parser: Any = _vllm(".utils.argparse_utils").FlexibleArgumentParser(add_help=False)
    parser.error = _refuse
    arguments = known.from_cli_args(known.add_cli_args(parser).parse_args(options))
    if any(getattr(arguments, key, 1) != 1 for key in _SEVERAL):
        raise ConfigError(
            f"engine.options: {HERE} has one device; several are a server's, which engine.python "
            "starts"
        )
    return arguments


def _refuse(message: str) -> NoReturn:
    """In place of argparse's usage and exit."""
    raise ConfigError(
        f"engine.options: {message}; those of `vllm serve` are taken that are not of its address"
    )


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
