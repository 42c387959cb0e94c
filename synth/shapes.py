"""The conversation in a row of anybody's dataset, whichever of the usual shapes it has.

    messages               [{"role": "user", "content": ...}, ...]     OpenAI, TRL
    prompt, completion     texts, or lists of messages                 TRL
    instruction, input, output                                         Alpaca
    conversations          [{"from": "human", "value": ...}, ...]      ShareGPT

The last part of each may be missing, as in a set of prompts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

from synth.types import Fields, Message, Sample

Style = Literal["field", "inline", "drop"]
"""Where reasoning goes: a field of its own, between think tags before the answer, or nowhere."""
SHAPES = "messages, prompt/completion, instruction/input/output (Alpaca), conversations (ShareGPT)"
PARTS = ("messages", "question", "answer")
ROLES: dict[str, Literal["system", "user", "assistant"]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
}
"""What the turns are called; those of tools are left out."""


def sample_of(row: Fields, id: str) -> Sample | None:  # noqa: A002 (the word of the design)
    """The row as a sample, with all its columns as fields; None when its shape is not known."""
    messages = messages_of(row)
    if messages is None:
        return None
    return Sample(id=id, seed_id=id, parent_id=id, stage="", draw=0, messages=messages, fields=row)


def messages_of(row: Fields) -> tuple[Message, ...] | None:
    """The turns of a row; None when its shape is not known."""
    for name in ("messages", "conversations", "conversation"):
        turns = row.get(name)
        if isinstance(turns, list) and _are_turns(turns):
            return _turns(turns)
    if "prompt" in row and _is_part(row["prompt"]) and _is_part(row.get("completion")):
        return (*_part(row["prompt"], "user"), *_part(row.get("completion"), "assistant"))
    if isinstance(row.get("instruction"), str) and _is_text(row.get("input")) and _is_text(row.get("output")):
        question = "\n\n".join(str(row[name]) for name in ("instruction", "input") if row.get(name))
        return (Message(role="user", content=question), *_part(row.get("output"), "assistant"))
    return None


def _is_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_part(value: Any) -> bool:
    return _is_text(value) or (isinstance(value, list) and _are_turns(cast("list[Any]", value)))


def _part(value: Any, role: Literal["user", "assistant"]) -> tuple[Message, ...]:
    if isinstance(value, list):
        return _turns(cast("list[Any]", value))
    return () if value is None else (Message(role=role, content=value),)


def _are_turns(turns: list[Any]) -> bool:
    return all(
        isinstance(turn, Mapping) and ("role" in turn or "from" in turn) and ("content" in turn or "value" in turn)
        for turn in turns
    )


def _turns(turns: list[Any]) -> tuple[Message, ...]:
    found: list[Message] = []
    for turn in turns:
        role = ROLES.get(str(turn.get("role") or turn.get("from")).lower())
        if role is not None:
            reasoning = turn.get("reasoning_content")
            content = _content(turn.get("content") if "content" in turn else turn.get("value"))
            found.append(Message(role=role, content=content, reasoning_content=str(reasoning) if reasoning else None))
    return tuple(found)


def _content(content: Any) -> str:
    """The text of a turn: a text, or the texts among its parts."""
    if isinstance(content, list):
        parts = cast("list[Any]", content)
        return "\n".join(
            str(cast("Fields", part)["text"]) for part in parts if isinstance(part, dict) and "text" in part
        )
    return "" if content is None else str(content)
