"""The teacher uses tools: calls are held against their schemas, made to simulated tools, and kept in the dialogue."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, ClassVar, Literal, cast

import orjson
from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from synth.ask import Ask
from synth.errors import Rejected
from synth.language.text import several
from synth.types import Draft, Fields, Function, Message, Seed, TemplateFile, ToolCall, ToolTurn, Value
from synth.validators import json_schema


class Call(BaseModel):
    """One use of a tool."""

    model_config = ConfigDict(extra="forbid")

    name: str
    arguments: str
    """A JSON object as text: a schema that fits every tool's could not be closed, as hosts want it."""


class Step(BaseModel):
    """What the teacher is asked for at each turn of the assistant."""

    model_config = ConfigDict(extra="forbid")

    calls: list[Call]
    answer: str
    """Empty while tools are called."""


class ToolCalling(Value):
    """Let the teacher answer the field `question` with the functions in the field `tools`, as OpenAI describes them.

    `prompt` sees the seed's fields and `turns`, the conversation so far. A tool's result is what the template
    `simulator` makes of `tool` (its name) and `arguments`, or what the teacher says to the template `player`, which
    sees `turns` too. That calls are executed, and that rows hold requests which no tool fits, follows APIGen (Liu et
    al., arXiv:2406.18518) and ToolACE (Liu et al., arXiv:2409.00920).
    """

    adds: ClassVar[tuple[str, ...]] = ()
    asks: ClassVar[type[Step]] = Step
    usual_drafts: ClassVar[int] = 1
    template_values: ClassVar[dict[str, JsonValue]] = {
        "turns": [{"role": "user", "content": "...", "calls": []}],
        "tool": "",
        "arguments": {},
    }

    kind: Literal["tool_calling"] = "tool_calling"
    prompt: TemplateFile
    system: TemplateFile | None = None
    """The row's system turn; the teacher's instructions stay out of the row."""
    question: str = "instruction"
    tools: str = "tools"
    simulator: TemplateFile | None = None
    player: TemplateFile | None = None
    most_steps: int = Field(default=4, ge=1, le=20)
    """The most turns in which tools are called."""
    teacher: str = ""

    @model_validator(mode="after")
    def _has_tools_to_play(self) -> ToolCalling:
        json_schema.validator_of({})  # raises ValueError where the package is not installed
        if (self.simulator is None) == (self.player is None):
            raise ValueError("say who plays the tools: `simulator`, a template, or `player`, a prompt for the teacher")
        return self

    def template_files(self) -> tuple[str, ...]:
        """The template files it renders."""
        return tuple(name for name in (self.prompt, self.system, self.simulator, self.player) if name is not None)

    async def generate(self, seed: Seed, ask: Ask) -> list[Draft]:
        """One draft: the request, calls with their results, the answer.

        Raises Rejected(`invalid_tools`) for a seed whose tools are none, (`unknown_tool`), (`broken_tool_call`),
        (`schema_mismatch`), (`too_many_calls`) or (`no_answer`) for what the teacher does with them.
        """
        request = str(seed.fields.get(self.question) or "").strip()
        if not request:
            raise Rejected("empty_question", f"the field {self.question!r} is empty")
        tools = _tools(seed.fields.get(self.tools), self.tools)
        turns = [ToolTurn(role="user", content=request)]
        for _ in range(self.most_steps + 1):
            step = await self._step(seed.fields, turns, ask)
            if not step.calls:
                break
            calls = [_checked(call, tools, number) for number, call in enumerate(step.calls, _calls_in(turns) + 1)]
            turns.append(ToolTurn(role="assistant", content="", tool_calls=tuple(calls)))
            for call in calls:
                result = await self._result(call, seed.fields, turns, ask)
                turns.append(ToolTurn(role="tool", content=result, tool_call_id=call.id, name=call.function.name))
        else:
            raise Rejected("too_many_calls", f"tools were still called after {several(self.most_steps, 'turn')}")
        if not step.answer.strip():
            raise Rejected("no_answer", "there is neither a call nor an answer")
        turns.append(ToolTurn(role="assistant", content=step.answer.strip()))
        if self.system is not None:
            turns.insert(0, ToolTurn(role="system", content=ask.render(self.system, seed.fields)))
        return [Draft(messages=tuple(turns), tools=orjson.dumps(list(tools.values())).decode())]

    async def _step(self, fields: Fields, turns: list[ToolTurn], ask: Ask) -> Step:
        prompt = ask.render(self.prompt, {**fields, **self.template_values, "turns": _shown(turns)})
        return await ask.schema(Step, [Message(role="user", content=prompt)], teacher=self.teacher)

    async def _result(self, call: ToolCall, fields: Fields, turns: list[ToolTurn], ask: Ask) -> str:
        """What a tool gives back."""
        told: Fields = {"tool": call.function.name, "arguments": orjson.loads(call.function.arguments)}
        values = {**fields, "turns": _shown(turns), **told}
        if self.simulator is not None:
            return ask.render(self.simulator, values)
        assert self.player is not None
        prompt = Message(role="user", content=ask.render(self.player, values))
        return (await ask.text([prompt], teacher=self.teacher)).text.strip()


