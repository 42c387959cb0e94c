"""The code of an answer is found, and held against its tests."""

from __future__ import annotations

import ast
import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from synth import sandbox
from synth.errors import RecipeError, Rejected
from synth.live.loop import run_loop
from synth.recipes.loading import load
from synth.scorers.code_tests import CodeTests, code_of
from synth.types import Message, Sample, Score

HUMANEVAL = Path(__file__).parents[3] / "shared" / "data" / "humaneval.jsonl.gz"
needs_sandbox = pytest.mark.skipif(bool(sandbox.problem()), reason=sandbox.problem() or "-")


def sample(answer: str, **fields: Any) -> Sample:
    turns = (Message(role="user", content="問い"), Message(role="assistant", content=answer))
    return Sample(id="0/00/000", seed_id="0", parent_id="0", stage="a", draw=0, messages=turns, fields=fields)


def score(answer: str, **fields: Any) -> Score:
    return run_loop(CodeTests(tests="tests", entry_point="name").score(sample(answer, **fields), None))


@pytest.mark.parametrize(
    ("text", "entry_point", "code"),
    [
        ("Here:\n```python\ndef f(): pass\n```\nDone.", "", "def f(): pass\n"),
        ("次のように書けます。\n```py\ndef f(): pass\n```\n以上です。", "", "def f(): pass\n"),
        ("~~~Python\nx = 1\n~~~", "", "x = 1\n"),
        ("```\nx = 1\n```", "", "x = 1\n"),
        ("```python\nx = 1", "", "x = 1"),
        ("````python\ns = '''\n```\n'''\n````", "", "s = '''\n```\n'''\n"),
        ("```python\nf(1)\n```\n```python\ndef f(x):\n    return x\n```\n```python\nprint(f(1), f(2), f(3), f(4))\n```", "f", "def f(x):\n    return x\n"),
        ("```python\ndef f(x): return 1\n```\nFaster:\n```python\ndef f(x): return 2\n```", "f", "def f(x): return 2\n"),
        ("```python\nx = 1\n```\n```python\ny = 10000\n```", "", "y = 10000\n"),
        ("```bash\npip install x\n```\n```python\nx = 1\n```\n```json\n{\"long\": \"longer than the code\"}\n```", "", "x = 1\n"),
        ("1. 手順\n   ```python\n   def f():\n       return 1\n   ```", "f", "def f():\n    return 1\n"),
        ("def f(x):\n    return x", "f", "def f(x):\n    return x"),
        ("```python\nclass 箱:\n    pass\n```\n```python\nb = 箱()  # 使い方の例、箱を作る\n```", "箱", "class 箱:\n    pass\n"),
        ("I cannot write code.", "f", None), ("わかりません", "f", None), ("42", "", None), ("```bash\nls\n```", "", None), ("", "", None),
        ("'\\d' is an expression", "", None),
    ],
)  # fmt: skip
def test_the_code_is_found(text, entry_point, code):
    assert code_of(text, entry_point) == code


@needs_sandbox
@pytest.mark.parametrize(
    ("tests", "value", "detail"),
    [
        ("assert f(2) == 4", 1.0, "1 passed"),
        (["assert f(2) == 4", "assert f(3) == 6", "assert f('あ') == 'ああ'"], 1.0, "3 passed"),
        (["assert f(2) == 4", "assert f(3) == 9"], 0.0, "test 2 of 2: AssertionError at `assert f(3) == 9`"),
        ("def check(candidate):\n    assert candidate(2) == 4", 1.0, "1 passed"),
        ("def check(candidate):\n    assert candidate(2) == 5, '二倍'", 0.0, "check: AssertionError: 二倍 at `assert candidate(2) == 5, '二倍'`"),
    ],
)  # fmt: skip
def test_all_tests_have_to_pass_and_the_failed_one_is_named(tests, value, detail):
    found = score("```python\ndef f(x):\n    return x * 2\n```", tests=tests, name="f")
    assert (found.name, found.value, found.detail) == ("code_tests", value, detail)


