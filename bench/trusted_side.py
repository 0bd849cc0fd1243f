"""What the worst claims and answers within the caps cost the trusted process: processor time, best
of three.

    PYTHONPATH=src python bench/trusted_side.py [--text-bytes 65536] [--json]

Claims are as large as a result may be (64 KiB); texts of answers have no cap of their own, so their
size is given.  Refused claims count: what matters is how long one holds the verifier.
"""

import argparse
import contextlib
import json
import struct
import time
from collections.abc import Callable, Iterable, Iterator

from proofloop.core import value
from proofloop.core.sandbox import Limits
from proofloop.core.task import AnyOrder, Close, SameItems
from proofloop.verify.comparison import agree
from proofloop.verify.extract import assemble
from proofloop.verify.math.extract import NoFinalAnswer, final_answer
from proofloop.verify.programs import same_output

CAP = Limits().result_bytes
PRIME = 2**61 - 1


def sized(tag: bytes, n: int) -> bytes:
    return tag + struct.pack("<I", n)


def integer(x: int) -> bytes:
    size = x.bit_length() // 8 + 1
    return sized(b"i", size) + x.to_bytes(size, "little", signed=True)


def filled(tag: bytes, parts: Iterable[bytes]) -> bytes:
    """A container with as many of the parts as a result may hold."""
    taken: list[bytes] = []
    size = 5
    for part in parts:
        size += len(part)
        if size > CAP:
            break
        taken.append(part)
    return sized(tag, len(taken)) + b"".join(taken)


def colliding() -> Iterator[bytes]:
    return (integer(PRIME * n) for n in range(1, CAP))


def tree(depth: int, first: int) -> bytes:
    """Nested frozensets of one hash."""
    if not depth:
        return integer(PRIME * (first + 1))
    half = 2 ** (depth - 1)
    return sized(b"Z", 2) + tree(depth - 1, first) + tree(depth - 1, first + half)


CLAIMS = {
    "list of None": filled(b"l", (b"N" for _ in range(CAP))),
    "list of empty lists": filled(b"l", (sized(b"l", 0) for _ in range(CAP))),
    "set of ints": filled(b"S", map(integer, range(CAP))),
    "set of ints, low bits equal": filled(b"S", (integer(n << 45) for n in range(1, CAP))),
    "set of ints of one hash": filled(b"S", colliding()),
    "dict of ints of one hash": filled(b"d", (key + b"N" for key in colliding())),
    "set of tuples of one hash": filled(b"S", (sized(b"t", 1) + key for key in colliding())),
    "nested frozensets of one hash": tree(11, 0),
}


def texts(size: int) -> dict[str, str]:
    root = int(size**0.5)
    falling = "".join("`" * n + "x\n" for n in range(root, 3, -1))
    return {
        "ever shorter fences": falling + "\n" * (size - len(falling)),
        "indented fences": "".join(" " * n + "```\nx\n```\n" for n in range(root))[:size],
        "fences": "```\n" * (size // 4),
        "blocks": "```\nx\n```\n" * (size // 10),
        "def and blank lines": ("def" + "\n" * 1000) * (size // 1003),
        "blank lines": "f" + "\n" * size,
        "boxes of blanks": "\\boxed{\\phantom{}}" * (size // 17),
        "hashes": "#### 1\n" * (size // 7),
        "answer lines": "A:\n" * (size // 3),
        "the answer is": "the answer is\n" * (size // 14),
    }


def cost_ms(act: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        with contextlib.suppress(value.DecodeError, NoFinalAnswer):
            act()
        best = min(best, time.process_time() - start)
    return 1000 * best


def compared(data: bytes) -> None:
    x = value.decode(data)
    for comparison in (Close(), AnyOrder(), SameItems()):
        agree(x, x, comparison)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text-bytes", type=int, default=65536)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows: dict[str, float] = {}
    for name, data in CLAIMS.items():
        rows[f"decode: {name}"] = cost_ms(lambda data=data: value.decode(data))
        rows[f"decode, compare three ways: {name}"] = cost_ms(lambda data=data: compared(data))
    for name, text in texts(arguments.text_bytes).items():
        rows[f"program in: {name}"] = cost_ms(lambda text=text: assemble(text, "", ["f"]))
        rows[f"final answer in: {name}"] = cost_ms(lambda text=text: final_answer(text))
    wanted, printed = b"1.5 " * (CAP // 4), b"1.6 " * (CAP // 4)
    rows["output: decimal fractions"] = cost_ms(lambda: same_output(wanted, printed, 1.0))
    digits = b"0." + b"1" * CAP
    rows["output: a long fraction"] = cost_ms(lambda: same_output(b"1.5", digits, 1e-6))
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    for name, ms in rows.items():
        print(f"{ms:8.1f} ms  {name}")


if __name__ == "__main__":
    main()
