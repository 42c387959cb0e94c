"""Rows and refusals in a notebook: read, shown, handed on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import synth
from synth.report.table import LARGEST_FRAME, Page, Table
from synth.report.words import ENGLISH, JAPANESE

ROOT = Path(__file__).parents[2]
HOSTILE = "</details><script>alert(1)</script><img src=x onerror=alert(2)>"


def row(number, **more):
    turns = [
        {"role": "user", "content": f"問{number}"},
        {"role": "assistant", "content": f"答{number}", "reasoning_content": "考え" if number else None},
    ]
    score = {"name": "judge", "value": 4.5, "detail": ""}
    return {"id": f"{number:08d}", "messages": turns, "scores": [score], "cost_microusd": 1500, **more}


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row(number)) + "\n" for number in range(12)), encoding="utf-8")
    return Table(path, JAPANESE)


def test_rows_are_counted_iterated_and_found_by_place(table):
    assert len(table) == 12
    assert [one["id"] for one in table] == [f"{number:08d}" for number in range(12)]
    assert table[-1]["id"] == "00000011"
    with pytest.raises(IndexError, match="12 rows"):
        table[12]
    assert repr(table).startswith("<12 rows of ")


def test_flat_rows_have_a_column_for_each_thing_a_person_compares(table):
    flat = table.flat()[1]
    assert flat == {
        "id": "00000001",
        "question": "問1",
        "answer": "答1",
        "reasoning": "考え",
        "judge": 4.5,
        "cost_usd": 0.0015,
    }


def test_a_score_that_only_some_rows_have_is_a_column_of_all(table):
    scores = [{"name": "second", "value": 1, "detail": ""}]
    some = Table([row(0), row(1, scores=scores)], ENGLISH).flat()
    assert [one["second"] for one in some] == [None, 1]


def test_rows_become_what_pandas_and_datasets_hold(table):
    assert table.to_pandas()["messages"][3][0]["content"] == "問3"
    assert table.to_dataset()[3]["messages"][1]["content"] == "答3"


def test_rows_become_what_polars_holds(table):
    pytest.importorskip("polars")
    assert table.to_polars()["id"].to_list()[-1] == "00000011"


@pytest.mark.parametrize("name", ["pandas", "polars", "datasets"])
def test_a_package_that_is_not_there_is_one_sentence(table, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    call = {"pandas": table.to_pandas, "polars": table.to_polars, "datasets": table.to_dataset}[name]
    with pytest.raises(synth.MissingPackage, match=rf"^to_\w+\(\) needs the package {name}; .*pip install {name}$"):
        call()


def test_nothing_heavy_is_imported_before_it_is_asked_for(write_recipe, tmp_path):
    synth.run(write_recipe(), folder=tmp_path / "run", limit=1, quiet=True)
    code = (
        "import sys, synth; run = synth.read(sys.argv[1]); repr(run.rows); run.rows._repr_html_(); run.rows.flat(); "
        "print({'pandas', 'polars', 'datasets', 'pyarrow', 'IPython'} & set(sys.modules))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "run"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (finished.stdout, finished.stderr) == ("set()\n", "")


def test_rows_are_chosen_anew_without_a_request(write_recipe, tmp_path):
    recipe = write_recipe()
    made = synth.run(recipe, folder=tmp_path / "run", limit=4, quiet=True)
    strict = synth.select(recipe, folder=tmp_path / "run", require={"judge": 5}, per_prompt=1, quiet=True)
    assert 0 < len(strict.rows) < len(made.rows) + len(made.rejected)
    assert {row["judge"] for row in strict.rows.flat()} == {5}
    assert strict.cost.requests == made.cost.requests
    with pytest.raises(synth.FolderError, match="There is no run"):
        synth.select(recipe, folder=tmp_path / "other", quiet=True)
    with pytest.raises(synth.RecipeError, match="nonesuch"):
        synth.select(recipe, folder=tmp_path / "run", require={"nonesuch": 5}, quiet=True)


def test_a_run_that_was_made_earlier_is_read_from_its_folder(write_recipe, tmp_path):
    made = synth.run(write_recipe(), folder=tmp_path / "実行", limit=2, quiet=True)
    read = synth.read(tmp_path / "実行")
    assert list(read.rows) == list(made.rows)
    assert read.cost == made.cost
    with pytest.raises(synth.FolderError, match=r"manifest\.json cannot be read"):
        synth.read(tmp_path)


def test_a_file_that_is_gone_or_damaged_is_one_sentence(tmp_path):
    with pytest.raises(synth.FolderError, match=r"rows\.jsonl cannot be read"):
        len(Table(tmp_path / "rows.jsonl", ENGLISH))
    (tmp_path / "rows.jsonl").write_text('{"id": 1}\nnot json\n')
    with pytest.raises(synth.FolderError, match=r"rows\.jsonl:2"):
        list(Table(tmp_path / "rows.jsonl", ENGLISH))


def test_a_cell_shows_a_few_rows_folded_and_in_the_recipes_language(table):
    shown = table._repr_html_()
    assert shown.count("</span>問") == 5
    assert "1–5 / 12" in shown
    assert JAPANESE.roles["assistant"] in shown
    assert JAPANESE.reasoning in shown
    assert "judge 4.5" in shown
    assert "#" not in shown.replace("&#", "")  # no colour of its own: dark themes of notebooks tell no media query
    assert len(shown) < 12_000


def test_hostile_text_is_inert(tmp_path):
    hostile = row(0, reason="my_<b>reason", detail=HOSTILE, teacher=HOSTILE, id=HOSTILE)
    hostile["messages"] = [
        {"role": "user", "content": HOSTILE},
        {"role": "assistant", "content": f"```\n{HOSTILE}\n```"},
    ]
    hostile["scores"] = [{"name": HOSTILE, "value": 1.0, "detail": HOSTILE}]
    shown = Table([hostile], ENGLISH)._repr_html_()
    assert "<script" not in shown
    assert "<img" not in shown
    assert "my_&lt;b&gt;reason" in shown


def test_a_long_text_is_cut_and_says_so():
    long = row(0)
    long["messages"][1]["content"] = "長" * 9000
    shown = Table([long], JAPANESE)._repr_html_()
    assert "… 5,000 文字をこのページでは省略しました" in shown


def test_a_run_gives_its_rows_its_refusals_its_cost_and_its_report(write_recipe, tmp_path):
    result = synth.run(write_recipe(), folder=tmp_path / "run", limit=3, quiet=True)
    assert len(result.rows) == result.manifest.row_count
    assert len(result.rejected) == sum(result.manifest.rejected.values())
    assert result.rejected[0]["reason"]
    assert result.cost.requests > 0
    assert result.cost.tokens > 0
    assert set(result.cost.by_stage()) == {"write", "answer", "answer:score"}
    assert f"{result.cost.requests:,} requests" in repr(result.cost)
    assert "write" in result.cost._repr_html_()
    page = result.report()
    assert page.path.is_file()
    assert 'sandbox="allow-scripts allow-downloads"' in page._repr_html_()
    assert "<title" not in page._repr_html_()  # the page is escaped inside the frame's attribute


def test_a_large_report_stays_a_file_and_is_named(tmp_path):
    (tmp_path / "report.html").write_text("長" * LARGEST_FRAME, encoding="utf-8")
    assert Page(tmp_path / "report.html")._repr_html_() is None
    assert str(tmp_path / "report.html") in repr(Page(tmp_path / "report.html"))


def test_a_preview_shows_rows_and_refusals_and_names_the_model(write_recipe, tmp_path):
    seen = synth.preview(write_recipe(), 2, folder=tmp_path / "run", quiet=True)
    assert len(seen.rows) == len(seen.examples) > 0
    assert {one["teacher"] for one in seen.rows} == {"practice-1"}
    assert len(seen.rejected) == len(seen.rejections)
    assert "<summary>" in seen._repr_html_()
    with pytest.raises(synth.FolderError, match=r"report\.html cannot be read"):
        seen.report()._repr_html_()


def test_a_recipe_shows_what_it_asks_of_whom(write_recipe):
    recipe = synth.load(write_recipe("http://[::1]:8000/v1"))
    shown = recipe._repr_html_()
    assert "practice-1 at http://[::1]:8000/v1" in shown
    assert "answer, 2 draws, finished" in shown
    assert repr(recipe).startswith("<Recipe small: write, answer; ")
    spoken = replace(recipe, recipe=recipe.recipe.model_copy(update={"language": "ja-JP"}))._repr_html_()
    assert 'lang="ja-JP"' in spoken
    for words in ("ライセンス", "教師 main", "段階 answer", "一つにつき 2 回答、finished", "instruction の重複なし"):
        assert words in spoken


def test_flat_rows_are_shown_as_a_table_with_long_texts_cut():
    rows = [
        {"id": "一", "question": "長い問い" * 100, "judge": 4.5, "cost_usd": None},
        {"id": "二", "question": "<b>問い</b>"},
    ]
    shown = Table(rows, JAPANESE)._repr_html_()
    assert "<th>question</th>" in shown
    assert f"{'長い問い' * 30}…" in shown
    assert "<td>4.5</td>" in shown
    assert "&lt;b&gt;問い" in shown
    assert "行 1–2 / 2" in shown
