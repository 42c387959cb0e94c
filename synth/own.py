"""Plug-ins of a user's own: a class in a Python file beside the recipe, which its `kind` names as `file.py:Class`.

All that such a file needs can be imported from here.
"""

from __future__ import annotations

import functools
import inspect
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

import orjson
from pydantic import ConfigDict, Field, ValidationInfo, ValidatorFunctionWrapHandler

from synth.ask import Ask
from synth.errors import Rejected
from synth.language.near import hint
from synth.patterns import lazy
from synth.recipes import classes
from synth.types import Completion, Draft, Fields, Message, Sample, Score, Seed, TemplateFile, Value

__all__ = [
    "Ask",
    "Completion",
    "Draft",
    "Fields",
    "Message",
    "OwnGenerator",
    "OwnScorer",
    "OwnValidator",
    "Rejected",
    "Sample",
    "Score",
    "Seed",
    "TemplateFile",
    "Value",
]

MISSHAPEN = lazy(r"\.py\b")

OPEN = ConfigDict(json_schema_extra={"additionalProperties": True})
"""An editor cannot know the options of a class that is not there yet."""


class OwnGenerator(Value):
    """A generator in a file of your own, `kind: "file.py:Class"`.

    A subclass has `async def generate(self, seed, ask) -> list[Draft]`.
    """

    model_config = OPEN
    source: ClassVar[tuple[str, bytes]] = ("", b"")
    """The file's name and what was read from it."""
    adds: ClassVar[tuple[str, ...]] = ()
    """The fields that its drafts bring for later stages."""
    usual_drafts: ClassVar[int] = 1
    """How many drafts one seed usually brings: a run that wants so many rows begins no more seeds than may be needed.

    Where an option says it, write a property of this name."""
    template_values: ClassVar[Fields] = {}
    """What its templates see beside the seed's fields, with an example of each."""

    kind: str = Field(pattern=classes.NAMED.pattern)
    """`file.py:Class`, with a file beside the recipe."""
    teacher: str = ""

    def template_files(self) -> tuple[str, ...]:
        """The template files it renders."""
        return files_of(self)

    async def generate(self, seed: Seed, ask: Ask) -> list[Draft]:
        """Make drafts of a seed. Raises Rejected(reason, detail) for a seed that nothing can be made of."""
        raise NotImplementedError


class OwnValidator(Value):
    """A validator in a file of your own, `kind: "file.py:Class"`.

    A subclass has `def check(self, sample) -> None`, which raises Rejected(reason, detail).
    """

    model_config = OPEN
    source: ClassVar[tuple[str, bytes]] = ("", b"")
    """The file's name and what was read from it."""

    kind: str = Field(pattern=classes.NAMED.pattern)
    """`file.py:Class`, with a file beside the recipe."""

    def check(self, sample: Sample) -> None:
        """Raise Rejected(reason, detail) for a sample that is no good."""
        raise NotImplementedError


class OwnScorer(Value):
    """A scorer in a file of your own, `kind: "file.py:Class"`.

    A subclass has `async def score(self, sample, ask) -> Score`.
    """

    model_config = OPEN
    source: ClassVar[tuple[str, bytes]] = ("", b"")
    """The file's name and what was read from it."""
    template_values: ClassVar[Fields] = {}
    """What its templates see beside the sample's fields, with an example of each."""

    kind: str = Field(pattern=classes.NAMED.pattern)
    """`file.py:Class`, with a file beside the recipe."""
    name: str = Field(min_length=1)
    """What the score is called in `selection` and in the rows."""

    def template_files(self) -> tuple[str, ...]:
        """The template files it renders."""
        return files_of(self)

    async def score(self, sample: Sample, ask: Ask) -> Score:
        """The number of a sample. Raises Rejected(reason, detail) where there is none."""
        raise NotImplementedError


PLUG_INS = (OwnGenerator, OwnValidator, OwnScorer)
METHODS = {OwnGenerator: "generate", OwnValidator: "check", OwnScorer: "score"}
WHERE = {OwnGenerator: "generator", OwnValidator: "validators", OwnScorer: "scorers"}
RETURNS: dict[type[Value], str] = {
    OwnGenerator: "a list of Draft",
    OwnValidator: "nothing, and raise Rejected for a sample that is no good",
    OwnScorer: "a Score",
}
FITS: dict[type[Value], Callable[[Any], bool]] = {
    OwnGenerator: lambda made: _are_drafts(made),
    OwnValidator: lambda made: made is None,
    OwnScorer: lambda made: isinstance(made, Score),
}
P = TypeVar("P", OwnGenerator, OwnValidator, OwnScorer)


