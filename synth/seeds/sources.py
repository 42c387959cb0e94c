"""Where seeds come from, as a recipe says it."""

from __future__ import annotations

import glob
import hashlib
import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from synth.errors import RecipeError
from synth.types import Value

ENDINGS = ".jsonl, .ndjson, .csv, .tsv, .parquet, .txt, .md (also .gz of the first four), or a saved dataset's folder"


class Source(Value):
    """Seeds that somebody made."""

    license: str = ""
    """Their licence by the Hub's id, such as `cc-by-4.0`: your word, and what it asks is held against the licence of
    the result. Without it, publishing asks whether you know what you may do."""
    axes: dict[str, Annotated[list[JsonValue], Field(min_length=1)]] = {}
    """Fields that every row gets, once with each combination of these values: `{register: [常体, 敬体]}` makes two
    seeds of each row."""


class Jsonl(Source):
    """One JSON object per line."""

    kind: Literal["jsonl"] = "jsonl"
    path: str


class Csv(Source):
    """Comma-separated values (RFC 4180); every value is a text."""

    kind: Literal["csv"] = "csv"
    path: str
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    header: bool = True
    """Whether the first line names the columns; else they are called 1, 2, 3 and so on."""


class Parquet(Source):
    """A Parquet file."""

    kind: Literal["parquet"] = "parquet"
    path: str


class HuggingFace(Source):
    """A dataset of the Hugging Face Hub by its id, or one on disk by its folder."""

    kind: Literal["huggingface"] = "huggingface"
    path: str
    name: str | None = None
    """The configuration."""
    split: str = "train"
    revision: str | None = None


class Grid(Value):
    """The cartesian product of some lists."""

    kind: Literal["grid"] = "grid"
    axes: dict[str, list[JsonValue]] = Field(min_length=1)
    sample: int | None = Field(default=None, ge=1)
    """Take so many points, drawn without repetition."""
    seed: int = 0
    """For the drawing."""


class Text(Source):
    """Text files; `path` may be a pattern such as `texts/**/*.txt`. Seeds have the fields `text` and `file`."""

    kind: Literal["text"] = "text"
    path: str
    by: Literal["file", "paragraph", "line"] = "file"


class Documents(Source):
    """Passages of documents in a folder, a file, or files by a pattern such as `manuals/**/*.md`.

    Seeds have the fields `passage`, `document` (its path), `place` (its headings, or the page), `line`, and of the same
    document a second passage in `other` and `other_place`, the next one or for the last one the one before; both are
    empty where there is none. PDF needs `pip install 'synth[pdf]'`.
    """

    kind: Literal["documents"] = "documents"
    path: str
    max_chars: int = Field(default=1500, ge=100, le=100_000)
    """The most characters of a passage."""
    min_chars: int = Field(default=200, ge=1)
    """A shorter section shares a passage with the next one where there is room."""

    @model_validator(mode="after")
    def _has_room(self) -> Documents:
        if self.min_chars > self.max_chars:
            raise ValueError(f"min_chars ({self.min_chars}) is more than max_chars ({self.max_chars})")
        return self


SeedSource = Annotated[Jsonl | Csv | Parquet | HuggingFace | Grid | Text | Documents, Field(discriminator="kind")]


def licence(source: SeedSource) -> str | None:
    """The licence of seeds as it was declared; empty for a grid, the recipe's own words, None when it is not."""
    return "" if isinstance(source, Grid) else source.license or None


def below(folder: Path, name: str) -> Path:
    """A path that counts from a folder, without the way down and up again where that leads to the same."""
    path = folder / name
    short = Path(os.path.normpath(path))
    return path if path.exists() and not (short.exists() and short.samefile(path)) else short  # a link leads elsewhere


def describe(source: SeedSource, folder: Path | None = None) -> str:
    """A source in words; with `folder`, the hash of its file too."""
    axes = [f"{name} ({len(values)})" for name, values in source.axes.items()]
    if isinstance(source, Grid):
        return "grid of " + " × ".join(axes)
    path, crossed = None if folder is None else folder / source.path, "".join(f" × {axis}" for axis in axes)
    if path is None or not path.is_file():
        return f"{source.kind} {source.path}{crossed}"
    with path.open("rb") as file:
        return f"{source.kind} {source.path} sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}{crossed}"


def source_from_path(path: str) -> SeedSource:
    """The source that a path's ending stands for. Raises RecipeError for one that is not known."""
    ending = Path(path.removesuffix(".gz")).suffix.lower()
    if Path(path).is_dir():
        return HuggingFace(path=path)
    if ending in (".jsonl", ".ndjson"):
        return Jsonl(path=path)
    if ending in (".csv", ".tsv"):
        return Csv(path=path, delimiter="\t" if ending == ".tsv" else ",")
    if ending == ".parquet":
        return Parquet(path=path)
    if ending in (".txt", ".md"):
        return Text(path=glob.escape(path) if Path(path).exists() else path)
    raise RecipeError(f"Seeds cannot be read from {path!r}: it should end in {ENDINGS}.")
