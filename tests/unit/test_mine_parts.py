"""The parts of mining that run nothing: where things are found, what is changed, what is said."""

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_repository import FILES, write

from proofloop.core.errors import DataError, UserError
from proofloop.envs.harbor import HarborEnvironment
from proofloop.envs.mined_set import from_ranges, in_ranges
from proofloop.mine.baseline import Baseline
from proofloop.mine.changes import Edit, Single, changed, in_turns, parses, singles_of
from proofloop.mine.config import Kind, MineConfig
from proofloop.mine.history import _common
from proofloop.mine.joins import draw, import_depths, in_order
from proofloop.mine.pipeline import check
from proofloop.mine.portions import Portion, joined, portions_of
from proofloop.mine.repository import read_repository
from proofloop.mine.runner import More, Told
from proofloop.mine.statement import Secrets, by_template
from proofloop.verify.projects.claims import Failure
from proofloop.verify.projects.twins import apply, twins_of

SOURCE = b'''"""A module."""
LIMIT = 3


def grow(values, by=1):
    """Doc."""
    found = []
    for value in values:
        if value > LIMIT and by:
            found.append(value + by)
        else:
            raise ValueError("too small")
    return f"{len(found) + 1}", found[2:]


@staticmethod
def unreached(x):
    return x + 1
'''


def baseline(**functions: tuple[int, ...]) -> Baseline:
    lines = {node.name: node.lineno for node in ast.walk(ast.parse(SOURCE))
             if isinstance(node, ast.FunctionDef)}  # fmt: skip
    return Baseline(
        modules=(),
        preload=(),
        functions={f"m.py:{lines[name]}": tests for name, tests in functions.items()},
        loading=frozenset(),
        lines={"m.py": frozenset(range(1, 30))},
        notes=(),
    )


def singles() -> list[Single]:
    kinds = (Kind.BUG, Kind.BODY)
    return list(singles_of("m.py", SOURCE, baseline(grow=(4, 7)), (1, 2, 3, 4), kinds))


def test_changes_are_small_edits_of_what_tests_reach() -> None:
    found = singles()
    texts = [changed({"m.py": SOURCE}, single.edits)["m.py"] for single in found]
    assert all(map(parses, texts))
    assert len(set(texts)) == len(texts) == len({single.id for single in found})
    assert all(single.tests == (4, 7) and single.function == "grow" for single in found)
    assert all(b"return x + 1" in text and b"LIMIT = 3" in text for text in texts)
    assert all(b'"too small"' in text or b"raise" not in text or b"NotImpl" in text
               for text in texts)  # fmt: skip
    assert any(b"if not (value > LIMIT and by):" in text for text in texts)
    assert any(b"value >= LIMIT" in text for text in texts)
    body = next(single for single in found if single.kind is Kind.BODY)
    text = changed({"m.py": SOURCE}, body.edits)["m.py"]
    assert b'"""Doc."""\n    raise NotImplementedError\n' in text
    assert {single.complexity for single in found} == {1, 2, 3, 4, 5}


def test_what_runs_while_a_module_loads_is_left_alone() -> None:
    known = baseline(grow=(4,))
    import msgspec

    loaded = msgspec.structs.replace(known, loading=frozenset(known.functions))
    assert list(singles_of("m.py", SOURCE, loaded, (1, 2, 3, 4), (Kind.BUG,))) == []
    assert list(singles_of("m.py", b"def f(:\n", known, (1,), (Kind.BUG,))) == []


def test_the_order_is_a_seeds_and_spreads_over_complexities() -> None:
    found = singles()
    assert in_turns(found, 1) == in_turns(list(found), 1)
    assert in_turns(found, 1) != in_turns(found, 2)
    assert {single.complexity for single in in_turns(found, 1)[:5]} == {1, 2, 3, 4, 5}


def single(path: str, at: int, function: str) -> Single:
    edit = Edit(at, at + 1, "x")
    return Single(kind=Kind.BUG, operator="return", complexity=3, edits={path: (edit,)},
                  tests=(0,), function=function)  # fmt: skip


