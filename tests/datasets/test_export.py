from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from synth.datasets.export import ROW_GROUP_ROWS, write_dataset, write_rejected
from synth.errors import FolderError, RecipeError
from synth.types import Rejection, Sample
from tests.datasets.conftest import packed

Make = Callable[..., Sample]

Pairs = list[tuple[str, bytes]]

TEXTS = (
    "東京の消費税は 10% です。",
    "ﾊﾝｶｸとゼンカク、ｶﾞ と ガ と か\u3099",
    "行の区切り\u2028と\u2029と\x85が入った文",
    "NUL \x00 and bell \x07",
    "line one\r\nline two\rline three\ttab",
    "```python\nprint('こんにちは')\n```",
    '"quoted" \\ backslash </script> 👩\u200d👩\u200d👧',
)


def lines(path: Path) -> list[Any]:
    content = path.read_bytes()
    assert content == b"" or content.endswith(b"\n")
    return [json.loads(line) for line in content.split(b"\n")[:-1]]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    datasets.disable_progress_bars()

    def load(*args: Any, **options: Any) -> Any:
        return datasets.load_dataset(*args, cache_dir=str(tmp_path / "cache"), **options)

    return load


@pytest.fixture
def samples(make_sample: Make) -> list[Sample]:
    return [make_sample(i, f"質問 {i}: {text}", text, "考えた" if i % 2 else None) for i, text in enumerate(TEXTS)]


@pytest.fixture
def pairs(samples: list[Sample]) -> Pairs:
    return [("test" if i == 3 else "train", packed(sample)) for i, sample in enumerate(samples)]


def test_every_row_has_the_same_keys_and_its_split(tmp_path: Path, pairs: Pairs) -> None:
    written = write_dataset(pairs, tmp_path)
    rows = lines(tmp_path / "rows.jsonl")
    columns = [
        "id",
        "messages",
        "seed_id",
        "teacher",
        "scores",
        "cost_microusd",
        "repairs",
        "requests",
        "served_by",
        "split",
    ]
    assert [list(row) for row in rows] == [columns] * len(pairs)
    assert {tuple(message) for row in rows for message in row["messages"]} == {("role", "content", "reasoning_content")}
    assert [row["split"] for row in rows] == [split for split, _ in pairs]
    assert written.rows == {"train": len(pairs) - 1, "test": 1}
    assert rows[0]["teacher"] == "large-model"
    assert rows[0]["scores"] == [{"name": "judge", "value": 4.0, "detail": "正しい"}]


def test_splits_are_told_in_their_usual_order_whichever_row_comes_first(tmp_path: Path) -> None:
    names = ["extra", "test", "train", "validation", "test"]
    written = write_dataset([(name, b'{"messages":[]}') for name in names], tmp_path)
    assert list(written.rows.items()) == [("train", 1), ("validation", 1), ("test", 2), ("extra", 1)]
    assert list(written.files) == list(written.rows)


def test_no_column_has_a_name_that_trl_gives_a_meaning(tmp_path: Path, pairs: Pairs) -> None:
    write_dataset(pairs, tmp_path)
    reserved = {"prompt", "completion", "text", "labels", "label", "input_ids", "images", "tools", "chosen", "rejected"}
    reserved |= {"chat_template_kwargs", "assistant_masks", "completion_mask"}
    assert not reserved & set(lines(tmp_path / "rows.jsonl")[0])


def test_odd_and_japanese_texts_come_back_as_they_were(
    tmp_path: Path, samples: list[Sample], pairs: Pairs, load: Callable[..., Any]
) -> None:
    write_dataset(pairs, tmp_path)
    expected = {sample.id: [asdict(message) for message in sample.messages] for sample in samples}
    assert {row["id"]: row["messages"] for row in lines(tmp_path / "rows.jsonl")} == expected
    dataset = load(str(tmp_path / "dataset"))
    assert {name: len(split) for name, split in dataset.items()} == {"train": len(pairs) - 1, "test": 1}
    assert {row["id"]: row["messages"] for split in dataset.values() for row in split} == expected


