"""What docs/moving.md says of synth runs as it stands; what it says of others is Python, and is run by tools/moving.py."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import synth

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "moving.md").read_text(encoding="utf-8")
SPEC = importlib.util.spec_from_file_location("moving", ROOT / "tools" / "moving.py")
assert SPEC is not None
assert SPEC.loader is not None
moving = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(moving)
BLOCKS = moving.blocks(PAGE)
SERVER = "http://localhost:8000/v1"


def test_the_page_has_the_same_job_four_times():
    assert BLOCKS.keys() == {"distilabel", "curator", "data-designer", "synth", "stories"}
    for name, code in BLOCKS.items():
        if name != "stories":
            ast.parse(code)
            assert SERVER in code
            assert "practice-1" in code


def test_its_script_answers_every_story(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stories.jsonl").write_text(BLOCKS["stories"], encoding="utf-8")
    code = BLOCKS["synth"].replace(SERVER, "practice:faultless")
    exec(compile(code, "job.py", "exec"), {})
    told = capsys.readouterr().out
    assert [line.split(" ->")[0] for line in told.splitlines()] == ["Aiko", "Oliver", "恵"]
    assert "A: 264" in told


def test_its_recipe_makes_the_same_rows(tmp_path):
    (tmp_path / "recipe.yaml").write_text(PAGE.split("```yaml\n", 1)[1].split("```", 1)[0], encoding="utf-8")
    (tmp_path / "ask.md.j2").write_text(PAGE.split("```jinja\n", 1)[1].split("```", 1)[0], encoding="utf-8")
    (tmp_path / "stories.jsonl").write_text(BLOCKS["stories"], encoding="utf-8")
    teacher = "main=practice:faultless,practice-1"
    result = synth.run(tmp_path, folder=tmp_path / "run", teachers=teacher, quiet=True)
    answers = [row["answer"] for row in result.rows.flat()]
    assert len(answers) + len(result.rejected) == 3
    assert any("A: 264" in answer for answer in answers)
