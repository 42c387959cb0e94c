"""A conversation in the shape of one trainer. A maker refuses what its shape cannot hold; it never cuts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import orjson

from synth.errors import Rejected
from synth.formats.conversation import Call, Conversation, Turn
from synth.language.text import several
from synth.types import Fields

HUMAN = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}
"""What ShareGPT calls the roles."""


def messages(told: Conversation) -> Fields:
    """TRL, Axolotl, Unsloth: every turn with the same keys, tools as a JSON string."""
    return {"messages": _whole(told.turns), "tools": told.tools or None}


def prompt_completion(told: Conversation) -> Fields:
    """TRL: the last answer is trained on, and what comes before it is not, whatever the chat template."""
    return {
        "prompt": _whole(told.turns[:-1]),
        "completion": _whole(told.turns[-1:]),
        "tools": told.tools or None,
    }


def prompt(told: Conversation) -> Fields:
    """TRL's GRPO and distillation: all up to the last question, which the student answers itself."""
    last = max((place for place, turn in enumerate(told.turns) if turn.role == "user"), default=-1)
    if last < 0:
        raise Rejected("no_user_turn")
    return {"prompt": _whole(told.turns[: last + 1]), "tools": told.tools or None}


def tools(told: Conversation) -> Fields:
    """Whole conversations, of those alone that offer tools or call one."""
    if not told.tools and not any(turn.calls for turn in told.turns):
        raise Rejected("no_tools")
    return messages(told)


def reasoning(told: Conversation) -> Fields:
    """Whole conversations, of those alone whose last answer was reasoned."""
    last = told.turns[-1]
    if not last.reasoning and not last.content.startswith("<think>"):
        raise Rejected("no_reasoning")
    return messages(told)


def preference(chosen: Conversation, rejected: Conversation) -> Fields:
    """TRL's DPO and reward trainers: two answers to the same prompt, which stands apart from both."""
    return {
        "prompt": _whole(_asked(chosen, rejected)),
        "chosen": _whole(chosen.turns[-1:]),
        "rejected": _whole(rejected.turns[-1:]),
        "tools": chosen.tools or None,
    }


def openai_preference(chosen: Conversation, rejected: Conversation) -> Fields:
    """OpenAI's DPO, and those that took it over, such as Together and Fireworks."""
    asked: Fields = {"messages": [bare(turn) for turn in _asked(chosen, rejected)]}
    if chosen.tools:
        asked["tools"] = chosen.tool_list()
    good: list[Any] = [bare(chosen.turns[-1])]
    bad: list[Any] = [bare(rejected.turns[-1])]
    return {"input": asked, "preferred_output": good, "non_preferred_output": bad}


def ms_swift_preference(chosen: Conversation, rejected: Conversation) -> Fields:
    """ms-swift: the good answer ends the conversation, and the bad one stands beside it as a text."""
    _asked(chosen, rejected)
    if rejected.turns[-1].calls:
        raise Rejected("call_beside")
    return {**ms_swift(chosen), "rejected_response": rejected.turns[-1].content}


def llama_factory_preference(chosen: Conversation, rejected: Conversation) -> Fields:
    """LLaMA-Factory's `ranking`: the conversation up to the last question, and both answers in ShareGPT's words."""
    asked = _asked(chosen, rejected)
    told = llama_factory(Conversation(asked, chosen.tools))
    return {**told, "chosen": said(chosen.turns[-1]), "rejected": said(rejected.turns[-1])}


def _asked(chosen: Conversation, rejected: Conversation) -> tuple[Turn, ...]:
    """What both answer."""
    if chosen.turns[:-1] != rejected.turns[:-1]:
        raise Rejected("other_prompt")
    return chosen.turns[:-1]


def openai(told: Conversation) -> Fields:
    """OpenAI, Together, Fireworks, Azure: only keys that say something, tools as objects."""
    made: Fields = {"messages": [bare(turn) for turn in told.turns]}
    if told.tools:
        made["tools"] = told.tool_list()
    return made


def ms_swift(told: Conversation) -> Fields:
    """ms-swift: as OpenAI's, tools as a JSON string."""
    made = openai(told)
    if told.tools:
        made["tools"] = told.tools
    return made


