"""What the practice teacher says to a request: a pure function of the request's body and the faults."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import orjson

from synth.backends.practice.ailments import AILMENTS
from synth.backends.practice.back_translator import back_translator, fit_judge
from synth.backends.practice.evolver import evolver, sameness
from synth.backends.practice.expert import expert
from synth.backends.practice.faults import (
    CONTENT,
    POLITE,
    REFUSALS,
    Faults,
    ailing,
    broken_json,
    looped,
    merged,
    reworded,
)
from synth.backends.practice.grounded import grounded
from synth.backends.practice.labelling import labelling
from synth.backends.practice.parallel import parallel
from synth.backends.practice.playing import COUNT, cut, fault_of
from synth.backends.practice.problems import problems
from synth.backends.practice.questions import TASKS, TOPICS
from synth.backends.practice.reading import Read, read
from synth.backends.practice.said import Asked, Planted, Role, Said, Truth, is_right, language_of
from synth.backends.practice.styles import styles
from synth.backends.practice.tools import tools
from synth.backends.practice.user import dialogue_judge, user
from synth.patterns import lazy
from synth.schema import example

ROLES: tuple[Role, ...] = (
    grounded,
    tools,
    problems,
    labelling,
    expert,
    user,
    dialogue_judge,
    evolver,
    sameness,
    back_translator,
    fit_judge,
    parallel,
    styles,
)
"""Kinds of requests beside the exercises, one file each; the first that knows what it is asked answers."""
NAMES = ("instructions", "score", "better", "instruction", "same")
"""Of the properties that a prompt may ask for in words."""
QUESTION = lazy(r"<question>\s*(.*?)\s*</question>", re.DOTALL)
ANSWER = lazy(r"<answer>\s*(.*?)\s*</answer>", re.DOTALL)
PAIR = lazy(r"<first>\s*(.*?)\s*</first>\s*<second>\s*(.*?)\s*</second>", re.DOTALL)
FINAL = {"en": "A", "ja": "答え"}
OPENING = {"en": "What is asked here, and what is given?", "ja": "何を求めるのか、何が分かっているのかを整理します。"}
DOUBTS = {
    "en": ("Let me check that.", "Once more from the beginning.", "The other way round it has to come out the same."),
    "ja": ("確かめてみます。", "もう一度はじめから考えます。", "逆から考えても同じになるはずです。"),
}
AGAIN = {"en": "Wait, let me check again. ", "ja": "いや、もう一度確かめます。"}
OTHER = {
    "en": "This is synth's practice teacher. It only knows a few kinds of exercise, and this is not one of them.",
    "ja": "synthの練習用教師です。限られた種類の練習問題だけを知っていて、これはその中にありません。",
}


def truth(body: bytes | Mapping[str, Any], faults: Faults) -> Truth:
    """What the reply to a request really is, worked out from the request alone."""
    request = orjson.loads(body) if isinstance(body, bytes) else dict(body)
    return say(request, faults).truth


def say(request: dict[str, Any], faults: Faults) -> Said:
    """The content of the reply to a chat request."""
    identity = orjson.dumps([request, faults.seed, faults.templates], option=orjson.OPT_SORT_KEYS)
    rng = random.Random(hashlib.sha256(identity).digest())  # noqa: S311 (play, no secret)
    texts = [_text(message) for message in request["messages"] if message.get("role") == "user"]
    wanted = _wanted(request)
    first = texts[0] if texts else ""
    asked = Asked(first, frozenset(wanted), rng, faults, _fields(request))
    if (own := next((found for role in ROLES if (found := role(asked)) is not None), None)) is not None:
        return _as_json(rng, own, faults) if wanted else own
    if "better" in wanted:
        said = _compare(rng, first)
    elif "score" in wanted or (QUESTION.search(first) and ANSWER.search(first)):
        said = _judge(rng, first)
    elif "instructions" in wanted:
        said = _ask(rng, first, faults)
    else:
        known = next((found for text in reversed(texts) if (found := read(text))), None)
        if known is None:
            language = language_of(first)
            return _fitted(Said(OTHER[language], Truth("other", language=language)), request.get("response_format"))
        system = next((_text(one) for one in request["messages"] if one.get("role") == "system"), "")
        answered = _answer(rng, known, faults, system)
        if "<think>" in first:
            answered = _thought(rng, answered, known, faults)
        return _fitted(answered, request.get("response_format"))
    return _as_json(rng, said, faults)


def _answer(rng: random.Random, known: Read, faults: Faults, system: str) -> Said:
    language, solution = known.task.language, known.solution
    fault = fault_of(rng, faults, CONTENT if not solution.json else ("wrong_answer", "refusal", "truncation"))
    spoken = Truth("answerer", known.task.name, language, fault, solution.answer)
    told = solution.wrong if fault == "wrong_answer" else solution.answer
    if fault == "refusal":
        return Said(rng.choice(REFUSALS[(faults.templates, language)]), spoken)
    if solution.json:
        content = f"```json\n{told}\n```" if rng.random() < faults.fenced_json else told
        return cut(rng, content, spoken) if fault == "truncation" else Said(content, spoken)
    if fault == "wrong_language":
        return Said(_other_language(known), spoken)
    blank = "" if language == "ja" else " "
    polite = f"{rng.choice(POLITE[language])}{blank}" if rng.random() < 0.2 else ""
    content = f"{polite}{solution.steps}"
    if fault == "missing_answer":
        return Said(content, spoken)
    if fault == "repetition":
        return Said(looped(rng, content, language, faults.templates), spoken)
    content = f"{content}\n\n{FINAL[language]}: {told}"
    if fault in AILMENTS:
        return Said(ailing(rng, fault, content, system, language, faults.templates), spoken)
    return cut(rng, content, spoken) if fault == "truncation" else Said(content, spoken)


def _thought(rng: random.Random, said: Said, known: Read, faults: Faults) -> Said:
    """An answer after thinking of varying length; now and then without it, or with thinking that runs in circles."""
    if rng.random() < faults.missing_answer:
        return said
    language, steps = known.task.language, known.solution.steps
    again = AGAIN[language] * (60 if rng.random() < faults.repetition else 0)
    checks = "\n\n".join(f"{one} {steps}" for one in DOUBTS[language][: rng.randint(0, 3)])
    thought = "\n\n".join(part for part in (OPENING[language], steps, checks, again) if part)
    return replace(said, content=f"<think>\n{thought}\n</think>\n\n{said.content}")


def _other_language(known: Read) -> str:
    """The answer told in the language that was not asked for."""
    if known.task.language == "ja":
        return (
            "To solve this, read the question carefully, write down what is given, and work through it one step at a "
            f"time until the result appears.\n\nA: {known.solution.answer}"
        )
    return (
        "この問題を解くには、まず問題文をよく読み、分かっている数を書き出してから、順番に計算を進めます。"
        f"\n\n答え: {known.solution.answer}"
    )


def _ask(rng: random.Random, prompt: str, faults: Faults) -> Said:
    language = language_of(prompt)
    count = int(found[1]) if (found := COUNT.search(prompt)) else 5
    known = {topic: names for topic, names in TOPICS[language] if topic in prompt}
    names = next(iter(known.values()), None)
    tasks = [task for task in TASKS if task.language == language and (names is None or task.name in names)]
    planted: list[Planted] = []
    for _ in range(min(count, 50)):
        good = [one.text for one in planted if not one.fault]
        if good and rng.random() < faults.near_duplicate:
            planted.append(Planted(reworded(rng, rng.choice(good), language, faults.templates), "near_duplicate"))
        elif faults.merged and rng.random() < faults.merged:
            one, other = (rng.choice(tasks).write(rng) for _ in range(2))
            planted.append(Planted(merged(rng, one, other, language, faults.templates), "merged"))
        else:
            planted.append(Planted(rng.choice(tasks).write(rng), ""))
    content = json.dumps({"instructions": [one.text for one in planted]}, ensure_ascii=False)
    return Said(content, Truth("asker", "instructions", language, instructions=tuple(planted)))


def _judge(rng: random.Random, prompt: str) -> Said:
    language, answer = language_of(prompt), ANSWER.search(prompt)
    known = _judged(prompt)
    right = answer is not None and is_right(answer[1], known)
    score = rng.choice((4, 5, 5)) if right else rng.choice((1, 1, 2))
    words = {
        ("en", True): "The steps are sound and the final answer is right.",
        ("en", False): "The final answer does not follow from the question.",
        ("ja", True): "手順に誤りがなく、最後の答えも正しいです。",
        ("ja", False): "最後の答えが問題の条件と合っていません。",
    }
    content = json.dumps({"reason": words[(language, right)], "score": score}, ensure_ascii=False)
    return Said(content, Truth("judge", known.task.name if known else "", language))


def _compare(rng: random.Random, prompt: str) -> Said:
    """The right one of two answers; of two that are as good, most often neither, else the one in the first place."""
    language, pair = language_of(prompt), PAIR.search(prompt)
    known = _judged(prompt)
    one, other = (is_right(text, known) for text in (pair.groups() if pair else ("", "")))
    better = "first" if one > other else "second" if other > one else rng.choice(("tie", "tie", "first"))
    reason = {"en": "The final answers were held against the question.", "ja": "最後の答えを問題と照らし合わせました。"}
    content = json.dumps({"reason": reason[language], "better": better}, ensure_ascii=False)
    return Said(content, Truth("judge", known.task.name if known else "", language))


def _judged(prompt: str) -> Read | None:
    """The exercise that a judge is shown."""
    question = QUESTION.search(prompt)
    return read(question[1]) if question else None


def _fitted(said: Said, form: dict[str, Any] | None) -> Said:
    """The text inside the JSON that a `response_format` promises; a cut reply and one that is JSON stay as they are."""
    kind = form.get("type") if form else None
    if form is None or kind not in ("json_object", "json_schema"):
        return said
    if said.finish_reason == "length" or "{" in said.content:
        return said
    schema = form["json_schema"]["schema"] if kind == "json_schema" else {"properties": {"answer": {"type": "string"}}}
    return replace(said, content=json.dumps(example(schema, schema, said.content), ensure_ascii=False))


def _as_json(rng: random.Random, said: Said, faults: Faults) -> Said:
    """Faults of form, for replies that were to be JSON."""
    if rng.random() < faults.fenced_json:
        return Said(f"```json\n{said.content}\n```", _with(said.truth, "fenced_json"))
    if rng.random() < faults.invalid_json:
        return Said(broken_json(rng, said.content, faults.templates), _with(said.truth, "invalid_json"))
    return said


def _with(true: Truth, fault: str) -> Truth:
    return Truth(true.role, true.task, true.language, fault, true.answer, true.instructions)


def _text(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = cast("list[Any]", content) if isinstance(content, list) else []
    return "".join(str(cast("dict[str, Any]", part).get("text", "")) for part in parts if isinstance(part, dict))


def _fields(request: dict[str, Any]) -> Mapping[str, Any]:
    """The fields of the objects in the list that a request asks for, by its schema."""
    schema = _held(request, "response_format", "json_schema", "schema")
    items = _held(schema, "properties", "objects", "items")
    defined = _held(schema, "$defs", str(items.get("$ref", "")).rpartition("/")[2])
    return _held(defined or items, "properties")


def _held(value: Any, *names: str) -> dict[str, Any]:
    """The object that stands in another one at the end of these names; empty where there is none."""
    for name in names:
        value = cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _wanted(request: dict[str, Any]) -> set[str]:
    """The properties of the object that a request asks for, by its schema or in words."""
    properties = set(_held(request, "response_format", "json_schema", "schema", "properties"))
    prompt = "".join(_text(message) for message in request["messages"])
    return properties | {name for name in NAMES if f'"{name}"' in prompt}
