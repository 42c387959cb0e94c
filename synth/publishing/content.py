"""What is published: the files of a run's dataset folder, and beside them `synth.json`.

`synth.json` names every file with its hash, so that the next version uploads only what differs from this one, sees what
somebody else has changed since, and links this one as what it follows.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, cast

import orjson
import yaml
from pydantic import ValidationError

from synth.datasets.card import escaped, publishable
from synth.datasets.files import PARTIAL
from synth.datasets.metadata import wrong
from synth.errors import FolderError, Problem, RecipeError
from synth.language.codes import is_japanese
from synth.language.text import several
from synth.results.manifest import Manifest, read_manifest
from synth.rights.terms import Acceptance
from synth.types import Value

RECORD = "synth.json"
CARD = "README.md"
MANIFEST = "manifest.json"


class FileRecord(Value):
    """One file as it was published."""

    sha256: str
    bytes: int
    git: str
    """What git calls its content: the Hub's name for a file that it does not keep as a large one."""


class Previous(Value):
    """The version that one follows."""

    commit: str = ""
    """Empty in a folder."""
    manifest_sha256: str
    rows: int


class Accepted(Value):
    """What was found before publishing, and published all the same."""

    kind: str
    found: dict[str, int]
    """How often, by what it looks like."""


class Publication(Value):
    """The content of `synth.json`."""

    schema_version: Literal[1] = 1
    synth: str
    name: str
    license: str
    manifest_sha256: str
    card_sha256: str
    """Of the card as the run wrote it, before what it says of this version."""
    rows: dict[str, int]
    accepted: tuple[Accepted, ...] = ()
    accepted_terms: tuple[Acceptance, ...] = ()
    previous: Previous | None = None
    files: dict[str, FileRecord]

    @property
    def row_count(self) -> int:
        """Rows over all splits."""
        return sum(self.rows.values())


@dataclass(frozen=True, slots=True)
class Item:
    """One file to be published."""

    path: str
    """In the repository."""
    source: Path | bytes
    record: FileRecord


@dataclass(frozen=True, slots=True)
class Content:
    """What a run has to publish."""

    manifest: Manifest
    manifest_sha256: str
    items: tuple[Item, ...]
    """All but the card."""
    card: str
    """As the run wrote it."""

    @property
    def card_sha256(self) -> str:
        """Of the card as the run wrote it."""
        return hashlib.sha256(self.card.encode()).hexdigest()

    @property
    def digest(self) -> str:
        """Of all that is published but for what is said of the version."""
        named = "".join(f"{item.path} {item.record.sha256}\n" for item in self.items)
        return hashlib.sha256(f"{self.card_sha256}\n{named}".encode()).hexdigest()


def gather(folder: Path) -> Content:
    """The content of a run's `dataset/`.

    Raises RecipeError where something in the record forbids publishing, FolderError when the folder holds no dataset
    or not the one that its card tells of.
    """
    manifest = read_manifest(folder / MANIFEST)
    problem = publishable(manifest)
    if problem is not None:
        raise RecipeError(problem)
    dataset = folder / "dataset"
    try:
        card = (dataset / CARD).read_bytes().decode()
        items = [_item(path, dataset) for path in sorted(dataset.rglob("*")) if not path.is_dir()]
        told = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    except (OSError, UnicodeDecodeError) as error:
        raise FolderError(f"{dataset} cannot be read ({error}); export the run again.") from error
    content = Content(manifest, told, tuple(item for item in items if item is not None and item.path != CARD), card)
    _agrees(content, dataset)
    return content


def _item(path: Path, dataset: Path) -> Item | None:
    name = path.relative_to(dataset).as_posix()
    if name == RECORD or path.suffix == PARTIAL or any(part.startswith(".") for part in Path(name).parts):
        return None
    if path.is_symlink():
        raise FolderError(f"{path} is a link; what is published lies in the folder itself.")
    return Item(name, path, _record_of_file(path))


def _record_of_file(path: Path) -> FileRecord:
    size, whole = path.stat().st_size, hashlib.sha256()
    git = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            whole.update(piece)
            git.update(piece)
    return FileRecord(sha256=whole.hexdigest(), bytes=size, git=git.hexdigest())


