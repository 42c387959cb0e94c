"""A row of anybody's dataset as a conversation with its tools and reasoning, or the reason why it is none.

Nothing is left out on the way: what cannot be told in these values is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import orjson

from synth.errors import Rejected
from synth.lint.traps import ANSWERS, format_of
from synth.protocol.thoughts import MARKS, OPENED
from synth.shapes import ROLES, Style
from synth.types import Fields

Role = Literal["system", "user", "assistant", "tool"]

OF_TOOLS: Mapping[str, Role] = {
    "tool": "tool",
    "observation": "tool",
    "tool_response": "tool",
    "function_call": "assistant",
    "tool_call": "assistant",
}
CALLING = ("function_call", "tool_call")
"""Turns whose text is a call, in ShareGPT."""
NO_TEXT = ("images", "videos", "audios")
"""Columns that belong to a conversation and have no place in these formats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool that the assistant calls."""

    name: str
    arguments: str
    """A JSON object."""
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One turn."""

    role: Role
    content: str
    reasoning: str = ""
    calls: tuple[Call, ...] = ()
    call_id: str = ""
    """Of a tool's result: the call that it answers."""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns, and the tools that were offered."""

    turns: tuple[Turn, ...]
    tools: str = ""
    """A JSON list of functions as OpenAI describes them; empty when there are none."""

    def tool_list(self) -> list[Any]:
        """The tools as objects."""
        return orjson.loads(self.tools) if self.tools else []

    def styled(self, style: Style) -> Conversation:
        """The same with its reasoning where it is wanted."""
        if style == "field":
            return self
        return replace(self, turns=tuple(_styled(turn, style) for turn in self.turns))


def conversation_of(row: Fields) -> Conversation:
    """Read a row. Raises Rejected with the reason, such as `unknown_format`, `unknown_role`, `not_text`."""
    if any(row.get(name) for name in NO_TEXT):
        raise Rejected("not_text", f"a column of {', '.join(name for name in NO_TEXT if row.get(name))}")
    turns = tuple(_turns(row))
    apart = tuple(_part(row.get("system") or None, "system"))  # beside the turns, as LLaMA-Factory and others have it
    if apart != turns[:1]:
        turns = (*apart, *turns)
    if all(turn.role == "system" for turn in turns):
        raise Rejected("no_user_turn")
    return Conversation(turns, _tools(row.get("tools")))


def _turns(row: Fields) -> Iterator[Turn]:
    form = format_of(row)
    if form == "messages":
        yield from _listed(row["messages"])
    elif form == "conversations":
        yield from _listed(row.get("conversations") or row.get("conversation"))
    elif form in ("prompt-completion", "prompt"):
        yield from _part(row["prompt"], "user")
        yield from _part(row.get("completion"), "assistant")
    elif form == "alpaca":
        history = row.get("history") or []
        if not isinstance(history, list):
            raise Rejected("unknown_format", "history is no list of pairs")
        for before in cast("list[Any]", history):
            yield from _pair(before)
        asked = [_text(row[name]) for name in ("instruction", "input") if row.get(name)]
        yield Turn(role="user", content="\n\n".join(asked))
        yield from _part(row.get("output") or row.get("response"), "assistant")
    else:
        raise Rejected("unknown_format", f"{form}: {', '.join(row)}")


def _pair(pair: Any) -> Iterator[Turn]:
    if not isinstance(pair, list) or len(cast("list[Any]", pair)) != 2:
        raise Rejected("unknown_format", "history is no list of pairs")
    question, answer = cast("list[Any]", pair)
    yield from _part(question, "user")
    yield from _part(answer, "assistant")


def _part(value: Any, role: Role) -> Iterator[Turn]:
    if isinstance(value, list):
        yield from _listed(value)
    elif value is not None:
        yield _thought(Turn(role=role, content=_text(value)))


def _listed(turns: Any) -> Iterator[Turn]:
    for turn in cast("list[Any]", turns) if isinstance(turns, list) else [turns]:
        if not isinstance(turn, dict):
            raise Rejected("unknown_format", "a turn is no object")
        yield _turn(cast("Fields", turn))


def _turn(turn: Fields) -> Turn:
    named = str(turn.get("role") or turn.get("from") or "")
    role = OF_TOOLS.get(named.lower()) or ROLES.get(named.lower())
    if role is None:
        raise Rejected("unknown_role", repr(named))
    content = turn.get("content")
    text = _text(turn.get("value") if content is None else content)
    if named.lower() in CALLING:
        return Turn(role=role, content="", calls=tuple(_calls_in(text)))
    reasoning = next((_text(turn[name]) for name in ANSWERS if turn.get(name)), "")
    read = Turn(
        role=role,
        content=text,
        reasoning=reasoning,
        calls=tuple(_call(one) for one in _called(turn)),
        call_id=str(turn.get("tool_call_id") or ""),
        name=str(turn.get("name") or ""),
    )
    return read if reasoning else _thought(read)


def _called(turn: Fields) -> list[Any]:
    """The calls of a turn; `function_call` is what OpenAI named the only one before there were several."""
    calls = turn.get("tool_calls") or []
    if not isinstance(calls, list):
        raise Rejected("broken_tool_call", "tool_calls is no list")
    listed = cast("list[Any]", calls)
    return [*listed, turn["function_call"]] if turn.get("function_call") else listed


def _thought(turn: Turn) -> Turn:
    """An answer that opens with its reasoning between tags, with the two apart."""
    opened = OPENED.match(turn.content) if turn.role == "assistant" else None
    if opened is None:
        return turn
    reasoning, closed, answer = turn.content[opened.end() :].partition(MARKS[opened[1]])
    if not closed:
        raise Rejected("open_think")
    return replace(turn, reasoning=reasoning.strip(), content=answer.lstrip())


def _text(content: Any) -> str:
    """The text of a turn, whose parts are joined when it is a list of them."""
    if isinstance(content, list):
        return "\n".join(_of_part(part) for part in cast("list[Any]", content))
    if content is None or isinstance(content, str):
        return content or ""
    raise Rejected("not_text", f"a content is {type(content).__name__}")


def _of_part(part: Any) -> str:
    text = cast("Fields", part).get("text") if isinstance(part, dict) else part
    if not isinstance(text, str):
        kind = cast("Fields", part).get("type") if isinstance(part, dict) else type(part).__name__
        raise Rejected("not_text", f"a part is {kind}")
    return text


def _calls_in(text: str) -> Iterator[Call]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Rejected("broken_tool_call", text[:60]) from None
    for one in cast("list[Any]", found) if isinstance(found, list) else [found]:
        yield _call(one, is_text=True)


def _call(call: Any, *, is_text: bool = False) -> Call:
    """A call; `is_text` where it was written as a text, in which no reader has filled in nulls."""
    if not isinstance(call, dict):
        raise Rejected("broken_tool_call", "a call is no object")
    whole = cast("Fields", call)
    inner = whole.get("function")
    function = cast("Fields", inner) if isinstance(inner, dict) else whole
    name, arguments = function.get("name"), function.get("arguments")
    if isinstance(arguments, dict):
        if not is_text and _has_null(arguments):
            raise Rejected("null_polluted", "arguments")
        arguments = orjson.dumps(arguments).decode()
    if not isinstance(name, str) or not name or not isinstance(arguments, str) or not _is_object(arguments):
        raise Rejected("broken_tool_call", str(name or ""))
    return Call(name=name, arguments=arguments, id=str(whole.get("id") or ""))


def _tools(tools: Any) -> str:
    if tools is None or tools in ("", "[]", []):
        return ""
    try:
        listed = orjson.loads(tools) if isinstance(tools, str) else tools
    except orjson.JSONDecodeError:
        raise Rejected("broken_tools") from None
    if not isinstance(tools, str) and _has_null(tools):
        raise Rejected("null_polluted", "tools")
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in cast("list[Any]", listed)):
        raise Rejected("broken_tools")
    functions = [one if "function" in one else {"type": "function", "function": one} for one in _objects(listed)]
    inner = [cast("Fields", one["function"]) if isinstance(one["function"], dict) else {} for one in functions]
    if not all(one.get("name") for one in inner):
        raise Rejected("broken_tools")
    return orjson.dumps(functions).decode()


def _objects(listed: Any) -> list[Fields]:
    return cast("list[Fields]", listed)


def _is_object(text: str) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


def _has_null(value: Any) -> bool:
    if isinstance(value, dict):
        return any(one is None or _has_null(one) for one in cast("Fields", value).values())
    return isinstance(value, list) and any(one is None or _has_null(one) for one in cast("list[Any]", value))


def _styled(turn: Turn, style: Style) -> Turn:
    if not turn.reasoning:
        return turn
    before = f"<think>\n{turn.reasoning}\n</think>\n\n" if style == "inline" else ""
    return replace(turn, content=before + turn.content, reasoning="")
