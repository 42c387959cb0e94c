"""Whether a run would change nothing: what it starts from and what it left are both as they were when it was whole.

A whole run (nothing parked, nothing refused by a cap) notes hashes of all that decides its outputs, and of the outputs.
The next run compares contents, never times of files: the recipe with its overrides, the templates, the seed files, the
options, the code of synth itself, the libraries that write. When all agree it has nothing to do. Whatever it cannot
compare at that price, such as seeds from the Hub, it takes for changed, and makes the dataset again from the store.
"""

from __future__ import annotations

import functools
import hashlib
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import ValidationError

from synth import seeds
from synth.recipes import named
from synth.recipes.recipe import LoadedRecipe
from synth.storage.store import Store
from synth.types import Rejection, Sample, Value

NOTE = "whole"
LIBRARIES = ("genai-prices", "jinja2", "jsonschema", "numpy", "orjson", "pyarrow", "pydantic", "tokenizers")
OUTPUTS = ("rows.jsonl", "rejected.jsonl", "manifest.json", "report.html")
FOLDERS = ("dataset", "report")
"""Beside the dataset folder, of which every file counts."""


class Whole(Value):
    """What a whole run started from and left."""

    runs: str | None
    """How many passes the store has seen: a preview or a retry in between may have changed what it holds."""
    inputs: dict[str, str]
    made_with: dict[str, str]
    templates: dict[str, str]
    """SHA-256 of each that was used."""
    outputs: dict[str, str]
    """SHA-256 of each file."""
    examples: tuple[Sample, ...]
    rejections: tuple[Rejection, ...]


def inputs(loaded: LoadedRecipe, limit: int | None, salt: str, decisions: Path | None = None) -> dict[str, str] | None:
    """What is given that decides the outputs, but for templates and replies; None when that cannot be told cheaply."""
    content, student = seeds.sha256(loaded.recipe.seeds, loaded.folder), loaded.recipe.output.tokenizer
    compared = [*(loaded.recipe.decontaminate.against if loaded.recipe.decontaminate else ())]
    compared += [name for stage in loaded.recipe.stages for name in stage.novel_against]
    known = {name: named.sha256(name, loaded.folder) for name in compared}
    if content is None or None in known.values():
        return None
    return {
        "recipe": loaded.sha256,
        "seeds": content,
        "limit": str(limit),
        "salt": salt,
        "decisions": "" if decisions is None else _sha256(decisions) if decisions.is_file() else "none there",
        **{f"known {name}": str(digest) for name, digest in known.items()},
        **{
            f"tokenizer {name}": digest for name, digest in (_files(loaded.folder / student) if student else {}).items()
        },
    }


def made_with() -> dict[str, str]:
    """The code that decides the outputs: as it is when this is first asked for, which should be early in a run."""
    return {"code": _code(), "python": platform.python_version(), **{name: _version(name) for name in LIBRARIES}}


def recall(store: Store, loaded: LoadedRecipe, now: dict[str, str]) -> Whole | None:
    """What the last run left, when running now would make the same; None when it might not."""
    note = store.meta(NOTE)
    try:
        whole = None if note is None else Whole.model_validate_json(note)
    except ValidationError:  # another version's
        return None
    if whole is None or whole.inputs != now or whole.runs != store.meta("runs") or whole.made_with != made_with():
        return None
    templates = loaded.templates.sources()
    if any(whole.templates.get(name) != sha256 for name, sha256 in templates.items()):
        return None
    if any(loaded.templates.sha256(name) != sha256 for name, sha256 in whole.templates.items()):
        return None
    return whole if _outputs(store.folder) == whole.outputs else None


async def remember(
    store: Store,
    loaded: LoadedRecipe,
    before: dict[str, str],
    examples: Iterable[Sample],
    rejections: Iterable[Rejection],
) -> None:
    """Note a whole run that started from `before`, with the samples it shows."""
    whole = Whole(
        runs=store.meta("runs"),
        inputs=before,
        made_with=made_with(),
        templates=loaded.templates.sources(),
        outputs=_outputs(store.folder),
        examples=tuple(examples),
        rejections=tuple(rejections),
    )
    await store.note(NOTE, whole.model_dump_json())


def _outputs(folder: Path) -> dict[str, str]:
    named = {name: _sha256(folder / name) if (folder / name).is_file() else "" for name in OUTPUTS}
    beside = {f"{one}/{name}": digest for one in FOLDERS for name, digest in _files(folder / one).items()}
    return named | beside


def _files(folder: Path) -> dict[str, str]:
    """The hash of each file in a folder."""
    return {str(path.relative_to(folder)): _sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.cache
def _code() -> str:
    """The hash of synth's own files: a version alone would not tell apart two states of a checkout."""
    content, root = hashlib.sha256(), Path(__file__).parents[1]
    for path in sorted(path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        content.update(f"{path.relative_to(root)}\n{_sha256(path)}\n".encode())
    return content.hexdigest()


@functools.cache
def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
