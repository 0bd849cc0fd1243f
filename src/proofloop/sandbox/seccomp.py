"""System-call filters as classic BPF, for x86_64 and aarch64.  Pure: builds bytes, loads nothing.

A deny-list that answers EPERM, in two parts.  `server_filter` is loaded once by the fork-server
and inherited: all that neither it nor any candidate needs.  `candidate_filter` is small, because
every candidate's process loads its own: no processes, no exec, no signal to anyone but itself.
A foreign architecture or the x32 calls kill the process.
"""

import functools
import struct

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_KILL, _ALLOW = 0x80000000, 0x7FFF0000
_EPERM, _ENOSYS, _ENOTSUP = 0x00050000 | 1, 0x00050000 | 38, 0x00050000 | 95
_LOAD, _JUMP, _JEQ, _JGE, _JSET, _AND, _RET = 0x20, 0x05, 0x15, 0x35, 0x45, 0x54, 0x06
_OPEN_TO_WRITE = 0x1 | 0x2 | 0x40 | 0x200 | 0x400000
"""WRONLY, RDWR, CREAT, TRUNC, TMPFILE's own bit: the same on both architectures."""
_CLONE_NEW_ANY = 0x7E020000

# name: (x86_64, aarch64); None where the architecture has no such call.
_Table = dict[str, tuple[int | None, int | None]]
# The descriptors a process was given are all it gets.
_NETWORK: _Table = {
    "connect": (42, 203), "bind": (49, 200), "listen": (50, 201), "accept": (43, 202),
    "accept4": (288, 242), "sendmmsg": (307, 269),
}  # fmt: skip
_SOCKET, _SOCKETPAIR = (41, 198), (53, 199)
_PRIORITIES: _Table = {
    "setpriority": (141, 140), "sched_setaffinity": (203, 122), "inotify_init": (253, None),
    "inotify_init1": (294, 26),
}  # fmt: skip
_EVERYWHERE: _Table = {
    # other processes' memory, descriptors, clocks
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "pidfd_getfd": (438, 438), "process_madvise": (440, 440),
    "process_mrelease": (448, 448), "ioprio_set": (251, 30),
    "sched_setattr": (314, 274), "sched_setscheduler": (144, 119), "sched_setparam": (142, 118),
    "migrate_pages": (256, 238), "move_pages": (279, 239),
    # mounts and roots
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442),
    # kernel surface that no program under test needs
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "bpf": (321, 280),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "fanotify_init": (300, 262),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    "lookup_dcookie": (212, 18), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "acct": (163, 89), "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142),
    "syslog": (103, 116), "sethostname": (170, 161), "setdomainname": (171, 162),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "clock_adjtime": (305, 266),
    "adjtimex": (159, 171), "iopl": (172, None), "ioperm": (173, None), "modify_ldt": (154, None),
    "uselib": (134, None), "personality": (135, 92), "vhangup": (153, 58),
    "memfd_secret": (447, 447), "memfd_create": (319, 279),
    # System V and POSIX IPC, which outlive a process at T0
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "msgget": (68, 186),
    "msgsnd": (69, 189), "msgrcv": (70, 188), "msgctl": (71, 187), "semget": (64, 190),
    "semop": (65, 193), "semctl": (66, 191), "semtimedop": (220, 192), "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    # identities
    "setuid": (105, 146), "setgid": (106, 144), "setreuid": (113, 145), "setregid": (114, 143),
    "setresuid": (117, 147), "setresgid": (119, 149), "setfsuid": (122, 151),
    "setfsgid": (123, 152), "setgroups": (116, 159),
}  # fmt: skip
# Changes to the file system.
_CHANGES: _Table = {
    "creat": (85, None), "mkdir": (83, None), "mkdirat": (258, 34), "mknod": (133, None),
    "mknodat": (259, 33), "link": (86, None), "linkat": (265, 37), "symlink": (88, None),
    "symlinkat": (266, 36), "rename": (82, None), "renameat": (264, 38), "renameat2": (316, 276),
    "unlink": (87, None), "unlinkat": (263, 35), "rmdir": (84, None), "truncate": (76, 45),
    "ftruncate": (77, 46), "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53),
    "fchmodat2": (452, 452), "chown": (92, None), "fchown": (93, 55), "lchown": (94, None),
    "fchownat": (260, 54), "utime": (132, None), "utimes": (235, None), "utimensat": (280, 88),
    "futimesat": (261, None),
}  # fmt: skip
_ATTRIBUTES: _Table = {
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "setxattrat": (463, 463), "removexattrat": (466, 466),
}  # fmt: skip