def gemini(told: Conversation) -> Fields:
    """Gemini: the system turn apart, the assistant as `model`, calls and results as parts."""
    system = [turn.content for turn in told.turns if turn.role == "system"]
    names: dict[str, str] = {}
    contents: list[Any] = []
    for turn in told.turns:
        names |= {call.id: call.name for call in turn.calls if call.id}  # a later turn may use an id again
        if turn.role != "system":
            role = "model" if turn.role == "assistant" else "user"
            if contents and contents[-1]["role"] == role and turn.role == "tool":
                contents[-1]["parts"] += _parts(turn, names)  # the results of calls made at once are one turn
            else:
                contents.append({"role": role, "parts": _parts(turn, names)})
    made: Fields = {}
    if system:
        made["systemInstruction"] = {"parts": [{"text": text} for text in system]}
    made["contents"] = contents
    if told.tools:
        made["tools"] = [{"functionDeclarations": [one["function"] for one in told.tool_list()]}]
    return made


def sharegpt(told: Conversation) -> Fields:
    """ShareGPT: `conversations` of `from` and `value`."""
    return {"conversations": [said(turn) for turn in told.turns], "tools": told.tools or None}


def llama_factory(told: Conversation) -> Fields:
    """LLaMA-Factory: ShareGPT's, whose turns must alternate or the trainer skips the row; no null where it reads."""
    heard = [turn.role in ("user", "tool") for turn in told.turns if turn.role != "system"]
    if not heard or not heard[0] or any(one == other for one, other in pairwise(heard)):
        raise Rejected("no_alternation")
    return {"conversations": [said(turn) for turn in told.turns], "tools": told.tools}


def alpaca(told: Conversation) -> Fields:
    """Alpaca: one question and its answer, and nothing else."""
    if told.tools or any(turn.calls or turn.role == "tool" for turn in told.turns):
        raise Rejected("tools")
    if any(turn.role == "system" for turn in told.turns):
        raise Rejected("system")
    if [turn.role for turn in told.turns] != ["user", "assistant"]:
        raise Rejected("several_turns", several(len(told.turns), "turn"))
    question, answer = told.turns
    return {"instruction": question.content, "input": "", "output": answer.content}


def bare(turn: Turn) -> Fields:
    """A turn with those keys alone that say something."""
    made: Fields = {"role": turn.role, "content": turn.content}
    if turn.reasoning:
        made["reasoning_content"] = turn.reasoning
    if turn.calls:
        made["tool_calls"] = [_call(call) for call in turn.calls]
    if turn.call_id:
        made["tool_call_id"] = turn.call_id
    if turn.name:
        made["name"] = turn.name
    return made


def said(turn: Turn) -> Fields:
    """A turn in ShareGPT's words."""
    if not turn.calls:
        return {"from": HUMAN[turn.role], "value": turn.content}
    thought, closed, rest = turn.content.rpartition("</think>")
    if rest.strip():
        raise Rejected("text_beside_calls")
    calls: list[Fields] = [{"name": call.name, "arguments": orjson.loads(call.arguments)} for call in turn.calls]
    value = orjson.dumps(calls[0] if len(calls) == 1 else calls).decode()
    return {"from": "function_call", "value": f"{thought}{closed}\n\n{value}" if closed else value}


def _whole(turns: Sequence[Turn]) -> list[Any]:
    """Turns with the same keys in every row: readers that unite rows by their first ones lose none of them."""
    return [
        {
            "role": turn.role,
            "content": turn.content,
            "reasoning_content": turn.reasoning or None,
            "tool_calls": [_call(call) for call in turn.calls] or None,
            "tool_call_id": turn.call_id or None,
            "name": turn.name or None,
        }
        for turn in turns
    ]


def _call(call: Call) -> Fields:
    made: Fields = {"id": call.id} if call.id else {}
    return {**made, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _parts(turn: Turn, names: dict[str, str]) -> list[Any]:
    if turn.role == "tool":
        name = turn.name or names.get(turn.call_id, "")
        if not name:
            raise Rejected("nameless_result")
        return [{"functionResponse": {"name": name, "response": _response(turn.content)}}]
    calls = [{"functionCall": {"name": call.name, "args": orjson.loads(call.arguments)}} for call in turn.calls]
    return [*([{"text": turn.content}] if turn.content or not calls else []), *calls]


def _response(content: str) -> Fields:
    """A tool's result, which has to be an object."""
    try:
        found: Any = orjson.loads(content)
    except orjson.JSONDecodeError:
        found = content
    return cast("Fields", found) if isinstance(found, dict) else {"output": found}