def files_of(plugin: OwnGenerator | OwnScorer) -> tuple[str, ...]:
    """What the fields name that are annotated as TemplateFile."""
    fields = type(plugin).model_fields
    named = [getattr(plugin, name) for name, field in fields.items() if "template" in field.metadata]
    return tuple(name for name in named if name)


def which(given: Any) -> str:
    """The tag of a plug-in: `own`, or `known` for those of synth."""
    if isinstance(given, PLUG_INS):
        return "own"
    kind = cast("dict[str, Any]", given).get("kind") if isinstance(given, dict) else None
    return "own" if isinstance(kind, str) and MISSHAPEN.search(kind) else "known"


def own(base: type[P]) -> Callable[[Any, ValidatorFunctionWrapHandler, ValidationInfo], P]:
    """How the value of a plug-in of one's own is read: by the class that its `kind` names."""

    def read(given: Any, _handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> P:
        if isinstance(given, base):
            return given
        folder = Path(cast("dict[str, Any]", info.context or {}).get(classes.FOLDER, ""))
        return class_of(str(given["kind"]), folder, base).model_validate_json(orjson.dumps(given), strict=True)

    return read


def class_of(kind: str, folder: Path, base: type[P], raw: bytes | None = None) -> type[P]:
    """The class that a `kind` names, in its file or in what was read from it before.

    Raises ValueError, with what to do, where there is none of use.
    """
    at = classes.found(kind, folder, raw)
    file, name, found = at.file, at.name, at.value
    method = METHODS[base]
    if not inspect.isclass(found):
        known = [one for one, value in at.classes.items() if issubclass(value, PLUG_INS)]
        own = [one for one in known if one not in __all__]
        there = hint(name, own) or f"; there is {', '.join(own) or 'none of use'}"
        raise ValueError(f"{file} has no class {name!r}{there}")
    if not issubclass(found, base):
        other = next((one for one in PLUG_INS if issubclass(found, one)), None)
        mend = f"name it in the stage's `{WHERE[other]}`" if other else f"write `class {name}({base.__name__}):`"
        raise ValueError(f"{name} in {file} is no {base.__name__}; {mend}")
    written = getattr(found, method)
    if written is getattr(base, method):
        raise ValueError(f"{name} in {file} has no method {method!r}")
    if inspect.iscoroutinefunction(written) != inspect.iscoroutinefunction(getattr(base, method)):
        how = "async def" if method != "check" else "def"
        raise ValueError(f"{name}.{method} in {file} must be written as `{how} {method}`")
    found.source = (file, at.raw)
    if not hasattr(written, "__wrapped__"):  # one that inherits it, or was read before, is held already
        setattr(found, method, _held(written, f"{name}.{method} in {file}", base))
    return found


def given_class(kind: str, folder: Path) -> str:
    """`file.py:Class` for a kind that names a file of the folder in another way, such as `file.Class`; else nothing."""
    plain = unicodedata.normalize("NFKC", kind)
    stem, mark, name = plain.removesuffix(".py").replace(":", ".").partition(".")
    return (
        f"{stem}.py:{name or 'Class'}"
        if mark and name.isidentifier() and f"{stem}.py" in classes.files_in(folder)
        else ""
    )


def fields_of(kind: str, folder: Path, base: type[Any]) -> list[str]:
    """The options of a class of one's own; none where the kind names no such class."""
    try:
        return list(class_of(kind, folder, base).model_fields)
    except ValueError:
        return []


def _held(written: Callable[..., Any], where: str, base: type[Value]) -> Callable[..., Any]:
    """The method, which raises TypeError where what it returns is not what synth goes on with."""

    def fitting(made: Any) -> Any:
        if not FITS[base](made):
            raise TypeError(f"{where} returned {made!r:.80}; it must return {RETURNS[base]}")
        return made

    if base is OwnValidator:
        return functools.wraps(written)(lambda *given: fitting(written(*given)))

    @functools.wraps(written)
    async def asking(*given: Any) -> Any:
        return fitting(await written(*given))

    return asking


def _are_drafts(made: Any) -> bool:
    return isinstance(made, list) and all(isinstance(one, Draft) for one in cast("list[Any]", made))