def item_of(path: str, content: bytes) -> Item:
    """A file that is made only when it is published."""
    git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
    record = FileRecord(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content), git=git.hexdigest())
    return Item(path, content, record)


def _agrees(content: Content, dataset: Path) -> None:
    """Raise FolderError unless the card's front matter can be read, and its files are there.

    Raises RecipeError for what the Hub would not take.
    """
    parts = re.split(r"^---\n", content.card, maxsplit=2, flags=re.MULTILINE)
    try:
        header: Any = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0] else None
        named = {path for config in header["configs"] for split in config["data_files"] for path in _paths(split)}
    except (yaml.YAMLError, TypeError, KeyError) as error:
        raise FolderError(f"{dataset / CARD} has no front matter that says what to load; export again.") from error
    if problems := list(wrong(header)):
        raise RecipeError([Problem(one, str(dataset / CARD)) for one in problems])
    there = {item.path for item in content.items}
    if missing := sorted(path for path in named - there if "*" not in path):
        raise FolderError(f"{dataset / CARD} names {missing[0]}, which is not there; export the run again.")
    if len(endings := sorted({Path(path).suffix for path in named})) > 1:
        raise FolderError(
            f"{dataset / CARD} names files of several kinds ({', '.join(endings)}), and `datasets` reads all of a "
            "repository as one; export the run again."
        )


def _paths(split: Any) -> list[str]:
    paths: Any = split["path"]
    return [str(path) for path in cast("list[Any]", paths)] if isinstance(paths, list) else [str(paths)]


def version_of(content: Content, previous: Previous | None, accepted: tuple[Accepted, ...]) -> tuple[Item, Item]:
    """The card and `synth.json` of a version that follows `previous`."""
    manifest = content.manifest
    card = item_of(CARD, (content.card.rstrip("\n") + "\n" + _told(content, previous, accepted)).encode())
    publication = Publication(
        synth=version("synth"),
        name=manifest.recipe.name,
        license=manifest.recipe.license or "",
        manifest_sha256=content.manifest_sha256,
        card_sha256=content.card_sha256,
        rows=manifest.rows,
        accepted=accepted,
        accepted_terms=manifest.accepted_terms,
        previous=previous,
        files={item.path: item.record for item in (*content.items, card)},
    )
    told = orjson.dumps(publication.model_dump(mode="json"), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    return card, item_of(RECORD, told)


def is_published(content: Content, there: Publication, accepted: tuple[Accepted, ...]) -> bool:
    """Whether a version holds exactly this."""
    files = {path: record for path, record in there.files.items() if path != CARD}
    ours = {item.path: item.record for item in content.items}
    return files == ours and there.card_sha256 == content.card_sha256 and there.accepted == accepted


def read_record(raw: bytes, where: str) -> Publication:
    """The record of an earlier version. Raises FolderError when it is none that this synth reads."""
    try:
        return Publication.model_validate_json(raw)
    except ValidationError as error:
        raise FolderError(f"{where} is no record that this synth reads; update synth, or name the parent.") from error


def _told(content: Content, previous: Previous | None, accepted: tuple[Accepted, ...]) -> str:
    """What the card says of this version: what it follows, and what was accepted."""
    japanese, rows = is_japanese(content.manifest.recipe.language), content.manifest.row_count
    lines: list[str] = []
    if previous is not None:
        name = f"`{previous.commit or previous.manifest_sha256[:12]}`"
        lines += ["", "## この版について" if japanese else "## This version", ""]
        lines += [
            f"{name} の版（{previous.rows:,} 行）に続く版です。この版は {rows:,} 行あります。"
            if japanese
            else f"It follows {name}, which had {several(previous.rows, 'row')}; this one has {rows:,}."
        ]
    if accepted:
        lines += ["", "## 公開前に見つかったもの" if japanese else "## Found before publishing", ""]
        lines += [
            "公開の前に次のものがパターンで見つかり、公開者がそのまま公開すると決めました："
            if japanese
            else "Before publishing, patterns found the following, and the publisher chose to publish it all the same:",
            "",
        ]
        lines += [f"- {escaped(what)}: {count:,}" for one in accepted for what, count in one.found.items()]
    return "\n".join(lines) + ("\n" if lines else "")