def test_rows_jsonl_loads_on_its_own(tmp_path: Path, pairs: Pairs, load: Callable[..., Any]) -> None:
    write_dataset(pairs, tmp_path)
    dataset = load("json", data_files=str(tmp_path / "rows.jsonl"), split="train")
    assert [row["messages"][-1]["content"] for row in dataset] == list(TEXTS)


def test_without_pyarrow_the_splits_are_jsonl_and_one_sentence_says_so(
    tmp_path: Path, pairs: Pairs, load: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pyarrow", None)
        written = write_dataset(pairs, tmp_path)
    assert written.notice == "Parquet was left out because pyarrow is not installed (pip install 'synth[parquet]')."
    assert written.files == {"train": "data/train.jsonl", "test": "data/test.jsonl"}
    dataset = load(str(tmp_path / "dataset"))
    assert {name: len(split) for name, split in dataset.items()} == {"train": len(pairs) - 1, "test": 1}


def test_an_export_over_an_older_one_leaves_none_of_its_files(
    tmp_path: Path, pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pyarrow", None)
        write_dataset(pairs, tmp_path)
    (tmp_path / "dataset" / "data" / "train.parquet.partial").write_bytes(b"left by a killed export")
    write_dataset([("train", sample) for _, sample in pairs], tmp_path)
    assert set(files(tmp_path)) == {"rows.jsonl", "dataset/data/train.parquet"}


def test_no_rows_are_an_empty_table_with_all_columns(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    written = write_dataset([], tmp_path)
    assert (written.rows, written.files) == ({"train": 0}, {"train": "data/train.parquet"})
    table = parquet.read_table(tmp_path / "dataset" / "data" / "train.parquet")
    assert table.num_rows == 0
    assert table.column_names[:2] == ["id", "messages"]
    assert files(tmp_path)["rows.jsonl"] == b""


def test_reasoning_that_first_appears_late_still_loads(
    tmp_path: Path, make_sample: Make, load: Callable[..., Any]
) -> None:
    count = ROW_GROUP_ROWS + 1
    samples = [make_sample(i, "質問", "答え", "考えた" if i == count - 1 else None) for i in range(count)]
    write_dataset([("train", packed(sample)) for sample in samples], tmp_path)
    dataset = load(str(tmp_path / "dataset"), split="train")
    reasoning = [row["messages"][1]["reasoning_content"] for row in dataset]
    assert reasoning == [None] * (count - 1) + ["考えた"]


def test_the_same_rows_give_the_same_bytes(tmp_path: Path, pairs: Pairs) -> None:
    for name in ("one", "two"):
        write_dataset(iter(pairs), tmp_path / name)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert set(files(tmp_path / "one")) == {"rows.jsonl", "dataset/data/train.parquet", "dataset/data/test.parquet"}


def test_parquet_is_written_in_row_groups(tmp_path: Path, make_sample: Make) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    count = 2 * ROW_GROUP_ROWS + 7
    write_dataset((("train", packed(make_sample(i, "短い", "はい"))) for i in range(count)), tmp_path)
    metadata = parquet.ParquetFile(tmp_path / "dataset" / "data" / "train.parquet").metadata
    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert sizes == [ROW_GROUP_ROWS, ROW_GROUP_ROWS, 7]
    assert b"huggingface" not in (metadata.metadata or {})


def test_a_row_group_of_long_rows_is_closed_early(tmp_path: Path, make_sample: Make) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    long = "長い" * 700_000
    write_dataset((("train", packed(make_sample(i, "短い", long))) for i in range(4)), tmp_path)
    metadata = parquet.ParquetFile(tmp_path / "dataset" / "data" / "train.parquet").metadata
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [2, 2]


def test_a_lone_surrogate_is_replaced_in_every_file(
    tmp_path: Path, make_sample: Make, load: Callable[..., Any]
) -> None:
    sample = make_sample(1, "壊れた\ud83d文字", "answer \udc00")
    write_dataset([("train", packed(sample))], tmp_path)
    write_rejected([rejection(sample, detail="\ud800")], tmp_path / "rejected.jsonl", {})
    expected = ["壊れた\ufffd文字", "answer \ufffd"]
    for row in (*lines(tmp_path / "rows.jsonl"), *load(str(tmp_path / "dataset"), split="train")):
        assert [message["content"] for message in row["messages"]] == expected
    assert lines(tmp_path / "rejected.jsonl")[0]["detail"] == "\ufffd"


def test_an_export_that_fails_leaves_the_earlier_one_whole(tmp_path: Path, pairs: Pairs, make_sample: Make) -> None:
    write_dataset(pairs, tmp_path)
    before = files(tmp_path)

    def broken() -> Iterator[tuple[str, bytes]]:
        for number in range(ROW_GROUP_ROWS + 10):
            yield "train", packed(make_sample(number, "新しい質問", "新しい答え"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(broken(), tmp_path)
    assert files(tmp_path) == before


KILLED = """
import os, pathlib, signal, sys
from synth.datasets.export import write_dataset

def rows():
    for number in range(5000):
        if number == 3500:
            os.kill(os.getpid(), signal.SIGKILL)
        yield "train", b'{"id":"%06d","messages":[]}' % number

write_dataset(rows(), pathlib.Path(sys.argv[1]))
"""


def test_a_killed_export_leaves_the_earlier_one_whole(tmp_path: Path, pairs: Pairs) -> None:
    write_dataset(pairs, tmp_path)
    before = files(tmp_path)
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    after = files(tmp_path)
    assert {name: after[name] for name in before} == before
    assert {name.rsplit(".", 1)[1] for name in set(after) - set(before)} == {"partial"}
    write_dataset(pairs, tmp_path)
    assert files(tmp_path) == before


def test_a_full_disk_is_one_sentence_and_changes_nothing(
    tmp_path: Path, pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_dataset(pairs[:2], tmp_path)
    before = files(tmp_path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FolderError, match=r"could not be written .*No space left on device.*; free space"):
        write_dataset(pairs, tmp_path)
    assert files(tmp_path) == before


@pytest.mark.parametrize("name", ["", "../outside", "all", "訓練", "a b", "x" * 65])
def test_a_split_name_that_cannot_be_loaded_is_refused(tmp_path: Path, make_sample: Make, name: str) -> None:
    with pytest.raises(RecipeError, match="cannot name a split"):
        write_dataset([(name, packed(make_sample(1, "q", "a")))], tmp_path)
    assert files(tmp_path) == {}


def rejection(sample: Sample, reason: str = "near_duplicate", **fields: Any) -> Rejection:
    return Rejection(id=sample.id, seed_id=sample.seed_id, stage=sample.stage, reason=reason, sample=sample, **fields)


def test_rejected_samples_keep_reason_twin_and_text(tmp_path: Path, make_sample: Make) -> None:
    twin = rejection(make_sample(7, "りんごは何個", "12 個"), twin_id="000001/0/0", similarity=0.91)
    silent = Rejection(id="000008/0/0", seed_id="000008", stage="answers", reason="teacher_refused", detail="お断り")
    other = rejection(replace(make_sample(9, "りんごは何個", "13 個"), model="small"))
    teachers = {twin.stage: "large"}
    counts = write_rejected(iter([twin, silent, other]), tmp_path / "rejected.jsonl", teachers)
    assert counts == {"near_duplicate": 2, "teacher_refused": 1}
    first, second, third = lines(tmp_path / "rejected.jsonl")
    assert (first["reason"], first["twin_id"], first["similarity"]) == ("near_duplicate", "000001/0/0", 0.91)
    assert [message["content"] for message in first["messages"]] == ["りんごは何個", "12 個"]
    assert first["scores"][0]["name"] == "judge"
    assert (second["detail"], second["messages"], second["twin_id"]) == ("お断り", [], None)
    assert [one["teacher"] for one in (first, second, third)] == ["large", "", "small"]
    assert list(first) == list(second)
