"""Tiers and what stands around them: shells, refusals, advice; other users and container limits."""

import json
import os
import stat
from pathlib import Path

import places
import pytest

from proofloop.core.errors import IsolationError
from proofloop.core.verdict import Tier
from proofloop.sandbox import open_sandbox, shells
from proofloop.sandbox.advice import advise

_SUITE = """
import json, sys
from proofloop.core.errors import IsolationError
from proofloop.core.verdict import Tier
from proofloop.sandbox import open_sandbox
from proofloop.testing.sandbox_suite import sandbox_suite
found = {}
for tier in map(Tier, sys.argv[1:]):
    try:
        sandbox = open_sandbox(tier)
    except IsolationError as e:
        found[tier] = str(e)
        continue
    with sandbox:
        for check in sandbox_suite():
            check(sandbox)
    found[tier] = "passed"
print(json.dumps(found))
"""
_NO_NAMESPACES = (
    "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --no-new-privs "
    '--bounding-set=-all --inh-caps=-all "$@"'
)


def test_all_tiers_as_an_ordinary_user() -> None:
    found = json.loads(places.run_as_ordinary_user(_SUITE, "T0", "T1", "T2"))
    assert found["T0"] == "passed"
    for tier in ("T1", "T2"):
        assert found[tier] == "passed" or "cannot be had" in found[tier], found
        assert "\n" not in found[tier]


def test_without_namespaces_and_capabilities_t0_works_and_more_is_refused() -> None:
    """As within a container of an engine's default profile."""
    prefix = [*places.in_user_namespace(), "sh", "-c", _NO_NAMESPACES, "sh"]
    # Not of workspaces: a superuser who can become no one else is refused them.
    script = _SUITE.replace("sandbox_suite()", "program_suite()").replace(
        "import sandbox_suite", "import program_suite"
    )
    found = json.loads(places.run(prefix, script, "T0", "T1", "T2"))
    assert found["T0"] == "passed"
    for tier in ("T1", "T2"):
        assert found[tier].startswith(f"isolation tier {tier} cannot be had on this machine: ")
        assert "\n" not in found[tier]


def test_without_namespaces_the_doctor_says_why() -> None:
    prefix = [*places.in_user_namespace(), "sh", "-c", _NO_NAMESPACES, "sh"]
    script = (
        "import json; from proofloop.sandbox import probe\n"
        "print(json.dumps({r.tier: [r.available, r.advice] for r in probe()}))"
    )
    found = json.loads(places.run(prefix, script))
    assert found["T0"] == [True, ""]
    assert not found["T1"][0]
    assert "sysctl user.max_user_namespaces" in found["T1"][1]


def test_the_dearer_tiers_are_for_who_asks() -> None:
    with open_sandbox() as sandbox:
        assert sandbox.tier in (Tier.T0, Tier.T1)


@pytest.mark.parametrize("tier", [Tier.T2, Tier.T3])
def test_a_missing_program_is_named(
    tier: Tier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(shells.ENGINE_VARIABLE, raising=False)
    with pytest.raises(IsolationError, match=r"is installed|not installed") as refused:
        open_sandbox(tier)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'Cannot connect to the Docker daemon at x.' >&2; exit 1", "Docker daemon"),
        ("echo 'Error: No such image: proofloop-empty' >&2; exit 125", "import - proofloop-empty"),
        ('test "$1" = image || { echo "OCI runtime error: no" >&2; exit 126; }', "runtime error"),
    ],
    ids=["no daemon", "no image", "no container"],
)  # fmt: skip
def test_an_engine_that_cannot_says_why(
    script: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell script that fails as engines do."""
    engine = tmp_path / "engine"
    engine.write_text(f"#!/bin/sh\n{script}\n")
    engine.chmod(engine.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv(shells.ENGINE_VARIABLE, f"{engine} --runtime=runsc")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with pytest.raises(IsolationError, match=words) as refused:
        open_sandbox(Tier.T3)
    assert "\n" not in str(refused.value)
    assert os.listdir(tmp_path) == ["engine"]


def test_a_container_sees_read_only_files_and_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(shells.ENGINE_VARIABLE, "sh --runtime=runsc")
    monkeypatch.setenv(shells.IMAGE_VARIABLE, "some/image:1")
    command = shells.container({"A": "b"}, ["/usr"], name="n", meeting_folder="/m")
    words = " ".join(command)
    for wanted in (
        "--network none", "--read-only", "--cap-drop ALL", "--security-opt no-new-privileges",
        "--pids-limit", "--user 65534:65534", "--pull never", "--volume /usr:/usr:ro",
    ):  # fmt: skip
        assert wanted in words
    assert command[-2:] == ["--runtime=runsc", "some/image:1"]


def test_advice_goes_by_the_step_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1"}
    monkeypatch.setattr("proofloop.sandbox.advice._read", settings.get)
    assert "AppArmor" in advise(Tier.T1, "mount(private): EACCES (Permission denied)")
    settings.clear()
    settings["/proc/sys/kernel/unprivileged_userns_clone"] = "0"
    assert "unprivileged_userns_clone=1" in advise(Tier.T2, "unshare(NEWUSER): EPERM")
    assert "lsm=" in advise(Tier.T0, "landlock_create_ruleset: EOPNOTSUPP")
    assert "5.13" in advise(Tier.T3, "landlock_create_ruleset: ENOSYS")
    settings.clear()
    assert "max_*_namespaces" in advise(Tier.T1, "unshare(NEWUSER): ENOSPC")
    assert advise(Tier.T2, "bubblewrap is not installed") == ""
