"""Why a machine refuses a tier and what its owner can do, told from the step that failed and from
what the kernel says of itself.  Reads only."""

import platform
from pathlib import Path
from typing import NamedTuple

from proofloop.core.verdict import Tier


class _Setting(NamedTuple):
    """A setting that forbids user namespaces."""

    path: str
    forbidding: str
    advice: str


_SETTINGS = (
    _Setting(
        "/proc/sys/user/max_user_namespaces",
        "0",
        "user namespaces are switched off: `sysctl user.max_user_namespaces=15000`",
    ),
    _Setting(
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "user namespaces are for the superuser only: `sysctl kernel.unprivileged_userns_clone=1`",
    ),
    _Setting(
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor restricts user namespaces (Ubuntu 23.10 and later): a profile with `userns,` for "
        "this interpreter, or `sysctl kernel.apparmor_restrict_unprivileged_userns=0`",
    ),
)
_CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv", "/run/systemd/container")


def advise(tier: Tier, reason: str) -> str:
    """One line, or nothing where the reason says it all."""
    if "landlock" in reason:
        return _about_landlock(reason)
    if tier is Tier.T0:
        return f"this is Linux {platform.release()} on {platform.machine()}"
    if tier is not Tier.T3 and ("not installed" not in reason):
        return _about_namespaces(reason)
    return ""


def _about_landlock(reason: str) -> str:
    if "EOPNOTSUPP" in reason:
        return "Landlock is switched off: add `landlock` to the kernel parameter `lsm=`, and reboot"
    if "EPERM" in reason:
        return _about_filter("Landlock")
    return (
        "Landlock needs Linux 5.13 or later built with CONFIG_SECURITY_LANDLOCK; "
        f"this is Linux {platform.release()} (gVisor has none)"
    )


def _about_namespaces(reason: str) -> str:
    for setting in _SETTINGS:
        if _read(setting.path) == setting.forbidding:
            return setting.advice
    if not Path("/proc/self/ns/user").exists():
        return f"this kernel has no user namespaces (Linux {platform.release()}, CONFIG_USER_NS)"
    if "ENOSPC" in reason or "No space left" in reason:
        return "too many namespaces at once: raise the limits `sysctl user.max_*_namespaces`"
    return _about_filter("namespaces")


def _about_filter(what: str) -> str:
    """Where no setting is to blame, a container's own confinement mostly is."""
    filtered = "Seccomp:\t2" in (_read("/proc/self/status") or "")
    if any(Path(mark).exists() for mark in _CONTAINER_MARKS):
        means = "its seccomp filter" if filtered else "its privileges"
        return (
            f"this is a container, and {means} may forbid {what}: start it with "
            "`--security-opt seccomp=unconfined` (and `--security-opt apparmor=unconfined` where "
            "AppArmor is on), or use T0"
        )
    if filtered:
        return f"a seccomp filter over this process forbids {what}: it came with what started us"
    return f"this is Linux {platform.release()} on {platform.machine()}"


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None