_SERVER_NUMBERS: _Table = {
    **_EVERYWHERE, **_NETWORK, **_PRIORITIES, **_CHANGES, **_ATTRIBUTES,
    "socket": _SOCKET, "socketpair": _SOCKETPAIR,
}  # fmt: skip
_CANDIDATE_NUMBERS: _Table = {
    "execve": (59, 221), "execveat": (322, 281), "unshare": (272, 97), "setns": (308, 268),
    "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "tkill": (200, 130), "capset": (126, 91),
    "sendmsg": (46, 211), "timer_create": (222, 107), "setrlimit": (160, 164),
}  # fmt: skip
_NAMESPACES: _Table = {"unshare": (272, 97), "setns": (308, 268)}
_SIGNALS: _Table = {
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424),
}  # fmt: skip
_FORKS: _Table = {"fork": (57, None), "vfork": (58, None)}
_CLONE, _CLONE3, _OPENAT2 = (56, 220), (435, 435), (437, 437)
_OPEN, _OPENAT = (2, None), (257, 56)
_KILL_CALL, _TGKILL, _PRLIMIT, _PRCTL = (62, 129), (234, 131), (302, 261), (157, 167)
_FCNTL, _IOCTL = (72, 25), (16, 29)
_SIGNAL_OWNERS = ((_FCNTL, (8, 10, 15)), (_IOCTL, (0x8901, 0x8902)))
"""F_SETOWN, F_SETSIG, F_SETOWN_EX; FIOSETOWN, SIOCSPGRP: have the kernel signal someone else."""
_PRCTL_MM = 35
_PRCTL_DENIED = (1, _PRCTL_MM, 36)
"""PDEATHSIG (a candidate must die with its fork-server), MM, CHILD_SUBREAPER."""

_SELF_ENDINGS = ((_KILL_CALL, 1, (9, 19)), (_TGKILL, 2, (9, 19)), (_PRLIMIT, 1, (0,)))
"""SIGKILL and SIGSTOP for itself; another limit on its processor time.  What it does not do to
itself, someone else does (`fate`)."""

OWN_PID = struct.pack("<I", 0x7E57A11E)
"""Above any process id (at most 2**22), and no other constant of the filter."""

Instruction = tuple[int, int, int, int]


class _Program:
    """Blocks that each test one system call and fall through to the next."""

    def __init__(self, machine: str) -> None:
        self.column = list(_AUDIT_ARCH).index(machine)
        self.code: list[Instruction] = [
            (_LOAD, 0, 0, 4),
            (_JEQ, 1, 0, _AUDIT_ARCH[machine]),
            (_RET, 0, 0, _KILL),
            (_LOAD, 0, 0, 0),
        ]
        if machine == "x86_64":
            self.code += [(_JGE, 0, 1, 0x40000000), (_RET, 0, 0, _KILL)]

    def deny_all(self, table: _Table, answer: int = _EPERM) -> None:
        numbers = sorted(n for call in table.values() if (n := call[self.column]) is not None)
        for at in range(0, len(numbers), 200):  # a jump reaches 255 instructions
            part = numbers[at : at + 200]
            for i, number in enumerate(part):
                self.code.append((_JEQ, len(part) - i, 0, number))
            self.code += [(_JUMP, 0, 0, 1), (_RET, 0, 0, answer)]

    def deny(self, call: tuple[int | None, int | None], answer: int = _EPERM) -> None:
        number = call[self.column]
        if number is not None:
            self.code += [(_JEQ, 0, 1, number), (_RET, 0, 0, answer)]

    def deny_if(
        self, call: tuple[int | None, int | None], argument: int, tests: list[Instruction]
    ) -> None:
        """`tests` see the argument's low word and end in RET; else the call number is reloaded."""
        number = call[self.column]
        if number is not None:
            block = [(_LOAD, 0, 0, 16 + 8 * argument), *tests, (_LOAD, 0, 0, 0)]
            self.code += [(_JEQ, 0, len(block), number), *block]

    def finish(self) -> bytes:
        self.code.append((_RET, 0, 0, _ALLOW))
        return b"".join(struct.pack("<HBBI", *instruction) for instruction in self.code)


