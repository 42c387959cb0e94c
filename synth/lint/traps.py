"""What goes wrong in training without a word, told from one row of anybody's dataset.

What each trainer does with such a row was tried with TRL 1.16, and read in Axolotl 0.19, LLaMA-Factory 0.9.5, NeMo
AutoModel 0.7, Together's file check and the rest, in November 2026.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Literal, cast

import orjson

from synth.types import Fields

Format = Literal["messages", "conversations", "preference", "prompt-completion", "alpaca", "text", "prompt", "unknown"]

ROLES = ("system", "user", "assistant", "tool")
ANSWERS = ("reasoning_content", "reasoning", "thinking")
"""What a turn's reasoning is called."""
TRAINERS_OWN = ("labels", "input_ids", "attention_mask", "images", "chat_template_kwargs", "assistant_masks",
                "completion_mask")  # fmt: skip


def format_of(row: Fields) -> Format:
    """Which of the formats a row has, as TRL would look for them."""
    has = {name for name, value in row.items() if value is not None}
    if {"chosen", "rejected"} & has:
        return "preference"
    if {"prompt", "completion"} <= has:
        return "prompt-completion"
    if "messages" in has:
        return "messages"
    if has & {"conversations", "conversation"}:
        return "conversations"
    if "instruction" in has and has & {"output", "response"}:
        return "alpaca"
    return "text" if "text" in has else "prompt" if "prompt" in has else "unknown"


def traps_of(row: Fields) -> set[str]:
    """The traps in a row, by name."""
    form = format_of(row)
    found = {*_columns(row, form)}
    if form == "preference":
        found |= {*_pair(row)}
    if form == "prompt-completion":
        found |= {*_completion(row["prompt"], row["completion"])}
    tools = row.get("tools")
    declared, broken = _declared(tools)
    found |= broken
    for name, is_whole in (("messages", True), ("prompt", False), ("completion", False), ("chosen", False),
                           ("rejected", False)):  # fmt: skip
        turns = _turns(row.get(name))
        if turns:
            found |= {*_in_turns(turns, declared, is_whole=is_whole)}
    if "\ufffd" in _text(row):
        found.add("damaged_text")
    return found


def _columns(row: Fields, form: Format) -> Iterator[str]:
    names = {name for name, value in row.items() if value is not None}
    if form == "unknown":
        yield "unknown_format"
    if form in ("conversations", "alpaca"):
        turns = _turns(row.get("conversations") or row.get("conversation"))
        yield form if form == "alpaca" else "sharegpt" if turns and "from" in turns[0] else "conversations_column"
    if names & {*TRAINERS_OWN} or (form == "messages" and names & {"prompt", "completion"}):
        yield "reserved_name"
    whole = [{"messages"}, {"text"}, {"prompt", "completion"}, {"chosen", "rejected"}, {"conversations"},
             {"instruction", "output"}]  # fmt: skip
    if sum(one <= names for one in whole) > 1:
        yield "two_formats"
    if names & {*ANSWERS}:
        yield "reasoning_column"
    if form == "prompt-completion" and "label" in names and not isinstance(row["label"], bool):
        yield "label_not_bool"


def _pair(row: Fields) -> Iterator[str]:
    prompt, chosen, rejected = (row.get(name) for name in ("prompt", "chosen", "rejected"))
    if not chosen or not rejected:
        yield "no_pair"
        return
    if chosen == rejected:
        yield "chosen_equals_rejected"
    if prompt is not None and len({isinstance(one, str) for one in (prompt, chosen, rejected)}) > 1:
        yield "mixed_pair"
    for one in (chosen, rejected):
        if _is_empty(one):
            yield "empty_completion"


def _completion(prompt: Any, completion: Any) -> Iterator[str]:
    if _is_empty(completion):
        yield "empty_completion"
    if isinstance(prompt, str) != isinstance(completion, str):
        yield "mixed_pair"
    elif isinstance(prompt, str) and prompt and completion:
        ends, begins = prompt[-1], completion[0]
        if ends.isascii() and ends.isalnum() and begins.isascii() and begins.isalnum():
            yield "run_together"


