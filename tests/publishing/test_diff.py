"""`synth diff`: what differs between two versions."""

from __future__ import annotations

import json
import unicodedata

import pytest

from synth.comparing.differing import differ
from synth.errors import FolderError, RecipeError


def columns(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in line)


def test_rows_are_told_apart_by_what_they_say_and_not_by_their_ids(make_run) -> None:
    old = make_run({"train": ["一", "二", "三", "四"]}, folder="old")
    # the first is gone, so that all ids move; one answer is another, one row is new
    new = make_run({"train": ["二", "ほかの答え", "四", "五"]}, folder="new", start=1)
    found = differ(old, new)
    assert (found.unchanged, found.changed, found.added, found.gone) == (2, 1, 1, 1)
    (changed,) = found.shown["changed"]
    assert (changed.before, changed.after) == ("三", "ほかの答え")
    assert changed.question.startswith("年金の受け取り")
    assert [one.before for one in found.shown["gone"]] == ["一"]
    assert [one.after for one in found.shown["added"]] == ["五"]
    assert not found.is_same


def test_a_row_in_another_split_is_the_same_row_moved(make_run) -> None:
    moved = differ(make_run({"train": ["一"]}, folder="old"), make_run({"test": ["一"]}, folder="new"))
    assert (moved.unchanged, moved.moved, moved.is_same) == (1, 1, False)


def test_rows_that_say_the_same_are_counted_one_by_one(make_run) -> None:
    old = make_run({"train": ["一"], "test": ["一"]}, folder="old")
    new = make_run({"train": ["一"]}, folder="new")
    found = differ(old, new)
    assert (found.unchanged, found.gone, found.moved) == (1, 1, 0)


def test_rows_that_say_the_same_under_one_id_are_counted_one_by_one(tmp_path) -> None:
    line = json.dumps({"id": "一", "instruction": "問い", "input": "", "output": "答え"}, ensure_ascii=False) + "\n"
    (tmp_path / "old.jsonl").write_text(line * 3, encoding="utf-8")
    (tmp_path / "new.jsonl").write_text(line, encoding="utf-8")
    found = differ(tmp_path / "old.jsonl", tmp_path / "new.jsonl")
    assert (found.unchanged, found.gone) == (1, 2)


def test_the_name_of_a_file_moves_no_row(tmp_path) -> None:
    for name in ("版1.jsonl", "版2.jsonl"):
        (tmp_path / name).write_text('{"instruction": "問い", "input": "", "output": "答え"}\n', encoding="utf-8")
    found = differ(tmp_path / "版1.jsonl", tmp_path / "版2.jsonl")
    assert (found.unchanged, found.moved, found.is_same) == (1, 0, True)


def test_counts_reasons_cost_teachers_and_what_made_it_are_told(make_run) -> None:
    old = make_run({"train": ["一"]}, folder="old", not_selected={"threshold": 3})
    new = make_run(
        {"train": ["一"]}, folder="new", not_selected={"threshold": 5}, model="Qwen/Qwen3-32B", license="mit"
    )
    found = differ(old, new)
    assert found.is_same
    assert found.refused == {"threshold": (3, 5)}
    assert found.cost_microusd == (1500, 1500)
    assert found.teachers == {"Qwen/Qwen3-8B": (3, None), "Qwen/Qwen3-32B": (None, 3)}
    assert found.made == {"licence": ("cc-by-4.0", "mit")}


def test_files_and_published_folders_are_compared_too(make_run, tmp_path) -> None:
    old = make_run({"train": ["一", "二"], "test": ["x"]}, folder="old")
    assert differ(old, old / "dataset").is_same
    file = tmp_path / "train.jsonl"
    lines = [
        {
            "instruction": "消費税の軽減税率は、どんな品物にかかりますか。",
            "input": "",
            "output": "一",
        }
    ]
    file.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    found = differ(file, old)
    assert (found.unchanged, found.added) == (1, 2)
    assert found.cost_microusd is None


def test_what_holds_no_rows_is_a_sentence(tmp_path) -> None:
    with pytest.raises(FolderError, match="There are no rows in"):
        differ(tmp_path, tmp_path)
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(RecipeError, match=r"x\.jsonl:1: its columns are a"):
        differ(tmp_path / "x.jsonl", tmp_path / "x.jsonl")


def test_it_can_be_read_in_80_columns_and_as_json(make_run, synth) -> None:
    long = "とても長い答えです。" * 40
    old = make_run({"train": ["一", long]}, folder="old", not_selected={"threshold": 3})
    new = make_run({"train": ["\x1b[31m赤い答え", long + "。", "三"]}, folder="new")
    told = synth("diff", old, new, env={"COLUMNS": "80"})
    assert told.returncode == 0, told.stderr
    assert "1 added, 0 gone, 2 changed, 0 the same" in told.stdout
    assert all(columns(line.rstrip()) <= 80 for line in told.stdout.splitlines()[1:])
    assert "\x1b" not in told.stdout
    assert "<U+001B>" in told.stdout
    as_json = json.loads(synth("diff", old, new, "--json").stdout)
    assert as_json["same"] is False
    assert as_json["rows"] == {"old": 2, "new": 3}
    assert as_json["refused"] == {"threshold": {"old": 3, "new": 0}}
    assert len(as_json["shown"]["changed"]) == 2


def test_two_copies_are_the_same(make_run, synth) -> None:
    told = synth("diff", make_run(folder="old"), make_run(folder="new"))
    assert "the same 3 rows" in told.stdout
