"""The rows and refusals of a run for the page's browser: a compact index in the page, long texts in files beside it.

    report.html              the index: ids, states, reasons, scores, lengths, first words; all texts of a small run
    report/rows-0001.js      the full texts of a large one, so many rows each, which the page loads one by one

A page that was opened from a disk may load scripts and nothing else, so the files are scripts that hold data. They are
the lines of rows.jsonl and rejected.jsonl as they are: the same rows give the same bytes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from synth.errors import FolderError
from synth.language.text import UNSEEN
from synth.patterns import lazy
from synth.report.words import Words
from synth.results.selection import SELECTION
from synth.types import Seed

PAGES = "report"
"""The folder of the full texts."""
TURNING = lazy(rb"\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]")
"""Signs of Unicode that turn the direction of what follows, in UTF-8."""
BYTES_AT_ONCE = 1024 * 1024
"""Of one file of texts, and the row that goes beyond."""
ROWS_AT_ONCE = 64
"""That are unpacked at a time: a row takes several times as much memory so."""
COLUMNS = ("id", "reason", "stage", "teacher", "split", "length", "question", "answer")
MOST_EMBEDDED_BYTES = 2 * 1024 * 1024
"""Of rows.jsonl and rejected.jsonl: so much goes into the page itself."""
MOST_LISTED = 200_000
SHORTENED_CHARACTERS = 12_000_000
"""Of all first words together."""
LEAST_SHORTENED, MOST_SHORTENED = 60, 300
MOST_VALUES, MOST_LETTERS = 60, 60
"""A field of the seeds can be filtered by when it has so many values of such a length at most."""


@dataclass(slots=True)
class Table:
    """Names by number, numbered as they come; 0 is none."""

    names: list[str] = field(default_factory=lambda: [""])
    numbers: dict[str, int] = field(default_factory=lambda: {"": 0})

    def column(self, values: Iterable[str]) -> list[int]:
        """The numbers of many names."""
        numbers = self.numbers
        found: list[int] = []
        for name in values:
            if name not in numbers:
                numbers[name] = len(self.names)
                self.names.append(name)
            found.append(numbers[name])
        return found


@dataclass(frozen=True, slots=True)
class Listing:
    """What the browser shows, and what it has to know of the run."""

    folder: Path
    """Where rows.jsonl and rejected.jsonl lie, and the page is to."""
    run: str
    """The name of the store, which decisions are held to."""
    count: int
    """How many rows and refusals there are, about."""
    seeds: Iterable[Sequence[Seed]] = ()
    """In pieces."""
    decisions: Sequence[Mapping[str, Any]] = ()
    """Those that made the rows, as their file has them."""


@dataclass(slots=True)
class _Index:
    """What is gathered while the files are read."""

    reasons: Table = field(default_factory=Table)
    stages: Table = field(default_factory=Table)
    teachers: Table = field(default_factory=Table)
    splits: Table = field(default_factory=Table)
    scores: list[str] = field(default_factory=list[str])
    fields: list[tuple[str, Table]] = field(default_factory=list[tuple[str, Table]])
    of_seed: dict[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    sizes: list[int] = field(default_factory=list[int])
    """How many rows each piece holds."""
    left_out: int = 0


def write_rows(page: BinaryIO, listing: Listing, words: Words) -> None:
    """Write the index into the page, the texts of a large run beside it, and remove what an earlier page had there.

    Raises FolderError when the disk refuses.
    """
    paths = [listing.folder / name for name in ("rows.jsonl", "rejected.jsonl")]
    embedded = sum(path.stat().st_size for path in paths) <= MOST_EMBEDDED_BYTES
    index = _Index()
    index.fields, index.of_seed = _kinds(listing.seeds)
    most = SHORTENED_CHARACTERS // (2 * max(1, min(listing.count, MOST_LISTED)))
    most = max(LEAST_SHORTENED, min(MOST_SHORTENED, most))
    for path in paths:
        for lines in _pages(path, index):
            _write_script(page, "index", orjson.dumps(_columns(lines, index, most)))
            if embedded:
                _write_script(page, "texts", b"[%b]" % b",".join(lines))
            else:
                _write_texts(listing, len(index.sizes), lines)
    kept = 0 if embedded else len(index.sizes)
    _remove_others(listing.folder / PAGES, kept)
    told = _told(listing, index, kept) | {"words": words.browser._asdict(), "says": _says(words)}
    _write_script(page, "told", orjson.dumps(told))


def _told(listing: Listing, index: _Index, files: int) -> dict[str, Any]:
    return {
        "run": listing.run,
        "folder": PAGES,
        "files": files,
        "sizes": index.sizes,
        "reasons": index.reasons.names,
        "stages": index.stages.names,
        "teachers": index.teachers.names,
        "splits": index.splits.names,
        "scores": index.scores,
        "fields": [{"name": name, "values": table.names} for name, table in index.fields],
        "decisions": listing.decisions,
        "decidable": SELECTION,
        "left_out": index.left_out,
        "unseen": "[" + "".join(_escaped(one) for one in UNSEEN.pattern.strip("[]")) + "]",
    }


def _says(words: Words) -> dict[str, Any]:
    """The page's own words that the browser needs."""
    return {
        "reasons": words.reasons,
        "roles": words.roles,
        "reasoning": words.reasoning,
        "scripts": words.scripts,
        "similarity": words.similarity,
        "not_kept": words.not_kept,
        "language": words.language,
    }


def _escaped(character: str) -> str:
    """A character of a class for a pattern in ASCII."""
    return character if character == "-" else f"\\u{ord(character):04x}"


