"""A vLLM server for tests, by the interpreter that PROOFLOOP_VLLM_PYTHON names."""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from proofloop.engine.vllm_weights import EXTENSION, EXTENSION_DIRECTORY

VLLM = os.environ.get("PROOFLOOP_VLLM_PYTHON")
WHY_NOT = "PROOFLOOP_VLLM_PYTHON names no interpreter with vLLM"
START_S = 300


@contextlib.contextmanager
def vllm_server(
    model: Path,
    log: Path,
    *options: str,
    extension: str = EXTENSION,
    path: Path | None = None,
    port: int | None = None,
) -> Iterator[str]:
    """Its address.  `path`: where `extension` is, if not among ours."""
    assert VLLM is not None
    if port is None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
    command = [VLLM, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    command += ["--dtype", "float32", "--max-model-len", "512", "--port", str(port)]
    command += ["--host", "127.0.0.1", "--enforce-eager", "--generation-config", "vllm"]
    command += ["--logprobs-mode", "processed_logprobs", "--no-enable-chunked-prefill"]
    command += ["--worker-extension-cls", extension, *options]
    paths = [str(p) for p in (path, EXTENSION_DIRECTORY) if p is not None]
    environment = os.environ | {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_SERVER_DEV_MODE": "1",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(paths),
    }
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)
    try:
        deadline = time.monotonic() + START_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(timeout=60)
