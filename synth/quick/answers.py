"""What came of prompts that were asked without a recipe: an answer or a reason for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from synth.live.status import Status
from synth.money.budget import usd
from synth.report import cards
from synth.report.table import Table
from synth.report.words import Words, words_of
from synth.types import Message

M = TypeVar("M", bound=BaseModel)

PROMPTS = "prompts"
"""What is counted, in place of seeds."""
NOT_ASKED, PARKED = "not_asked", "parked"


@dataclass(frozen=True, slots=True)
class Answer(Generic[M]):
    """What came of one prompt: an answer that passed, or a reason."""

    messages: tuple[Message, ...]
    """The prompt, and where there is one the answer as the last turn."""
    value: M | None = None
    """The object, where a schema was given and the answer fits it; None otherwise."""
    reason: str = ""
    """Empty for an answer that passed; else why there is none that can be used."""
    detail: str = ""
    cost_microusd: int = 0
    """What its requests cost, when they were made."""
    bought: int = 0
    """How many of them were sent this time; the others were stored."""

    @property
    def text(self) -> str:
        """The answer; also one that was refused, as far as there is one."""
        return self.messages[-1].content if self.messages[-1].role == "assistant" else ""

    @property
    def reasoning(self) -> str | None:
        """What the teacher showed of its thinking."""
        return self.messages[-1].reasoning_content

    @property
    def is_good(self) -> bool:
        """Whether it passed."""
        return not self.reason


@dataclass(frozen=True, slots=True, repr=False)
class Answers(Generic[M]):
    """One answer for each prompt, in their order."""

    rows: tuple[Answer[M], ...]
    folder: Path
    """Where the replies are kept: asking the same there again buys nothing."""
    model: str
    seconds: float
    message: str = ""
    """Why the asking ended early; empty when it did not."""
    language: str = "en"

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Answer[M]]:
        return iter(self.rows)

    def __getitem__(self, place: int) -> Answer[M]:
        return self.rows[place]

    @property
    def good(self) -> list[Answer[M]]:
        """Those that passed."""
        return [row for row in self.rows if row.is_good]

    @property
    def rejected(self) -> list[Answer[M]]:
        """Those that did not, each with its reason."""
        return [row for row in self.rows if not row.is_good]

    @property
    def cost_usd(self) -> float:
        """Dollars that all of these answers cost, whenever they were bought."""
        return sum(row.cost_microusd for row in self.rows) / 1e6

    @property
    def bought(self) -> int:
        """Requests that were sent this time."""
        return sum(row.bought for row in self.rows)

    def table(self) -> Table:
        """All of them as rows, with `reason` empty for those that passed and `value` as plain data."""
        each = [
            {
                "id": f"{place:08d}",
                "messages": [_plain(message) for message in row.messages],
                "value": None if row.value is None else row.value.model_dump(mode="json"),
                "reason": row.reason,
                "detail": row.detail,
                "teacher": self.model,
                "scores": [],
                "cost_microusd": row.cost_microusd,
            }
            for place, row in enumerate(self.rows)
        ]
        return Table(each, self._words)

    def to_pandas(self) -> Any:
        """A pandas.DataFrame. Raises MissingPackage where pandas is not installed."""
        return self.table().to_pandas()

    def to_polars(self) -> Any:
        """A polars.DataFrame. Raises MissingPackage where polars is not installed."""
        return self.table().to_polars()

    def to_dataset(self) -> Any:
        """A datasets.Dataset. Raises MissingPackage where datasets is not installed."""
        return self.table().to_dataset()

    @property
    def _words(self) -> Words:
        return words_of(self.language)

    def __repr__(self) -> str:
        return f"<Answers {self.status()}>"

    def _repr_html_(self) -> str:
        """For a notebook."""
        words, table = self._words, self.table()
        status = self.status()
        told = [(words.model, self.model), (words.cost, usd(status.cost_microusd))]
        told += [(words.reasons.get(reason, reason), f"{count:,}") for reason, count in status.rejected.items()]
        head = cards.notes([self.message]) + cards.table((), told)
        return cards.framed(words, head + cards.rows(list(table)[: cards.SHOWN], len(table), words))

    def status(self) -> Status:
        """How far the asking got."""
        reasons = Counter(row.reason for row in self.rejected)
        return Status(
            str(self.folder),
            state="partial" if self.message else "complete",
            seeds_done=len(self.rows) - reasons[NOT_ASKED],
            seeds=len(self.rows),
            rows=len(self.good),
            rejected=dict(reasons.most_common()),
            cost_microusd=sum(row.cost_microusd for row in self.rows),
            seconds=self.seconds,
            message=self.message,
            words=self._words,
            of=PROMPTS,
        )


def _plain(message: Message) -> dict[str, str | None]:
    return {"role": message.role, "content": message.content, "reasoning_content": message.reasoning_content}
