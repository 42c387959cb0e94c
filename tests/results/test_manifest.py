from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from synth.errors import FolderError
from synth.protocol.endpoint import Endpoint, Price, Sampling
from synth.results.manifest import (
    Manifest,
    RecipeRecord,
    SeedsRecord,
    StageRecord,
    read_manifest,
    teacher_record,
    versions,
    write_manifest,
)
from synth.storage.database import Ledger

HOSTED = Endpoint(
    model="large",
    base_url="https://api.example.com/v1",
    key_variable="EXAMPLE_KEY",
    sampling=Sampling(temperature=0.7, extra={"top_k": 20}),
)


def manifest(**changed: Any) -> Manifest:
    fields: dict[str, Any] = {
        "versions": versions(),
        "state": "complete",
        "practice": False,
        "recipe": RecipeRecord(name="日本語の算数", language="ja", sha256="5f" * 32, text="name: 日本語の算数\n"),
        "seeds": SeedsRecord(identity="seeds.jsonl", count=30, repeated=2),
        "teachers": (teacher_record("main", HOSTED, ["large-b", "large-a", "large-b"]),),
        "stages": (
            StageRecord(name="ask", units=30, drafts=30, accepted=26, rejected={"language": 4}),
            StageRecord(name="answer", units=26, drafts=26, accepted=18, rejected={"language": 1, "refusal": 7}),
        ),
        "not_selected": {"threshold": 5},
        "rows": {"train": 12, "test": 1},
        "scores": {"judge": {4.0: 12, 4.5: 1}},
        "ledger": (
            Ledger("ask", "main", "ok", 30, 1000, 4000, 9000, 0, 0),
            Ledger("answer", "main", "lost", 2, 50, 0, 0, 0, 0),
        ),
        "started": "2026-11-24T12:00:00+00:00",
        "finished": "2026-11-24T12:01:00+00:00",
        "seconds": 60.5,
    }
    return Manifest(**(fields | changed))


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    written = manifest(budget_microusd=5_000_000)
    write_manifest(tmp_path / "manifest.json", written)
    assert read_manifest(tmp_path / "manifest.json") == written
    text = (tmp_path / "manifest.json").read_text("utf-8")
    assert '\n  "schema_version": 1' in text
    assert "日本語の算数" in text


def test_it_names_the_keys_variable_and_never_holds_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_KEY", "sk-very-secret")
    assert HOSTED.key() == "sk-very-secret"
    write_manifest(tmp_path / "manifest.json", manifest())
    text = (tmp_path / "manifest.json").read_text("utf-8")
    assert "EXAMPLE_KEY" in text
    assert "sk-very-secret" not in text


def test_sums_go_over_stages_selection_and_ledger() -> None:
    record = manifest()
    assert record.row_count == 13
    assert list(record.rejected.items()) == [("refusal", 7), ("language", 5), ("threshold", 5)]
    assert record.cost_microusd == 1050
    assert record.lost_attempts == 2


def test_a_teachers_record_keeps_what_is_unknown_unknown() -> None:
    record = teacher_record("main", HOSTED, ["large-b", "large-a", "large-b"])
    assert (record.price, record.terms) == (None, "unknown")
    assert record.served == ("large-a", "large-b")
    assert record.host == "api.example.com"
    assert record.sampling.extra == {"top_k": 20}
    assert not record.is_practice


def test_the_practice_teacher_is_recorded_as_such_and_as_free() -> None:
    record = teacher_record("main", Endpoint(model="practice-1", base_url="practice:"))
    assert record.is_practice
    assert record.host == "practice"
    assert record.price == Price(input_usd=0, output_usd=0)


def test_a_missing_manifest_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match=r"manifest.json cannot be read \(No such file"):
        read_manifest(tmp_path / "manifest.json")


@pytest.mark.parametrize("content", [b"", b'{"schema_version": 1, "ver', b"\xff\xfe", b"[]"])
def test_a_damaged_manifest_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(content)
    with pytest.raises(FolderError, match="is not a manifest this synth reads"):
        read_manifest(path)


def test_a_field_of_a_newer_synth_is_named(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(orjson.dumps({**manifest().model_dump(mode="json"), "future": 1}))
    with pytest.raises(FolderError, match=r"\(future: Extra inputs are not permitted\)"):
        read_manifest(path)
