"""A slip in a recipe is answered with its place, and with what was meant or what to type."""

from __future__ import annotations

from pathlib import Path

import pytest

from synth.errors import Problem, RecipeError
from synth.recipes.loading import Overrides, load

RECIPE = """\
name: desk
language: ja
description: 図書館：相談、“窓口”の質問＃と「答え」。
seeds: {kind: grid, axes: {話題: [貸出, 返却], 手順: [3]}}
teachers:
  main:
    model: practice-1
    base_url: "practice:"
    sampling: {max_tokens: 1024}
stages:
  - name: write
    generator: {kind: self_instruct, prompt: write.md.j2, count: 6}
    dedupe: {by: instruction}
  - name: answer
    generator: {kind: answer, prompt: answer.md.j2, question: instruction}
    validators: [{kind: finished}, {kind: "checks.py:Desu", at_least: 1}]
    scorers: [{kind: judge}]
selection: {require: {judge: 3}}
"""
CHECKS = """\
from synth.own import OwnValidator


class Desu(OwnValidator):
    at_least: int = 1

    def check(self, sample):
        pass
"""


def problems(folder: Path, old: str = "", new: str = "", overrides: Overrides | None = None) -> tuple[Problem, ...]:
    assert old in RECIPE
    (folder / "recipe.yaml").write_text(RECIPE.replace(old, new, 1) if old else RECIPE, encoding="utf-8")
    (folder / "checks.py").write_text(CHECKS, encoding="utf-8")
    (folder / "write.md.j2").write_text("「{{ 話題 }}」の質問を{{ count }}個。", encoding="utf-8")
    (folder / "answer.md.j2").write_text("{{ instruction }}", encoding="utf-8")
    try:
        load(folder, overrides)
    except RecipeError as error:
        return error.problems
    return ()


def test_japanese_signs_in_a_text_are_no_mistake(tmp_path):
    assert problems(tmp_path) == ()


@pytest.mark.parametrize(
    "text", ["質問 ＃1 に答えて", "質問　＃２への回答", "社内の相談 ＃窓口 の記録", "題は 料理　#基本"]
)
def test_a_number_sign_in_running_text_is_no_comment(tmp_path, text):
    assert problems(tmp_path, "description: 図書館：相談、“窓口”の質問＃と「答え」。", f"description: {text}") == ()


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        (
            "language: ja",
            "language： ja",
            (2, 9),
            "'：' is a full-width colon; type `:` and a blank in its place: lang",
        ),
        ("language: ja", "language:　ja", (2, 10), "U+3000 is a full-width blank; type an ordinary one"),
        ("language: ja", "language: ja　# 日本語", (2, 13), "U+3000 is a full-width blank"),
        ("prompt: answer.md.j2", "prompt: answer.md.j2 ＃回答", (15, 52), "'＃' is a full-width number sign"),
        ("language: ja", "language: ja　", (2, 13), "U+3000 is a full-width blank"),
        ("language: ja", "language: ja ＃日本語", (2, 14), "'＃' is a full-width number sign; type a blank and `#`"),
        ("    model: prac", "　　model: prac", (7, 1), "U+3000 is a full-width blank"),
        ("    model: prac", "\tmodel: prac", (7, 1), "U+0009 is a tab; type blanks"),
        ("language: ja", "\u200blanguage: ja", (2, 1), "U+200B is a sign that is not seen; delete it"),
        ("language: ja", "language:\u00a0ja", (2, 10), "U+00A0 is an unbreakable or wide blank"),
        ('"practice:"', "“practice:”", (8, 15), 'is a curly or full-width quote; type a straight `"`'),
        ('"practice:"', "‘practice:’", (8, 15), "type a straight `'`"),
        ("kind: grid, axes", "kind: grid，axes", (4, 19), "'，' is a full-width comma; type `,` and a blank"),
        ("[貸出, 返却]", "[貸出、返却]", (4, 35), "whole text in straight quotes if it belongs to it: 貸出、返却"),
        ("seeds: {kind", "seeds: ｛kind", (4, 8), "'｛' is a full-width brace; type `{`"),
        ("  - name: answer", "  － name: answer", (14, 3), "'－' is a full-width hyphen; type `-` and a blank"),
        ("[{kind: judge}]", "「{kind: judge}」", (17, 14), "'「' is a Japanese quotation mark"),
        ("{kind: finished}", "{kind：finished}", (16, 23), "'：' is a full-width colon"),
        ('"practice:"', '"practice:', (16, 44), "the quote that opens on line 8 closes here"),
        ("max_tokens: 1024", "max_tokens: １０２４", (9, 16), "write 1024, without quotes"),
        ("max_tokens: 1024", 'max_tokens: "1,024"', (9, 16), "write 1024, without quotes"),
    ],
)
def test_a_sign_that_only_looks_like_yamls_is_named_with_what_to_type(tmp_path, old, new, place, words):
    found = problems(tmp_path, old, new)[0]
    assert words in found.message
    assert (found.line, found.column) == place


