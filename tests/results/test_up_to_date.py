"""A whole run that would be made again from the same is not made again; anything that differs makes it anew."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest

import synth
from synth import pipeline, seeds
from synth.live.loop import run_loop
from synth.recipes.loading import load
from synth.results import up_to_date
from synth.results.result import Options
from synth.seeds.sources import HuggingFace, Text
from synth.storage import salvage


@pytest.fixture
def recipe(write_recipe) -> Path:
    folder = write_recipe("practice:faultless")
    text = (folder / "recipe.yaml").read_text(encoding="utf-8")
    grid = "kind: grid\n  axes: {topic: [shopping, travel, cooking], level: [easy, hard]}"
    assert grid in text
    (folder / "recipe.yaml").write_text(text.replace(grid, "kind: jsonl\n  path: 種.jsonl"), encoding="utf-8")
    (folder / "種.jsonl").write_text('{"topic": "買い物", "level": "易"}\n', encoding="utf-8")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a run folder, but for those that say who has it open."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.suffix not in (".lock", "-shm")}


def is_up_to_date(recipe: Path, run: Path, **how) -> bool:
    result = synth.run(recipe, folder=run, **how)
    assert result.exit_code == 0
    return result.message.startswith("Nothing to do")


def test_a_whole_run_that_is_run_again_changes_nothing_and_says_so(recipe, synth, tmp_path):
    first = synth("run", recipe, "--out", "run")
    assert first.returncode == 0
    before = contents(tmp_path / "run")
    os.utime(recipe / "種.jsonl", (1, 1))  # times do not count
    os.utime(recipe / "write.md.j2")
    for command in ("run", "export"):
        again = synth(command, recipe, "--out", "run")
        assert again.returncode == 0
        assert "Nothing to do: " in again.stderr
        assert contents(tmp_path / "run") == before


def test_what_was_shown_is_shown_again(recipe, tmp_path):
    first, again = (synth.run(recipe, folder=tmp_path / "run") for _ in range(2))
    assert (again.manifest, again.examples, again.rejections) == (first.manifest, first.examples, first.rejections)
    assert len(again.examples) > 0


def change_selection(recipe: Path, run: Path) -> None:
    text = (recipe / "recipe.yaml").read_text(encoding="utf-8")
    (recipe / "recipe.yaml").write_text(text.replace("judge: 4", "judge: 3"), encoding="utf-8")


def add_seed(recipe: Path, run: Path) -> None:
    with (recipe / "種.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"topic": "旅行", "level": "難"}\n')


def remove_rows(recipe: Path, run: Path) -> None:
    (run / "rows.jsonl").unlink()


def edit_rejected(recipe: Path, run: Path) -> None:
    with (run / "rejected.jsonl").open("a") as file:
        file.write(" ")


def cut_parquet(recipe: Path, run: Path) -> None:
    file = next((run / "dataset" / "data").iterdir())
    file.write_bytes(file.read_bytes()[:-1])


def add_split(recipe: Path, run: Path) -> None:
    (run / "dataset" / "data" / "more.parquet").write_bytes(b"")


def edit_manifest(recipe: Path, run: Path) -> None:
    text = (run / "manifest.json").read_text(encoding="utf-8")
    (run / "manifest.json").write_text(text.replace('"complete"', '"partial"'), encoding="utf-8")


def look_at_a_preview(recipe: Path, run: Path) -> None:
    synth.preview(recipe, 1, folder=run)


def cut_the_store(recipe: Path, run: Path) -> None:
    path = run / "run.db"
    path.write_bytes(path.read_bytes()[: -3 * 8192])
    salvage.repair(run)


CHANGES = [
    *(change_selection, add_seed, remove_rows, edit_rejected, cut_parquet, add_split, edit_manifest),
    *(look_at_a_preview, cut_the_store),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_whatever_differs_makes_the_dataset_anew(change, recipe, tmp_path):
    run = tmp_path / "run"
    synth.run(recipe, folder=run)
    made = {name: content for name, content in contents(run).items() if "rows" in name or "data/" in name}
    change(recipe, run)
    assert not is_up_to_date(recipe, run)
    if change not in (change_selection, add_seed):
        again = contents(run)
        assert {name: again.get(name) for name in made} == made
        assert "dataset/data/more.parquet" not in again
    assert is_up_to_date(recipe, run)


def test_other_options_make_the_dataset_anew(recipe, tmp_path):
    add_seed(recipe, tmp_path)
    synth.run(recipe, folder=tmp_path / "run")
    assert not is_up_to_date(recipe, tmp_path / "run", limit=1)
    assert is_up_to_date(recipe, tmp_path / "run", limit=1)
    assert not is_up_to_date(recipe, tmp_path / "run", limit=2)
    assert not is_up_to_date(recipe, tmp_path / "run", rows=2)
    retried = run_loop(pipeline.run(load(recipe), Options(tmp_path / "run", retry=True)))
    assert retried.message == ""


@pytest.mark.parametrize("what", ["_code", "_version"])
def test_another_synth_or_library_makes_the_dataset_anew(what, recipe, tmp_path, monkeypatch):
    synth.run(recipe, folder=tmp_path / "run")
    monkeypatch.setattr(up_to_date, what, lambda *_: "another")
    assert not is_up_to_date(recipe, tmp_path / "run")


@pytest.mark.parametrize("library", ["math-verify", "sympy", "pypdf", "jsonschema"])
def test_a_library_that_decides_about_samples_counts_though_few_recipes_need_it(library, recipe, tmp_path, monkeypatch):
    synth.run(recipe, folder=tmp_path / "run")
    usual = up_to_date._version
    monkeypatch.setattr(up_to_date, "_version", lambda name: "another" if name == library else usual(name))
    assert not is_up_to_date(recipe, tmp_path / "run")


def test_a_note_of_another_synth_that_cannot_be_read_makes_the_dataset_anew(recipe, tmp_path):
    synth.run(recipe, folder=tmp_path / "run")
    with contextlib.closing(sqlite3.connect(tmp_path / "run" / "run.db")) as connection:
        connection.execute("UPDATE meta SET value = '{\"runs\": 2}' WHERE name = 'whole'")
        connection.commit()
    assert not is_up_to_date(recipe, tmp_path / "run")
    assert is_up_to_date(recipe, tmp_path / "run")


def test_a_template_that_only_some_seeds_include_counts(recipe, tmp_path):
    (recipe / "write.md.j2").write_text("{% include level ~ '.j2' %} {{ count }} {{ topic }}", encoding="utf-8")
    for level in "易難":
        (recipe / f"{level}.j2").write_text("Write", encoding="utf-8")
    add_seed(recipe, tmp_path)
    synth.run(recipe, folder=tmp_path / "run")
    assert is_up_to_date(recipe, tmp_path / "run")
    (recipe / "難.j2").write_text("Write well", encoding="utf-8")
    assert not is_up_to_date(recipe, tmp_path / "run")


def test_seeds_that_change_while_they_are_used_are_not_taken_for_those_that_were_used(recipe, tmp_path, monkeypatch):
    write_report = pipeline.write_report

    def late(*arguments):
        add_seed(recipe, tmp_path)
        write_report(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(pipeline, "write_report", late)
        synth.run(recipe, folder=tmp_path / "run")
    assert not is_up_to_date(recipe, tmp_path / "run")
    assert is_up_to_date(recipe, tmp_path / "run")


def test_a_run_that_is_not_whole_is_never_up_to_date(recipe, tmp_path):
    add_seed(recipe, tmp_path)
    loaded = load(recipe)
    synth.run(loaded, folder=tmp_path / "run", limit=1)
    for _ in range(2):
        partial = run_loop(pipeline.run(loaded, Options(tmp_path / "run", offline=True)))
        assert partial.exit_code == 3
    assert not is_up_to_date(recipe, tmp_path / "run")


def test_a_store_that_is_not_there_is_not_made_up_for(recipe, tmp_path):
    synth.run(recipe, folder=tmp_path / "run")
    (tmp_path / "run" / "run.db").unlink()
    assert not is_up_to_date(recipe, tmp_path / "run")


def test_seeds_of_the_hub_and_unreadable_ones_are_read_and_the_content_of_others_is_compared(tmp_path):
    assert seeds.sha256(HuggingFace(path="some/dataset"), tmp_path) is None
    (tmp_path / "一.txt").write_text("一", encoding="utf-8")
    texts = Text(path="*.txt")
    one = seeds.sha256(texts, tmp_path)
    (tmp_path / "二.txt").write_text("一", encoding="utf-8")
    two = seeds.sha256(texts, tmp_path)
    (tmp_path / "二.txt").write_text("二", encoding="utf-8")
    assert len({one, two, seeds.sha256(texts, tmp_path), None}) == 4
