"""A recipe read from its file and checked as a whole before the first request, with other words in places."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import orjson
from pydantic import ValidationError

from synth import seeds
from synth.comparing.agreement import Adaptive
from synth.errors import At, Problem, RecipeError
from synth.generators import Generator
from synth.language.near import hint, nearest
from synth.own import PLUG_INS
from synth.protocol.endpoint import look_for_keys
from synth.recipes import yaml_places
from synth.recipes.classes import FOLDER
from synth.recipes.mistyped import Form
from synth.recipes.options import caps_of, changed, endpoint_of, served
from synth.recipes.recipe import LoadedRecipe, Recipe, Stage
from synth.recipes.recipe_checks import beyond_form, verifiers
from synth.recipes.templates import Templates
from synth.recipes.yaml_places import dotted
from synth.results.selection import Selection
from synth.seeds.sources import Documents, Grid
from synth.types import Value


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the command line, or a call in Python, puts in place of the recipe's own words."""

    teachers: Sequence[str] = ()
    """`NAME=BASE_URL,MODEL` or `NAME=BASE_URL,MODEL,KEY_VARIABLE`."""
    seeds: str = ""
    budget: Mapping[str, Any] | None = None
    """Caps by name, such as `{"usd": 5, "hours": 2}`; the recipe's others stay."""
    rows: int | None = None
    accept_terms: Sequence[str] = ()
    """Names of terms, beside the recipe's own."""
    selection: Mapping[str, Any] | None = None
    """Fields of `selection` by name, such as `{"require": {"judge": 4}}`; a mapping adds to the recipe's own."""
    online: bool = False
    """Let no stage wait for a batch."""
    serve: str = ""
    """`[NAME=]MODEL [OPTIONS]`: what vLLM is to serve for the run, and the options of `vllm serve` for it."""
    makes: bool = True
    """Whether a dataset is to be made. Where only the recipe's plug-ins are used on files that exist, neither the terms
    of its teachers nor their prices are in question."""
    called: bool = False
    """Whether they are arguments of a call in Python: what is said of them names these, and not options."""


def load(path: str | Path, overrides: Overrides | None = None) -> LoadedRecipe:
    """Read and check a recipe: a YAML file, or a folder that holds `recipe.yaml`.

    Every template is rendered with the first seed. Raises RecipeError with all problems found, each with its place.
    """
    file = Path(path)
    file = file / "recipe.yaml" if file.is_dir() else file
    document = _Document(file)
    recipe, problems = document.recipe()
    return _checked(recipe, problems, file, overrides or Overrides(), document.placed)


def override(loaded: LoadedRecipe, overrides: Overrides) -> LoadedRecipe:
    """A loaded recipe with other words in places, checked anew. Raises RecipeError as `load` does."""

    def placed(loc: Sequence[str | int], problem: Problem) -> Problem:
        return problem if problem.file else Problem(problem.message, str(loaded.path), field=dotted(loc))

    return _checked(loaded.recipe, [], loaded.path, overrides, placed)


def _checked(
    recipe: Recipe | None,
    problems: Sequence[Problem],
    file: Path,
    overrides: Overrides,
    placed: Callable[[Sequence[str | int], Problem], Problem],
) -> LoadedRecipe:
    """Check what goes beyond the form of a recipe, and raise these problems with those already found."""
    found: list[At] = []
    templates, notes = Templates(file.parent), list[str]()
    if recipe is not None:
        recipe = _filled(_overridden(recipe, overrides, notes))
        for stage in recipe.stages:
            for plugin in (stage.generator, *stage.validators, *stage.scorers):
                if isinstance(plugin, PLUG_INS):
                    templates.hold(*plugin.source)
        found = beyond_form(recipe, file.parent, templates, makes=overrides.makes)
    if recipe is None or found or problems:
        given = overrides.selection or {}
        beside = [
            problem if loc[:1] == ("selection",) and loc[1:2] and loc[1] in given else placed(loc, problem)
            for loc, problem in found
        ]
        raise RecipeError([*problems, *beside])
    notes += look_for_keys(recipe.teachers.values(), (Path(), file.parent))
    sha256 = hashlib.sha256(orjson.dumps(recipe.model_dump(mode="json"))).hexdigest()
    return LoadedRecipe(recipe, file, sha256, templates, tuple(notes))


