"""What became of the samples, on disk: read back as they were, with the rows that are written."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from pydantic import JsonValue

from synth.datasets.rows import line, row
from synth.results.outcomes import Outcomes
from synth.seeds.rows import DEEPEST
from synth.types import Message, Sample, Score

MODELS = {"answer": "large-model"}
SAMPLE = Sample(
    id="00000007/01/000",
    seed_id="00000007",
    parent_id="00000007",
    stage="answer",
    draw=1,
    messages=(
        Message(role="user", content='りんごは "何個" ですか\u2028'),
        Message(role="assistant", content="12 個", reasoning_content="足し算"),
    ),
    fields={"line": 1, "rest": {"id": "x", "scores": [None, 0.5, "］"]}, "message": {}},
    finish_reason="length",
    scores=(Score(name="judge", value=4.0, detail="正しい"),),
    requests=("ab" * 32, "cd" * 32),
    repairs=("anew",),
    served_by=("さくら",),
    model="stand-in",
    cost_microusd=12,
)


@pytest.fixture
def outcomes(tmp_path):
    made = Outcomes(tmp_path / "outcomes.db", MODELS, lambda error: None)
    yield made
    made.close()


@pytest.mark.parametrize("sample", [SAMPLE, replace(SAMPLE, fields={}, scores=(), requests=(), model="")])
def test_an_accepted_sample_is_read_back_as_it_was_with_its_row_finished(outcomes, sample):
    outcomes.accept(sample)
    assert list(outcomes.accepted()) == [sample]
    assert outcomes.known_as(sample.parent_id) == sample
    assert [(kept.seed_id, kept.line) for kept in outcomes.kept()] == [("00000007", line(row(sample, MODELS)))]
    assert json.loads(next(outcomes.kept()).line)["teacher"] == sample.model or MODELS["answer"]


def test_half_a_surrogate_pair_in_a_text_or_a_field_stops_no_run(outcomes):
    messages = (Message(role="user", content="壊れた\ud83d文字"), SAMPLE.messages[1])
    outcomes.accept(replace(SAMPLE, messages=messages, fields={"topic": "壊\udc00"}))
    (read,) = outcomes.accepted()
    assert (read.question(), read.fields) == ("壊れた\ufffd文字", {"topic": "壊\ufffd"})
    outcomes.reject(replace(SAMPLE, messages=messages).refused("refusal", "お断り\ud83d"))
    (refused,) = outcomes.rejected()
    assert refused == replace(SAMPLE, messages=read.messages).refused("refusal", "お断り\ufffd")


def test_fields_with_a_number_of_any_length_or_as_deep_as_seeds_may_be_are_read_back(outcomes):
    deep: JsonValue = "深い"
    for _ in range(DEEPEST - 1):
        deep = {"a": deep}
    sample = replace(
        SAMPLE, fields={"number": 123_456_789_012_345_678_901_234_567_890, "line": "改行\u2028", "deep": deep}
    )
    outcomes.accept(sample)
    outcomes.reject(sample.refused("too_short", "3 文字"))
    assert list(outcomes.accepted()) == [sample]
    assert list(outcomes.rejected()) == [sample.refused("too_short", "3 文字")]
    assert next(outcomes.kept()).line == line(row(sample, MODELS))


@pytest.mark.parametrize("accepted", [True, False])
def test_a_few_very_long_answers_do_not_wait_in_memory(outcomes, tmp_path, accepted):
    long = (SAMPLE.messages[0], Message(role="assistant", content="長い答え" * 100_000))
    for number in range(8):
        sample = replace(SAMPLE, id=f"{number:08d}/00/000", messages=long)
        if accepted:
            outcomes.accept(sample)
        else:
            outcomes.reject(sample.refused("repetition", "長い"))
    assert (tmp_path / "outcomes.db").stat().st_size > 4_000_000  # of the 9,600,000 bytes


def test_samples_come_in_id_order_whatever_the_order_they_were_accepted_in(outcomes):
    names = [f"{number:08d}/00/000" for number in (300, 2, 41, 100, 3)]
    for name in names:
        outcomes.accept(replace(SAMPLE, id=name, seed_id=name[:8]))
    assert [sample.id for sample in outcomes.accepted()] == sorted(names)
