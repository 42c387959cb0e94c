"""Fault 55: the recipe, a template or the seeds changed, and the run goes on in the same folder."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest

import synth as library
from synth import pipeline, schema
from synth.errors import RecipeError
from synth.recipes.fingerprint import _shown
from synth.recipes.loading import load
from synth.results import up_to_date
from synth.results.result import Options


def edit(recipe: Path, old: str, new: str, name: str = "recipe.yaml") -> None:
    text = (recipe / name).read_text(encoding="utf-8")
    assert old in text
    (recipe / name).write_text(text.replace(old, new), encoding="utf-8")


def bought(folder: Path) -> int:
    connection = sqlite3.connect(folder / "run.db")
    (count,) = connection.execute("SELECT count(*) FROM attempt").fetchone()
    connection.close()
    return int(count)


@pytest.fixture
def recipe(write_recipe) -> Path:
    """Two seeds, in a file."""
    folder = write_recipe("practice:faultless")
    edit(
        folder,
        "kind: grid\n  axes: {topic: [shopping, travel, cooking], level: [easy, hard]}",
        "kind: jsonl\n  path: seeds.jsonl",
    )
    (folder / "seeds.jsonl").write_text(
        '{"topic": "買い物", "level": "易"}\n{"topic": "旅行", "level": "易"}\n', encoding="utf-8"
    )
    return folder


CHANGES = {
    "a template": (
        ("write.md.j2", "new exercises", "新しい　練習問題"),
        "template write.md.j2, line 1: “Write {{ count }} new exercises about",
    ),
    "a template, by its new words": (
        ("write.md.j2", "new exercises", "新しい　練習問題"),
        " -> “Write {{ count }} 新しい　練習問題 about",
    ),
    "the model": (
        ("recipe.yaml", "model: practice-1", "model: practice-2"),
        "teachers.main.model: “practice-1” -> “practice-2”",
    ),
    "sampling": (
        ("recipe.yaml", "temperature: 0.7", "temperature: 0.2"),
        "teachers.main.sampling.temperature: 0.7 -> 0.2",
    ),
    "a generator": (("recipe.yaml", "count: 6", "count: 5"), "stages[0].generator.count: 6 -> 5"),
    "a judge": (
        ("recipe.yaml", "rubric: judge.md.j2", "rubric: answer.md.j2"),
        "stages[1].scorers[0].rubric: “judge.md.j2” -> “answer.md.j2”",
    ),
    "the language": (("recipe.yaml", "language: en", "language: ja"), "language: “en” -> “ja”"),
    "a seed": (("seeds.jsonl", "旅行", "料理"), "the seeds: there is another one among numbers 2 to 2"),
    "practice to real": (
        ("recipe.yaml", "practice:faultless", "http://127.0.0.1:9/v1"),
        "teachers.main.practice teacher: true -> false",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_fault_55_a_change_that_asks_anew_stops_the_run_and_says_what_changed(name, recipe, synth, tmp_path):
    library.run(recipe, folder=tmp_path / "run")
    before = bought(tmp_path / "run")
    (file, old, new), sentence = CHANGES[name]
    edit(recipe, old, new, file)
    stopped = synth("run", recipe, "--out", "run")
    assert stopped.returncode == 2, stopped.stderr
    assert sentence in stopped.stderr
    assert "--accept-change" in stopped.stderr
    assert len(stopped.stderr.strip().splitlines()) == 1
    with pytest.raises(RecipeError):
        asyncio.run(pipeline.run(load(recipe), Options(tmp_path / "run", offline=True)))
    edit(recipe, new, old, file)
    assert library.run(recipe, folder=tmp_path / "run").exit_code == 0
    assert bought(tmp_path / "run") == before


def test_fault_55_an_accepted_change_keeps_the_old_answers_and_is_recorded(recipe, tmp_path):
    first = library.run(recipe, folder=tmp_path / "run")
    rows, before = (tmp_path / "run" / "rows.jsonl").read_bytes(), bought(tmp_path / "run")
    edit(recipe, "Last line", "最後の行", "answer.md.j2")
    with pytest.raises(RecipeError, match=r"template answer\.md\.j2, line 3: “Last line.*” -> “最後の行"):
        library.run(recipe, folder=tmp_path / "run")
    changed = library.run(recipe, folder=tmp_path / "run", accept_change=True)
    assert changed.exit_code == 0
    (change,) = changed.manifest.changes
    assert "template answer.md.j2, line 3" in change.what[0]
    after = bought(tmp_path / "run")
    assert after > before
    stages = [line.attempts for line in changed.manifest.ledger if line.stage == "write"]
    assert stages == [line.attempts for line in first.manifest.ledger if line.stage == "write"]
    library.run(recipe, folder=tmp_path / "run")  # what was accepted once needs no word again
    edit(recipe, "最後の行", "Last line", "answer.md.j2")
    back = library.run(recipe, folder=tmp_path / "run", accept_change=True)
    assert bought(tmp_path / "run") == after, "the old answers were bought again"
    assert (tmp_path / "run" / "rows.jsonl").read_bytes() == rows
    assert len(back.manifest.changes) == 2
    assert first.manifest.changes == ()
    kept = json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))["changes"]
    assert "“最後の行" in kept[0]["what"][0]


FREE = {
    "where it answers": ("practice:faultless", "practice:"),
    "price": ("limits: {max_in_flight: 32}", "limits: {max_in_flight: 3}\n    price: {input_usd: 1, output_usd: 2}"),
    "budget": ("selection:", "budget: {usd: 5}\nselection:"),
    "selection and split": (
        "{require: {judge: 4}, best_of: judge}\nsplit: {fractions: {train: 0.7, test: 0.3}}",
        "{require: {judge: 1}}\nsplit: {fractions: {train: 0.5, test: 0.5}}",
    ),
    "validators": ("{kind: repetition}, ", ""),
    "dedupe": ("dedupe: {by: instruction}", "dedupe: {by: instruction, threshold: 0.9}"),
    "draws": ("draws: 2", "draws: 3"),
    "licence": ("cc0-1.0", "cc-by-4.0"),
}


@pytest.mark.parametrize("name", FREE)
def test_fault_55_what_only_decides_again_or_caps_needs_no_acceptance(name, recipe, tmp_path):
    library.run(recipe, folder=tmp_path / "run", limit=1)
    edit(recipe, *FREE[name])
    assert library.run(recipe, folder=tmp_path / "run", limit=1).manifest.changes == ()


def test_fault_55_more_seeds_fewer_seeds_and_rows_need_no_acceptance(recipe, tmp_path):
    library.run(recipe, folder=tmp_path / "run", limit=1)
    library.run(recipe, folder=tmp_path / "run")
    with (recipe / "seeds.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"topic": "料理", "level": "難"}\n')
    library.run(recipe, folder=tmp_path / "run", rows=1)
    library.run(recipe, folder=tmp_path / "run", limit=2)
    edit(recipe, "旅行", "掃除", "seeds.jsonl")
    library.run(recipe, folder=tmp_path / "run", limit=1)
    with pytest.raises(RecipeError, match="among numbers 2 to 2"):
        library.run(recipe, folder=tmp_path / "run")


def test_fault_55_a_seed_that_changed_is_noticed_under_a_limit_between_two_earlier_ones(recipe, tmp_path):
    def write(*topics):
        lines = [json.dumps({"topic": topic, "level": "易"}) for topic in topics]
        (recipe / "seeds.jsonl").write_text("\n".join(lines), encoding="utf-8")

    write("買い物", "旅行", "料理", "掃除")
    library.run(recipe, folder=tmp_path / "run")
    before = bought(tmp_path / "run")
    write("買い物", "旅行", "洗濯", "掃除")
    with pytest.raises(RecipeError, match="among numbers 3 to 4"):
        library.run(recipe, folder=tmp_path / "run", limit=3)
    assert bought(tmp_path / "run") == before
    write("買い物", "旅行", "料理", "掃除", "散歩")
    under = library.run(recipe, folder=tmp_path / "run", limit=3)
    assert (under.manifest.seeds.count, under.manifest.changes) == (3, ())
    assert bought(tmp_path / "run") == before


@pytest.mark.parametrize(("pin", "stops"), [("practice-1", False), ("practice-2", True)])
def test_fault_55_a_pinned_model_is_a_change_when_it_did_not_answer_everything(recipe, tmp_path, pin, stops):
    library.run(recipe, folder=tmp_path / "run")
    before = bought(tmp_path / "run")
    edit(recipe, "model: practice-1", f"model: practice-1\n    pin_model: {pin}")
    if stops:
        with pytest.raises(RecipeError, match="pin_model: “” -> “practice-2”"):
            library.run(recipe, folder=tmp_path / "run")
    else:
        assert library.run(recipe, folder=tmp_path / "run").manifest.changes == ()
    edit(recipe, f"\n    pin_model: {pin}", "")
    assert library.run(recipe, folder=tmp_path / "run").manifest.changes == ()
    assert bought(tmp_path / "run") == before


@pytest.mark.parametrize(
    ("structured", "name", "words", "stops"),
    [
        ("prompt", "BY_WORDS", "JSONで。{schema}", True),
        ("json_schema", "BY_WORDS", "JSONで。{schema}", False),
        ("json_schema", "AGAIN", "もう一度。{error}", True),
    ],
)
def test_fault_55_another_synth_that_asks_for_a_schema_in_other_words_is_a_change(
    recipe, tmp_path, monkeypatch, structured, name, words, stops
):
    edit(recipe, "model: practice-1", f"model: practice-1\n    structured: {structured}")
    library.run(recipe, folder=tmp_path / "run")
    before = bought(tmp_path / "run")
    monkeypatch.setattr(schema, name, {"en": words})
    monkeypatch.setattr(up_to_date, "_code", lambda: "the next version")
    if stops:
        with pytest.raises(RecipeError, match=f"how this synth asks for (Instructions|Verdict) by {structured}: "):
            library.run(recipe, folder=tmp_path / "run")
    else:
        assert library.run(recipe, folder=tmp_path / "run").manifest.changes == ()
    assert bought(tmp_path / "run") == before


def test_fault_55_what_an_earlier_synth_did_not_write_down_is_no_change(recipe, tmp_path):
    library.run(recipe, folder=tmp_path / "run")
    connection = sqlite3.connect(tmp_path / "run" / "run.db")
    (note,) = connection.execute("SELECT value FROM meta WHERE name = 'fingerprint'").fetchone()
    known = json.loads(note)
    del known["schemas"], known["teachers"]["main"]["pin_model"]
    connection.execute("UPDATE meta SET value = ? WHERE name = 'fingerprint'", (json.dumps(known),))
    connection.execute("DELETE FROM meta WHERE name = 'whole'")
    connection.commit()
    connection.close()
    assert library.run(recipe, folder=tmp_path / "run").manifest.changes == ()


def test_fault_55_another_model_on_the_command_line_is_a_change_and_another_host_is_none(recipe, synth):
    assert synth("run", recipe, "--out", "run").returncode == 0
    other = synth("run", recipe, "--out", "run", "--teacher", "main=practice:faultless,gpt-9")
    assert other.returncode == 2
    assert "teachers.main.model: “practice-1” -> “gpt-9”" in other.stderr
    assert synth("run", recipe, "--out", "run", "--teacher", "main=practice:,practice-1").returncode == 0


def test_fault_55_a_word_after_fresh_is_its_own_acceptance_and_leaving_it_out_is_not(recipe, synth, tmp_path):
    assert synth("run", recipe, "--out", "run").returncode == 0
    assert synth("run", recipe, "--out", "run", "--fresh", "再").returncode == 0
    before = bought(tmp_path / "run")
    forgotten = synth("run", recipe, "--out", "run")
    assert forgotten.returncode == 2
    assert "--fresh: “再” -> “”" in forgotten.stderr
    assert bought(tmp_path / "run") == before
    edit(recipe, "count: 6", "count: 5")
    assert "count: 6 -> 5" in synth("run", recipe, "--out", "run", "--fresh", "三").stderr


def test_fault_55_export_and_retry_go_on_under_the_last_word_after_fresh(recipe, synth, tmp_path):
    assert synth("run", recipe, "--out", "run").returncode == 0
    assert synth("run", recipe, "--out", "run", "--fresh", "再").returncode == 0
    rows, before = (tmp_path / "run" / "rows.jsonl").read_bytes(), bought(tmp_path / "run")
    for command in ("export", "retry"):
        (tmp_path / "run" / "rows.jsonl").unlink()
        finished = synth(command, recipe, "--out", "run")
        assert finished.returncode == 0, finished.stderr
        assert (tmp_path / "run" / "rows.jsonl").read_bytes() == rows
    assert bought(tmp_path / "run") == before
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))
    assert [change["what"] for change in manifest["changes"]] == [["--fresh: “” -> “再”"]]


def test_fault_55_previews_and_runs_that_brought_no_answer_bind_to_nothing(recipe, synth):
    assert synth("preview", recipe, "--out", "run").returncode == 0
    edit(recipe, "Write", "Invent", "write.md.j2")
    assert synth("preview", recipe, "--out", "run").returncode == 0
    edit(recipe, "Invent", "Think of", "write.md.j2")
    assert synth("run", recipe, "--out", "run").returncode == 0
    edit(recipe, "practice:faultless", "http://127.0.0.1:9/v1")
    edit(recipe, "practice-1", "nonesuch")
    assert synth("run", recipe, "--out", "other").returncode == 4
    edit(recipe, "nonesuch", "practice-1")
    edit(recipe, "http://127.0.0.1:9/v1", "practice:faultless")
    assert synth("run", recipe, "--out", "other").returncode == 0


def test_fault_55_a_long_text_is_shown_where_it_differs_and_no_letter_is_cut():
    same = "同じ文が続きます。" * 20
    shown = _shown(f"{same}が\u3099終わり", f"{same}か\u3099終わり、ではありません。" + "か\u3099" * 60)
    assert "が\u3099終わり" in shown
    assert "か\u3099終わり" in shown
    assert len(shown) < 160
    assert "\u3099…" in shown
    assert not shown.split("->")[1].startswith(" …\u3099")
