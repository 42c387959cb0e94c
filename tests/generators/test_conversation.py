"""Dialogues with a simulated user: roles, bounds, and the turns as requests of their own."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import synth
from synth.ask import UnitAsk
from synth.errors import RecipeError, Rejected
from synth.formats.convert import Wanted, convert
from synth.generators.conversation import Conversation, drawn, oldest
from synth.lint.traps import traps_of
from synth.recipes.loading import Overrides, load
from synth.types import Completion, Message, Seed

ROOT = Path(__file__).parents[2]
PROMPTS = ROOT / "prompts"


class Spoken:
    """Gives replies in turn and remembers what was asked of whom."""

    draw = 0

    def __init__(self, *replies: str | Completion) -> None:
        self.replies = [one if isinstance(one, Completion) else Completion(one, "stop") for one in replies]
        self.asked: list[tuple[str, list[Message]]] = []

    def render(self, template: str, values: Any) -> str:
        shown = {name: values[name] for name in ("dialogue", "summary", "turn", "turns") if name in values}
        return f"{template} {json.dumps(shown, ensure_ascii=False)}"

    async def text(self, messages: Any, *, teacher: str) -> Completion:
        self.asked.append((teacher, list(messages)))
        return self.replies.pop(0)


def talk(ask: Spoken, **fields: Any):
    generator = Conversation(**{"user": "user.md.j2", "teacher": "main", **fields})
    (draft,) = asyncio.run(generator.generate(Seed(id="00000003", fields={"topic": "税"}), ask))
    return draft


def said(draft: Any) -> list[tuple[str, str]]:
    return [(one.role, one.content) for one in draft.messages]


def test_both_sides_speak_in_turn_and_each_is_asked_as_itself():
    ask = Spoken("消費税の端数は？", "切り捨てが多いです。", "四捨五入でもいいですか。", "はい、事業者が選べます。")
    draft = talk(ask, turns=[2], user_teacher="somebody", system="system.md.j2")
    assert said(draft) == [
        ("system", "system.md.j2 {}"),
        ("user", "消費税の端数は？"),
        ("assistant", "切り捨てが多いです。"),
        ("user", "四捨五入でもいいですか。"),
        ("assistant", "はい、事業者が選べます。"),
    ]
    assert [teacher for teacher, _ in ask.asked] == ["somebody", "main", "somebody", "main"]
    assert [one.role for one in ask.asked[3][1]] == ["system", "user", "assistant", "user"]
    assert "切り捨てが多いです。" in ask.asked[2][1][0].content
    assert draft.refused is None
    again = talk(Spoken("a", "b"), turns=[1], system="system.md.j2", keep_system=False)
    assert said(again) == [("user", "a"), ("assistant", "b")]
    assert str(draft.fields["dialogue"]).startswith("<user>\n消費税の端数は？\n</user>\n<assistant>")


def test_a_field_of_the_seed_can_open_the_dialogue_and_no_request_is_made_for_it():
    ask = Spoken("Yes.")
    draft = talk(ask, turns=[1], opening="topic")
    assert said(draft) == [("user", "税"), ("assistant", "Yes.")]
    assert len(ask.asked) == 1
    with pytest.raises(Rejected, match=r"empty_question.*'nothing'"):
        talk(Spoken(), opening="nothing")


def test_the_reasoning_of_the_last_answer_alone_is_kept():
    thought = [Completion("One.", "stop", reasoning="first"), Completion("Two.", "stop", reasoning="second")]
    draft = talk(Spoken("And?", thought[0], "And then?", thought[1]), turns=[2])
    assert [one.reasoning_content for one in draft.messages] == [None, None, None, "second"]
    row = {
        "messages": [
            {"role": one.role, "content": one.content, "reasoning_content": one.reasoning_content}
            for one in draft.messages
        ]
    }
    assert traps_of(row) == set()


@pytest.mark.parametrize(
    ("replies", "reason", "asked"),
    [
        (["As an AI language model, I wonder."], "role_slip", 1),
        (["他に何かご質問はありますか。"], "role_slip", 1),
        (["User: Which fuse do I need?\nAssistant: 13 amps."], "role_slip", 1),
        (["Which fuse?", "13 amps.", "which  fuse"], "echo", 3),
        (["端数はどうしますか。", "切り捨てます。", "ほかには？", "切り捨てます。"], "echo", 4),
        (["Which fuse?", "13 amps.\n\nUser: Thanks!"], "role_slip", 2),
        (["Which fuse?", Completion("Thirteen am", "length")], "truncated", 2),
        ([Completion("Which fu", "length")], "truncated", 1),
    ],
)
def test_a_dialogue_ends_where_it_went_wrong_and_is_kept_with_the_reason(replies, reason, asked):
    ask = Spoken(*replies, *["more"] * 9)
    draft = talk(ask, turns=[4])
    assert draft.refused is not None
    assert draft.refused[0] == reason
    assert len(ask.asked) == asked  # nothing more was bought
    assert len(draft.messages) == asked


def test_a_label_before_a_users_turn_is_taken_off():
    assert said(talk(Spoken("ユーザー：これは何ですか。", "本です。"), turns=[1]))[0] == ("user", "これは何ですか。")


LONG = "長い話です。" * 40  # 240 letters


def turns_of(length: int) -> list[str]:
    return [
        part
        for number in range(length)
        for part in (f"{number}番目の質問です。{LONG}", f"{number}番目の答えです。{LONG}")
    ]


def test_the_oldest_exchanges_go_when_the_dialogue_is_too_long_and_the_row_keeps_them():
    ask = Spoken(*turns_of(4))
    draft = talk(ask, turns=[4], most_context_chars=1100)
    assert len(draft.messages) == 8
    sizes = [sum(len(one.content) for one in messages) for teacher, messages in ask.asked[1::2]]
    assert max(sizes) <= 1100 + len(turns_of(1)[0])
    assert [one.content[:3] for one in ask.asked[7][1]] == ["1番目", "1番目", "2番目", "2番目", "3番目"]


def test_what_goes_is_summed_up_once_and_both_sides_read_it():
    one, two, three = (turns_of(3)[at : at + 2] for at in (0, 2, 4))
    ask = Spoken(*one, *two, "要約です。", *three)
    talk(ask, turns=[3], most_context_chars=600, summary="summary.md.j2", language="ja")
    summing, user, answering = (messages for _, messages in ask.asked[4:7])
    assert "0番目の答え" in summing[0].content
    assert "1番目" not in summing[0].content
    assert "要約です。" in user[0].content
    assert "0番目" not in user[0].content
    assert (answering[0].role, answering[0].content) == ("system", "ここまでの会話の要約：\n要約です。")


def test_how_many_answers_come_is_decided_by_the_id_and_by_how_often_a_number_is_listed():
    counted = Counter(drawn([2, 3, 3, 4], f"{number:08d}/0") for number in range(4000))
    assert [drawn([2, 3, 3, 4], f"{number:08d}/0") for number in range(6)] == [3, 3, 4, 3, 4, 3]
    assert {number: round(count / 4000, 1) for number, count in counted.items()} == {2: 0.2, 3: 0.5, 4: 0.2} or counted[
        3
    ] > 1900
    assert 900 < counted[2] < 1100
    assert drawn([2, 3, 4], "00000003/0") == drawn([2, 3, 4], "00000003/0")


def test_the_last_exchange_never_goes():
    turns = [Message(role="user", content="a" * 900), Message(role="assistant", content="b" * 900)]
    assert oldest(turns, 200) == 0
    assert oldest([*turns, *turns], 200) == 2
    with pytest.raises(ValidationError):
        Conversation(user="u", turns=[])


def test_a_user_teacher_that_is_not_there_is_a_mistake_in_the_recipe(tmp_path):
    recipe = tmp_path / "recipe"
    recipe.mkdir()
    (recipe / "u.md.j2").write_text("<dialogue>{{ dialogue }}</dialogue>", encoding="utf-8")
    text = (
        "name: talk\nlanguage: ja\nseeds: {kind: grid, axes: {topic: [料理]}}\n"
        "teachers: {main: {model: practice-1, base_url: 'practice:'}}\n"
        "stages: [{name: talk, generator: {kind: conversation, user: u.md.j2, user_teacher: nobody}}]\n"
    )
    (recipe / "recipe.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=r"user_teacher.*there is no teacher 'nobody'"):
        synth.load(recipe)


def test_a_stand_in_speaks_for_the_stages_teacher_and_for_nobody_else():
    asked = []

    class Named:
        endpoint = type("E", (), {"model": "m"})

        def __init__(self, name: str) -> None:
            self.name = name

        def request(self, *_: Any, **__: Any) -> str:
            return self.name

        async def complete(self, request: str, _unit: Any) -> Completion:
            asked.append(request)
            return Completion("はい", "stop")

    teachers: Any = {name: Named(name) for name in ("main", "strong", "person")}
    unit: Any = type("U", (), {"model": "", "draw": 0})()
    ask = UnitAsk(unit, teachers, None, "ja", 0, own="main", instead="strong")  # pyright: ignore[reportArgumentType]
    for name in ("main", "person"):
        asyncio.run(ask.text([], teacher=name))
    assert asked == ["strong", "person"]


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("form", ["messages", "prompt-completion", "sharegpt", "openai", "gemini", "ms-swift", "nemo"])
def test_rows_of_several_turns_go_into_trainers_shapes_whole(form, language, tmp_path):
    sample = PROMPTS / f"conversation-{language}" / "sample.jsonl"
    done = convert([sample], tmp_path / "out.jsonl", Wanted(form))
    assert (done.rows(), done.left_out) == (10, {})
    written, texts = (tmp_path / "out.jsonl").read_text(encoding="utf-8"), sample.read_text(encoding="utf-8")
    for row in map(json.loads, texts.splitlines()):
        assert len(row["messages"]) >= 4
        assert all(json.dumps(one["content"], ensure_ascii=False) in written for one in row["messages"])


def attempts(folder: Path) -> tuple[int, int]:
    """How many replies of use are stored, and of how many requests."""
    connection = sqlite3.connect(folder / "run.db")
    found = connection.execute(
        "SELECT count(*), count(DISTINCT key) FROM attempt JOIN settled ON attempt = id WHERE failure = 'ok'"
    ).fetchone()
    connection.close()
    return found


def test_a_run_stopped_in_the_middle_of_dialogues_goes_on_there_and_buys_nothing_twice(tmp_path):
    recipe = PROMPTS / "conversation-ja"
    whole = synth.run(recipe, folder=tmp_path / "whole", limit=12)
    first = synth.run(load(recipe, Overrides(budget={"requests": 31})), folder=tmp_path / "run", limit=12)
    assert first.exit_code == 6
    result = synth.run(recipe, folder=tmp_path / "run", limit=12)
    assert result.exit_code == whole.exit_code == 0
    for name in ("rows.jsonl", "rejected.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    bought, requests = attempts(tmp_path / "run")
    assert bought == requests == attempts(tmp_path / "whole")[0]


def test_a_kill_in_the_middle_of_dialogues_costs_what_was_in_flight_at_most(tmp_path):
    recipe, folder = PROMPTS / "conversation-en", tmp_path / "run"
    words = [
        sys.executable,
        "-c",
        "from synth.cli import main; main()",
        "run",
        str(recipe),
        "--limit",
        "30",
        "--out",
        str(folder),
    ]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None and stored(folder) < 40:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = stored(folder)
    assert before >= 40
    assert synth.run(recipe, folder=folder, limit=30).exit_code == 0
    assert synth.run(recipe, folder=tmp_path / "whole", limit=30).exit_code == 0
    assert (folder / "rows.jsonl").read_bytes() == (tmp_path / "whole" / "rows.jsonl").read_bytes()
    bought, requests = attempts(folder)
    assert bought == requests


def stored(folder: Path) -> int:
    """Replies on disk."""
    try:
        connection = sqlite3.connect(f"file:{folder / 'run.db'}?mode=ro", uri=True)
        (count,) = connection.execute("SELECT count(*) FROM reply").fetchone()
        connection.close()
    except sqlite3.Error:
        return 0
    return count
