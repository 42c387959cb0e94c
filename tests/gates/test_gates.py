"""How many of the practice teacher's faults the checks catch, and how many good texts they lose."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import pytest

import synth
from synth.backends.practice.answering import say, truth
from synth.backends.practice.faults import USUAL
from synth.backends.practice.questions import TASKS, TOPICS
from synth.backends.practice.scoreboard import scoreboard
from synth.dedupe import Dedupe, Twins
from synth.errors import Rejected
from synth.types import Message, Sample
from synth.validators.answer_format import AnswerFormat
from synth.validators.finished import Finished
from synth.validators.language import Language
from synth.validators.refusal import Refusal
from synth.validators.repetition import Repetition

ROOT = Path(__file__).parent.parent.parent
ROUNDS = 60
CAUGHT_HERE = ("refusal", "truncation", "repetition", "wrong_language", "missing_answer")


def refused(sample: Sample, language: str) -> str:
    for validator in (Finished(), Refusal(), Repetition(), Language(language=language), AnswerFormat()):
        try:
            validator.check(sample)
        except Rejected as error:
            return error.reason
    return ""


@pytest.mark.parametrize("templates", ["tuning", "held_out"])
@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_validators_catch_what_is_planted_and_spare_the_good(language, templates):
    faults = USUAL.model_copy(update={"templates": templates})
    rng = Random(11)
    planted, caught, lost = Counter(), Counter(), []
    for task in [task for task in TASKS if task.language == language]:
        for draw in range(ROUNDS * 4):
            question = task.write(rng)
            body = {"model": "practice-1", "seed": draw, "messages": [{"role": "user", "content": question}]}
            said = say(body, faults)
            sample = Sample(
                id="0", seed_id="0", parent_id="0", stage="s", draw=0, fields={}, finish_reason=said.finish_reason,
                messages=(Message(role="user", content=question), Message(role="assistant", content=said.content)),
            )  # fmt: skip
            reason = refused(sample, language)
            if said.truth.fault in CAUGHT_HERE:
                planted[said.truth.fault] += 1
                caught[said.truth.fault] += bool(reason)
            elif said.truth.fault == "":
                planted["good"] += 1
                if reason:
                    lost.append((reason, said.content))
    print(
        {fault: f"{caught[fault]} of {planted[fault]}" for fault in CAUGHT_HERE},
        f"lost {len(lost)} of {planted['good']}",
    )
    for fault in CAUGHT_HERE:
        assert planted[fault] >= 20
        assert caught[fault] >= 0.95 * planted[fault], fault
    assert len(lost) <= 0.01 * planted["good"], lost[:5]


def test_the_gsm8k_recipe_catches_every_fault_that_is_planted(tmp_path):
    result = synth.run(ROOT / "prompts" / "gsm8k", folder=tmp_path)
    board = scoreboard(result.folder, {"practice-1": USUAL})
    assert sum(board.planted.values()) >= 5
    assert board.caught == board.planted
    assert board.lost == 0


@pytest.mark.parametrize("templates", ["tuning", "held_out"])
@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_gate_catches_reworded_instructions_and_spares_new_ones(language, templates):
    faults = USUAL.model_copy(update={"templates": templates})
    prompt = {"en": 'Write 10 new exercises about "{}".', "ja": "「{}」について練習問題を10個作ってください。"}[
        language
    ]
    twins = Twins(Dedupe())
    planted, caught, good, lost = 0, 0, 0, []
    for topic, _ in TOPICS[language]:
        for draw in range(6):
            schema = {"json_schema": {"schema": {"properties": {"instructions": {}}}}}
            messages = [{"role": "user", "content": prompt.format(topic)}]
            request = {"model": "practice-1", "seed": draw, "messages": messages, "response_format": schema}
            for place, one in enumerate(truth(request, faults).instructions):
                match = twins.add(f"{topic}/{draw}/{place}", one.text)
                if one.fault:
                    planted, caught = planted + 1, caught + (match is not None)
                else:
                    good += 1
                    if match is not None:
                        lost.append((one.text, match))
    print(f"caught {caught} of {planted}, lost {len(lost)} of {good}")
    assert planted >= 30
    assert caught >= 0.95 * planted
    assert len(lost) <= 0.01 * good, lost[:5]