def test_the_line_is_quoted_as_it_was_written(tmp_path):
    found = problems(tmp_path, "name: desk", "name： 図書館＆ｶﾅ　窓口")[0]
    assert found.message.endswith(": name： 図書館＆ｶﾅ　窓口")


@pytest.mark.parametrize(
    ("old", "new", "field", "words"),
    [
        ("language: ja", "langauge: ja", "langauge", "did you mean 'language'?"),
        ("max_tokens", "max_token", "teachers.main.sampling.max_token", "did you mean 'max_tokens'?"),
        ("count: 6", "cuont: 6", "stages[0].generator.cuont", "did you mean 'count'?"),
        ("at_least: 1", "at_lest: 1", "stages[1].validators[1].at_lest", "did you mean 'at_least'?"),
        ("kind: judge", "kind: juge", "stages[1].scorers[0]", "did you mean 'judge'?"),
        ("kind: finished", "kind: judge", "stages[1].validators[0]", "it is one of the stage's `scorers`"),
        ("kind: grid", "kind: grind", "seeds", "did you mean 'grid'?"),
        ("kind: finished", "kind: politeness", "stages[1].validators[0]", "a class of your own as file.py:Class"),
        ('"checks.py:Desu"', "checks:Desu", "stages[1].validators[1]", "write 'checks.py:Desu'"),
        ("checks.py:Desu", "checks.py:Desus", "stages[1].validators[1]", "did you mean 'Desu'?"),
        ("checks.py:Desu", "check.py:Desu", "stages[1].validators[1]", "did you mean 'checks.py'?"),
        ("{kind: judge}", '{kind: "checks.py:Desu"}', "stages[1].scorers[0]", "name it in the stage's `validators`"),
        ("count: 6}", "count: 6, dedupe: {by: x}}", "stages[0].generator.dedupe", "it belongs to stages[0]"),
        ("model: p", "temperature: 1\n    model: p", "teachers.main.temperature", "there is one in 'sampling'"),
        ("selection: ", "output: {views: [prompt_complete]}\nselection: ", "output.views[0]", "'prompt-completion'?"),
        ("{judge: 3}", "{juge: 3}", "selection.require.juge", "did you mean 'judge'?"),
        ("{by: instruction}", "{by: instrucion}", "stages[0].dedupe.by", "did you mean 'instruction'?"),
        ("question: inst", "question: insrt", "stages[1].generator.question", "did you mean 'instruction'?"),
        ("language: ja", "language: jp", "language", "write 'ja'"),
        (
            "language: ja",
            "language: 日本語",
            "language",
            "a language is its ISO 639 code, such as ja or en (it is '日本語'",
        ),
        ("name: desk", "name: 図書館", "name", "Latin letters"),
        ("  main:", "  先生:", "teachers.先生", "Latin letters"),
    ],
)
def test_what_was_meant_is_said(tmp_path, old, new, field, words):
    said = {problem.field: problem.message for problem in problems(tmp_path, old, new)}
    assert words in said[field]


def test_a_teacher_on_the_command_line_is_told_which_was_meant(tmp_path):
    (found,) = problems(tmp_path, overrides=Overrides(teachers=("mian=http://localhost:1/v1,m",)))
    assert "did you mean 'main'?" in found.message


def test_a_kind_of_seeds_is_no_class_of_ones_own(tmp_path):
    found = problems(tmp_path, "kind: grid", "kind: 表計算")[0]
    assert found.message.startswith("there is no kind '表計算' here; choose one of jsonl, ")
    assert "Class" not in found.message
