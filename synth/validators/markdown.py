"""Markdown, code fences and tool calls are whole."""

from __future__ import annotations

import re
from typing import Any, Literal, cast

import orjson

from synth.errors import Rejected
from synth.language.text import open_fence, subject
from synth.patterns import lazy
from synth.types import Sample, Value

ROW = lazy(r"^\s{0,3}\|.*\|\s*$")
RULE = lazy(r"^\s{0,3}\|(?:\s*:?-+:?\s*\|)+\s*$")
CELL_EDGE = lazy(r"(?<!\\)\|")
CODE = lazy(r"^(`{3,}|~{3,}).*?^\1|`[^`\n]*`", re.DOTALL | re.MULTILINE)
BOLD = lazy(r"(?<![*\w/])\*\*(?![\s*])|(?<![\s*])\*\*(?![*\w/])|(?<=[\u3040-\u9fff])\*\*(?=[\u3040-\u9fff])")
OPEN_LINK = lazy(r"\[[^\[\]\n]+\]\((?:https?://|/|\./)[^()\s]*(?:\([^()\s]*\)[^()\s]*)*(?=[\s、。]|\Z)(?!\s+[\"'(])")
TOOL_CALL = lazy(
    r"<(tool_call|function_call)>(.*?)(?:</\1>|(\Z))|\[TOOL_CALLS\](.*?)(\Z|\n\n)|<function=[\w.-]+>(.*?)(?:</function>|(\Z))",
    re.DOTALL,
)
INLINE = lazy(r"(?:\A|(?<=[\s(]))`(?=[\w(\[{<$.-])[^\n]{0,40}")
HEAVY = lazy(r"(?:\A|(?<=\s))__(?=[A-Za-z])(?!\w+__)[^\n]{0,40}")
HTML = lazy(r"<(div|table|ul|ol|details|section|pre|code|b|strong)(?:\s[^<>]*)?>")
CALLED = lazy(
    r"<function_calls>(?!.*</function_calls>)|<invoke\b(?!.*</invoke>)|^Action Input:\s*(?=[{\[])(.*)|<\|python_tag\|>\s*(?=[{\[])(.*)|<｜tool▁calls?▁begin｜>(?!.*<｜tool▁calls?▁end｜>)"
    r"|\A\s*functions?\.\w+\((.*)|\A\s*(?=\[?\s*\{\s*['\"](?:name|tool|function|action|tool_name|type|arguments|parameters)['\"])(.*)\Z|^```tool_\w+\s*\n(.*?)^```",
    re.DOTALL | re.MULTILINE,
)
"""Calls in the manner of Anthropic, ReAct, Llama, DeepSeek and Harmony, and bare ones."""
CALL_MARKS = ("invoke", "function", "Action Input", "tool", "name", "action", "type", "arguments")
JSON_FENCE = lazy(r"^```json[^\n]*\n(.*?)^```\s*$", re.DOTALL | re.MULTILINE | re.IGNORECASE)
SKETCH = lazy(r"\.\.\.|…|//|/\*|#|<\w|\{\{")
"""What people write into JSON that is only to be read."""


class Markdown(Value):
    """Refuse a text whose Markdown would not render as meant, or whose tool calls a program could not read.

    Broken are: a code fence, bold text, a display formula or a link that is never closed, a table without its ruler or
    with more cells than columns, a tool call (the tags of Hermes, Qwen, Mistral and Llama) that is not closed or not
    JSON with a name, and a `json` code block that is not JSON and no sketch of some.
    """

    kind: Literal["markdown"] = "markdown"

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`broken_markdown`) or Rejected(`broken_tool_call`)."""
        text = subject(sample)
        if detail := find_broken_tool_call(text):
            raise Rejected("broken_tool_call", detail)
        if detail := find_broken_markdown(text):
            raise Rejected("broken_markdown", detail)


def find_broken_markdown(text: str) -> str | None:
    """What of a text's Markdown is broken; None when all is whole."""
    if fence := open_fence(text):
        return f"the code fence {fence!r} is never closed"
    plain = CODE.sub(" ", text)
    if "|" in plain and (detail := _broken_table(plain)):
        return detail
    if "**" in plain:
        for paragraph in re.split(r"\n\s*\n|\n(?=\s*(?:[-*+]|\d+[.)])\s)", plain):
            if paragraph.count("**") == 1 and (mark := BOLD.search(paragraph)):
                return f"bold text is never closed: {paragraph[mark.start() : mark.start() + 40]!r}"
    if plain.count("$$") % 2:
        return "a formula between $$ is never closed"
    if left := _left_open(plain):
        return f"{left!r} is never closed"
    link = OPEN_LINK.search(plain) if "](" in plain else None
    return None if link is None else f"a link is never closed: {link[0][:60]!r}"


