"""Workspaces in namespaces (T1): each with a root of its own around it.

Built from a tmpfs of limited size, which takes all that is written, an overlay that shows the base
folder beneath it, and read-only views of the system's programs and libraries.  All of it lives in
the keeper's mount namespace and is gone with it.
"""

import contextlib
import os
import stat
from typing import NoReturn

from proofloop.sandbox import kernel, landlock, mounts
from proofloop.sandbox.order import Order
from proofloop.sandbox.rooms import DEVICES, SETTINGS, SYSTEM, WRITABLE_DEVICES, write_rules
from proofloop.sandbox.trees import copy_folder

WORKSPACE = "/workspace"
_STAGES = ("/sys", "/boot", "/media", "/mnt", "/srv")
"""A folder to build roots on, covered in our mount namespace: one that no base lies in."""
_LINKS = (
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
)
_TEXTS = (
    ("/etc/passwd", "nobody:x:65534:65534:nobody:/workspace:/bin/sh\n"),
    ("/etc/group", "nogroup:x:65534:\n"),
    ("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    ("/etc/nsswitch.conf", "hosts: files dns\n"),
)
_TEMPORARY = ("/tmp", "/var/tmp", "/run/tmp")
_NOTHING = 0


class NamespaceHouse:
    """In the server: what all keepers share."""

    def __init__(self) -> None:
        """Raises StepFailed, OSError, or RuntimeError where no folder will do to build on."""
        folder = next((path for path in _STAGES if os.path.isdir(path)), None)
        if folder is None:
            raise RuntimeError(f"none of {', '.join(_STAGES)} is there to build a root on")
        self.stage = folder
        mounts.make_private()
        mounts.tmpfs(folder, num_bytes=65536, num_inodes=32)
        for name in ("root", "space", "no_folder"):
            os.mkdir(f"{folder}/{name}")
        open(f"{folder}/no_file", "w").close()
        for name in ("no_folder", "no_file"):
            path = f"{folder}/{name}"
            os.chmod(path, _NOTHING)
            mounts.bind(path, path, read_only=True)  # and so are its copies
        self.no_network = _network_namespace()
        self.own_pids = os.open("/proc/self/ns/pid", os.O_RDONLY)

    def open(self, base: str | None, disk_bytes: int) -> "NamespaceRoom":
        return NamespaceRoom(self, base, disk_bytes)

    def clear_after(self, keepers: set[int]) -> None:
        """Nothing of it is left."""

    def quit(self, keepers: set[int]) -> NoReturn:
        """The kernel ends all below the first process of a pid namespace."""
        os._exit(0)


def _network_namespace() -> int:
    """A network namespace with nothing in it, as a descriptor.  Made once: the kernel makes them
    slowly, and one after another."""
    ready, ready_end = os.pipe()
    done, done_end = os.pipe()
    maker = os.fork()
    if maker == 0:
        try:
            kernel.unshare("unshare(NEWNET)", kernel.CLONE_NEWNET)
            fd = os.open("/proc/self/ns/net", os.O_RDONLY)
            os.write(ready_end, f"/proc/{os.readlink('/proc/self')}/fd/{fd}".encode())
            os.close(done_end)
            os.read(done, 1)
        finally:
            os._exit(0)
    os.close(ready_end)
    path = os.read(ready, 200).decode()
    try:
        return os.open(path, os.O_RDONLY)
    finally:
        for fd in (ready, done, done_end):
            os.close(fd)
        os.waitpid(maker, 0)


class NamespaceRoom:
    """One workspace and the root around it (`rooms.Room`)."""

    may_signal = True

    def __init__(self, house: NamespaceHouse, base: str | None, disk_bytes: int) -> None:
        """In the keeper.  Raises StepFailed or OSError."""
        self._house = house
        self._stage, self._root = house.stage, f"{house.stage}/root"
        self.temporary = "/tmp"
        kernel.unshare("unshare(NEWNS)", kernel.CLONE_NEWNS)
        space = f"{self._stage}/space"
        mounts.tmpfs(space, num_bytes=disk_bytes, num_inodes=_num_inodes(disk_bytes))
        mounts.tmpfs(self._root, num_bytes=1 << 20, num_inodes=4096)
        for name in ("upper", "work", "tmp"):
            os.mkdir(f"{space}/{name}")
        self._show_system()
        self._show_workspace(base, space)
        self.folder = os.open(self._root + WORKSPACE, os.O_PATH | os.O_DIRECTORY)

    def _show_system(self) -> None:
        for path in SYSTEM:
            if os.path.islink(path):
                os.symlink(os.readlink(path).removeprefix("/"), self._root + path)
            elif os.path.isdir(path):
                mounts.bind(path, self._root + path, read_only=True)
        for path in SETTINGS:
            if os.path.exists(path):
                mounts.bind(path, self._root + path, read_only=True)
        for path in DEVICES:
            mounts.bind(path, self._root + path)
            # They can be written to all the same, but not have their mode changed by their owner.
            mounts.set_flags(self._root + path, read_only=True, devices=True)
        for target, path in _LINKS:
            os.symlink(target, self._root + path)
        for path, text in _TEXTS:
            with open(self._root + path, "w") as f:
                f.write(text)
        os.symlink("/tmp", self._root + "/dev/shm")
        for path in ("/proc", WORKSPACE):
            os.makedirs(self._root + path)

    def _show_workspace(self, base: str | None, space: str) -> None:
        upper, target = f"{space}/upper", self._root + WORKSPACE
        if base is not None:
            # What belongs to others could be seen through an overlay, but not be changed.
            if os.stat(base).st_uid == os.stat(space).st_uid and not set(",:\\") & set(base):
                try:
                    mounts.overlay(base, upper, f"{space}/work", target)
                    return
                except kernel.StepFailed:  # not for this kernel, or not over this file system
                    pass
            copy_folder(base, upper)
        mounts.bind(upper, target)

    def prepare(self, order: Order) -> None:
        """All is done in the first process, in mounts of its own."""

    def enter(self, order: Order) -> None:
        root = self._root
        kernel.unshare("unshare(NEWNS)", kernel.CLONE_NEWNS)
        if not order.network:
            kernel.setns("setns(net)", self._house.no_network, kernel.CLONE_NEWNET)
        shown = [*SYSTEM, *SETTINGS]
        for path in sorted(order.read):
            if not _lies_in(path, shown):
                mounts.bind(path, root + path, read_only=True)
                shown.append(path)
        # Not around a path to be shown: commands could have put a link in its way.
        self.temporary = temporary = next(
            path for path in _TEMPORARY if not any(_lies_in(p, [path]) for p in order.read)
        )
        mounts.bind(f"{self._stage}/space/tmp", root + temporary)
        no_exec, read_only = not order.execute, not order.write
        if no_exec or read_only:
            for path in (WORKSPACE, temporary):
                mounts.set_flags(root + path, no_exec=no_exec, read_only=read_only)
        for path in order.hidden:
            if path.startswith("/"):
                self._hide_of_host(os.path.realpath(path), shown)
            else:
                self._hide(path)
        # Refused inside some containers, where parts of the outer /proc are covered: then
        # commands have none.
        with contextlib.suppress(kernel.StepFailed):
            mounts.processes(f"{root}/proc")
        mounts.set_flags(root, read_only=True, recursive=False)
        mounts.enter_root(root)

    def _hide(self, path: str) -> None:
        folder = os.open(self._root + WORKSPACE, os.O_PATH | os.O_DIRECTORY)
        try:
            fd = kernel.open_beneath(folder, path, os.O_PATH | os.O_NOFOLLOW)
        except OSError:  # nothing there, or reached through a link
            return
        finally:
            os.close(folder)
        kind = "no_folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "no_file"
        mounts.mount("mount(hide)", f"{self._stage}/{kind}", f"/proc/self/fd/{fd}", None, 4096, "")
        os.close(fd)

    def _hide_of_host(self, path: str, shown: list[str]) -> None:
        """By each name that it is shown under."""
        for above in shown:
            real = os.path.realpath(above)
            target = self._root + above + path.removeprefix(real)
            if _lies_in(path, [real]) and os.path.exists(target) and not os.path.islink(target):
                kind = "no_folder" if os.path.isdir(target) else "no_file"
                mounts.mount("mount(hide)", f"{self._stage}/{kind}", target, None, 4096, "")

    def fork(self) -> int:
        """The child is the first process of a new pid namespace."""
        kernel.unshare("unshare(NEWPID)", kernel.CLONE_NEWPID)
        try:
            pid = os.fork()
        except OSError:
            kernel.setns("setns(pid)", self._house.own_pids, kernel.CLONE_NEWPID)
            raise
        if pid:
            kernel.setns("setns(pid)", self._house.own_pids, kernel.CLONE_NEWPID)
        return pid

    def isolate(self, order: Order) -> None:
        """A user namespace of its own: no hold on what the mounts belong to, and the kernel counts
        its processes apart."""
        kernel.show_to_peers()
        kernel.enter_user_namespace()
        kernel.be_first_to_go()

    def processes(self) -> list[int]:
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and name != "1"]

    def rules(self, order: Order) -> list[landlock.Rule]:
        execute = landlock.READ | landlock.EXECUTE
        shown = [path for path in (*SYSTEM, *order.read) if os.path.exists(path)]
        folder = os.open(WORKSPACE, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return [
            ("/", landlock.READ),
            *((path, landlock.WRITE_FILE) for path in WRITABLE_DEVICES),
            *((path, execute) for path in shown),
            *write_rules(folder, order, self.temporary),
        ]

    def drop_privileges(self) -> None:
        kernel.drop_capabilities()

    def num_spare_processes(self) -> int:
        return 0  # it is alone in its user namespace

    def expect(self, num_bytes: int) -> None:
        """The tmpfs will say so itself."""

    def is_full(self, *, at_rest: bool = False) -> bool:
        return False  # the tmpfs does not let it come to that

    def clear(self) -> None:
        """The kernel has ended them all."""

    def leave(self) -> None:
        """The mounts go with their namespace."""

    @property
    def path(self) -> str:
        return WORKSPACE


def _lies_in(path: str, folders: list[str]) -> bool:
    return any(path == folder or path.startswith(folder + "/") for folder in folders)


def _num_inodes(disk_bytes: int) -> int:
    """Each takes about a kilobyte of the kernel's memory."""
    return min(max(disk_bytes // 4096, 1024), 65536)
