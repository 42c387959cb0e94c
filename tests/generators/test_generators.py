"""Generators, with an `ask` that answers from a list."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from synth.errors import Rejected
from synth.generators.answer import Answer
from synth.generators.back_translate import BackTranslate
from synth.generators.objects import Objects
from synth.generators.self_instruct import SelfInstruct
from synth.types import Completion, Seed


class Listed:
    """Gives one reply and remembers what it was asked."""

    draw = 0

    def __init__(self, reply: Any) -> None:
        self.reply = reply
        self.asked: list[Any] = []

    def render(self, template: str, values: Any) -> str:
        return f"{template}: {values}"

    async def text(self, messages: Any, *, teacher: str) -> Completion:
        self.asked.append((list(messages), teacher))
        return self.reply

    async def schema(self, model: Any, messages: Any, *, teacher: str) -> Any:
        self.asked.append((list(messages), teacher))
        return model.model_validate(self.reply)


def test_an_answer_shows_the_field_and_keeps_reasoning_apart():
    ask = Listed(Completion("東京です。", "stop", reasoning="首都を考える"))
    generator = Answer(prompt="ask.md.j2", system="role.md.j2", question="q", teacher="main")
    (draft,) = asyncio.run(generator.generate(Seed(id="0", fields={"q": "日本の首都は？"}), ask))
    assert [(m.role, m.content) for m in draft.messages] == [
        ("system", "role.md.j2: {'q': '日本の首都は？'}"),
        ("user", "日本の首都は？"),
        ("assistant", "東京です。"),
    ]
    assert draft.messages[-1].reasoning_content == "首都を考える"
    ((messages, teacher),) = ask.asked
    assert teacher == "main"
    assert messages[-1].content.startswith("ask.md.j2:")


def test_an_answer_can_show_what_a_template_makes_of_the_seed():
    ask = Listed(Completion("遅延", "stop"))
    (draft,) = asyncio.run(Answer(prompt="p", shown="s").generate(Seed(id="0", fields={"語": "latency"}), ask))
    assert [one.content for one in draft.messages] == ["s: {'語': 'latency'}", "遅延"]
    assert Answer(prompt="p", shown="s").template_files() == ("p", "s")
    with pytest.raises(ValidationError, match="leave one of them out"):
        Answer(prompt="p", shown="s", question="語")


@pytest.mark.parametrize("fields", [{}, {"q": None}, {"q": "　\n"}, {"q": {"a": 1}}, {"q": ["問"]}, {"q": True}])
def test_a_seed_that_asks_nothing_is_refused_before_the_teacher_is_asked(fields):
    ask = Listed(Completion("はい", "stop"))
    with pytest.raises(Rejected, match=r"empty_question.*'q'"):
        asyncio.run(Answer(prompt="p", question="q").generate(Seed(id="0", fields=fields), ask))
    assert ask.asked == []
    (draft,) = asyncio.run(Answer(prompt="p", question="q").generate(Seed(id="0", fields={"q": 0}), ask))
    assert draft.messages[0].content == "0"


def test_an_answer_without_a_question_field_shows_the_prompt_and_passes_the_finish_reason_on():
    ask = Listed(Completion("half an ans", "length"))
    (draft,) = asyncio.run(Answer(prompt="p").generate(Seed(id="0", fields={}), ask))
    assert draft.messages[0].content == "p: {}"
    assert draft.finish_reason == "length"


def test_each_instruction_becomes_a_draft_and_blank_ones_are_dropped():
    ask = Listed({"instructions": ["　消費税を計算してください。 ", "", " \n", "Write a haiku."]})
    drafts = asyncio.run(SelfInstruct(prompt="w", count=4).generate(Seed(id="0", fields={"topic": "税"}), ask))
    assert [draft.fields["instruction"] for draft in drafts] == ["消費税を計算してください。", "Write a haiku."]
    assert [draft.messages[0].role for draft in drafts] == ["user", "user"]


def test_a_text_becomes_the_answer_of_the_instruction_that_was_written_for_it():
    ask = Listed({"instruction": " 豆まきの由来を教えてください。\n"})
    seed = Seed(id="0", fields={"output": "鬼を追い払うためです。"})
    (draft,) = asyncio.run(BackTranslate(prompt="p", answer="output").generate(seed, ask))
    assert [(m.role, m.content) for m in draft.messages] == [
        ("user", "豆まきの由来を教えてください。"),
        ("assistant", "鬼を追い払うためです。"),
    ]
    assert draft.fields == {"wanted": "豆まきの由来を教えてください。"}


@pytest.mark.parametrize("output", [None, " \n", 3, ["a"]])
def test_a_text_that_is_none_is_refused_before_the_teacher_is_asked(output):
    ask = Listed({"instruction": "?"})
    with pytest.raises(Rejected, match=r"empty_answer.*'output'"):
        asyncio.run(BackTranslate(prompt="p", answer="output").generate(Seed(id="0", fields={"output": output}), ask))
    assert ask.asked == []


def test_an_instruction_that_holds_its_whole_answer_is_none_but_a_label_may_stand_in_it():
    text = "昔の人は豆に力があると考え、まいて鬼を追い払い、無事を願いました。"
    backwards = BackTranslate(prompt="p", answer="output")
    with pytest.raises(Rejected, match="no_instructions"):
        asyncio.run(
            backwards.generate(Seed(id="0", fields={"output": text}), Listed({"instruction": f"写して：{text}"}))
        )
    with pytest.raises(Rejected, match="no_instructions"):
        asyncio.run(backwards.generate(Seed(id="0", fields={"output": text}), Listed({"instruction": " "})))
    label = Listed({"instruction": "苦情か質問か要望に分けてください：届きません。"})
    assert asyncio.run(backwards.generate(Seed(id="0", fields={"output": "苦情"}), label))


def test_an_empty_list_is_a_rejection():
    with pytest.raises(Rejected, match="no_instructions"):
        asyncio.run(SelfInstruct(prompt="w").generate(Seed(id="0", fields={}), Listed({"instructions": [" "]})))


def test_a_generator_says_how_many_drafts_a_seed_usually_brings():
    many = SelfInstruct(prompt="p.j2", count=7), Objects(prompt="p.j2", fields={"題": "text"}, count=3)
    assert [one.usual_drafts for one in (*many, Answer(prompt="p.j2"))] == [7, 3, 1]
