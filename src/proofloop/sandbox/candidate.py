"""What runs in a candidate's own process once it is confined: load the source, answer frames.

Nothing here is trusted.  The candidate's code shares this interpreter and may replace any of it;
all that it gains is the freedom to make claims, which the other side checks.  What must hold is
that this process never holds an expected value (decoys are wrong ones), and that nothing of the
candidate runs before `serve` is entered, with every lock already in place.
"""

import atexit
import io
import marshal
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, NoReturn

from proofloop.core import value
from proofloop.sandbox import wire

CHANNEL = 3
_PIPE_TAKES = 4096
"""Bytes that an empty pipe takes without a reader."""
_ABSENT: Any = object()


class _Channel:
    """Blocking frames over the data channel."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.buffer = b""
        self.at = 0

    def read(self, size: int) -> bytes:
        start, end = self.at, self.at + size
        if end > len(self.buffer):
            parts, missing = [self.buffer[start:]], end - len(self.buffer)
            while missing > 0:
                data = os.read(self.fd, 65536)
                if not data:
                    os._exit(0)
                parts.append(data)
                missing -= len(data)
            self.buffer = b"".join(parts)
            start, end = 0, size
        self.at = end
        return self.buffer[start:end]

    def receive(self) -> tuple[int, int, bytes]:
        size, kind, index = wire.HEADER.unpack(self.read(wire.HEADER.size))
        return kind, index, self.read(size)

    def send(self, kind: int, index: int, payload: bytes = b"") -> None:
        data = wire.HEADER.pack(len(payload), kind, index) + payload
        sent = os.write(self.fd, data)
        while sent < len(data):
            sent += os.write(self.fd, data[sent:])


def serve(result_bytes: int) -> None:
    _serve(_Channel(CHANNEL), result_bytes)


def rehearse(ours: int, theirs: int) -> None:
    """Serve a small program once in the fork-server, over a socket pair, so that every child
    starts with this code warm.  Leaves the loop by an unknown frame."""
    source = b"def f(x):\n    print(end='')\n    return [y + 1 for y in (x,)]\n"
    call = wire.call_payload("f", value.encode((1,)))
    calls = wire.calls_payload(20 * [("f", "", (1,))])
    frames = wire.frame(wire.SOURCE, 0, source) + wire.frame(wire.CALLS, 0, calls)
    os.write(theirs, frames + wire.frame(wire.CALL, 0, call) + wire.frame(0, 0))
    _serve(_Channel(ours), 1024)


def _serve(channel: _Channel, result_bytes: int) -> None:
    # Not "__main__": an answer's `if __name__ == "__main__"` demonstration is no part of it.
    program = ModuleType("solution")
    sys.modules["solution"] = program
    namespace = program.__dict__
    kept: dict[str, Any] = {}
    expected: list[Any] = []
    kind = -1
    while kind:
        kind, index, payload = channel.receive()
        if kind == wire.SOURCE:
            _load(channel, namespace, payload)
        elif kind == wire.CALLS:
            for call in wire.split_calls(payload):
                _call(channel, namespace, kept, index, call, marshal.loads, result_bytes)
                index += 1
        elif kind == wire.LEAVE:
            os._exit(0)
        elif kind == wire.CALL:
            call = wire.split_call(payload)
            _call(channel, namespace, kept, index, call, value.decode, result_bytes)
        elif kind == wire.CHECK:
            _check(channel, namespace, payload.decode())
        elif kind == wire.DECOYS:
            expected = _plant(payload)
        elif kind == wire.SCRIPT:
            _run_script(channel, payload)
    del expected  # it was there for walks over frames to find


def _name(error: BaseException) -> bytes:
    return type(error).__name__.encode("utf-8", "replace")[: wire.MAX_NAME_BYTES]


def _leave(error: SystemExit) -> NoReturn:
    os._exit(error.code if isinstance(error.code, int) else int(error.code is not None))


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            continue


def _load(channel: _Channel, namespace: dict[str, Any], source: bytes) -> None:
    try:
        text = source.decode("utf-8", "surrogatepass")
        exec(compile(text, "<program>", "exec", dont_inherit=True), namespace)
    except SystemExit as e:
        _leave(e)
    except BaseException as e:
        _flush()
        channel.send(wire.LOAD_FAILED, 0, _name(e))
    else:
        _flush()
        channel.send(wire.LOADED, 0)


def _plant(payload: bytes) -> list[Any]:
    """Wrong values where a program that looks for expected ones would find them: the environment, a
    module, an open descriptor, and (as `expected`) the frames below the program's own."""
    expected: list[Any] = value.decode(payload)
    text = repr(expected)
    os.environ["EXPECTED_OUTPUTS"] = text
    tests = ModuleType("hidden_tests")
    tests.__dict__.update(expected=expected, EXPECTED_OUTPUTS=expected)
    sys.modules["hidden_tests"] = tests
    _, writing = os.pipe()
    os.write(writing, text.encode()[:_PIPE_TAKES])
    os.close(writing)
    return expected