def _kinds(seeds: Iterable[Sequence[Seed]]) -> tuple[list[tuple[str, Table]], dict[str, tuple[int, ...]]]:
    """The fields of the seeds that are of a few kinds, and for each seed which ones."""
    pieces = iter(seeds)
    first = next(pieces, ())
    names = list(dict.fromkeys(name for seed in first for name in seed.fields))
    found = [(name, Table()) for name in names if _is_kind([seed.fields.get(name) for seed in first])]
    of_seed: dict[str, tuple[int, ...]] = {}
    same: dict[tuple[int, ...], tuple[int, ...]] = {}
    for piece in itertools.chain([first], pieces) if found else ():
        columns = [table.column(_named([seed.fields.get(name) for seed in piece], table)) for name, table in found]
        of_seed.update(
            {seed.id: same.setdefault(one, one) for seed, one in zip(piece, zip(*columns, strict=True), strict=True)}
        )
        if len(of_seed) >= MOST_LISTED:
            break
    return found, of_seed


def _is_kind(values: Sequence[Any]) -> bool:
    """Whether a field says of what kind a seed is: short texts in one line, each of which comes again."""
    texts = [value for value in values if isinstance(value, str)]
    told = [text for text in texts if text]
    short = all(len(text) <= MOST_LETTERS and "\n" not in text for text in told)
    return short and len(set(texts)) > 1 and len(set(told)) <= min(MOST_VALUES, max(2, len(told) // 2))


def _named(values: Sequence[Any], table: Table) -> list[str]:
    """The values that are short texts, as far as the table has room for them; the others as nothing."""
    texts = [value if isinstance(value, str) and len(value) <= MOST_LETTERS else "" for value in values]
    room = max(0, MOST_VALUES - len(table.names))
    known = {*table.names, *itertools.islice(dict.fromkeys(one for one in texts if one not in table.numbers), room)}
    return [one if one in known else "" for one in texts]


def _pages(path: Path, index: _Index) -> Iterator[list[bytes]]:
    """The lines of a file, as many at once as one file of texts holds."""
    room = MOST_LISTED - sum(index.sizes)
    with path.open("rb") as file:
        while lines := file.readlines(BYTES_AT_ONCE):
            listed = lines[:room]
            room -= len(listed)
            index.left_out += len(lines) - len(listed)
            if listed:
                index.sizes.append(len(listed))
                yield listed


def _columns(lines: Sequence[bytes], index: _Index, most: int) -> dict[str, Any]:
    """So many rows as columns: of half the size, and read in a fifth of the time."""
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    scores: list[dict[str, Any]] = []
    kinds: list[tuple[int, ...]] = []
    no_kind = (0,) * len(index.fields)
    for start in range(0, len(lines), ROWS_AT_ONCE):
        rows: list[dict[str, Any]] = orjson.loads(b"[%b]" % b",".join(lines[start : start + ROWS_AT_ONCE]))
        last = [{one["role"]: one["content"] for one in row["messages"]} for row in rows]
        questions, answers = ([said.get(role) or "" for said in last] for role in ("user", "assistant"))
        columns["id"] += [row["id"] for row in rows]
        columns["reason"] += index.reasons.column([row.get("reason", "") for row in rows])
        columns["stage"] += index.stages.column([row.get("stage", "") for row in rows])
        columns["teacher"] += index.teachers.column([row.get("teacher", "") for row in rows])
        columns["split"] += index.splits.column([row.get("split", "") for row in rows])
        columns["length"] += [len(one) + len(other) for one, other in zip(questions, answers, strict=True)]
        columns["question"] += [one[:most].replace("\n", " ") for one in questions]
        columns["answer"] += [one[:most].replace("\n", " ") for one in answers]
        scores += [{score["name"]: score["value"] for score in row["scores"]} for row in rows]
        if index.fields:
            kinds += [index.of_seed.get(row["seed_id"].partition("-")[2] or row["seed_id"], no_kind) for row in rows]
    for name in dict.fromkeys(itertools.chain.from_iterable(scores)):
        if name not in index.scores:
            index.scores.append(name)
    return {
        **columns,
        "scores": [[of_row.get(name) for of_row in scores] for name in index.scores],
        "fields": list(map(list, zip(*kinds, strict=True))),
    }


def _write_script(page: BinaryIO, name: str, content: bytes) -> None:
    """Data in the page; a bracket that could end the element, and signs that turn the direction of what is read in an
    editor, which stand in texts alone, are written otherwise."""
    page.write(b'<script type="application/json" class="%b">' % name.encode())
    content = content.replace(b"<", b"\\u003c")
    if b"\xe2" in content:
        content = TURNING.sub(lambda sign: b"\\u%04x" % ord(sign[0].decode()), content)
    page.write(content)
    page.write(b"</script>\n")


def _write_texts(listing: Listing, number: int, lines: Sequence[bytes]) -> None:
    """Write one file of texts, a list of rows. Not synced as other files are: they are made again from what is, and it
    takes long."""
    path = listing.folder / PAGES / f"rows-{number:04}.js"
    try:
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as file:
            file.write(b"synthTexts(%b,%d,[" % (orjson.dumps(listing.run), number))
            file.write(b",".join(lines))
            file.write(b"]);\n")
    except OSError as error:
        raise FolderError(f"{path} could not be written ({error}); free space or mend the disk.") from error


def _remove_others(folder: Path, kept: int) -> None:
    """Remove texts of an earlier page that this one does not know."""
    names = {f"rows-{number:04}.js" for number in range(1, kept + 1)}
    for file in folder.glob("rows-*.js*"):
        if file.name not in names:
            file.unlink()
    if not kept and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
