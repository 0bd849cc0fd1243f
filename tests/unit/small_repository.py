"""A small repository with a history, made anew for each use: three modules that import each other,
their tests, a test that writes, one that is flaky, one that fails."""

import os
import subprocess
from pathlib import Path

FILES = {
    "pyproject.toml": (
        '[project]\nname = "smallshop"\nversion = "1.0"\n\n'
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n\n'
        "[tool.pytest.ini_options]\naddopts = '-p no:randomly --strict-markers'\n"
        'markers = ["quick"]\n'
    ),
    "src/smallshop/__init__.py": "",
    "src/smallshop/money.py": (
        '"""Amounts."""\n\n\n'
        "def cents(text):\n"
        "    whole, _, part = text.partition('.')\n"
        "    return int(whole) * 100 + int(part or 0)\n\n\n"
        "def shown(amount):\n"
        "    sign = '-' if amount < 0 else ''\n"
        "    amount = abs(amount)\n"
        "    return f'{sign}{amount // 100}.{amount % 100:02d}'\n"
    ),
    "src/smallshop/basket.py": (
        "from smallshop.money import cents\n\n\n"
        "class Basket:\n"
        "    def __init__(self):\n"
        "        self.items = []\n\n"
        "    def add(self, name, price, count=1):\n"
        "        if count < 1:\n"
        "            raise ValueError('count')\n"
        "        self.items.append((name, cents(price), count))\n\n"
        "    def total(self):\n"
        "        total = 0\n"
        "        for _, price, count in self.items:\n"
        "            total += price * count\n"
        "        return total\n"
    ),
    "src/smallshop/rebate.py": (
        "from smallshop.basket import Basket\n\n\n"
        "def rebate(total):\n"
        "    if total >= 10000:\n"
        "        return total // 10\n"
        "    if total >= 5000:\n"
        "        return total // 20\n"
        "    return 0\n\n\n"
        "def payable(basket):\n"
        "    assert isinstance(basket, Basket)\n"
        "    total = basket.total()\n"
        "    return total - rebate(total)\n"
    ),
    "tests/conftest.py": (
        "import pytest\n\nfrom smallshop.basket import Basket\n\n\n"
        "@pytest.fixture\ndef basket():\n    return Basket()\n"
    ),
    "tests/test_money.py": (
        "import pytest\n\nfrom smallshop.money import cents, shown\n\n\n"
        "@pytest.mark.parametrize('text, amount', [('1.50', 150), ('2', 200)])\n"
        "def test_cents(text, amount):\n    assert cents(text) == amount\n\n\n"
        "def test_shown():\n    assert shown(1234) == '12.34'\n    assert shown(-5) == '-0.05'\n"
    ),
    "tests/test_basket.py": (
        "import pytest\n\n\n"
        "def test_total(basket):\n"
        "    basket.add('tea', '2.50', 2)\n    basket.add('cup', '4')\n"
        "    assert basket.total() == 900\n\n\n"
        "def test_count(basket):\n"
        "    with pytest.raises(ValueError):\n        basket.add('tea', '1', 0)\n\n\n"
        "def test_saved(basket, tmp_path):\n"
        "    basket.add('tea', '2.50', 2)\n"
        "    (tmp_path / 'x').write_text(str(basket.total()))\n"
        "    assert (tmp_path / 'x').read_text() == '500'\n"
    ),
    "tests/test_rebate.py": (
        "import unittest\n\nfrom smallshop.basket import Basket\n"
        "from smallshop.rebate import payable, rebate\n\n\n"
        "class RebateTest(unittest.TestCase):\n"
        "    def test_steps(self):\n"
        "        self.assertEqual(rebate(4999), 0)\n"
        "        self.assertEqual(rebate(5000), 250)\n"
        "        self.assertEqual(rebate(10000), 1000)\n\n"
        "    def test_payable(self):\n"
        "        basket = Basket()\n        basket.add('lamp', '100.00')\n"
        "        self.assertEqual(payable(basket), 9000)\n"
    ),
}
ODD_TESTS = {
    "tests/test_odd.py": (
        "import time\n\n\ndef test_flaky():\n    assert time.time_ns() // 1000 % 2\n\n\n"
        "def test_fails():\n    assert 1 == 2\n"
    ),
}


def write(folder: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def commit(folder: Path, message: str) -> None:
    env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    if not (folder / ".git").exists():
        subprocess.run(["git", *who, "init", "-q"], cwd=folder, check=True, env=env)
    for command in (["add", "-A"], ["commit", "-q", "-m", message]):
        subprocess.run(["git", *who, *command], cwd=folder, check=True, env=env)


def checkout(folder: Path) -> Path:
    """With two commits, of which the second mends `rebate` and adds its test's case."""
    old = dict(FILES)
    old["src/smallshop/rebate.py"] = FILES["src/smallshop/rebate.py"].replace(
        "    if total >= 5000:\n        return total // 20\n", ""
    )
    old["tests/test_rebate.py"] = FILES["tests/test_rebate.py"].replace(
        "        self.assertEqual(rebate(5000), 250)\n", ""
    )
    write(folder, old)
    commit(folder, "begin")
    write(folder, FILES)
    commit(folder, "a rebate from 50")
    return folder
