"""The practice teacher in other places than the answerer's: a user, who evolves, who judges a dialogue."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import synth
from synth.backends.practice.answering import say
from synth.backends.practice.faults import NO_FAULTS, Faults, faults_of
from synth.backends.practice.reading import read
from synth.backends.practice.scoreboard import scoreboard
from synth.generators.evolve import failed
from synth.types import Message
from synth.validators.dialogue import find_slip

PROMPTS = Path(__file__).parents[2] / "prompts"
USER = {
    "en": "Write the next message.\n<dialogue>\n{}\n</dialogue>",
    "ja": "この人になったつもりで、次の発言を書いてください。\n<dialogue>\n{}\n</dialogue>",
}
EVOLVE = {
    "en": '<instruction>\n{}\n</instruction>\nJSON with "instruction".',
    "ja": '<instruction>\n{}\n</instruction>\nを難しくし、"instruction"を持つJSONで答えてください。',
}

FOUND = {"role_slip", "echo", "refusal", "truncation", "repetition"}


def asked(prompt: str, faults: Faults = NO_FAULTS, seed: int = 0) -> str:
    return say({"model": "practice-1", "seed": seed, "messages": [{"role": "user", "content": prompt}]}, faults).content


@pytest.mark.parametrize("language", ["en", "ja"])
def test_it_brings_an_exercise_it_can_solve_as_a_user_would(language):
    for seed in range(30):
        text = asked(USER[language].format("<user>?</user><assistant>!</assistant>"), seed=seed)
        known = read(text)
        assert known is not None
        assert known.task.language == language
        assert find_slip(Message(role="user", content=text)) is None


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("templates", ["tuning", "held_out"])
def test_each_of_its_slips_is_one(language, templates):
    faults = Faults(role_slip=1, templates=templates)
    texts = {asked(USER[language].format(""), faults, seed) for seed in range(40)}
    assert len(texts) == 3
    assert [text for text in texts if find_slip(Message(role="user", content=text)) is None] == []


@pytest.mark.parametrize("language", ["en", "ja"])
def test_it_asks_more_of_an_exercise_and_can_still_solve_it(language):
    parent = asked(USER[language].format(""))
    for seed in range(20):
        evolved = json.loads(asked(EVOLVE[language].format(parent), seed=seed))["instruction"]
        one, other = read(parent), read(evolved)
        assert one is not None
        assert other is not None
        assert (other.solution.answer, failed(parent, evolved)) == (one.solution.answer, None)


@pytest.mark.parametrize("language", ["en", "ja"])
def test_what_it_spoils_in_dialogues_is_found_and_kept_with_what_was_said(language, tmp_path):
    recipe = PROMPTS / f"conversation-{language}"
    loaded = synth.load(recipe)
    result = synth.run(loaded, folder=tmp_path / "run", limit=120)
    rejected = [
        json.loads(line) for line in (result.folder / "rejected.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    board = scoreboard(result.folder, {"practice-1": faults_of("practice:")})
    assert board.planted.keys() >= FOUND
    assert {fault: board.caught[fault] for fault in FOUND} == {fault: board.planted[fault] for fault in FOUND}
    assert board.recall() > 0.95
    assert board.false_rejections() == 0
    for one in rejected:
        assert one["messages"], one
        if one["reason"] == "role_slip":
            assert one["messages"][-1]["role"] == "user"
    in_the_middle = [
        one for one in rejected if one["reason"] == "refusal" and one["detail"] not in one["messages"][-1]["content"]
    ]
    assert in_the_middle