def _tools(value: JsonValue, field: str) -> dict[str, Any]:
    """The tools of a seed by name. Raises Rejected(`invalid_tools`)."""
    if not isinstance(value, list) or not value:
        raise Rejected("invalid_tools", f"the field {field!r} is no list of tools")
    found: dict[str, Any] = {}
    for one in value:
        function = one.get("function") if isinstance(one, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(function, dict) or not isinstance(name, str) or name in found:
            message = "each is {type: function, function: {name, description, parameters}} with a name of its own"
            raise Rejected("invalid_tools", f"the field {field!r} holds {str(one)[:80]}; {message}")
        if problem := json_schema.problem_of(function.get("parameters") or {}):
            raise Rejected("invalid_tools", f"the parameters of {name!r}: {problem}")
        found[name] = one
    return found


def _checked(call: Call, tools: dict[str, Any], number: int) -> ToolCall:
    """A call that fits its tool, with an id of nine letters, as Mistral's templates want it."""
    if call.name not in tools:
        raise Rejected("unknown_tool", f"{call.name!r} is none of {', '.join(tools)}")
    try:
        arguments = orjson.loads(call.arguments or "{}")
    except orjson.JSONDecodeError as error:
        raise Rejected("broken_tool_call", f"{call.name}: {error}: {call.arguments[:80]!r}") from None
    if not isinstance(arguments, dict):
        raise Rejected("broken_tool_call", f"{call.name}: the arguments are no object: {call.arguments[:80]!r}")
    if json.loads(call.arguments or "{}") != arguments:
        raise Rejected("broken_tool_call", f"{call.name}: a number is too long to be kept: {call.arguments[:80]!r}")
    shape: Any = tools[call.name]["function"].get("parameters") or {}
    if misfit := json_schema.misfit_of(shape, arguments):
        raise Rejected("schema_mismatch", f"{call.name}, {misfit}")
    if stray := sorted(set(cast("dict[str, Any]", arguments)) - set(shape.get("properties", {}))):
        raise Rejected("schema_mismatch", f"{call.name} has no parameter {stray[0]!r}")
    told = orjson.dumps(arguments).decode()
    return ToolCall(id=f"call{number:05d}", function=Function(name=call.name, arguments=told))


def _calls_in(turns: list[ToolTurn]) -> int:
    return sum(len(turn.tool_calls or ()) for turn in turns)


def _shown(turns: list[ToolTurn]) -> list[JsonValue]:
    """The conversation as templates see it."""
    return [
        {"role": turn.role, "content": turn.content, "calls": [asdict(call.function) for call in turn.tool_calls or ()],
         "name": turn.name or ""}
        for turn in turns
    ]  # fmt: skip
