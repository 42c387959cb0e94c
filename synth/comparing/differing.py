"""What differs between two versions of a dataset: rows by what they say, whatever their ids; counts, cost, teachers.

A row is the same when its conversation is. Of the others, those with the same conversation up to the last answer have
changed; what is left was added or is gone. Ids and places do not count: they move when a seed is added.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import orjson

from synth.datasets.tables import ending, pieces
from synth.errors import FolderError, Problem, RecipeError
from synth.results.manifest import Manifest, read_manifest
from synth.shapes import SHAPES, messages_of
from synth.types import Message

SHOWN = 5
"""Rows of each kind."""
MOST_CHARACTERS = 200


class Row(NamedTuple):
    """What of a row is compared, and where it stands."""

    whole: bytes
    """A hash of its conversation."""
    question: bytes
    """The same of all but the last answer."""
    split: str
    """Empty when nothing tells it."""
    place: str
    """Its id, or its file and line."""


class Shown(NamedTuple):
    """A row that is shown."""

    place: str
    question: str
    before: str
    """Its last answer in the old version; empty when it was added."""
    after: str


class Change(NamedTuple):
    """A figure in both versions; None where there was none."""

    old: int | None
    new: int | None


@dataclass(slots=True)
class Difference:
    """What differs."""

    old: str
    new: str
    rows: Change
    splits: dict[str, Change]
    unchanged: int = 0
    moved: int = 0
    """Of the unchanged those that are in another split now."""
    added: int = 0
    gone: int = 0
    changed: int = 0
    shown: dict[Literal["added", "gone", "changed"], list[Shown]] = field(
        default_factory=dict[Literal["added", "gone", "changed"], list[Shown]]
    )
    refused: dict[str, Change] = field(default_factory=dict[str, Change])
    """Refused samples by reason, where their number differs and both are runs."""
    cost_microusd: Change | None = None
    teachers: dict[str, Change] = field(default_factory=dict[str, Change])
    """Requests that were answered by each model, where both are runs."""
    made: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    """What it was made with and how, where that differs: recipe, templates, seeds, licence, synth."""

    @property
    def is_same(self) -> bool:
        """Whether the rows are the same, in the same splits."""
        return not (self.added or self.gone or self.changed or self.moved)


def differ(old: Path, new: Path) -> Difference:
    """What differs between two versions: folders of runs or datasets, or files of rows.

    Raises RecipeError for what cannot be read as rows, FolderError for a folder without any.
    """
    before, after = list(_rows(old)), list(_rows(new))
    splits = {
        name: Change(count_old or None, count_new or None)
        for name, count_old, count_new in _both(_splits(before), _splits(after))
    }
    found = Difference(str(old), str(new), Change(len(before), len(after)), splits)
    places = _compare(found, before, after)
    _show(found, old, new, places)
    if (old / "manifest.json").is_file() and (new / "manifest.json").is_file():
        _records(found, read_manifest(old / "manifest.json"), read_manifest(new / "manifest.json"))
    return found


Pairs = dict[Literal["added", "gone", "changed"], list[tuple[str, str]]]
"""Of the first rows of each kind the places in the old and in the new version."""


def _splits(rows: list[Row]) -> Counter[str]:
    return Counter(row.split for row in rows if row.split)


def _compare(found: Difference, before: list[Row], after: list[Row]) -> Pairs:
    had: defaultdict[bytes, list[Row]] = defaultdict(list)
    for row in before:
        had[row.whole].append(row)
    fresh: list[Row] = []
    for row in after:
        if same := had.get(row.whole):
            twin = next((one for one in same if one.split == row.split), same[0])
            same.remove(twin)
            found.unchanged += 1
            found.moved += bool(twin.split and row.split) and twin.split != row.split
        else:
            fresh.append(row)
    left: defaultdict[bytes, list[Row]] = defaultdict(list)
    for row in itertools.chain.from_iterable(had.values()):
        left[row.question].append(row)
    pairs: Pairs = {"added": [], "gone": [], "changed": []}
    for row in fresh:
        if earlier := left.get(row.question):
            found.changed += 1
            pairs["changed"].append((earlier.pop(0).place, row.place))
        else:
            found.added += 1
            pairs["added"].append(("", row.place))
    pairs["gone"] = [(row.place, "") for rows in left.values() for row in rows]
    found.gone = len(pairs["gone"])
    return {kind: some[:SHOWN] for kind, some in pairs.items()}


def _show(found: Difference, old: Path, new: Path, pairs: Pairs) -> None:
    """Read the rows again that are shown."""
    before = _texts(old, {place for some in pairs.values() for place, _ in some})
    after = _texts(new, {place for some in pairs.values() for _, place in some})
    for kind, some in pairs.items():
        found.shown[kind] = [
            Shown(
                place=there or here,
                question=(after.get(there) or before.get(here) or ("", ""))[0],
                before=before.get(here, ("", ""))[1],
                after=after.get(there, ("", ""))[1],
            )
            for here, there in some
        ]


def _texts(path: Path, places: set[str]) -> dict[str, tuple[str, str]]:
    """What the rows at these places ask, and their last answers."""
    found: dict[str, tuple[str, str]] = {}
    if places - {""}:
        for place, _, messages in _conversations(path):
            if place in places:
                answer = messages[-1].content if messages and messages[-1].role == "assistant" else ""
                asked = next((one.content for one in reversed(messages) if one.role == "user"), "")
                found[place] = asked[:MOST_CHARACTERS], answer[:MOST_CHARACTERS]
    return found


def _rows(path: Path) -> Iterator[Row]:
    for place, split, turns in _conversations(path):
        last = -1 if turns and turns[-1].role == "assistant" else len(turns)
        yield Row(_digest(turns), _digest(turns[:last]), split, place)


def _digest(turns: tuple[Message, ...]) -> bytes:
    return hashlib.blake2b(orjson.dumps(turns), digest_size=16).digest()


def _conversations(path: Path) -> Iterator[tuple[str, str, tuple[Message, ...]]]:
    """Of each row its place, its split and its turns."""
    for file, split in _files(path):
        for piece in pieces(file):
            for number, row in zip(piece.numbers, piece.rows, strict=True):
                messages = messages_of(row)
                if messages is None:
                    columns = ", ".join(row) or "none"
                    message = f"its columns are {columns}; one of these shapes is expected: {SHAPES}"
                    raise RecipeError(Problem(message, str(file), number))
                name = row.get("id")
                place = name if isinstance(name, str) else f"{file.name}:{number}"
                own = row.get("split")
                yield place, own if isinstance(own, str) else split, messages


def _files(path: Path) -> list[tuple[Path, str]]:
    """The files of rows of a run, of a dataset's folder, or a file itself, each with its split, which the
    name of a single file does not tell."""
    if path.is_file():
        ending(path)
        return [(path, "")]
    for rows in (path / "rows.jsonl", path / "dataset" / "rows.jsonl"):
        if rows.is_file():
            return [(rows, "train")]
    data = path / "data" if (path / "data").is_dir() else path
    files = sorted(one for one in data.glob("*") if one.suffix in (".jsonl", ".ndjson", ".parquet"))
    if not files:
        raise FolderError(f"There are no rows in {path}: neither rows.jsonl nor data/*.parquet or *.jsonl.")
    return [(one, one.name.split("-")[0].split(".")[0]) for one in files]


def _records(found: Difference, old: Manifest, new: Manifest) -> None:
    """What the records tell."""
    for reason, before, after in _both(old.rejected, new.rejected):
        if before != after:
            found.refused[reason] = Change(before, after)
    found.cost_microusd = Change(old.cost_microusd, new.cost_microusd)
    for model, before, after in _both(_answers(old), _answers(new)):
        found.teachers[model] = Change(before or None, after or None)
    for name, before, after in (
        ("recipe", old.recipe.sha256[:12], new.recipe.sha256[:12]),
        ("licence", old.recipe.license or "none", new.recipe.license or "none"),
        ("seeds", old.seeds.identity, new.seeds.identity),
        ("number of seeds", f"{old.seeds.count:,}", f"{new.seeds.count:,}"),
        ("synth", old.versions.synth, new.versions.synth),
        ("state", old.state, new.state),
        *_templates(old, new),
    ):
        if before != after:
            found.made[name] = before, after


def _templates(old: Manifest, new: Manifest) -> Iterator[tuple[str, str, str]]:
    names = sorted(old.recipe.templates.keys() | new.recipe.templates.keys())
    for name in names:
        before, after = old.recipe.templates.get(name, "none"), new.recipe.templates.get(name, "none")
        yield f"template {name}", before[:12], after[:12]


def _answers(manifest: Manifest) -> Counter[str]:
    """Replies that were used, by model."""
    models = {teacher.name: teacher.model for teacher in manifest.teachers}
    found: Counter[str] = Counter()
    for line in manifest.ledger:
        if line.failure in ("ok", "reused"):
            found[models.get(line.teacher, line.teacher)] += line.attempts
    return found


def _both(old: Mapping[str, int], new: Mapping[str, int]) -> Iterator[tuple[str, int, int]]:
    for name in dict.fromkeys((*old, *new)):
        yield name, old.get(name, 0), new.get(name, 0)
