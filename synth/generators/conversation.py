"""A dialogue with a simulated user: every turn of either side is a request of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field, JsonValue

from synth.ask import Ask
from synth.errors import Rejected
from synth.types import Completion, Draft, Fields, Message, Seed, TemplateFile, Value
from synth.validators.dialogue import find_echo, find_slip, unlabelled
from synth.validators.finished import CUT

SUMMARISED = {"en": "The conversation so far, in short:", "ja": "ここまでの会話の要約："}


class Conversation(Value):
    """A dialogue between a teacher in the user's place and the teacher, who answers.

    `turns` lists numbers of answers; each dialogue takes one of them, chosen by its seed's id and its draw, so that a
    number that stands in it twice comes twice as often. The template `user` sees the seed's fields, `dialogue` (the
    turns so far, in tags), `summary`, `turn` (from 1) and `turns` (how many there will be); with `opening` a field of
    the seed is the user's first turn. `system` is what the assistant is told; the row keeps it unless `keep_system`
    is false.

    Of what was said neither side is shown more than `most_context_chars`, and always the last exchange: the oldest
    question goes with its answer until the rest fits. With a template `summary`, which sees `dialogue` (what goes) and
    `summary` (of what went before), the teacher tells in short what went, and both sides read that. The row has all
    turns. A dialogue in which somebody speaks in the other's place (`role_slip`), says again what was said (`echo`) or
    is cut (`truncated`) ends there and is refused.
    """

    adds: ClassVar[tuple[str, ...]] = ("dialogue",)
    usual_drafts: ClassVar[int] = 1
    template_values: ClassVar[dict[str, JsonValue]] = {"dialogue": "...", "summary": "...", "turn": 2, "turns": 3}

    kind: Literal["conversation"] = "conversation"
    user: TemplateFile
    system: TemplateFile | None = None
    keep_system: bool = True
    summary: TemplateFile | None = None
    opening: str = ""
    turns: list[int] = Field(default=[2, 3, 4], min_length=1)
    most_context_chars: int = Field(default=8000, ge=200)
    teacher: str = ""
    user_teacher: str = ""
    """Who speaks in the user's place; the teacher itself where nobody is named."""
    language: str = ""

    def template_files(self) -> tuple[str, ...]:
        """The template files it renders."""
        return tuple(name for name in (self.user, self.system, self.summary) if name is not None)

    async def generate(self, seed: Seed, ask: Ask) -> list[Draft]:
        """One draft: the whole dialogue, or what there was of it when it was refused.

        Raises Rejected(`empty_question`) where `opening` names a field that asks nothing.
        """
        turns = drawn(self.turns, f"{seed.id}/{ask.draw}")
        system = [] if self.system is None else [Message(role="system", content=ask.render(self.system, seed.fields))]
        said: list[Message] = []
        memory, gone = "", 0
        turn, completion, problem = 0, NOTHING_SAID, None
        while turn < turns and problem is None:
            turn += 1
            if (goes := oldest(said, self.most_context_chars)) > gone:
                memory, gone = await self._remembered(said[gone:goes], memory, seed.fields, ask), goes
            values: Fields = {"dialogue": as_text(said[gone:]), "summary": memory, "turn": turn, "turns": turns}
            completion = await self._asked({**seed.fields, **values}, ask)
            said.append(Message(role="user", content=unlabelled(completion.text)))
            if (problem := _problem(said, completion)) is None:
                told = [*self._told(system, memory), *said[gone:]]
                completion = await ask.text(told, teacher=self.teacher)
                said.append(Message(role="assistant", content=completion.text))
                problem = _problem(said, completion)
        if said[-1].role == "assistant":  # trainers lose the reasoning of any turn but the last
            said[-1] = Message(role="assistant", content=completion.text, reasoning_content=completion.reasoning)
        kept_system = system if self.keep_system else []
        kept: Fields = {"dialogue": as_text(said)}
        refused = None if problem is None else (problem[0], f"turn {turn}, {said[-1].role}: {problem[1]}")
        finish = completion.finish_reason
        return [Draft(messages=(*kept_system, *said), fields=kept, finish_reason=finish, refused=refused)]

    async def _asked(self, values: Fields, ask: Ask) -> Completion:
        """The user's next turn."""
        if values["turn"] == 1 and self.opening:
            first = values.get(self.opening)
            if not isinstance(first, str) or not first.strip():
                raise Rejected(
                    "empty_question", f"the field {self.opening!r} is {str(first)[:80]!r}, which asks nothing"
                )
            return Completion(first, "stop")
        prompt = Message(role="user", content=ask.render(self.user, values))
        return await ask.text([prompt], teacher=self.user_teacher or self.teacher)

    async def _remembered(self, goes: Sequence[Message], memory: str, fields: Fields, ask: Ask) -> str:
        """What is told of the turns that are shown no more; nothing where they are only cut."""
        if self.summary is None:
            return ""
        values: Fields = {**self.template_values, **fields, "dialogue": as_text(goes), "summary": memory}
        prompt = Message(role="user", content=ask.render(self.summary, values))
        return (await ask.text([prompt], teacher=self.teacher)).text.strip()

    def _told(self, system: Sequence[Message], memory: str) -> Sequence[Message]:
        """What stands before the turns that the assistant is shown."""
        if not memory:
            return system
        note = f"{SUMMARISED.get(self.language, SUMMARISED['en'])}\n{memory}"
        return [Message(role="system", content="\n\n".join([*(one.content for one in system), note]))]


NOTHING_SAID = Completion("", "stop")


def drawn(choices: Sequence[int], name: str) -> int:
    """One of the choices, for a name always the same one."""
    digest = hashlib.sha256(name.encode()).digest()
    return choices[int.from_bytes(digest[:8]) % len(choices)]


def as_text(turns: Sequence[Message]) -> str:
    """Turns as a text, each in tags that tell who speaks."""
    return "\n".join(f"<{one.role}>\n{one.content}\n</{one.role}>" for one in turns)


def oldest(turns: Sequence[Message], most_chars: int) -> int:
    """How many of the oldest turns go so that the rest fits: whole exchanges, and never the last one."""
    gone, chars = 0, sum(len(one.content) for one in turns)
    while chars > most_chars and gone + 2 < len(turns):
        chars -= len(turns[gone].content) + len(turns[gone + 1].content)
        gone += 2
    return gone


def _problem(said: Sequence[Message], completion: Completion) -> tuple[str, str] | None:
    """What is wrong with the newest turn, as a reason and its detail; None when nothing is."""
    if completion.finish_reason in CUT:
        return "truncated", f"finish_reason {completion.finish_reason}; it ends {completion.text[-60:]!r}"
    if slip := find_slip(said[-1]):
        return "role_slip", slip
    echo = find_echo(said)
    return ("echo", echo) if echo else None
