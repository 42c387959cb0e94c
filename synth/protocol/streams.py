"""Streamed replies: server-sent events to the reply they add up to, and the watch that ends one that runs in a loop.

Events as in https://platform.openai.com/docs/api-reference/chat-streaming, or as Anthropic's (`messages`), and, for the
format of the lines, https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import orjson

from synth.patterns import lazy
from synth.protocol import messages
from synth.protocol.thoughts import apart
from synth.types import CHAT, MESSAGES, Request

STREAMED = {CHAT: b',"stream":true,"stream_options":{"include_usage":true}}', MESSAGES: b',"stream":true}'}
"""How a request ends that asks for events, by its path."""
LOOK_EVERY_CHARS = 400
SHORTEST_CHARS = 800
"""Before that no text can be said to run in a loop rather than to repeat itself for a good reason."""
UNDER_WAY_TOKENS = 64
"""What a server may have written between the last event that came and its noticing that nobody listens."""
DONE = b"[DONE]"
LINE_END, BLANK_LINE = lazy(rb"\r\n|\r|\n"), lazy(rb"\r\n\r\n|\n\n|\r\r|\r\n\n|\n\r\n")
ENDED = "loop"
"""The member by which the last event of a reply that was ended here tells why."""

Loop = Callable[[str], str]
"""What a text's end repeats again and again; empty when it does not."""


def streamed(body: bytes, path: str = CHAT) -> bytes:
    """A request's body that asks for events instead of one reply."""
    return body.removesuffix(b"}") + STREAMED[path]


@dataclass(slots=True)
class Watch:
    """Follows the events of one reply as their bytes come."""

    request: Request
    is_loop: Loop
    _rest: bytes = b""
    _pieces: list[str] = field(default_factory=list[str])
    _chars: int = 0
    _next_look: int = SHORTEST_CHARS

    def ends(self, piece: bytes) -> bytes:
        """The event to end the reply with, when its text has begun to run in a loop; else empty."""
        *blocks, self._rest = BLANK_LINE.split(self._rest + piece)
        for block in blocks:
            text = _told(_event(block) or {})
            self._pieces.append(text)
            self._chars += len(text)
        if self._chars < self._next_look:
            return b""
        self._next_look = self._chars + LOOK_EVERY_CHARS
        so_far = whole("".join(self._pieces))
        unit = self.is_loop(so_far)
        if not unit:
            return b""
        # a token is at least one byte: no more than so many were written
        written = min(len(so_far.encode("utf-8", "replace")) + UNDER_WAY_TOKENS, self.request.max_tokens)
        usage = {"prompt_tokens": self.request.prompt_tokens, "completion_tokens": written}
        return b"\n\ndata: " + orjson.dumps({ENDED: unit, "choices": [], "usage": usage}) + b"\n\n"


def whole(text: str) -> str:
    """A text with the halves of surrogate pairs put together: servers that count in UTF-16, as JavaScript does, may
    send those of a rare kanji or an emoji in two events. A half that stays alone becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def added_up(body: bytes, damaged: Literal["strict", "replace"] = "strict") -> dict[str, Any] | None:
    """The reply that events add up to, in the form of one that was not streamed; None when they have no end, or by
    default when one of them is damaged, as an answer without its words is none. Its texts may hold halves (`whole`).

    An event that tells of an error is returned as it is. A reply ended by `Watch` has the member `loop`.
    """
    blocks = BLANK_LINE.split(body)
    events = [_event(block) for block in blocks]
    if any(map(messages.begins, events)):
        return _message(events, damaged)
    document: dict[str, Any] = {"choices": []}
    parts: dict[str, list[str]] = {"content": [], "reasoning_content": [], "refusal": []}
    finish, done, broken = None, False, False
    for block, event in zip(blocks, events, strict=True):
        done = done or _data(block).strip() == DONE
        if event is None:
            broken = broken or not finish
            continue
        if event.get("error") is not None:
            return event
        document.update({name: event[name] for name in ("id", "model", "usage", ENDED) if event.get(name)})
        for choice in _first(event):
            finish = choice.get("finish_reason") or finish
            delta = choice.get("delta")
            told = cast("dict[str, Any]", delta) if isinstance(delta, dict) else {}
            text, thought = apart(told)
            parts["content"].append(text)
            parts["reasoning_content"].append(thought)
            refusal = told.get("refusal")
            parts["refusal"].append(refusal if isinstance(refusal, str) else "")
    if ENDED not in document and (not (finish or done) or (broken and damaged == "strict")):
        return None
    message = {name: "".join(pieces) for name, pieces in parts.items()}
    document["choices"] = [{"message": message, "finish_reason": finish}]
    return document


def _message(events: list[dict[str, Any] | None], damaged: str) -> dict[str, Any] | None:
    """The same of Anthropic's events."""
    ended = next((event for event in events if event and ENDED in event), None)
    reply = messages.added_up(events, ended=ended is not None, strict=ended is None and damaged == "strict")
    if ended is not None and reply is not None and "error" not in reply:
        written = {"output_tokens": ended["usage"]["completion_tokens"]}
        reply |= {ENDED: ended[ENDED], "usage": {**reply.get("usage", {}), **written}}
    return reply


def _data(block: bytes) -> bytes:
    """The data of the lines between two blank ones, without comments and names."""
    lines = LINE_END.split(block.removeprefix(b"\xef\xbb\xbf"))
    return b"\n".join(line.removeprefix(b"data:") for line in lines if line.startswith(b"data:"))


def _event(block: bytes) -> dict[str, Any] | None:
    """What an event says; empty for what is none, None for one that is damaged."""
    data = _data(block)
    try:
        said: Any = orjson.loads(data)
    except orjson.JSONDecodeError:
        if not data.lstrip().startswith(b"{"):
            return {}
        try:
            said = json.loads(data)  # which takes half a surrogate pair
        except (ValueError, RecursionError):
            return None
    return cast("dict[str, Any]", said) if isinstance(said, dict) else {}


def _told(event: dict[str, Any]) -> str:
    """The text that an event adds, reasoning included: it is billed too."""
    text = messages.words_of(event)
    for choice in _first(event):
        delta = choice.get("delta")
        if isinstance(delta, dict):
            said, thought = apart(cast("dict[str, Any]", delta))
            text += thought + said
    return text


def _first(event: dict[str, Any]) -> list[dict[str, Any]]:
    """What an event tells of a reply's first choice: those of several come in any order."""
    return [choice for choice in _list(event.get("choices"))[:1] if not choice.get("index")]


def _list(value: Any) -> list[dict[str, Any]]:
    return (
        [cast("dict[str, Any]", one) for one in cast("list[Any]", value) if isinstance(one, dict)]
        if isinstance(value, list)
        else []
    )