class _Document:
    """The text of a recipe with the place of each of its parts."""

    def __init__(self, file: Path) -> None:
        self._file, self._folder = str(file), file.parent
        try:
            raw = file.read_bytes()
        except OSError as error:
            raise RecipeError(f"{file} cannot be read ({error.strerror}); {_given(file)}") from error
        if len(raw) > yaml_places.LARGEST_BYTES:
            raise RecipeError(Problem("it is larger than 1 MB; long lists belong into seed files", self._file))
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            raise RecipeError(
                Problem(f"byte {error.start} is not UTF-8; save it as UTF-8", self._file, line)
            ) from error
        self._data, self._places, problems = yaml_places.load(text, self._file)
        if not isinstance(self._data, dict) and not problems:
            problems = [Problem("a recipe is a mapping that begins with `name:`", self._file, 1, 1)]
        if problems:
            raise RecipeError(problems)

    def recipe(self) -> tuple[Recipe | None, list[Problem]]:
        """The recipe, without the parts that are wrong where it stands without them, and what is wrong with them."""
        recipe, errors = _validated(self._data, self._folder)
        problems = [self._problem(error) for error in errors]
        if errors:
            wrong = {yaml_places.place_of(self._places, error["loc"])[1] for error in errors}
            recipe, _ = _validated(_without(self._data, wrong), self._folder)
        return recipe, problems

    def placed(self, loc: Sequence[str | int], problem: Problem) -> Problem:
        """The problem with the place of a field, unless it knows a better one."""
        (line, column), at = yaml_places.place_of(self._places, loc)
        return problem if problem.file else Problem(problem.message, self._file, line, column, dotted(at))

    def _problem(self, error: dict[str, Any]) -> Problem:
        (line, column), at = yaml_places.place_of(self._places, error["loc"])
        found = Form(_schema(), self._data, self._folder).problem(error, at)
        return Problem(found.message, self._file, line, column, found.field)


def _given(file: Path) -> str:
    """What to give in place of a recipe that is not there."""
    if (file.parent / "run.db").exists():
        return f"{file.parent} is the folder of a run: give the recipe that it was made from."
    folders = [path.parent.name for path in file.parent.glob("*/recipe.yaml")]
    near = nearest(file.name, folders)
    return f"did you mean {str(file.with_name(near))!r}?" if near else "give a recipe.yaml or its folder."


def _validated(data: Any, folder: Path) -> tuple[Recipe | None, list[dict[str, Any]]]:
    try:
        return Recipe.model_validate_json(orjson.dumps(data), strict=True, context={FOLDER: folder}), []
    except ValidationError as error:
        return None, [cast("dict[str, Any]", one) for one in error.errors(include_url=False)]


def _without(data: Any, wrong: Set[tuple[str | int, ...]], at: tuple[str | int, ...] = ()) -> Any:
    """The data without the members at these places."""
    if isinstance(data, dict):
        items = cast("dict[str, Any]", data).items()
        return {name: _without(one, wrong, (*at, name)) for name, one in items if (*at, name) not in wrong}
    if isinstance(data, list):
        # an entry of a list stays: without it the places of the others would change
        return [_without(one, wrong, (*at, place)) for place, one in enumerate(cast("list[Any]", data))]
    return data


@cache
def _schema() -> dict[str, Any]:
    return Recipe.model_json_schema()