@needs_sandbox
def test_an_answer_without_code_or_with_another_function_fails():
    assert score("わかりません。", tests="assert True", name="f").detail == "no Python code in the answer"
    other = score("```python\ndef g(x): return x\n```", tests="def check(f): f(1)", name="f")
    assert (other.value, other.detail) == (0.0, "check: AttributeError: module 'answer' has no attribute 'f'")


@needs_sandbox
@pytest.mark.parametrize("tests", [None, "", " ", [], [""]])
def test_a_seed_without_tests_is_refused_not_scored(tests):
    with pytest.raises(Rejected, match="no_reference"):
        score("```python\nx = 1\n```", tests=tests)


RECIPE = """\
name: code
language: ja
seeds: {kind: jsonl, path: seeds.jsonl}
teachers: {main: {model: m, base_url: "http://localhost:8000/v1"}}
stages:
  - name: answer
    generator: {kind: answer, prompt: ask.md.j2}
    scorers:
      - {kind: code_tests, tests: TESTS}
"""


def recipe(folder: Path, tests: str) -> Path:
    (folder / "recipe.yaml").write_text(RECIPE.replace("TESTS", tests), encoding="utf-8")
    (folder / "seeds.jsonl").write_text('{"q": "二倍にする関数", "tests": "assert f(1) == 2"}\n', encoding="utf-8")
    (folder / "ask.md.j2").write_text("{{ q }}", encoding="utf-8")
    return folder


def test_without_the_sandbox_a_recipe_is_refused_with_its_place(tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox, "problem", lambda: sandbox.MISSING)
    with pytest.raises(RecipeError) as caught:
        load(recipe(tmp_path, "tests"))
    (problem,) = caught.value.problems
    assert (problem.line, problem.field) == (9, "stages[0].scorers[0]")
    assert problem.message == sandbox.MISSING


@needs_sandbox
def test_tests_that_no_seed_holds_are_found_before_the_run(tmp_path):
    with pytest.raises(RecipeError, match="there is no field 'test'"):
        load(recipe(tmp_path, "test"))
    assert load(recipe(tmp_path, "tests"))


class Mutant(ast.NodeTransformer):
    """A program whose every function gives back something else."""

    def visit_Return(self, node: ast.Return) -> ast.Return:
        wrong = ast.Tuple([node.value or ast.Constant(None), ast.Constant("違う")], ast.Load())
        return ast.copy_location(ast.Return(wrong), node)


@needs_sandbox
@pytest.mark.skipif(not HUMANEVAL.is_file(), reason="../shared/data is not there")
def test_of_humaneval_the_solutions_pass_and_mutants_fail():
    with gzip.open(HUMANEVAL, "rt", encoding="utf-8") as file:
        problems = [json.loads(line) for line in file]
    scorer = CodeTests(tests="test", entry_point="entry_point")

    async def values(codes: list[str]) -> list[float]:
        answers = [f"次の関数です。\n```python\n{code}\n```\n説明は以上です。" for code in codes]
        samples = [sample(answer, **problem) for answer, problem in zip(answers, problems, strict=True)]
        return [found.value for found in await asyncio.gather(*(scorer.score(one, None) for one in samples))]

    right = [problem["prompt"] + problem["canonical_solution"] for problem in problems]
    wrong = [ast.unparse(Mutant().visit(ast.parse(code))) for code in right]
    assert run_loop(values(right)) == [1.0] * 164
    assert run_loop(values(wrong)) == [0.0] * 164


@pytest.mark.parametrize("sign", ["~", " "])
def test_a_loop_of_fences_does_not_hold_the_search_for_code_up(sign):
    # a search that grows with the cube of the text would meet the test's own timeout
    assert code_of("~~~" + sign * (100_000 // len(sign))) is None