def test_joins_take_as_many_files_as_there_are() -> None:
    pool = [single(f"{name}.py", at, f"f{at}") for name in "abc" for at in range(4)]
    three = draw(pool, 3, "s")
    assert three is not None
    assert len({path for s in three for path in s.edits}) == 3
    assert draw(pool, 3, "s") == three
    five = draw(pool, 5, "s")
    assert five is not None
    assert len({(path, s.function) for s in five for path in s.edits}) == 5
    assert draw(pool[:1], 2, "s") is None


def test_steps_stand_in_the_order_of_imports() -> None:
    files = {path: text.encode() for path, text in FILES.items()}
    sources = [path for path in FILES if path.startswith("src/")]
    depths = import_depths(files, sources)
    names = ("rebate", "basket", "money")
    paths = [f"src/smallshop/{name}.py" for name in names]
    assert in_order(paths, depths) == tuple(reversed(paths))
    cycle = {"p/a.py": b"import p.b", "p/b.py": b"from p import a", "p/__init__.py": b""}
    assert set(import_depths(cycle, list(cycle))) == set(cycle)


@given(st.sets(st.integers(0, 60)))
def test_ranges_say_what_they_were_made_of(numbers: set[int]) -> None:
    assert from_ranges(in_ranges(numbers)) == sorted(numbers)


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_how_long_two_texts_are_the_same(a: bytes, b: bytes) -> None:
    n = _common(a, b)
    assert a[:n] == b[:n]
    assert n == min(len(a), len(b)) or a[n] != b[n]


ERRORS = {
    "tests/test_parse_util.py::TestURL::test_query_args[a=1]": ("ValueError", "bad text 'q'\nmore"),
    "tests/test_parse_util.py::test_plain": ("AssertionError", "assert 1 == 2"),
}


def test_a_statement_tells_behaviour_and_no_values() -> None:
    text = by_template("shop", 1, ERRORS, Secrets([], [], []))
    assert text is not None
    assert "- parse util: url: query args (case `a=1`) raises `ValueError`: bad text 'q'" in text
    assert "- parse util: plain gives a wrong result" in text
    assert "assert 1" not in text
    assert "2 separate causes" in (by_template("shop", 2, ERRORS, Secrets([], [], [])) or "")


def test_a_statement_is_scanned_for_leaks() -> None:
    secrets = Secrets(["    return total // 20"], ["assert add(1, 2) == 3"], ["src/shop/a.py"])
    assert secrets.leak("it should return total//20 here")
    assert secrets.leak("see  assert add(1,2)==3")
    assert secrets.leak("look in src/shop/a.py")
    assert secrets.leak("the total is wrong") is None
    said = {"t.py::test_x": ("ValueError", "return total // 20")}
    assert "total // 20" not in (by_template("shop", 1, said, secrets) or "")


def test_a_repository_is_read_as_pytest_would(tmp_path: Path) -> None:
    found = read_repository(write(tmp_path / "r", FILES), (), ())
    assert found.name == "smallshop"
    assert found.modules == ("tests/test_basket.py", "tests/test_money.py", "tests/test_rebate.py")
    assert found.packages == ("src/smallshop",)
    assert found.allowed == ("src/smallshop/**",)
    assert found.import_paths == ("src", "tests")
    assert "quick" in found.ini
    assert "addopts" not in found.ini
    only = read_repository(tmp_path / "r", ("tests/test_m*",), ())
    assert only.modules == ("tests/test_money.py",)
    with pytest.raises(UserError, match=r"mine\.tests"):
        read_repository(tmp_path / "r", ("nothing/**",), ())
    with pytest.raises(UserError, match="no such directory"):
        read_repository(tmp_path / "none", (), ())