def _left_open(plain: str) -> str:
    """What of formulae, environments, inline code, heavy text and HTML blocks is opened and never closed."""
    for left, right in (("\\(", "\\)"), ("\\[", "\\]")):
        opened = [at.start() for at in re.finditer(rf"(?<!\\){re.escape(left)}", plain)]
        if opened and plain.rfind(right) < opened[-1]:
            return left
    for begun in dict.fromkeys(re.findall(r"\\begin\{\w+\*?\}", plain)):
        if plain.count(begun.replace("begin", "end", 1)) < plain.count(begun):
            return begun
    for paragraph in plain.split("\n") if "`" in plain or "__" in plain else ():
        if paragraph.count("`") == 1 and (code := INLINE.search(paragraph)):
            return code[0]
        if paragraph.count("__") == 1 and (heavy := HEAVY.search(paragraph)):
            return heavy[0]
    for tag in dict.fromkeys(HTML.findall(plain)) if "<" in plain else ():
        if plain.count(f"</{tag}>") == 0 and len(re.findall(rf"<{tag}[ >]", plain)) == 1:
            return f"<{tag}>"
    return ""


def find_broken_tool_call(text: str) -> str | None:
    """What is wrong with a tool call or `json` code block in a text; None when nothing is."""
    for call in TOOL_CALL.finditer(text) if "<" in text or "[TOOL" in text else ():
        tagged, body = call[1], next(part for part in (call[2], call[4], call[6], "") if part is not None)
        if call[3] is not None or call[7] is not None:
            return f"a tool call is never closed: {call[0][:60]!r}"
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            return f"a tool call is not JSON ({error}): {body.strip()[:60]!r}"
        if tagged and not (isinstance(value, dict) and isinstance(cast("dict[str, Any]", value).get("name"), str)):
            return f"a tool call names no tool: {body.strip()[:60]!r}"
    called = CALLED.search(text) if any(mark in text for mark in CALL_MARKS) else None
    if called:
        body = next((part for part in called.groups() if part is not None), "")
        try:
            orjson.loads(body.strip().removesuffix(")") if body else "{")
        except orjson.JSONDecodeError as error:
            return f"a tool call is not JSON or not closed ({error}): {called[0].strip()[:60]!r}"
    for block in JSON_FENCE.finditer(text) if "```" in text else ():
        if not SKETCH.search(block[1]):
            try:
                for document in [block[1]] if block[1].strip() else []:
                    orjson.loads(document)
            except orjson.JSONDecodeError as error:
                return f"a json code block is not JSON ({error}): {block[1].strip()[:60]!r}"
    return None


def _broken_table(text: str) -> str | None:
    lines = text.split("\n")
    place = 0
    while place < len(lines):
        if not ROW.match(lines[place]):
            place += 1
            continue
        end = place
        while end < len(lines) and ROW.match(lines[end]):
            end += 1
        table = lines[place:end]
        cells = [len(CELL_EDGE.findall(line)) - 1 for line in table]
        if len(table) >= 2:
            if not RULE.match(table[1]):
                return f"a table has no ruler below {table[0].strip()[:60]!r}"
            if cells[0] != cells[1]:
                return f"a table has {cells[0]} headings over {cells[1]} columns: {table[0].strip()[:60]!r}"
            for line, count in zip(table, cells, strict=True):
                if count > cells[0]:
                    return f"a table row has {count} cells for {cells[0]} columns: {line.strip()[:60]!r}"
        place = end
    return None
