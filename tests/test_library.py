"""The recipes in prompts/: each is a sound recipe that says what it makes, and runs on the practice teacher."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

import synth
from synth.lint.traps import traps_of

PROMPTS = Path(__file__).parent.parent / "prompts"
LIBRARY = sorted(path.name for path in PROMPTS.glob("*-*") if (path / "README.md").is_file())
SEEDS = {"self-instruct": 12, "conversation": 70, "evol-instruct": 15}
"""How many of a recipe's seeds bring 20 rows; all where it is not said."""


def test_every_recipe_of_the_library_is_there_in_both_languages():
    recipes = {name.rpartition("-")[0] for name in LIBRARY}
    assert set(LIBRARY) == {f"{name}-{language}" for name in recipes for language in ("en", "ja")}
    assert recipes >= {"conversation", "evol-instruct", "rewrite", "self-instruct"}


@pytest.mark.parametrize("name", LIBRARY)
def test_its_readme_names_its_source_its_cost_and_its_limits(name):
    readme = (PROMPTS / name / "README.md").read_text(encoding="utf-8")
    assert readme.startswith(f"# {name}\n")
    assert re.search(r"arXiv:\d{4}\.\d{5}", readme)
    assert "1,000" in readme
    assert re.search("Known limits:|限界：", readme)


@pytest.mark.parametrize("name", LIBRARY)
def test_its_templates_are_written_in_its_language(name):
    loaded = synth.load(PROMPTS / name)
    assert loaded.recipe.language == name[-2:]
    for template in (PROMPTS / name).glob("*.j2"):
        assert bool(re.search("[ぁ-ん]{4}", template.read_text(encoding="utf-8"))) == name.endswith("-ja"), template


@pytest.mark.parametrize("name", LIBRARY)
def test_it_runs_to_twenty_rows_on_the_practice_teacher(name, tmp_path):
    limit = SEEDS.get(name.rpartition("-")[0])
    result = synth.run(PROMPTS / name, folder=tmp_path / "run", limit=limit)
    assert result.exit_code == 0, result.message
    rows = [json.loads(line) for line in (tmp_path / "run" / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) >= 20
    turns = [[turn["role"] for turn in row["messages"] if turn["role"] != "system"] for row in rows]
    assert all(roles == ["user", "assistant"] * (len(roles) // 2) and roles for roles in turns)
    assert not any("<draft>" in row["messages"][0]["content"] for row in rows)
    assert Counter(trap for row in rows for trap in traps_of(row)) == {}


@pytest.mark.parametrize("name", [name for name in LIBRARY if (PROMPTS / name / "sample.jsonl").is_file()])
def test_its_sample_is_the_practice_teachers_and_fit_for_training(name):
    text = (PROMPTS / name / "sample.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    assert len(rows) >= 5
    assert {row["teacher"] for row in rows} == {"practice-1"}
    assert set().union(*(traps_of(row) for row in rows)) == set()
    assert re.search("practice teacher|練習用教師", (PROMPTS / name / "README.md").read_text(encoding="utf-8"))
