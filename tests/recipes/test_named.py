"""What a name in a recipe or a command stands for, and which text of a row is meant."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synth.errors import RecipeError
from synth.recipes.named import source_of, texts
from synth.seeds.sources import HuggingFace

ROWS = [{"question": "日本の首都は？", "answer": "東京"}, {"question": "2+2?", "answer": "4"}]
ASKED = [(1, "日本の首都は？"), (2, "2+2?")]


def test_files_of_every_kind_hold_the_same_texts(tmp_path):
    jsonl = "".join(json.dumps(row) + "\n" for row in ROWS)
    (tmp_path / "a.jsonl").write_text(jsonl)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(jsonl.encode()))
    (tmp_path / "a.csv").write_text("question,answer\n日本の首都は？,東京\n2+2?,4\n", encoding="utf-8")
    (tmp_path / "a.txt").write_text("日本の首都は？\n\n2+2?\n", encoding="utf-8")
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    for name in ("a.jsonl", "a.jsonl.gz", "a.csv", "a.txt", "a.parquet"):
        assert list(texts(name, tmp_path)) == ASKED
    assert list(texts("a.jsonl", tmp_path, "answer")) == [(1, "東京"), (2, "4")]
    assert [text for _, text in texts("a.csv", tmp_path, "1")] == ["question", "日本の首都は？", "2+2?"]


def test_a_relative_folder_counts_once(tmp_path, monkeypatch):
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "a.jsonl").write_text('{"problem": "?"}\n')
    monkeypatch.chdir(tmp_path)
    assert list(texts("a.jsonl", Path("recipe"))) == [(1, "?")]


def test_a_saved_dataset_and_a_runs_folder_are_read(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_list(ROWS)
    rows.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": rows, "test": rows.select([1])}).save_to_disk(tmp_path / "several")
    assert list(texts("one", tmp_path, split="test")) == ASKED
    assert list(texts("several", tmp_path, split="test")) == [(1, "2+2?")]
    (tmp_path / "run").mkdir()
    turns = [{"role": "user", "content": "日本の首都は？"}, {"role": "assistant", "content": "東京"}]
    (tmp_path / "run" / "rows.jsonl").write_text(json.dumps({"id": "0", "messages": turns}))
    assert list(texts("run", tmp_path)) == [(1, "日本の首都は？")]
    assert list(texts("run", tmp_path, "answer")) == [(1, "東京")]
    assert list(texts("run", tmp_path, "instruction", optional=True)) == [(1, "日本の首都は？")]


def test_a_dataset_of_the_hub_is_named_with_configuration_and_split(tmp_path):
    assert source_of("hub:openai/gsm8k/main@train", tmp_path, "", "test") == HuggingFace(
        path="openai/gsm8k", name="main", split="train"
    )
    assert source_of("hub:openai/openai_humaneval", tmp_path, "", "test") == HuggingFace(
        path="openai/openai_humaneval", split="test"
    )


@pytest.mark.parametrize(
    ("name", "field", "words"),
    [
        ("none.jsonl", "", "There is no .*none.jsonl"),
        ("hub:gsm8k", "", "hub:OWNER/NAME"),
        ("a.jsonl", "", "row 1: which column holds the text.*質問, 答え"),
        ("a.jsonl", "question", "row 1: there is no column 'question' with a text; the columns are 質問, 答え"),
        ("a.bin", "", "should end in"),
    ],
)
def test_what_cannot_be_told_is_asked_in_one_sentence(tmp_path, name, field, words):
    (tmp_path / "a.jsonl").write_text('{"質問": "?", "答え": "!"}\n', encoding="utf-8")
    (tmp_path / "a.bin").write_text("")
    with pytest.raises(RecipeError, match=words) as error:
        list(texts(name, tmp_path, field))
    assert "\n" not in str(error.value)
