from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from synth.datasets.rows import line, rejected_row, row
from synth.protocol.endpoint import Endpoint, Price
from synth.report.browser import Listing
from synth.report.page import write_report
from synth.results.manifest import Manifest, RecipeRecord, SeedsRecord, StageRecord, Versions, teacher_record
from synth.storage.database import Ledger
from synth.types import Message, Rejection, Sample, Score
from tests.report.visiting import FOR_ALL

TEACHERS = {
    False: Endpoint(model="large", base_url="https://api.example.com/v1", price=Price(input_usd=2, output_usd=8)),
    True: Endpoint(model="practice-1", base_url="practice:"),
}


@pytest.fixture(scope="session", autouse=True)
def _browser() -> Iterator[None]:
    yield
    FOR_ALL.close()


@pytest.fixture
def make_sample() -> Callable[..., Sample]:
    def make(number: int, question: str, answer: str, reasoning: str | None = None) -> Sample:
        seed = f"{number:06d}"
        turns = (
            Message(role="user", content=question),
            Message(role="assistant", content=answer, reasoning_content=reasoning),
        )
        scores = (Score(name="judge", value=4.5),)
        return Sample(
            id=seed, seed_id=seed, parent_id=seed, stage="answers", draw=0, messages=turns, fields={}, scores=scores
        )

    return make


@pytest.fixture
def make_rejection() -> Callable[..., Rejection]:
    def make(sample: Sample, reason: str, **fields: Any) -> Rejection:
        return Rejection(id=sample.id, seed_id=sample.seed_id, stage="answers", reason=reason, sample=sample, **fields)

    return make


@pytest.fixture
def make_manifest() -> Callable[..., Manifest]:
    def make(*, is_practice: bool = False, language: str = "en", name: str = "Arithmetic", **changed: Any) -> Manifest:
        rejected = {"near_duplicate": 30, "refusal": 10}
        fields: dict[str, Any] = {
            "versions": Versions(synth="0.1.0", python="3.11.7", platform="Linux"),
            "state": "complete",
            "practice": is_practice,
            "recipe": RecipeRecord(name=name, language=language, sha256="5f" * 32, text="name: x\n"),
            "seeds": SeedsRecord(identity="seeds.jsonl", count=200, repeated=3),
            "teachers": (teacher_record("main", TEACHERS[is_practice]),),
            "stages": (StageRecord(name="answers", units=200, drafts=198, accepted=158, rejected=rejected, parked=2),),
            "rows": {"train": 150, "test": 8},
            "scores": {"judge": {4.0: 50, 4.5: 100, 5.0: 8}},
            "ledger": (
                Ledger("answers", "main", "ok", 198, 1_200_000, 40_000, 90_000, 0, 0),
                Ledger("answers", "main", "rate", 7, 0, 0, 0, 0, 0),
            ),
            "started": "2026-11-24T12:00:00+00:00",
            "finished": "2026-11-24T12:02:05+00:00",
            "seconds": 125.0,
        }
        return Manifest(**(fields | changed))

    return make


@pytest.fixture
def written(
    tmp_path: Path,
    make_manifest: Callable[..., Manifest],
    make_sample: Callable[..., Sample],
    make_rejection: Callable[..., Rejection],
) -> Callable[..., Path]:
    """A report of rows, and of two refusals at their end, laid out as a run leaves them."""

    def written(texts: Sequence[tuple[str, str] | Sample], language: str = "en", **listing: Any) -> Path:
        samples = [one if isinstance(one, Sample) else make_sample(number, *one) for number, one in enumerate(texts)]
        rows = [row(one, {"answers": "large"}) for one in samples[:-2]]
        refused = [
            make_rejection(samples[-2], "refusal", detail="says no"),
            samples[-1].refused("below_threshold", "judge is 1", "selection"),
        ]
        (tmp_path / "rows.jsonl").write_bytes(b"".join(b'%b,"split":"train"}\n' % line(one)[:-1] for one in rows))
        (tmp_path / "rejected.jsonl").write_bytes(
            b"".join(line(rejected_row(one, {"answers": "large"})) + b"\n" for one in refused)
        )
        given: dict[str, Any] = {"run": "r1", "count": len(texts), "seeds": ()} | listing
        manifest = make_manifest(language=language)
        write_report(tmp_path / "report.html", manifest, [], [], listing=Listing(tmp_path, **given))
        return tmp_path / "report.html"

    return written