def server_filter(machine: str) -> bytes:
    """What the fork-server and all candidates do without."""
    program = _Program(machine)
    for call, argument in ((_OPEN, 1), (_OPENAT, 2)):
        tests: list[Instruction] = [(_JSET, 0, 1, _OPEN_TO_WRITE), (_RET, 0, 0, _EPERM)]
        program.deny_if(call, argument, tests)
    for call, commands in _SIGNAL_OWNERS:
        for command in commands:
            program.deny_if(call, 1, [(_JEQ, 0, 1, command), (_RET, 0, 0, _EPERM)])
    program.deny(_OPENAT2, _ENOSYS)
    program.deny(_CLONE3, _ENOSYS)  # its flags lie in memory, out of a filter's sight
    program.deny_all(_SERVER_NUMBERS)
    return program.finish()


def candidate_filter(machine: str, *, may_fork: bool) -> bytes:
    """What one candidate's process does without.  A template: OWN_PID stands where the process
    puts its own id, since building the whole anew in each child would take longer than loading."""
    program = _Program(machine)
    (pid,) = struct.unpack("<I", OWN_PID)
    for call, own in ((_KILL_CALL, pid), (_TGKILL, pid), (_PRLIMIT, 0)):
        program.deny_if(call, 0, [(_JEQ, 1, 0, own), (_RET, 0, 0, _EPERM)])
    for call, argument, values in _SELF_ENDINGS:
        for denied in values:
            program.deny_if(call, argument, [(_JEQ, 0, 1, denied), (_RET, 0, 0, _EPERM)])
    for option in _PRCTL_DENIED:
        program.deny_if(_PRCTL, 0, [(_JEQ, 0, 1, option), (_RET, 0, 0, _EPERM)])
    if may_fork:
        program.deny_if(_CLONE, 0, [(_JSET, 0, 1, _CLONE_NEW_ANY), (_RET, 0, 0, _EPERM)])
    else:
        program.deny_all({**_FORKS, "clone": _CLONE})
    program.deny_all(_CANDIDATE_NUMBERS)
    return program.finish()


@functools.cache
def command_filter(machine: str, *, network: bool, may_fork: bool, may_signal: bool) -> bytes:
    """What the commands of a workspace do without: all that could reach beyond it.

    They may run programs, change files (Landlock says which) and, in pairs of connected sockets,
    talk among themselves.  `may_signal`: whether something else keeps their signals within."""
    program = _Program(machine)
    if network:  # not the local sockets of the system's services
        tests = [(_JEQ, 2, 0, 2), (_JEQ, 1, 0, 10), (_RET, 0, 0, _EPERM)]
        program.deny_if(_SOCKET, 0, tests)
    else:
        program.deny_all({**_NETWORK, "socket": _SOCKET})
    # A datagram socket of a pair can still be told to send elsewhere.
    tests = [(_AND, 0, 0, 0xF), (_JEQ, 0, 1, 2), (_RET, 0, 0, _EPERM)]
    program.deny_if(_SOCKETPAIR, 1, tests)
    for call, commands in _SIGNAL_OWNERS:
        for command in commands:
            program.deny_if(call, 1, [(_JEQ, 0, 1, command), (_RET, 0, 0, _EPERM)])
    program.deny_if(_PRCTL, 0, [(_JEQ, 0, 1, _PRCTL_MM), (_RET, 0, 0, _EPERM)])
    if may_fork:
        program.deny_if(_CLONE, 0, [(_JSET, 0, 1, _CLONE_NEW_ANY), (_RET, 0, 0, _EPERM)])
    else:
        program.deny_all({**_FORKS, "clone": _CLONE})
    program.deny(_CLONE3, _ENOSYS)
    program.deny_all(_NAMESPACES)
    if not may_signal:
        program.deny_all(_SIGNALS)
    program.deny_all(_ATTRIBUTES, _ENOTSUP)
    program.deny_all(_EVERYWHERE)
    return program.finish()
