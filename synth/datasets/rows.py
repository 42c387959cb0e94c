"""Rows in the one form that trainers take as it is: `messages`, and beside it columns that they ignore.

Every row has the same keys. `reasoning_content` is null where the teacher showed no reasoning. No column has a name
that TRL gives another meaning (`prompt`, `completion`, `labels`, `images`, ...). Where tools may be called there are
more: the column `tools`, and `tool_calls`, `tool_call_id` and `name` in each message.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NotRequired, TypedDict

import orjson

from synth.patterns import lazy
from synth.types import Fields, Message, Rejection, Sample, Score

_SURROGATE = lazy(r"[\ud800-\udfff]")


class Turn(TypedDict):
    """A message, in column order."""

    role: str
    content: str
    reasoning_content: str | None


class Row(TypedDict):
    """One row of the dataset, in column order."""

    id: str
    messages: Sequence[Message | Turn]
    seed_id: str
    teacher: str
    scores: Sequence[Score]
    cost_microusd: int
    repairs: Sequence[str]
    requests: Sequence[str]
    served_by: Sequence[str]
    tools: NotRequired[str]
    """A JSON list, in rows whose dialogue may call tools."""


class RejectedRow(TypedDict):
    """One line of rejected.jsonl, in column order."""

    id: str
    seed_id: str
    stage: str
    teacher: str
    reason: str
    detail: str
    twin_id: str | None
    similarity: float | None
    messages: Sequence[Message]
    scores: Sequence[Score]
    repairs: Sequence[str]
    requests: Sequence[str]
    cost_microusd: int


def row(sample: Sample, teachers: Mapping[str, str]) -> Row:
    """The row of a sample; `teachers` maps each stage to the model that answered in it.

    `served_by` names those to whom an endpoint passed its requests on, each once. `requests` are the keys under which
    the run folder's `run.db` keeps the replies it was made from.
    """
    made: Row = {
        "id": sample.id,
        "messages": [
            {"role": one.role, "content": one.content, "reasoning_content": one.reasoning_content}
            if type(one) is Message  # as a mapping it is written in a third of the time
            else one
            for one in sample.messages
        ],
        "seed_id": sample.seed_id,
        "teacher": sample.model or teachers[sample.stage],
        "scores": sample.scores,
        "cost_microusd": sample.cost_microusd,
        "repairs": sample.repairs,
        "requests": sample.requests,
        "served_by": tuple(dict.fromkeys(sample.served_by)),
    }
    if sample.tools:
        made["tools"] = sample.tools
    return made


def rejected_row(rejection: Rejection, teachers: Mapping[str, str]) -> RejectedRow:
    """The line of a refused sample; `teachers` maps each stage to the model that answered in it.

    Its messages are empty when there was no text to keep; who wrote it is then not told.
    """
    sample = rejection.sample
    return RejectedRow(
        id=rejection.id,
        seed_id=rejection.seed_id,
        stage=rejection.stage,
        teacher=sample.model or teachers.get(sample.stage, "") if sample else "",
        reason=rejection.reason,
        detail=rejection.detail,
        twin_id=rejection.twin_id,
        similarity=rejection.similarity,
        messages=sample.messages if sample else (),
        scores=sample.scores if sample else (),
        repairs=sample.repairs if sample else (),
        requests=sample.requests if sample else (),
        cost_microusd=sample.cost_microusd if sample else 0,
    )


def line(columns: Row | RejectedRow | Rejection | Fields, other: Callable[[Any], Any] = asdict) -> bytes:
    """A row as one line of JSON, without its end; lone surrogates, which no UTF-8 file can hold, become U+FFFD.

    `other` says what JSON knows for what it does not.
    """
    try:
        return orjson.dumps(columns, default=other)
    except orjson.JSONEncodeError:  # surrogates, or a number of a field that needs more than 64 bits
        text = json.dumps(columns, default=other, ensure_ascii=False, separators=(",", ":"))
        return _SURROGATE.sub("\ufffd", text).encode()
