"""A model's reasoning told apart from its answer, in whichever of the usual ways a server gives it.

    reasoning_content, reasoning    a text or parts      DeepSeek, SGLang, llama.cpp; vLLM, OpenRouter, Groq, Ollama
    reasoning_details               parts                OpenRouter
    content                         parts of kinds       Mistral: `thinking` beside `text`; Google: `thought: true`
    <think> .. </think>             in the text          servers without a reasoning parser; `<thought>` Google

Signatures and what is encrypted stay in the raw reply alone: nobody but the model's host can read them.
"""

from __future__ import annotations

import re
from typing import Any, cast

from synth.patterns import lazy

FIELDS = ("reasoning_content", "reasoning", "reasoning_details")
MARKS = {
    "<think>": "</think>",
    "<thought>": "</thought>",
    "<seed:think>": "</seed:think>",
    "[THINK]": "[/THINK]",
}
"""How models write where their reasoning begins, and where it ends."""
MARKED = lazy("|".join(map(re.escape, [*MARKS, *MARKS.values()])))
_EMPTY = "|".join(rf"{re.escape(begin)}\s*{re.escape(end)}" for begin, end in MARKS.items())
_BEGIN = "|".join(map(re.escape, MARKS))
OPENED = lazy(rf"\s*(?:(?:{_EMPTY})\s*(?={_BEGIN}))*({_BEGIN})")
"""The beginning, behind empty reasoning that a template wrote."""
CLOSED = lazy(rf"(?:(?<=[.!?。！？…」』)）}}`\]\n])|(?<=\n )) *({'|'.join(map(re.escape, MARKS.values()))})(?!`)")
"""The end of reasoning whose beginning stood in the prompt: behind a whole sentence, not in the midst of one that is
about such signs, nor in code."""
JSON = lazy(r"\s*\{.*\}\s*", re.DOTALL)
"""An object, whose texts may be about anything."""


def apart(message: dict[str, Any]) -> tuple[str, str]:
    """The answer and the reasoning of a message, or of a piece of one that is streamed."""
    content = message.get("content")
    text = content if isinstance(content, str) else _parts(content, thoughts=False)
    told = next((message[name] for name in FIELDS if message.get(name)), None)
    reasoning = told if isinstance(told, str) else _parts(told, thoughts=True) + _parts(told, thoughts=False)
    return text, reasoning or _parts(content, thoughts=True)


def unmixed(text: str) -> tuple[str, str]:
    """The answer and the reasoning of a text that holds both; reasoning that never ends is all of it."""
    if opened := OPENED.match(text):
        reasoning, _, answer = text[opened.end() :].partition(MARKS[opened[1]])
        return answer.lstrip(), reasoning.strip()
    closed = CLOSED.search(text)
    if closed is None or JSON.fullmatch(text):
        return text, ""
    before = text[: closed.start()]
    if before.count("```") % 2 or any(mark in before for mark in MARKS):
        return text, ""
    return text[closed.end() :].lstrip(), before.strip()


def _parts(content: Any, *, thoughts: bool) -> str:
    """The texts of a list's parts that are thoughts, or of those that are not."""
    if not isinstance(content, list):
        return ""
    parts = [cast("dict[str, Any]", part) for part in cast("list[Any]", content) if isinstance(part, dict)]
    return "".join(_thought(part) if thoughts else _said(part) for part in parts)


def _said(part: dict[str, Any]) -> str:
    return str(part.get("text") or "") if part.get("type", "text") == "text" and not part.get("thought") else ""


def _thought(part: dict[str, Any]) -> str:
    kind = str(part.get("type", "text"))
    if kind == "text":
        return str(part.get("text") or "") if part.get("thought") else ""
    if kind == "thinking":
        inner = part.get("thinking")
        return inner if isinstance(inner, str) else _parts(inner, thoughts=False)
    if kind in ("reasoning", "reasoning.text"):
        return str(part.get("text") or "")
    return str(part.get("summary") or "") if kind == "reasoning.summary" else ""
