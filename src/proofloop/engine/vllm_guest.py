"""What vLLM in this process must leave as it was: the trainer's settings, and the terminal.

vLLM seeds the generators of the whole process, sets variables that child processes would inherit
(LD_PRELOAD), exchanges functions of torch and writes to both standard streams.  What it says goes
to a log.
"""

import logging
import os
import random
import sys
import warnings
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import torch

LOGGER = "vllm"
_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # its engine here, not in a process of its own
    "VLLM_CONFIGURE_LOGGING": "0",  # ours to do
}
"""While it starts, after which vLLM remembers what it read."""


class Guest:
    """To be entered wherever vLLM's code runs, and closed when it is gone."""

    def __init__(self, log: Path, num_threads: int) -> None:
        """`log` is added to.  `num_threads`: of torch's, while vLLM computes."""
        self._num_threads = num_threads
        log.parent.mkdir(parents=True, exist_ok=True)
        self._file = log.open("a")
        self._log = logging.StreamHandler(self._file)
        self._log.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        logger = logging.getLogger(LOGGER)
        self._before = logger.propagate, logger.level
        logger.addHandler(self._log)
        logger.propagate = False  # nor do we have it written twice, or to the terminal
        logger.setLevel(os.environ.get("VLLM_LOGGING_LEVEL", "INFO"))

    @contextmanager
    def starting(self) -> Generator[None]:
        """While vLLM is imported and built.  Nothing else of this process runs then."""
        with ExitStack() as after:
            for restore in (*_functions(), *_precisions(), _environment()):
                after.callback(restore)
            os.environ.update(_ENVIRONMENT)
            os.environ.pop("VLLM_LOGGING_CONFIG_PATH", None)
            after.enter_context(self._streams())
            after.enter_context(self.computing())
            yield

    @contextmanager
    def computing(self) -> Generator[None]:
        """While vLLM samples or takes weights."""
        with ExitStack() as after:
            for restore in _generators():
                after.callback(restore)
            after.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(self._num_threads)
            after.enter_context(warnings.catch_warnings())
            warnings.simplefilter("default")
            warnings.showwarning = self._note
            yield

    def close(self) -> None:
        logger = logging.getLogger(LOGGER)
        logger.removeHandler(self._log)
        logger.propagate = self._before[0]
        logger.setLevel(self._before[1])
        self._file.close()

    def _note(self, message: Warning | str, *where: object, **more: object) -> None:
        logging.getLogger(LOGGER).warning("%s", message)

    @contextmanager
    def _streams(self) -> Generator[None]:
        """Both into the log, Python's and the system's: not all is said by Python."""
        sys.stdout.flush()
        sys.stderr.flush()
        kept = {number: os.dup(number) for number in (1, 2)}
        try:
            for number in kept:
                os.dup2(self._file.fileno(), number)
            with redirect_stdout(self._file), redirect_stderr(self._file):
                yield
        finally:
            for number, ours in kept.items():
                os.dup2(ours, number)
                os.close(ours)


def _generators() -> list[Callable[[], object]]:
    cpu, other, plain = torch.get_rng_state(), np.random.get_state(), random.getstate()
    restores: list[Callable[[], object]] = [
        lambda: torch.set_rng_state(cpu),
        lambda: np.random.set_state(other),
        lambda: random.setstate(plain),
    ]
    if torch.cuda.is_initialized():
        gpu = torch.cuda.get_rng_state()
        restores.append(lambda: torch.cuda.set_rng_state(gpu))
    return restores


def _functions() -> list[Callable[[], object]]:
    threads, hook = torch.set_num_threads, sys.excepthook
    return [
        lambda: setattr(torch, "set_num_threads", threads),
        lambda: setattr(sys, "excepthook", hook),
    ]


def _precisions() -> list[Callable[[], object]]:
    matmul, dtype = torch.get_float32_matmul_precision(), torch.get_default_dtype()
    attention = torch.backends.cuda.cudnn_sdp_enabled()
    return [
        lambda: torch.set_float32_matmul_precision(matmul),
        lambda: torch.set_default_dtype(dtype),
        lambda: torch.backends.cuda.enable_cudnn_sdp(attention),
    ]


def _environment() -> Callable[[], object]:
    ours = dict(os.environ)

    def restore() -> None:
        for name in set(os.environ) - set(ours):
            del os.environ[name]
        os.environ.update(ours)

    return restore
