"""A pydantic model in a file beside the recipe: it says what is written, shown and checked, and what is wrong with one."""

from __future__ import annotations

import json

import pytest

import synth as package
from synth.errors import RecipeError
from synth.recipes.classes import model_of, schema_of

MODELS = """\
from __future__ import annotations

from enum import Enum
from typing import Callable

from pydantic import BaseModel, ConfigDict, Field


class Kind(str, Enum):
    gift = "贈り物"
    own = "自分用"


class Item(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: str = Field(description="品名")
    count: int = Field(ge=1)


class Order(BaseModel):
    \"\"\"注文\"\"\"

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    items: list[Item]
    note: str | None = None


class Odd(BaseModel):
    call: Callable[[int], int]


class NoModel:
    pass
"""
RECIPE = """\
name: orders
language: ja
seeds: {kind: grid, axes: {題: [本, 茶]}}
teachers: {main: {model: practice-1, base_url: "practice:faultless"}}
stages:
  - name: write
    generator: {kind: objects, prompt: write.md.j2, fields: {text: text, expected: "models.py:Order"}, count: 1}
    validators: []
  - name: read
    generator: {kind: answer, prompt: read.md.j2, question: text}
    validators: [{kind: json_schema, shape: "models.py:Order"}]
"""
FITS = {"kind": "贈り物", "items": [{"title": "本", "count": 2}], "note": None}


@pytest.fixture
def write(tmp_path):
    def written(text=RECIPE, models=MODELS):
        folder = tmp_path / "recipe"
        folder.mkdir(exist_ok=True)
        (folder / "recipe.yaml").write_text(text, encoding="utf-8")
        (folder / "models.py").write_text(models, encoding="utf-8")
        (folder / "write.md.j2").write_text("{{ 題 }}を{{ count }}件。\n{{ 'models.py:Order' | schema }}", "utf-8")
        (folder / "read.md.j2").write_text("{{ text }}、{{ expected.kind }}、{{ expected | tojson }}", "utf-8")
        return folder

    return written


def test_the_schema_is_the_same_where_it_is_asked_for_shown_and_checked_and_has_no_titles(write):
    loaded = package.load(write())
    shown = loaded.templates.render("write.md.j2", {"題": "本", "count": 1}).partition("\n")[2]
    (check,) = loaded.recipe.stages[1].validators
    assert json.loads(shown) == check.shape == loaded.recipe.stages[0].generator.model_dump()["fields"]["expected"]
    assert {*check.shape["$defs"]["Item"]["properties"]} == {"title", "count"}
    assert "title" not in check.shape
    assert "title" not in check.shape["$defs"]["Item"]
    asked = loaded.recipe.stages[0].generator.asks.model_json_schema()["$defs"]
    assert asked["Kind"]["enum"] == ["贈り物", "自分用"]
    assert "品名" in shown


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, ""),
        ({"kind": "売り物"}, "schema_mismatch"),
        ({"items": [{"title": "本", "count": 0}]}, "schema_mismatch"),
        ({"宛名": "私"}, "schema_mismatch"),
    ],
)
def test_an_answer_is_held_against_the_model(write, synth, tmp_path, change, reason):
    write()
    turns = [("user", "?"), ("assistant", json.dumps({**FITS, **change}, ensure_ascii=False))]
    row = {"messages": [{"role": role, "content": content} for role, content in turns]}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row, ensure_ascii=False), encoding="utf-8")
    check = '{kind: json_schema, shape: "recipe/models.py:Order"}'
    said = synth("validate", "rows.jsonl", "--check", check, "--json")
    assert json.loads(said.stdout)["removed"] == ({reason: 1} if reason else {}), said.stderr


def test_a_change_of_the_schema_is_told_before_a_run_goes_on_and_one_of_the_rest_of_the_file_is_none(write, tmp_path):
    assert package.run(write(), folder=tmp_path / "run").exit_code == 0
    same = MODELS.replace("class NoModel", "# 注\nclass NoModel").replace("from typing import Callable\n", "")
    same = same.replace("call: Callable[[int], int]", "call: int")
    assert package.run(write(models=same), folder=tmp_path / "run").exit_code == 0
    with pytest.raises(RecipeError, match=r"model models\.py:Order, line \d+: .*自分用.*自家用"):
        package.run(write(models=MODELS.replace("自分用", "自家用")), folder=tmp_path / "run")


@pytest.mark.parametrize(
    ("named", "models", "says"),
    [
        ("models.py:Odrer", MODELS, r"models\.py has no class 'Odrer'; did you mean 'Order'\?"),
        ("models.py:注文", MODELS, r"'models\.py:注文' names no class; write file\.py:Class"),
        ("models.py:Zebra", MODELS, r"there is Item, Order, Odd"),
        (
            "models.py:NoModel",
            MODELS,
            r"NoModel in models\.py is no pydantic model; write `class NoModel\(BaseModel\):`",
        ),
        ("models.py:Odd", MODELS, r"Odd in models\.py holds what JSON cannot"),
        ("nonesuch.py:Order", MODELS, r"nonesuch\.py cannot be read \(No such file or directory\)"),
        ("../models.py:Order", MODELS, r"must lie in the recipe's folder"),
        ("models.py:Order", "import os\n\n1 / 0\n", r"models\.py, line 3: ZeroDivisionError"),
        ("models.py:Order", "class 注文(:\n", r"models\.py, line 1: invalid syntax"),
        ("models.py:Order", "x = 1\n", r"has no class 'Order'; there is no model"),
    ],
)
@pytest.mark.parametrize("place", ['expected: "models.py:Order"', 'shape: "models.py:Order"'])
def test_what_is_wrong_with_a_model_is_one_sentence_at_its_place(write, place, named, models, says):
    text = RECIPE.replace(place, place.replace("models.py:Order", named))
    with pytest.raises(RecipeError, match=says) as caught:
        package.load(write(text, models))
    assert any(problem.line in (7, 11) for problem in caught.value.problems)
    assert "Traceback" not in str(caught.value)


def test_a_template_that_shows_a_model_which_is_not_there_is_told_with_its_line(write):
    folder = write()
    (folder / "write.md.j2").write_text("一\n{{ 'models.py:Odrer' | schema }}", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"did you mean 'Order'\?") as caught:
        package.load(folder)
    assert {(problem.file[-11:], problem.line) for problem in caught.value.problems} == {("write.md.j2", 2)}


def test_a_model_that_holds_itself_has_a_schema(tmp_path):
    text = (
        "from __future__ import annotations\nfrom pydantic import BaseModel\n\n\nclass 木(BaseModel):\n    pass\n\n\n"
    )
    text += "class Tree(BaseModel):\n    left: Tree | None = None\n"
    (tmp_path / "m.py").write_text(text, encoding="utf-8")
    assert "$defs" in schema_of(model_of("m.py:Tree", tmp_path))
