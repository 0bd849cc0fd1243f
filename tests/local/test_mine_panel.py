"""The panel finds what a cheat finds: an installed copy of the project, tests that a flipped report
passes.  And statements worded by a server."""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest
from small_repository import FILES, write

from proofloop.core.errors import UserError
from proofloop.core.project import ProjectTests
from proofloop.envs.harbor import HarborEnvironment, project_tests
from proofloop.mine.config import Kind, MineConfig
from proofloop.mine.panel import admit, without_twins
from proofloop.mine.pipeline import mine
from proofloop.mine.statement import Secrets, by_model
from proofloop.sandbox import ForkServerSandbox, open_sandbox
from proofloop.verify.projects.interpreter import interpreter


def with_twin(folder: Path) -> Path:
    """An environment with pytest, in which the project is installed; its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = (folder / "lib").glob("python*/site-packages")
    for name in ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments"):
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        shutil.copytree(Path(spec.origin).parent, site / name)
    shutil.copy(Path(pytest.__file__).parents[1] / "py.py", site)
    for path, text in FILES.items():
        if path.startswith("src/"):
            write(site, {path.removeprefix("src/"): text})
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`twin/`: an environment with the project in it; `set/`: mined with that one."""
    folder = tmp_path_factory.mktemp("panel")
    python = with_twin(folder / "twin")
    config = MineConfig(max_tasks=1, workers=1, kinds=(Kind.BODY,))
    mine(write(folder / "repository", FILES), folder / "set", config, python=str(python))
    return folder


@pytest.fixture(scope="module")
def sandbox() -> Iterator[ForkServerSandbox]:
    with open_sandbox() as opened:
        yield opened


def only_task(place: Path) -> tuple[ProjectTests, str, dict[str, bytes]]:
    environment = HarborEnvironment(place / "set")
    task = environment.rows[0].task
    tests = project_tests(environment.set, task)
    right = {f.path: (place / "set" / "repo" / f.path).read_bytes() for f in tests.changed}
    return tests, f"```diff\n{task.oracle}```\n", right


def test_an_installed_copy_is_left_out_of_the_environment(
    place: Path, sandbox: ForkServerSandbox
) -> None:
    assert not list((place / "set" / "environment").rglob("smallshop"))
    assert admit(sandbox, *only_task(place)).refused == ()


def test_with_an_installed_copy_the_task_is_refused(
    place: Path, sandbox: ForkServerSandbox
) -> None:
    tests, oracle, right = only_task(place)
    leaky = msgspec.structs.replace(tests, python=str(place / "twin" / "bin" / "python"))
    refused = admit(sandbox, leaky, oracle, right).refused
    assert [why.partition(":")[0] for why in refused] == ["G-search"]


def test_packages_of_the_interpreter_below_are_hidden(place: Path) -> None:
    """A copy of the project may be among them, as it was found to be with jinja2."""
    found = interpreter(str(place / "twin" / "bin" / "python"))
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    below = Path(sys.base_prefix, "lib", version, "site-packages").resolve()
    assert str(below) in found.hidden
    assert not set(found.hidden) & set(found.site_paths)


def test_without_perturbed_tests_a_flipped_report_would_pass(
    place: Path, sandbox: ForkServerSandbox
) -> None:
    tests, oracle, right = only_task(place)
    bare = without_twins(tests, [test.node_id for test in tests.planned])
    refused = {why.partition(":")[0] for why in admit(sandbox, bare, oracle, right).refused}
    assert "D6-reports" in refused
    assert not refused & {"oracle", "no-op", "G-search", "C2-exit"}


def test_a_task_that_is_no_task_is_refused(place: Path, sandbox: ForkServerSandbox) -> None:
    tests, oracle, right = only_task(place)
    whole = tuple(msgspec.structs.replace(f, content=right[f.path]) for f in tests.changed)
    solved = msgspec.structs.replace(tests, changed=whole)
    refused = [why.partition(":")[0] for why in admit(sandbox, solved, oracle, right).refused]
    assert "no-op" in refused
    broken = {file.path: file.content for file in tests.changed}
    refused = [why.partition(":")[0] for why in admit(sandbox, tests, "", broken).refused]
    assert refused == ["oracle"]


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """Its address, and the answers that it is going to give."""
    answers: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps({"choices": [{"message": {"content": answers.pop(0)}}]}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}/v1", answers
        http.shutdown()


def test_a_server_words_the_statement_unless_it_tells_too_much(
    server: tuple[str, list[str]],
) -> None:
    address, answers = server
    secrets = Secrets(["return total // 20"], [], ["src/smallshop/rebate.py"])
    answers += ["The rebate of large orders is wrong.", "Mend src/smallshop/rebate.py, please."]
    told = by_model(address, "m", "draft\n", secrets)
    assert told == "The rebate of large orders is wrong.\n"
    assert by_model(address, "m", "draft\n", secrets) == "draft\n"
    with pytest.raises(UserError, match=r"mine\.endpoint"):
        by_model("http://127.0.0.1:9/v1", "m", "draft\n", secrets)
