"""Rows in the one form that trainers take as it is: `messages`, and beside it columns that they ignore.

Every row has the same keys. `reasoning_content` is null where the teacher showed no reasoning. No column has a name
that TRL gives a meaning of its own (`prompt`, `completion`, `labels`, `tools`, `images`, ...).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypedDict

from synth.types import Message, Rejection, Sample, Score

_SURROGATE = re.compile(r"[\ud800-\udfff]")


class MessageColumns(TypedDict):
    """One turn."""

    role: str
    content: str
    reasoning_content: str | None


class ScoreColumns(TypedDict):
    """One score."""

    name: str
    value: float
    detail: str


class Row(TypedDict):
    """One row of the dataset, in column order."""

    id: str
    messages: list[MessageColumns]
    seed_id: str
    teacher: str
    scores: list[ScoreColumns]
    cost_microusd: int
    repairs: list[str]
    requests: list[str]


class RejectedRow(TypedDict):
    """One line of rejected.jsonl, in column order."""

    id: str
    seed_id: str
    stage: str
    reason: str
    detail: str
    twin_id: str | None
    similarity: float | None
    messages: list[MessageColumns]
    scores: list[ScoreColumns]
    repairs: list[str]


def row(sample: Sample, teachers: Mapping[str, str]) -> Row:
    """The row of a sample; `teachers` maps each stage to the model that answered in it.

    `requests` are the keys under which the run folder's `run.db` keeps the replies it was made from.
    """
    return Row(
        id=sample.id,
        messages=_messages(sample.messages),
        seed_id=sample.seed_id,
        teacher=writable(sample.model or teachers[sample.stage]),
        scores=_scores(sample.scores) if sample.scores else [],
        cost_microusd=sample.cost_microusd,
        repairs=list(sample.repairs),
        requests=list(sample.requests),
    )


def rejected_row(rejection: Rejection) -> RejectedRow:
    """The line of a refused sample; its messages are empty when there was no text to keep."""
    sample = rejection.sample
    return RejectedRow(
        id=rejection.id,
        seed_id=rejection.seed_id,
        stage=rejection.stage,
        reason=rejection.reason,
        detail=writable(rejection.detail),
        twin_id=rejection.twin_id,
        similarity=rejection.similarity,
        messages=_messages(sample.messages) if sample else [],
        scores=_scores(sample.scores) if sample else [],
        repairs=list(sample.repairs) if sample else [],
    )


def writable(text: str) -> str:
    """The text with lone surrogates, which no UTF-8 file can hold, replaced by U+FFFD."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def _messages(messages: Iterable[Message]) -> list[MessageColumns]:
    return [
        MessageColumns(
            role=message.role,
            content=writable(message.content),
            reasoning_content=None if message.reasoning_content is None else writable(message.reasoning_content),
        )
        for message in messages
    ]


def _scores(scores: Iterable[Score]) -> list[ScoreColumns]:
    return [ScoreColumns(name=score.name, value=score.value, detail=writable(score.detail)) for score in scores]
