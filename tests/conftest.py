"""What several tests share: a small recipe in a folder of its own, and the synth command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

RECIPE = """\
name: small
language: en
license: cc0-1.0
seeds:
  kind: grid
  axes: {{topic: [shopping, travel, cooking], level: [easy, hard]}}
teachers:
  main:
    model: practice-1
    base_url: "{base_url}"
    {endpoint}
    sampling: {{max_tokens: 800, temperature: 0.7, seed: 1}}
    limits: {{max_in_flight: {in_flight}}}
stages:
  - name: write
    generator: {{kind: self_instruct, prompt: write.md.j2, count: 6}}
    dedupe: {{by: instruction}}
  - name: answer
    draws: 2
    generator: {{kind: answer, prompt: answer.md.j2, question: instruction}}
    validators:
      [{{kind: finished}}, {{kind: refusal}}, {{kind: repetition}}, {{kind: language}}, {{kind: answer_format}}]
    scorers: [{{kind: judge, rubric: judge.md.j2}}]
selection: {{require: {{judge: 4}}, best_of: judge}}
split: {{fractions: {{train: 0.7, test: 0.3}}}}
{more}
"""
TEMPLATES = {
    "write.md.j2": 'Write {{ count }} new exercises about "{{ topic }}" ({{ level }}).\n',
    "answer.md.j2": "{{ instruction }}\n\nLast line: `A: result`.\n",
    "judge.md.j2": (
        "<question>\n{{ question }}\n</question>\n<answer>\n{{ answer }}\n</answer>\n"
        'Give "reason" and "score" (1 to 5) as JSON.\n'
    ),
}

WriteRecipe = Callable[..., Path]
Synth = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def write_recipe(tmp_path: Path) -> WriteRecipe:
    """Write the small recipe with its templates; gives its folder."""

    def write(base_url: str = "practice:", *, in_flight: int = 32, endpoint: str = "", more: str = "") -> Path:
        folder = tmp_path / "recipe"
        folder.mkdir(exist_ok=True)
        text = RECIPE.format(base_url=base_url, in_flight=in_flight, endpoint=endpoint, more=more)
        (folder / "recipe.yaml").write_text(text, encoding="utf-8")
        for name, template in TEMPLATES.items():
            (folder / name).write_text(template, encoding="utf-8")
        return folder

    return write


@pytest.fixture
def synth(tmp_path: Path) -> Synth:
    """Run the synth command as a user would, in a folder of its own."""

    def call(*arguments: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from synth.cli import main; main()", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200", "PYTHONPATH": str(ROOT), **(env or {})},
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )

    return call
