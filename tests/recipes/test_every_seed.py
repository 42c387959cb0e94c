"""`synth check` renders the templates with every seed, and names the first that nothing can be made of by its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synth.console.checking import check
from synth.errors import RecipeError
from synth.recipes import every_seed
from synth.recipes.loading import load

RECIPE = """\
name: desk
language: ja
seeds: {seeds}
teachers: {{main: {{model: practice-1, base_url: "practice:"}}}}
stages:
  - name: write
    generator: {{kind: self_instruct, prompt: write.md.j2}}
  - name: answer
    generator: {{kind: answer, prompt: answer.md.j2, question: instruction}}
    scorers: [{{kind: exact_answer, reference: 正解}}]
"""
SEED = {"話題": "貸出", "手順": "三つ", "正解": "二週間"}


def recipe(folder: Path, seeds: str, text: str) -> Path:
    (folder / "recipe.yaml").write_text(RECIPE.format(seeds=seeds), encoding="utf-8")
    (folder / "write.md.j2").write_text("「{{ 話題 }}」の質問を{{ count }}個。", encoding="utf-8")
    (folder / "answer.md.j2").write_text("{{ instruction }}\n\n{{ 手順 }}の手順で。\n", encoding="utf-8")
    (folder / seeds.split("path: ")[1].split(",")[0].rstrip("}")).write_text(text, encoding="utf-8")
    return folder


def lines(*changes: dict) -> str:
    """One good seed, a blank line, and one seed for each change, null taking its field away."""
    rows = [SEED, *({k: v for k, v in {**SEED, **one}.items() if v is not ...} for one in changes)]
    first, *more = (json.dumps({**one, "番号": place}, ensure_ascii=False) for place, one in enumerate(rows))
    return "\n".join([first, "", *more]) + "\n"


def refused(folder: Path) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        check(load(folder), as_json=False)
    return [str(problem).removeprefix(str(folder)) for problem in caught.value.problems]


def test_the_first_seed_that_lacks_what_a_template_prints_is_named_by_its_line(tmp_path):
    folder = recipe(tmp_path, "{kind: jsonl, path: q.jsonl}", lines({}, {"手順": ...}, {}, {"手順": ...}))
    assert refused(folder) == [
        "/q.jsonl:4: nothing can be made of this seed: answer.md.j2:3: '手順' is undefined (2 of 5 seeds)"
    ]


def test_each_mistake_is_told_once_null_and_a_field_that_a_scorer_reads_among_them(tmp_path):
    folder = recipe(tmp_path, "{kind: jsonl, path: q.jsonl}", lines({"話題": None}, {"正解": ...}, {"正解": ...}))
    null, reference = refused(folder)
    assert null.startswith(
        "/q.jsonl:3: nothing can be made of this seed: write.md.j2:1: it prints a value that is null"
    )
    assert reference.startswith("/q.jsonl:4: nothing can be made of this seed: there is no field '正解'; ")
    assert reference.endswith("(2 of 4 seeds)")


def test_a_seed_of_a_table_is_named_by_the_line_on_which_it_begins(tmp_path):
    text = '話題,手順,正解\n"貸\n出",三つ,一\n\n返却,二つ,二\n'
    folder = recipe(tmp_path, "{kind: csv, path: q.csv}", text)
    (folder / "answer.md.j2").write_text("{{ instruction }}{{ {'三つ': 3}[手順] }}", encoding="utf-8")
    (said,) = refused(folder)
    assert said.startswith("/q.csv:5: nothing can be made of this seed: answer.md.j2:1: ")


def test_seeds_that_are_all_whole_are_sound_and_how_many_were_rendered_is_said(tmp_path, monkeypatch, capsys):
    folder = recipe(tmp_path, "{kind: jsonl, path: q.jsonl}", lines({}, {}, {"手順": ...}))
    monkeypatch.setattr(every_seed, "MOST", 3)
    assert check(load(folder), as_json=False) == 0
    assert "ok  desk: 4 seeds; its templates render with the first 3 of them\n" in capsys.readouterr().out
    (folder / "q.jsonl").write_text(lines({}), encoding="utf-8")
    assert check(load(folder), as_json=False) == 0
    assert "2 seeds; its templates render with all of them" in capsys.readouterr().out


def test_seeds_of_no_lines_are_named_by_their_number(tmp_path):
    folder = recipe(tmp_path, "{kind: jsonl, path: q.jsonl}", lines())
    grid = "{kind: grid, axes: {話題: [貸出, null], 手順: [三つ], 正解: [一]}}"
    (folder / "recipe.yaml").write_text(RECIPE.format(seeds=grid), encoding="utf-8")
    (said,) = refused(folder)
    assert said.startswith("nothing can be made of seed 00000001: write.md.j2:1: it prints a value that is null")
