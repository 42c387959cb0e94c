"""What seeds and teachers ask, held against the licence of the result."""

from __future__ import annotations

import re

import pytest

from synth.errors import RecipeError
from synth.recipes.loading import Overrides, load
from synth.rights import licences, terms

RECIPE = """\
name: example
language: ja
{LICENCE}
accept_terms: [exaone]
seeds: {kind: jsonl, path: seeds.jsonl{SEEDS}}
teachers: {main: {model: MODEL, base_url: "replay:replies.jsonl"}}
stages:
  - name: answer
    generator: {kind: answer, prompt: ask.md.j2}
"""


def loaded(tmp_path, *, chosen="", seeds="", model="Qwen/Qwen3-8B", overrides=None):
    text = RECIPE.replace("{LICENCE}", f"license: {chosen}" if chosen else "").replace("MODEL", model)
    text = text.replace("{SEEDS}", f", license: {seeds}" if seeds else "")
    (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "ask.md.j2").write_text("{{ q }}", encoding="utf-8")
    (tmp_path / "seeds.jsonl").write_text('{"q": "消費税とは"}\n', encoding="utf-8")
    (tmp_path / "replies.jsonl").write_text("", encoding="utf-8")
    return load(tmp_path, overrides)


@pytest.mark.parametrize(
    ("chosen", "seeds"),
    [
        ("apache-2.0", "cc-by-nc-4.0"),
        ("cc-by-4.0", "cc-by-nc-sa-3.0"),
        ("cc-by-nc-4.0", "cc-by-nc-sa-4.0"),
        ("mit", "cc-by-sa-4.0"),
        ("cc-by-4.0", "odbl"),
        ("cc-by-nc-nd-4.0", "cc-by-nd-4.0"),
        ("cc0-1.0", "cc-by-4.0"),
        ("cc0-1.0", "mit"),
        ("cc-by-sa-3.0", "cc-by-sa-4.0"),
        ("apache-2.0", "CC BY-NC 4.0"),
    ],
)
def test_a_licence_that_does_not_carry_what_the_seeds_ask_is_refused_with_source_and_date(tmp_path, chosen, seeds):
    with pytest.raises(RecipeError) as caught:
        loaded(tmp_path, chosen=chosen, seeds=seeds)
    (problem,) = caught.value.problems
    assert problem.field == "license"
    assert problem.line == 3
    assert f"{chosen} cannot stand over the seeds ({seeds})" in problem.message
    assert re.search(
        r"as reported on 2026-11-29: https://creativecommons\.org|https://www\.apache\.org", problem.message
    )


@pytest.mark.parametrize(
    ("chosen", "seeds"),
    [
        ("cc-by-nc-4.0", "cc-by-nc-4.0"),
        ("cc-by-4.0", "cc-by-4.0"),
        ("apache-2.0", "cc-by-4.0"),
        ("apache-2.0", "cc0-1.0"),
        ("cc-by-sa-4.0", "cc-by-sa-3.0"),
        ("cc-by-nc-sa-4.0", "cc-by-nc-4.0"),
        ("other", "cc-by-nc-4.0"),  # nobody here knows what it says
        ("apache-2.0", "openrail"),
        ("apache-2.0", ""),
        ("", "cc-by-nc-4.0"),
    ],
)
def test_a_licence_that_carries_it_or_is_not_known_is_the_users_word(tmp_path, chosen, seeds):
    assert loaded(tmp_path, chosen=chosen, seeds=seeds).recipe.license == (chosen or None)


@pytest.mark.parametrize(
    ("chosen", "model", "named"),
    [
        ("apache-2.0", "LGAI-EXAONE/EXAONE-4.0-32B", "exaone"),
        ("cc-by-4.0", "google/gemma-3-27b-it", "gemma-1"),
        ("cc-by-nc-4.0", "deepseek-ai/DeepSeek-V2", "deepseek-licence-1"),
    ],
)
def test_a_licence_that_does_not_carry_what_a_teachers_terms_ask_is_refused(tmp_path, chosen, model, named):
    with pytest.raises(RecipeError) as caught:
        loaded(tmp_path, chosen=chosen, model=model)
    (problem,) = caught.value.problems
    assert f"{chosen} cannot stand over the teacher 'main' ({named})" in problem.message
    (one,) = [one for one in terms.every() if one.id == named]
    assert one.source in problem.message
    assert str(one.read) in problem.message


def test_a_licence_that_fits_what_a_teachers_terms_ask_is_taken(tmp_path):
    assert loaded(tmp_path, chosen="cc-by-nc-4.0", model="LGAI-EXAONE/EXAONE-4.0-32B").recipe.license
    assert loaded(tmp_path, chosen="other", model="google/gemma-3-27b-it").recipe.license
    assert loaded(tmp_path, chosen="apache-2.0", model="meta-llama/Llama-3.3-70B-Instruct").recipe.license


def test_where_nothing_is_made_licences_are_in_no_question(tmp_path):
    assert loaded(tmp_path, chosen="mit", seeds="cc-by-nc-4.0", overrides=Overrides(makes=False)).recipe


def test_every_licence_names_its_source_and_says_the_same_in_both_languages():
    for one in licences.every():
        assert one.source.startswith("https://")
        assert any("ぁ" <= sign <= "ん" for sign in one.ja.says)
        assert not re.search(r"\b(?:legal|lawful|合法)\b", one.says + one.ja.says)
