"""Rows and refusals as a notebook takes them: iterated, shown, handed to pandas, polars or datasets."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson

from synth.datasets.rows import RejectedRow, Row, line
from synth.errors import FolderError, MissingPackage
from synth.language.text import several
from synth.money.budget import usd
from synth.report import cards
from synth.report.words import Words
from synth.results.manifest import Manifest
from synth.storage.database import Ledger

LARGEST_FRAME = 2_000_000
"""Bytes of a page that becomes part of a notebook."""
Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows in id order, read anew from their file each time they are asked for, or held in memory.

    Each is a mapping with the columns of `rows.jsonl` or `rejected.jsonl`. Reading raises FolderError when the file is
    gone or damaged.
    """

    source: Path | Sequence[Record]
    words: Words

    def __iter__(self) -> Iterator[Record]:
        if not isinstance(self.source, Path):
            yield from self.source
            return
        try:
            with self.source.open("rb") as lines:
                for number, text in enumerate(lines, 1):
                    yield _row(text, self.source, number)
        except OSError as error:
            raise FolderError(f"{self.source} cannot be read ({error.strerror}); run or export it again.") from error

    def __len__(self) -> int:
        if not isinstance(self.source, Path):
            return len(self.source)
        try:
            with self.source.open("rb") as lines:
                return sum(1 for _ in lines)
        except OSError as error:
            raise FolderError(f"{self.source} cannot be read ({error.strerror}); run or export it again.") from error

    def __getitem__(self, place: int) -> Record:
        """The row at a place, from 0, or from the end when it is negative."""
        count = len(self)
        if not -count <= place < count:
            raise IndexError(f"place {place} is beyond {several(count, 'row')}")
        return next(itertools.islice(self, place % count, None))

    def flat(self) -> Table:
        """The same rows with one column for each thing a person compares: question, answer, reasoning, scores, cost."""
        rows = [_flat(row) for row in self]
        columns = dict.fromkeys(name for row in rows for name in row)
        return Table([{name: row.get(name) for name in columns} for row in rows], self.words)

    def to_pandas(self) -> Any:
        """A pandas.DataFrame. Raises MissingPackage where pandas is not installed."""
        return _package("pandas", "to_pandas").DataFrame(list(self))

    def to_polars(self) -> Any:
        """A polars.DataFrame. Raises MissingPackage where polars is not installed."""
        return _package("polars", "to_polars").DataFrame(list(self), infer_schema_length=None)

    def to_dataset(self) -> Any:
        """A datasets.Dataset of all splits, as trainers take it. Raises MissingPackage where it is not installed."""
        return _package("datasets", "to_dataset").Dataset.from_list(list(self))

    def __repr__(self) -> str:
        where = f" of {self.source}" if isinstance(self.source, Path) else ""
        return f"<{several(len(self), 'row')}{where}>"

    def _repr_html_(self) -> str:
        """For a notebook: the first few, each folded to one line."""
        first = list(itertools.islice(self, cards.SHOWN))
        draw = cards.rows if all("messages" in one for one in first) else cards.columns
        return cards.framed(self.words, draw(first, len(self), self.words))


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run's requests came to, earlier invocations in the same folder included."""

    lines: tuple[Ledger, ...]
    """By stage, teacher and class of reply."""
    unpriced: tuple[str, ...]
    """Teachers whose price is not known: what they cost is in no sum."""
    words: Words

    @property
    def usd(self) -> float:
        """Dollars."""
        return sum(line.cost_microusd for line in self.lines) / 1e6

    @property
    def tokens(self) -> int:
        """Of prompts and completions."""
        return sum(line.prompt_tokens + line.completion_tokens for line in self.lines)

    @property
    def requests(self) -> int:
        """Sends, those that failed included."""
        return sum(line.attempts for line in self.lines if line.failure not in ("unsent", "reused"))

    def by_stage(self) -> dict[str, float]:
        """Dollars by stage."""
        found: dict[str, float] = {}
        for one in self.lines:
            found[one.stage] = found.get(one.stage, 0.0) + one.cost_microusd / 1e6
        return found

    def __float__(self) -> float:
        return self.usd

    def __repr__(self) -> str:
        said = [usd(round(self.usd * 1e6)), several(self.tokens, "token"), several(self.requests, "request")]
        said += [f"the price of {name} is not known" for name in self.unpriced]
        return f"<Cost: {', '.join(said)}>"

    def _repr_html_(self) -> str:
        """For a notebook: a line for each stage and teacher."""
        return cards.framed(self.words, cards.costs(self.lines, self.unpriced, self.words))


@dataclass(frozen=True, slots=True)
class Page:
    """The report of a run; a notebook shows it in a frame of its own, and of a large one where it is."""

    path: Path

    def __repr__(self) -> str:
        return f"<Report {self.path}>"

    def _repr_html_(self) -> str | None:
        try:
            if self.path.stat().st_size > LARGEST_FRAME:
                return None  # its path is shown: a notebook that holds all of it opens slowly for ever
            return cards.frame(self.path.read_text(encoding="utf-8"))
        except OSError as error:
            raise FolderError(f"{self.path} cannot be read ({error.strerror}); run or export it again.") from error


def models_of(manifest: Manifest) -> dict[str, str]:
    """The model that answers in each stage."""
    recipe: dict[str, Any] = orjson.loads(manifest.recipe.text)
    models = {teacher.name: teacher.model for teacher in manifest.teachers}
    return {stage["name"]: models[stage["generator"]["teacher"]] for stage in recipe["stages"]}


def _row(text: bytes, path: Path, number: int) -> Record:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise FolderError(f"{path}:{number}: not a row that synth wrote ({error}); export the recipe again.") from None


def _flat(row: Record) -> Record:
    messages: Sequence[Record] = row["messages"]
    nothing: Record = {}
    last = messages[-1] if messages and messages[-1]["role"] == "assistant" else nothing
    found: dict[str, Any] = {"id": row["id"]}
    found["question"] = next((one["content"] for one in reversed(messages) if one["role"] == "user"), "")
    found["answer"] = last.get("content", "")
    found["reasoning"] = last.get("reasoning_content")
    found |= {name: row[name] for name in ("reason", "detail", "twin_id", "teacher", "split") if name in row}
    found |= {score["name"]: score["value"] for score in row["scores"] if score["name"] not in found}
    return found | ({"cost_usd": row["cost_microusd"] / 1e6} if "cost_microusd" in row else {})


def _package(name: str, method: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError:
        raise MissingPackage(f"{method}() needs the package {name}; install it: pip install {name}") from None


def records(rows: Iterable[Row | RejectedRow]) -> list[Record]:
    """Rows held in memory in the form that they have in a file: plain lists and mappings."""
    return [orjson.loads(line(row)) for row in rows]