def _in_turns(turns: Sequence[Fields], declared: set[str] | None, *, is_whole: bool) -> Iterator[str]:
    """The traps of a conversation; `is_whole` where it ends with the answer that is learned."""
    roles = [str(turn.get("role")) for turn in turns]
    if not {*roles} <= {*ROLES}:
        yield "unknown_role"
    if "system" in roles[1:]:
        yield "system_not_first"
    spoken = [role for role in roles if role in ("user", "assistant")]
    if is_whole and roles[-1] != "assistant":
        yield "no_answer"
    if is_whole and "user" not in roles:
        yield "no_user_turn"
    if any(one == "user" == other for one, other in pairwise(spoken)) or _speaks_twice(roles):
        yield "no_alternation"
    for place, turn in enumerate(turns):
        is_last = place == len(turns) - 1
        yield from _in_turn(turn, is_answer=is_whole and is_last)
        if not is_last and turn.get("role") == "assistant" and (_reasoning(turn) or "<think>" in _text(turn)):
            yield "lost_reasoning"
    yield from _calls(turns, declared)


def _speaks_twice(roles: Sequence[str]) -> bool:
    return any(one == "assistant" == other for one, other in pairwise(roles))


def _in_turn(turn: Fields, *, is_answer: bool) -> Iterator[str]:
    content = turn.get("content")
    if isinstance(content, list):
        yield "content_parts"
        return
    text = str(content or "")
    if not text.strip() and not turn.get("tool_calls") and turn.get("role") != "tool":
        yield "empty_completion" if is_answer else "empty_turn"
    if turn.get("reasoning_content") is None and (turn.get("reasoning") or turn.get("thinking")):
        yield "reasoning_key"
    if text.count("<think>") != text.count("</think>"):
        yield "open_think"
    if "<think>" in text and _reasoning(turn):
        yield "reasoning_twice"


def _calls(turns: Sequence[Fields], declared: set[str] | None) -> Iterator[str]:
    open_calls: set[str] = set()
    for turn in turns:
        for call in _objects(turn.get("tool_calls")):
            function = _function(call)
            name, arguments = function.get("name"), function.get("arguments")
            if not name or arguments is None or (isinstance(arguments, str) and not _is_json(arguments)):
                yield "broken_tool_call"
            if isinstance(arguments, dict):
                yield "null_polluted" if _has_null(arguments) else "arguments_object"
            if declared is not None and name and name not in declared:
                yield "undeclared_tool"
            open_calls.add(str(call.get("id") or ""))
        if turn.get("role") == "tool":
            id_of = str(turn.get("tool_call_id") or "")
            if not open_calls or (id_of and id_of not in open_calls):
                yield "stray_tool_result"
        elif turn.get("role") == "user":
            open_calls.clear()


def _declared(tools: Any) -> tuple[set[str] | None, set[str]]:
    """The names of a row's tools, None where it has none, and what is wrong with them."""
    if tools is None or tools in ("", []):
        return None, set()
    listed = tools
    if isinstance(tools, str):
        try:
            listed = orjson.loads(tools)
        except orjson.JSONDecodeError:
            return None, {"broken_tools"}
    functions = [_function(tool) for tool in _objects(listed)]
    if not functions or not all(one.get("name") for one in functions):
        return None, {"broken_tools"}
    wrong = {"null_polluted" if _has_null(listed) else "arguments_object"} if not isinstance(tools, str) else set[str]()
    return {str(one["name"]) for one in functions}, wrong


def _function(called: Fields) -> Fields:
    """What a call, or a tool, says of its function."""
    inner = called.get("function")
    return cast("Fields", inner) if isinstance(inner, dict) else called


def _turns(value: Any) -> list[Fields]:
    return [*_objects(value)] if isinstance(value, list) else []


def _objects(value: Any) -> Iterator[Fields]:
    if isinstance(value, list):
        yield from (cast("Fields", one) for one in cast("list[Any]", value) if isinstance(one, dict))


def _reasoning(turn: Fields) -> bool:
    return any(turn.get(name) for name in ANSWERS)


def _is_empty(completion: Any) -> bool:
    if isinstance(completion, list):
        last = (_turns(completion) or [{}])[-1]
        return not str(last.get("content") or "").strip() and not last.get("tool_calls")
    return not str(completion or "").strip()


def _has_null(value: Any) -> bool:
    return any(one is None or _has_null(one) for one in _inside(value))


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return cast("dict[str, Any]", value).values()
    return cast("list[Any]", value) if isinstance(value, list) else ()


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _text(value: Any) -> str:
    """All texts in a value, one after the other."""
    return value if isinstance(value, str) else "\n".join(_text(one) for one in _inside(value))
