"""Every fault that a run may meet has a test that plants it, named by its number in `reliability.md` section 6."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent.parent
LAST = 56
"""The last of the faults of transport, answers, money, process and disk; those of inputs and outputs follow it."""


def test_every_fault_up_to_56_has_a_test_of_its_number():
    numbers: set[int] = set()
    for path in TESTS.rglob("test_*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and (
                listed := re.match(r"test_fault_((?:\d\d_(?:and_)?)+)", node.name)
            ):
                numbers.update(map(int, re.findall(r"\d\d", listed[1])))
    assert set(range(1, LAST + 1)) - numbers == set()
