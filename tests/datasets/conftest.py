from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from synth.datasets.rows import line, row
from synth.protocol.endpoint import Endpoint, Price, Sampling
from synth.results.manifest import Manifest, RecipeRecord, SeedsRecord, StageRecord, Versions, teacher_record
from synth.storage.database import Ledger
from synth.types import Message, Sample, Score


def packed(sample: Sample) -> bytes:
    """The row of a sample as `write_dataset` takes it."""
    return line(row(sample, {"answers": "large-model"}))


@pytest.fixture
def make_sample() -> Callable[..., Sample]:
    def make(number: int, question: str, answer: str, reasoning: str | None = None, score: float = 4.0) -> Sample:
        seed = f"{number:06d}"
        return Sample(
            id=f"{seed}/0/0",
            seed_id=seed,
            parent_id=seed,
            stage="answers",
            draw=0,
            messages=(
                Message(role="user", content=question),
                Message(role="assistant", content=answer, reasoning_content=reasoning),
            ),
            fields={"topic": "計算"},
            scores=(Score(name="judge", value=score, detail="正しい"),),
            requests=("ab" * 32,),
            cost_microusd=120,
        )

    return make


@pytest.fixture
def make_manifest() -> Callable[..., Manifest]:
    hosted = Endpoint(
        model="large|model",
        base_url="https://api.example.com/v1",
        key_variable="EXAMPLE_KEY",
        sampling=Sampling(temperature=0.7, max_tokens=512),
        price=Price(input_usd=2, output_usd=8),
    )
    practice = Endpoint(model="practice-1", base_url="practice:")

    def make(
        *, is_practice: bool = False, language: str = "en", license_id: str | None = None, **changed: Any
    ) -> Manifest:
        endpoint = practice if is_practice else hosted
        recipe = RecipeRecord(
            name=changed.pop("name", "Arithmetic"),
            language=language,
            license=license_id,
            sha256="5f" * 32,
            text="name: Arithmetic\n",
            templates={"answer.j2": "aa" * 32},
        )
        fields: dict[str, Any] = {
            "versions": Versions(synth="0.1.0", python="3.11.7", platform="Linux"),
            "state": "complete",
            "practice": is_practice,
            "recipe": recipe,
            "seeds": SeedsRecord(identity="seeds.jsonl", count=30, repeated=2),
            "teachers": (teacher_record("main", endpoint, ["large-model-2026-10"]),),
            "stages": (
                StageRecord(
                    name="answers",
                    units=30,
                    drafts=28,
                    accepted=21,
                    rejected={"near_duplicate": 3, "refusal": 4},
                    parked=2,
                ),
            ),
            "not_selected": {"threshold": 1},
            "rows": {"train": 20},
            "ledger": (Ledger("answers", "main", "ok", 28, 1_500_000, 4000, 9000, 0, 0),),
            "started": "2026-11-24T12:00:00+00:00",
            "finished": "2026-11-24T12:01:00+00:00",
            "seconds": 60.0,
        }
        return Manifest(**(fields | changed))

    return make
