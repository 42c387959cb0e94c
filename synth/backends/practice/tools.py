"""The practice teacher asks for what tools can do, calls them, and answers from what they gave.

A request of its own repeats what the tool says of itself and names each value, so that it can be read back.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from synth.backends.practice.faults import reworded
from synth.backends.practice.playing import count_in, fault_of, tagged
from synth.backends.practice.said import Asked, Planted, Said, Truth, language_of
from synth.patterns import lazy

Functions = Sequence[Mapping[str, Any]]
CASE = lazy(r"(?:Case: |場合：)(\w+)")
OPENING = {
    "en": ("Please do this:", "I need this:", "Could you see to this:"),
    "ja": ("お願いします：", "これを頼みます：", "次の用件です："),
}
COMMA = {"en": "; ", "ja": "、"}
NOTHING = {"en": "nothing", "ja": "なし"}
DONE = {"en": "Here is what came back.", "ja": "結果は次のとおりです。"}
TOTAL = {"en": "\n\nThe total is 98765.", "ja": "\n\n合計は98765です。"}
BEYOND = {
    "en": (
        *("Please water the plants", "Can you fix my bicycle", "Sing me something", "Please paint the fence"),
        *("Would you walk the dog", "Please iron my shirts", "Could you carry the sofa upstairs"),
    ),
    "ja": (
        *("花に水をやってください", "自転車を直してもらえますか", "何か歌ってください", "塀を塗ってください"),
        *("犬を散歩に連れていってください", "シャツにアイロンをかけてください", "ソファーを二階へ運んでもらえますか"),
    ),
}
WHEN = {
    "en": ("before noon", "tonight", "next week", "by Sunday", "when it rains"),
    "ja": ("昼までに", "今夜", "来週", "日曜日までに", "雨の日に"),
}
SORRY = {
    "en": "None of my tools can do that. What I can do: {names}.",
    "ja": "それは私の道具ではできません。できるのは次のことです：{names}。",
}
WHICH = {
    "en": "I can do that, but I do not know this yet: {what}. What shall it be?",
    "ja": "承知しました。ただ、{what}が分かりません。教えていただけますか。",
}


def tools(asked: Asked) -> Said | None:
    """What it says to a prompt with tools; None for any other."""
    offered = tagged(asked.prompt, "tools")
    if not offered:
        return None
    functions: list[Mapping[str, Any]] = [one["function"] for one in json.loads(offered[0])]
    language = language_of(asked.prompt.replace(offered[0], ""))
    if "instructions" in asked.wanted:
        return _requests(asked, functions, language)
    return _step(asked, functions, language) if "calls" in asked.wanted else None


def _requests(asked: Asked, functions: Functions, language: str) -> Said:
    case = found[1] if (found := CASE.search(asked.prompt)) else "one"
    planted: list[Planted] = []
    for _ in range(count_in(asked.prompt)):
        good = [one.text for one in planted if not one.fault]
        if good and asked.rng.random() < asked.faults.near_duplicate:
            text = reworded(asked.rng, asked.rng.choice(good), language, asked.faults.templates)
            planted.append(Planted(text, "near_duplicate"))
        else:
            planted.append(Planted(_request(asked.rng, case, functions, language), ""))
    content = json.dumps({"instructions": [one.text for one in planted]}, ensure_ascii=False)
    told = Truth("asker", "instructions", language, instructions=tuple(planted))
    return Said(content, told)


def _request(rng: random.Random, case: str, functions: Functions, language: str) -> str:
    if case == "none":
        wish, when = rng.choice(BEYOND[language]), rng.choice(WHEN[language])
        return f"{when}、{wish}。" if language == "ja" else f"{wish} {when}."
    chosen = rng.sample(list(functions), 2) if case == "several" else [rng.choice(functions)]
    wishes = [_wish(rng, one, language, without=case == "missing") for one in chosen]
    joint = "" if language == "ja" else " "
    return joint.join([rng.choice(OPENING[language]), *wishes])


def _wish(rng: random.Random, function: Mapping[str, Any], language: str, *, without: bool) -> str:
    """A use of a tool with values for its parameters, all that are required or all but one."""
    shape = function["parameters"]
    needed = {name: one for name, one in shape["properties"].items() if name in shape["required"]}
    values = {name: rng.choice(one.get("enum") or one["examples"]) for name, one in needed.items()}
    if without:
        values.pop(rng.choice(sorted(values)))
    colon, comma = ("：", "、") if language == "ja" else (": ", "; ")
    told = comma.join(f"{needed[name]['description']}{colon}{value}" for name, value in values.items())
    return f"{_named(function)}（{told}）。" if language == "ja" else f"{_named(function)} ({told})."


def _named(function: Mapping[str, Any]) -> str:
    return str(function["description"]).rstrip(".。")


def _step(asked: Asked, functions: Functions, language: str) -> Said:
    rng = asked.rng
    results = re.findall(r'<result tool="([^"]*)">(.*?)</result>', asked.prompt, re.DOTALL)
    (request, *_) = tagged(asked.prompt, "user") or [""]
    fault = fault_of(rng, asked.faults, ("wrong_answer", "broken_tool_call"))
    if results:
        told = "\n".join(f"- {_read(json.loads(result), language)}" for _, result in results)
        answer = f"{DONE[language]}\n\n{told}"
        if fault == "wrong_answer":
            answer += TOTAL[language]
        return _said([], answer, Truth("tool user", "tools", language, "wrong_answer" if fault else ""))
    calls, missing = _read_back(request, functions)
    names = COMMA[language].join(_named(one) for one in functions)
    truth = Truth("tool user", "tools", language, fault)
    held = WHICH[language].format(what=missing) if missing else SORRY[language].format(names=names)
    answer = "" if calls else held
    if fault:
        calls = _spoilt(rng, fault, calls, functions)
        answer = ""
    return _said(calls, answer, truth)


def _spoilt(rng: random.Random, fault: str, calls: list[dict[str, str]], functions: Functions) -> list[dict[str, str]]:
    """Calls as they must not be: of a tool that is not there, with arguments that are no JSON or do not fit, or for
    what no tool can do."""
    first = calls[0] if calls else {"name": str(functions[0]["name"]), "arguments": "{}"}
    if fault == "broken_tool_call":
        return [{**first, "arguments": first["arguments"][:-1]}]
    if not calls:
        shape = functions[0]["parameters"]
        given = {name: (one.get("enum") or one["examples"])[0] for name, one in shape["properties"].items()}
        return [{**first, "arguments": json.dumps(given, ensure_ascii=False)}]
    return rng.choice((
        [{**first, "name": f"{first['name']}_now"}],
        [{**first, "arguments": json.dumps({**json.loads(first["arguments"]), "urgent": True}, ensure_ascii=False)}],
        [first, first],
    ))  # fmt: skip


def _read_back(request: str, functions: Functions) -> tuple[list[dict[str, str]], str]:
    """The calls that a request of this teacher wants, and the first value that it does not give."""
    found: list[tuple[int, dict[str, str]]] = []
    for one in functions:
        wish = re.search(re.escape(_named(one)) + r"\s?[(（]([^)）]*)[)）]", request)
        if wish is None:
            continue
        shape = one["parameters"]
        parts = (re.split(r"[：:]\s?", part, maxsplit=1) for part in re.split(r"[、，;]\s?", wish[1]))
        told = {pair[0]: pair[1] for pair in parts if len(pair) == 2}
        by_name = {name: told.get(str(field["description"])) for name, field in shape["properties"].items()}
        if missing := next((name for name in shape["required"] if by_name[name] is None), ""):
            return [], str(shape["properties"][missing]["description"])
        values = {
            name: _typed(value, shape["properties"][name]) for name, value in by_name.items() if value is not None
        }
        found.append((wish.start(), {"name": str(one["name"]), "arguments": json.dumps(values, ensure_ascii=False)}))
    return [call for _, call in sorted(found, key=lambda pair: pair[0])], ""


def _typed(value: str, shape: Mapping[str, Any]) -> Any:
    return json.loads(value) if shape.get("type") in ("integer", "number") else value


def _read(result: Any, language: str) -> str:
    """A tool's result as a line; in Japanese its values alone, as their names are English."""
    if isinstance(result, dict):
        fields = cast("dict[str, Any]", result).items()
        names = ("" if language == "ja" else f"{name.replace('_', ' ')}: " for name, _ in fields)
        return COMMA[language].join(
            name + _read(value, language) for name, (_, value) in zip(names, fields, strict=True)
        )
    if isinstance(result, list):
        return COMMA[language].join(_read(one, language) for one in cast("list[Any]", result)) or NOTHING[language]
    return str(result).lower() if isinstance(result, bool) else str(result)


def _said(calls: list[dict[str, str]], answer: str, truth: Truth) -> Said:
    content = json.dumps({"calls": calls, "answer": answer}, ensure_ascii=False)
    return Said(content, truth)
