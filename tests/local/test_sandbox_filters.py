"""The system-call filters, run by a naive interpreter of classic BPF, for both architectures."""

import struct

import pytest

from proofloop.sandbox import seccomp

_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_ALLOW, _KILL, _EPERM, _ENOSYS = 0x7FFF0000, 0x80000000, 0x50001, 0x50026
_PID = 4321


def _run(program: bytes, arch: int, number: int, args: tuple[int, ...] = ()) -> int:
    words = list(struct.unpack(f"<{len(program) // 8 * 2}I", program))
    data = struct.pack("<IIQ6Q", number, arch, 0, *(args + (0,) * 6)[:6])
    at = accumulator = 0
    for _ in range(4096):
        head, constant = words[2 * at : 2 * at + 2]
        code, jump_true, jump_false = head & 0xFFFF, head >> 16 & 0xFF, head >> 24
        at += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, constant)
            case 0x05:
                at += constant
            case 0x15:
                at += jump_true if accumulator == constant else jump_false
            case 0x35:
                at += jump_true if accumulator >= constant else jump_false
            case 0x45:
                at += jump_true if accumulator & constant else jump_false
            case 0x54:
                accumulator &= constant
            case 0x06:
                return constant
            case _:
                raise AssertionError(f"unknown instruction {code:#x}")
    raise AssertionError("does not end")


def _numbers(name: str, machine: str) -> int | None:
    known = seccomp._SERVER_NUMBERS | seccomp._CANDIDATE_NUMBERS | seccomp._FORKS
    return known[name][list(_ARCH).index(machine)]


@pytest.mark.parametrize("machine", list(_ARCH))
def test_every_listed_call_is_refused_and_no_other(machine: str) -> None:
    server = seccomp.server_filter(machine)
    own = struct.pack("<I", _PID)
    candidate = seccomp.candidate_filter(machine, may_fork=False).replace(seccomp.OWN_PID, own)
    for table, program in (
        (seccomp._SERVER_NUMBERS, server),
        (seccomp._CANDIDATE_NUMBERS | seccomp._FORKS, candidate),
    ):
        listed = {n for name in table if (n := _numbers(name, machine)) is not None}
        column = list(_ARCH).index(machine)
        special = {seccomp._CLONE[column]} if program is candidate else {
            seccomp._OPENAT2[column], seccomp._CLONE3[column]}  # fmt: skip
        conditional = {c[column] for c in (
            seccomp._KILL_CALL, seccomp._TGKILL, seccomp._PRLIMIT)}  # fmt: skip
        for number in range(600):
            answer = _run(program, _ARCH[machine], number, (_PID,))
            if number in listed:
                assert answer == _EPERM, number
            elif number not in special | conditional:
                assert answer == _ALLOW, number
        assert {_run(program, _ARCH[machine], n or 0) for n in special} <= {_EPERM, _ENOSYS}


@pytest.mark.parametrize("machine", list(_ARCH))
def test_a_foreign_architecture_is_killed(machine: str) -> None:
    for program in (
        seccomp.server_filter(machine),
        seccomp.candidate_filter(machine, may_fork=True),
    ):
        assert _run(program, 0x40000003, 1) == _KILL  # 32-bit x86
        if machine == "x86_64":
            assert _run(program, _ARCH[machine], 0x40000000 + 59) == _KILL  # x32 execve


@pytest.mark.parametrize("machine", list(_ARCH))
def test_signals_reach_only_oneself(machine: str) -> None:
    column = list(_ARCH).index(machine)
    own = struct.pack("<I", _PID)
    program = seccomp.candidate_filter(machine, may_fork=True).replace(seccomp.OWN_PID, own)
    for call, before in ((seccomp._KILL_CALL, (_PID,)), (seccomp._TGKILL, (_PID, _PID))):
        number = call[column] or 0
        assert _run(program, _ARCH[machine], number, (*before, 6)) == _ALLOW
        for other in (0, 1, _PID + 1, 2**64 - 1):
            assert _run(program, _ARCH[machine], number, (other, *before[1:], 6)) == _EPERM
        for only_from_outside in (9, 19):
            assert _run(program, _ARCH[machine], number, (*before, only_from_outside)) == _EPERM


@pytest.mark.parametrize("machine", list(_ARCH))
def test_processor_time_is_limited_from_outside_only(machine: str) -> None:
    column = list(_ARCH).index(machine)
    program = seccomp.candidate_filter(machine, may_fork=False)
    number = seccomp._PRLIMIT[column] or 0
    assert _run(program, _ARCH[machine], number, (0, 7)) == _ALLOW
    assert _run(program, _ARCH[machine], number, (0, 0)) == _EPERM
    assert _run(program, _ARCH[machine], number, (_PID, 7)) == _EPERM


@pytest.mark.parametrize("machine", list(_ARCH))
def test_files_open_to_read_only(machine: str) -> None:
    program = seccomp.server_filter(machine)
    number = seccomp._OPENAT[list(_ARCH).index(machine)] or 0
    for flags, answer in (
        (0o2000000, _ALLOW), (1, _EPERM), (2, _EPERM), (0o100, _EPERM), (0o1000, _EPERM),
    ):  # fmt: skip
        assert _run(program, _ARCH[machine], number, (0, 0, flags)) == answer


@pytest.mark.parametrize("machine", list(_ARCH))
def test_forks_may_not_make_namespaces(machine: str) -> None:
    program = seccomp.candidate_filter(machine, may_fork=True)
    number = seccomp._CLONE[list(_ARCH).index(machine)] or 0
    assert _run(program, _ARCH[machine], number, (17,)) == _ALLOW
    assert _run(program, _ARCH[machine], number, (0x10000000 | 17,)) == _EPERM
