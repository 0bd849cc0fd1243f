"""Which program an answer stands for."""

import pytest

from proofloop.verify.extract import assemble, defines, program_text


@pytest.mark.parametrize(
    ("answer", "program"),
    [
        ("x = 1\n", "x = 1\n"),
        ("    return 1\n", "    return 1\n"),
        ("Say:\n```\na\n```\nor\n```\nb\n```\n", "b\n"),
        ("```python\na\n```\nIt prints\n```\n3\n```\n", "a\n"),
        ("```py\na\n```\n```json\n{}\n```\n", "a\n"),
        ("  ```Python\n  a\n    b\n```", "a\n  b\n"),
        ("- so:\n\t```\n\ta\n\t```\n", "a\n"),
        ("````python\na\n```\nb\n````\n", "a\n```\nb\n"),
        ("```python\r\na\r\n```\r\n", "a\r\n"),
        ("\ufeffa\n", "a\n"),
        ("```python\na\n```\n```python\ncut short", "a\n"),
        ("```python\ncut short", "```python\ncut short"),
        ("", ""),
    ],
)
def test_the_last_complete_python_block_or_else_the_answer(answer: str, program: str) -> None:
    assert program_text(answer) == program


@pytest.mark.parametrize(
    ("answer", "program"),
    [
        ("```\ndef f(): 1\n```\nUse:\n```\nf()\n```\n", "def f(): 1\n"),
        ("```\ndef f(): 1\n```\nNo:\n```\ndef f(): 2\n```\n", "def f(): 2\n"),
        ("```\nf = 1\n```\nand\n```\ng = 2\n```\n", "g = 2\n"),
        ('"""\n```\nf()\n```\n"""\ndef f(): 1\n', '"""\n```\nf()\n```\n"""\ndef f(): 1\n'),
        ("```\n    return 1\n```\n", "    return 1\n"),
        ("```sh\nf=1\n```\n", "```sh\nf=1\n```\n"),
    ],
)
def test_the_block_that_defines_what_is_asked_for(answer: str, program: str) -> None:
    assert program_text(answer, ["f"] if "g = 2" not in answer else ["g"]) == program


def test_functions_that_stand_in_blocks_of_their_own_are_one_program() -> None:
    answer = "```\nf = 1\n```\nand\n```\ng = 2\n```\n"
    assert program_text(answer, ["f", "g"]) == "f = 1\n\ng = 2\n"


@pytest.mark.parametrize("text", ["def f(x):", "async def f(x):", "x\nf = g", "f: int = 3", "f=1"])
def test_lines_that_define(text: str) -> None:
    assert defines(text, "f")


@pytest.mark.parametrize(
    "text", ["  def f(x):", "def ff(x):", "f == 1", "# def f", "f(x)", "g = f"]
)
def test_lines_that_do_not_define(text: str) -> None:
    assert not defines(text, "f")


def test_an_answer_continues_the_prefix_unless_it_defines_every_name() -> None:
    assert assemble("    return 1\n", "def f():\n", ["f"]) == "def f():\n    return 1\n"
    assert assemble("def f(): 1\n", "def f():\n", ["f"]) == "def f(): 1\n"
    assert assemble("def f(): 1\n", "p\n", ["f", "g"]) == "p\ndef f(): 1\n"
    assert assemble("def f(): 1\n", "", ["f", "g"]) == "def f(): 1\n"
    assert assemble(" \n", "def f():\n", ["f"]) is None
    assert assemble("```python\n\n```", "def f():\n", ["f"]) is None
