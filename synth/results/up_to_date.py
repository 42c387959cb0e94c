"""What a run need not do again: what it starts from and what it left are as they were when it was whole.

A run that is whole (nothing parked, nothing refused by a cap) notes hashes of all that decides its outputs, of the
outputs, and of what became of its samples. The next run compares contents, never times of files: the recipe with its
overrides, the templates, the seed files, the options, the code of synth itself, the libraries that write. When all
agree it has nothing to do. When all agrees that decides about samples, and only what is done with them is another, such
as the selection or what a person decided, or an output is gone, it writes the outputs anew from what became of the
samples. Whatever it cannot compare at that price, such as seeds from the Hub, it takes for changed, and makes the
dataset again from the store.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
import platform
from collections.abc import Iterable
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import ValidationError

from synth import seeds
from synth.gates.screen import REVIEW
from synth.generators.objects import Objects
from synth.recipes import named
from synth.recipes.recipe import LoadedRecipe, Recipe
from synth.results.outcomes import NAME, roll_back
from synth.results.result import Result
from synth.storage.store import Store
from synth.types import Rejection, Sample, Value

NOTE = "whole"
SAMPLES = "samples: "
"""Stands before the names of inputs that decide about samples."""
LIBRARIES = (
    *("genai-prices", "jinja2", "jsonschema", "latex2sympy2-extended", "math-verify", "numpy", "orjson", "pyarrow"),
    *("pydantic", "pypdf", "sympy", "tokenizers"),
)
"""Those that read seeds, compare answers, check or write."""
OUTPUTS = ("rows.jsonl", "rejected.jsonl", REVIEW, "manifest.json", "report.html")
OUTCOMES = (NAME, REVIEW)
WRITING = {"split", "selection", "output", "license", "description"}
"""Of a recipe what decides about no sample, unless so many rows are selected that asking ends with them."""
FOLDERS = ("dataset", "report")
"""Beside the dataset folder, of which every file counts."""


class Known(Enum):
    """What of a whole run is as it was, when running now would make the same."""

    NOTHING = "nothing"
    OUTCOMES = "what became of its samples"
    OUTPUTS = "all that it left"


class Whole(Value):
    """What a whole run started from and left."""

    runs: str | None
    """How many passes the store has seen: a preview or a retry in between may have changed what it holds."""
    inputs: dict[str, str]
    made_with: dict[str, str]
    templates: dict[str, str]
    """SHA-256 of each that was used."""
    outputs: dict[str, str]
    """SHA-256 of each file; none where running again has something to say."""
    outcomes: dict[str, str]
    """SHA-256 of the file of what became of the samples, and of what stands beside it."""
    examples: tuple[Sample, ...]
    rejections: tuple[Rejection, ...]


def inputs(loaded: LoadedRecipe, limit: int | None, salt: str, decisions: Path | None = None) -> dict[str, str] | None:
    """What is given that decides the outputs, but for templates and replies; None when that cannot be told cheaply."""
    content, student = seeds.sha256(loaded.recipe.seeds, loaded.folder), loaded.recipe.output.tokenizer
    compared = [*(loaded.recipe.decontaminate.against if loaded.recipe.decontaminate else ())]
    compared += [name for stage in loaded.recipe.stages for name in stage.novel_against]
    known = {name: named.sha256(name, loaded.folder) for name in compared}
    models = _models(loaded.recipe)
    if content is None or models is None or None in known.values():
        return None
    tokenizer = _files(loaded.folder / student) if student else {}
    return {
        "recipe": loaded.sha256,
        "decisions": "" if decisions is None else _sha256(decisions) if decisions.is_file() else "none there",
        **{f"tokenizer {name}": digest for name, digest in tokenizer.items()},
        **{
            f"{SAMPLES}{name}": digest
            for name, digest in {
                "recipe": _deciding(loaded.recipe),
                "seeds": content,
                "limit": str(limit),
                "salt": salt,
                **{f"known {name}": str(digest) for name, digest in known.items()},
                **models,
            }.items()
        },
    }


def _deciding(recipe: Recipe) -> str:
    """The hash of what of a recipe decides about samples."""
    free = WRITING - {"selection"} if recipe.selection.rows is not None else WRITING
    return hashlib.sha256(recipe.model_dump_json(exclude=free).encode()).hexdigest()


def _models(recipe: Recipe) -> dict[str, str] | None:
    """The hash of each file of the user's that holds a model of objects: its own checks decide too, of which the JSON
    schema in the recipe tells nothing. None where one is in no file.
    """
    makers = (stage.generator for stage in recipe.stages if isinstance(stage.generator, Objects))
    models = [kind for maker in makers for kind in maker.fields.values() if isinstance(kind, type)]
    try:
        return {f"model {place}": _sha256(Path(inspect.getfile(one))) for place, one in enumerate(models)}
    except (OSError, TypeError):
        return None


def made_with() -> dict[str, str]:
    """The code that decides the outputs: as it is when this is first asked for, which should be early in a run."""
    return {"code": _code(), "python": platform.python_version(), **{name: _version(name) for name in LIBRARIES}}


def recall(store: Store, loaded: LoadedRecipe, now: dict[str, str]) -> tuple[Whole | None, Known]:
    """What the last whole run left, and what of it is what running now would make."""
    whole = _recalled(store, loaded)
    if whole is None:
        return None, Known.NOTHING
    if whole.inputs == now and _outputs(store.folder) == whole.outputs:
        return whole, Known.OUTPUTS
    kept = store.folder / NAME
    # what selection refuses is held in that file until all is written: it has to be one that this user may write
    if _of_samples(whole.inputs) != _of_samples(now) or not os.access(kept, os.W_OK):
        return whole, Known.NOTHING
    roll_back(kept)
    return whole, Known.OUTCOMES if _hashes(store.folder, OUTCOMES) == whole.outcomes else Known.NOTHING


def _of_samples(inputs: dict[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in inputs.items() if name.startswith(SAMPLES)}


def _recalled(store: Store, loaded: LoadedRecipe) -> Whole | None:
    """The note of the last whole run; None where what it was made with, or of, has changed since."""
    note = store.meta(NOTE)
    try:
        whole = None if note is None else Whole.model_validate_json(note)
    except ValidationError:  # another version's
        return None
    if whole is None or whole.runs != store.meta("runs") or whole.made_with != made_with():
        return None
    templates = loaded.templates.sources()
    if any(whole.templates.get(name) != sha256 for name, sha256 in templates.items()):
        return None
    if any(loaded.templates.sha256(name) != sha256 for name, sha256 in whole.templates.items()):
        return None
    return whole


async def remember(store: Store, before: dict[str, str], result: Result) -> None:
    """Note a run that started from `before` and kept what became of its samples, with those it shows.

    Of one that is not whole, as no sample became a row, the outputs are no reason to do nothing.
    """
    whole = Whole(
        runs=store.meta("runs"),
        inputs=before,
        made_with=made_with(),
        templates=result.manifest.recipe.templates,
        outputs=_outputs(store.folder) if result.is_whole else {},
        outcomes=_hashes(store.folder, OUTCOMES),
        examples=tuple(result.examples),
        rejections=tuple(result.rejections),
    )
    await store.note(NOTE, whole.model_dump_json())


def _outputs(folder: Path) -> dict[str, str]:
    beside = {f"{one}/{name}": digest for one in FOLDERS for name, digest in _files(folder / one).items()}
    return _hashes(folder, OUTPUTS) | beside


def _hashes(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """The hash of each of these; empty for one that is not there."""
    return {name: _sha256(folder / name) if (folder / name).is_file() else "" for name in names}


def _files(folder: Path) -> dict[str, str]:
    """The hash of each file in a folder."""
    return {str(path.relative_to(folder)): _sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def _sha256(path: Path) -> str:
    """Other words for a file that another user made, and that may not be read."""
    if not os.access(path, os.R_OK):
        return "may not be read"
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