def _overridden(recipe: Recipe, overrides: Overrides, notes: list[str]) -> Recipe:
    """The recipe with other words in places; what was left out for their sake is added to `notes`."""
    update: dict[str, Any] = {}
    teachers = dict(recipe.teachers)
    given, serving = ("teachers=", "serve=") if overrides.called else ("--teacher ", "--serve ")
    for text in overrides.teachers:
        name, _, rest = text.partition("=")
        if name not in teachers:
            names = f"{', '.join(teachers)}{hint(name, teachers)}"
            message = f"{given}{name}=...: write NAME=BASE_URL,MODEL[,KEY_VARIABLE], where NAME is one of {names}"
            raise RecipeError(message)
        moved = endpoint_of(rest, f"{given}{name}=", teachers[name])
        teachers[name], left_out = moved.fitted()
        notes += [f"{given}{name}: {one}." for one in left_out]
    if overrides.serve:
        name, moved = served(overrides.serve, teachers, serving)
        teachers[name], left_out = moved.fitted()
        notes += [f"{serving}{name}: {one}." for one in left_out]
    if teachers != recipe.teachers:
        update["teachers"] = teachers
    if overrides.seeds:
        path = str(Path(overrides.seeds).absolute())
        reads = isinstance(recipe.seeds, Documents)  # a folder is then one of documents, cut as the recipe says
        source = recipe.seeds.model_copy(update={"path": path}) if reads else seeds.source_from_path(path)
        if not (reads or Path(path).exists()):
            raise RecipeError(f"There is no seed file {overrides.seeds}; it counts from the folder you are in.")
        axes = {} if isinstance(recipe.seeds, Grid) else recipe.seeds.axes
        update["seeds"] = source.model_copy(update={"axes": axes})
    if overrides.budget:
        update["budget"] = caps_of({**recipe.budget.model_dump(), **overrides.budget})
    if overrides.online:
        update["stages"] = [stage.model_copy(update={"can_wait_h": 0.0}) for stage in recipe.stages]
    if overrides.accept_terms:
        update["accept_terms"] = [*recipe.accept_terms, *overrides.accept_terms]
    selection: dict[str, Any] = dict(overrides.selection or {})
    if overrides.rows is not None:
        selection["rows"] = overrides.rows
    if selection:
        own = recipe.selection.model_dump()
        for name in ("require", "at_most"):
            selection[name] = {**own[name], **selection.get(name, {})}
        update["selection"] = changed(Selection, {**own, **selection}, "selection")
    return recipe.model_copy(update=update)


def _filled(recipe: Recipe) -> Recipe:
    """Give plug-ins that name no language or teacher the recipe's own."""
    defaults = {"language": recipe.language, "teacher": next(iter(recipe.teachers))}

    def fill(plugin: Value) -> Value:
        fields = type(plugin).model_fields
        empty = {name: value for name, value in defaults.items() if name in fields and not getattr(plugin, name)}
        return plugin.model_copy(update=empty)

    stages = [
        stage.model_copy(
            update={
                "generator": fill(_first(stage)),
                "validators": [fill(validator) for validator in stage.validators],
                "dedupe": None if stage.dedupe is None else fill(stage.dedupe),
                "scorers": [fill(scorer) for scorer in stage.scorers],
                "draws": _verified_by(stage),
            }
        )
        for stage in recipe.stages
    ]
    teachers = {name: endpoint.filled() for name, endpoint in recipe.teachers.items()}
    return recipe.model_copy(update={"stages": stages, "teachers": teachers})


def _first(stage: Stage) -> Generator:
    """The generator with the first of the stage's teachers where it names none."""
    if stage.generator.teacher or not stage.teachers:
        return stage.generator
    return stage.generator.model_copy(update={"teacher": stage.teachers[0]})


def _verified_by(stage: Stage) -> int | Adaptive:
    """The rule for draws with the stage's only verifier where it names none."""
    rule, able = stage.draws, verifiers(stage)
    if isinstance(rule, int) or rule.verified is None or rule.by or len(able) != 1:
        return rule
    return rule.model_copy(update={"by": able[0]})