def _run_script(channel: _Channel, source: bytes) -> NoReturn:
    """As the interpreter runs a file: under `__main__`, with what is registered to run at exit."""
    program = ModuleType("__main__")
    sys.modules["__main__"] = program
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=False)
    status = 0
    try:
        text = source.decode("utf-8", "surrogatepass")
        exec(compile(text, "main.py", "exec", dont_inherit=True), program.__dict__)
    except SystemExit as e:
        status = e.code if isinstance(e.code, int) else int(e.code is not None)
    except BaseException as e:
        channel.send(wire.RAISED, 0, _name(e))
        status = 1
    atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage] (os._exit would not)
    _flush()
    os._exit(status)


def _resolve(namespace: dict[str, Any], kept: dict[str, Any], name: str) -> Any:
    base, _, method = name.partition(".")
    if not method:
        return namespace.get(name, _ABSENT)
    return getattr(kept[base], method, _ABSENT) if base in kept else _ABSENT


def _call(
    channel: _Channel,
    namespace: dict[str, Any],
    kept: dict[str, Any],
    index: int,
    call: tuple[str, str, bytes],
    decode: Callable[[bytes], tuple[Any, ...]],
    result_bytes: int,
) -> None:
    name, keep_as, encoded = call
    try:
        function = _resolve(namespace, kept, name)
        if function is _ABSENT:
            channel.send(wire.UNDEFINED, index)
            return
        result = function(*decode(encoded))
        if keep_as:
            kept[keep_as], result = result, None
        try:
            answer = value.encode(result, max_bytes=result_bytes)
        except value.EncodeError:
            answer = None
    except SystemExit as e:
        _leave(e)
    except BaseException as e:
        _flush()
        channel.send(wire.RAISED, index, _name(e))
        return
    _flush()
    if answer is None:
        channel.send(wire.UNENCODABLE, index)
    else:
        channel.send(wire.RETURNED, index, answer)


def _check(channel: _Channel, namespace: dict[str, Any], entry_point: str) -> None:
    """Run the `check(candidate)` that was loaded against a proxy that asks the client."""
    ask = _proxy(channel)
    namespace[entry_point] = ask
    try:
        namespace["check"](ask)
    except SystemExit as e:
        _leave(e)
    except BaseException as e:
        _flush()
        channel.send(wire.CHECK_FAILED, 0, _name(e))
    else:
        _flush()
        channel.send(wire.CHECK_PASSED, 0)


def _proxy(channel: _Channel) -> Callable[..., Any]:
    def candidate(*args: Any, **kwargs: Any) -> Any:
        try:
            if kwargs:
                raise value.EncodeError("keyword arguments do not cross")
            question = value.encode(args)
        except value.EncodeError:
            channel.send(wire.UNENCODABLE, 0)
            raise
        channel.send(wire.ASKED, 0, question)
        kind, _, payload = channel.receive()
        if kind == wire.REPLY:
            return value.decode(payload)
        raise _exception(payload.decode("utf-8", "replace"))

    return candidate


def _exception(name: str) -> BaseException:
    """The built-in exception of that name, or a class of its own where there is none.

    Not StopIteration: in tests that `map` or `zip` over calls it would end the loop, and the
    comparisons not yet made would never be missed.  As in generators (PEP 479), it is an error."""
    import builtins

    kind = RuntimeError if name == "StopIteration" else getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        try:
            return kind("raised by the candidate")
        except TypeError:  # UnicodeDecodeError and others want more arguments
            pass
    return type(name, (Exception,), {})("raised by the candidate")
