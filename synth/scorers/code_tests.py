"""The code in an answer, run against the tests of its seed."""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from typing import ClassVar, Literal

from pydantic import Field, JsonValue, model_validator

from synth import sandbox
from synth.ask import Ask
from synth.errors import Rejected
from synth.patterns import lazy
from synth.sandbox import Work
from synth.types import Fields, Sample, Score, Value

BLOCK = lazy(r"^[ \t]*(?P<fence>`{3,}+|~{3,}+)[ \t]*+(?P<language>[^\s`]*+)[^\n]*\n(?P<code>.*?)"
                   r"(?:^[ \t]*(?P=fence)[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)  # fmt: skip
PYTHON = ("", "python", "python3", "py")


class CodeTests(Value):
    """1 when the Python code of an answer passes all tests of its seed, else 0, saying which test failed.

    The field `tests` holds Python source, or a list of such, with assertions; where it defines `check(candidate)`, as
    HumanEval's do (Chen et al., arXiv:2107.03374), that is called with what the field `entry_point` names. The code is
    the last fenced block that defines the entry point, else the longest. It runs inside bubblewrap with the standard
    library only; without bubblewrap a recipe with this scorer is refused. `timeout_s` counts the processor's time.
    """

    template_values: ClassVar[dict[str, JsonValue]] = {}

    kind: Literal["code_tests"] = "code_tests"
    name: str = "code_tests"
    tests: str
    entry_point: str = ""
    timeout_s: float = Field(default=5.0, gt=0, le=600)

    @model_validator(mode="after")
    def _can_run(self) -> CodeTests:
        if problem := sandbox.problem():
            raise ValueError(problem)
        return self

    def template_files(self) -> tuple[str, ...]:
        """It renders none."""
        return ()

    async def score(self, sample: Sample, ask: Ask) -> Score:  # noqa: ARG002 (the scorers' common shape)
        """Run them; raises Rejected(`no_reference`) when the seed has no tests, Transient(`sandbox`) as `failure`."""
        tests, entry_point = _tests(sample.fields, self.tests), ""
        if self.entry_point:
            entry_point = str(sample.fields.get(self.entry_point) or "")
        code = code_of(sample.answer(), entry_point)
        if code is None:
            return Score(name=self.name, value=0.0, detail="no Python code in the answer")
        failed = await sandbox.failure(Work(code, tests, entry_point), self.timeout_s)
        return Score(name=self.name, value=float(not failed), detail=failed or f"{len(tests)} passed")


def code_of(text: str, entry_point: str = "") -> str | None:
    """The Python code of an answer: a fenced block, or the whole text where it is nothing else; None without any."""
    found = [match for match in BLOCK.finditer(text) if match["language"].casefold() in PYTHON]
    blocks = [textwrap.dedent(match["code"]) for match in found]  # in a list they are indented
    if not blocks:
        return text if _is_code(text) else None
    defining = re.compile(rf"^(?:async[ \t]+)?(?:def|class)[ \t]+{re.escape(entry_point)}\b", re.MULTILINE)
    fitting = [block for block in blocks if entry_point and defining.search(block)]
    return fitting[-1] if fitting else max(blocks, key=len)


def _is_code(text: str) -> bool:
    try:
        with warnings.catch_warnings(action="ignore"):  # a stray backslash is none of the user's business
            parts = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(not isinstance(part, ast.Expr) for part in parts)  # a single word is an expression


def _tests(fields: Fields, name: str) -> list[str]:
    value = fields.get(name)
    tests = [str(one) for one in value] if isinstance(value, list) else [str(value or "")]
    if not any(test.strip() for test in tests):
        raise Rejected("no_reference", f"the field {name!r} is empty or missing")
    return tests