def test_the_projects_own_choice_of_tests_holds(tmp_path: Path) -> None:
    settings = (
        "[tool.pytest.ini_options]\ntestpaths = ['tests']\n"
        "addopts = '-ra -n 4 -m \"not slow\" --ignore=tests/test_basket.py'\n"
    )
    files = {
        **FILES,
        "pyproject.toml": FILES["pyproject.toml"].partition("[tool.")[0] + settings,
        "src/smallshop/tests.py": "def test_odd(value):\n    return value % 2 == 1\n",
        "examples/test_example.py": "def test_it():\n    assert True\n",
    }
    found = read_repository(write(tmp_path / "r", files), (), ())
    assert found.modules == ("tests/test_money.py", "tests/test_rebate.py")
    assert "src/smallshop/tests.py" in found.sources  # named like tests, and one of the project's
    assert "addopts = -m 'not slow'\n" in found.ini
    only = read_repository(tmp_path / "r", ("examples/**",), ())
    assert only.modules == ("examples/test_example.py",)
    native = {**files, "pyproject.toml": "[tool.pytest]\naddopts = ['-m', 'not slow']\n"}
    assert read_repository(write(tmp_path / "n", native), (), ()).ini == found.ini
    django = {"shop/__init__.py": "", "shop/tests.py": "def test_it():\n    assert True\n"}
    assert read_repository(write(tmp_path / "d", django), (), ()).modules == ("shop/tests.py",)


def task_folder(folder: Path, **files: str) -> Path:
    whole = {
        "task.toml": 'schema_version = "1.4"\n[task]\nname = "other/one"\n',
        "instruction.md": "Do it.\n",
        "environment/Dockerfile": "FROM ubuntu\n",
        "tests/test.sh": "echo 1 > /logs/verifier/reward.txt\n",
    }
    return write(folder, {path: text for path, text in (whole | files).items() if text})


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({}, r"tests/test\.sh: judges other/one in a container \(environment/Dockerfile\)"),
        ({"task.toml": "schema_version = '9'\n"}, r"task\.toml: schema 9"),
        ({"task.toml": "=\n"}, r"task\.toml: cannot be read"),
        ({"task.toml": "[[steps]]\nname = 'a'\n"}, "several steps"),
        ({"instruction.md": ""}, r"instruction\.md: no such file"),
        ({"environment/Dockerfile": ""}, r"Dockerfile: no such file, and task\.toml names no"),
    ],
)
def test_foreign_harbor_tasks_are_read_and_told_of(
    files: dict[str, str], told: str, tmp_path: Path
) -> None:
    one = task_folder(tmp_path / "set" / "one", **files)
    for folder in (one, one.parent):
        with pytest.raises(DataError, match=told):
            HarborEnvironment(folder)


def test_rows_of_other_makers_are_told_of(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("{}\n")
    with pytest.raises(DataError, match=r"proofloop mine CHECKOUT --set mine\.rows"):
        HarborEnvironment(rows)


@pytest.mark.parametrize(
    "config",
    [
        MineConfig(max_tasks=0),
        MineConfig(horizon=(0, 1)),
        MineConfig(complexity=(9,)),
        MineConfig(kinds=()),
    ],
)
def test_settings_without_sense_are_refused(config: MineConfig) -> None:
    with pytest.raises(UserError, match="mine"):
        check(config)


def test_a_twin_goes_above_a_decorated_first_statement() -> None:
    source = b"def test_it():\n    @wrap\n    def f():\n        return 1\n    return\n"
    for edit in twins_of(source)["test_it"].twins:
        ast.parse(apply(source, [edit]))


def test_portions_of_different_lists_tell_nothing() -> None:
    more = More(said={}, seconds={}, loaded=())
    one, other = (
        Told(collected=(name,), outcomes=(), collection_error="", status=0, more=more)
        for name in ("t.py::test[1]", "t.py::test[2]")
    )
    assert isinstance(joined([one, other]), Failure)
    assert joined([one, one]) == one


def test_only_large_modules_are_cut_and_none_beyond_a_fair_part() -> None:
    assert portions_of({"a": 900_000, "b": 90_000, "c": 10_000}, 4) == [
        *(Portion("a", first, 4) for first in range(4)),
        Portion("b"),
        Portion("c"),
    ]
    assert portions_of({"a": 9_000}, 4) == [Portion("a")]
    assert len(portions_of({f"t{i}": 50_000 for i in range(8)}, 4)) == 8
