"""What is wrong with the templates of a recipe, and with the fields that its plug-ins read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from synth import seeds
from synth.errors import At, Problem, RecipeError
from synth.generators import Generator
from synth.language.near import hint
from synth.recipes.recipe import Recipe, Stage
from synth.recipes.templates import Templates
from synth.scorers import Scorer
from synth.shapes import PARTS
from synth.types import Fields, Value
from synth.validators.kept import Kept
from synth.validators.length import Length
from synth.validators.register import Register

Way = tuple[str | int, ...]
FIELD_OPTIONS = ("question", "opening", "material", "answer", "reference", "choices", "tests", "entry_point", "per")
"""Where generators and scorers name fields that they read."""
HELD_OPTIONS = ("of", "max_from")
"""Where validators do, that would check nothing without it."""


def field_problems(recipe: Recipe, folder: Path, templates: Templates) -> list[At]:
    """Render every template with the first seed, and check the fields that plug-ins read."""
    try:
        (first,) = seeds.read(recipe.seeds, folder, 1)
    except RecipeError as error:
        return [(("seeds",), problem) for problem in error.problems]
    fields: Fields = dict(first.fields)
    found = _shadowed(recipe, fields)
    for way, plugin, seen, values in seen_by(recipe, fields):
        for name in plugin.template_files():
            option = [field for field in type(plugin).model_fields if getattr(plugin, field) == name][:1]
            found += [((*way, *option), problem) for problem in templates.check(name, values)]
        found += unknown_fields(plugin, way, seen, values)
    for index, stage in enumerate(recipe.stages):
        if stage.route is not None and stage.route.by not in fields:
            found.append((("stages", index, "route", "by"), _no_field(stage.route.by, fields)))
        fields = {**fields, **_added(stage)}
        if stage.dedupe is not None and stage.dedupe.by not in (*PARTS, *fields):
            found.append((("stages", index, "dedupe", "by"), _no_field(stage.dedupe.by, [*PARTS, *fields])))
        for place, one in enumerate(stage.validators):
            if isinstance(one, Kept | Register | Length):
                found += unknown_fields(one, ("stages", index, "validators", place), fields, fields, HELD_OPTIONS)
    if (field := recipe.selection.balance) and field not in fields:
        found.append((("selection", "balance"), _no_field(field, fields)))
    return found


def seen_by(recipe: Recipe, fields: Fields) -> Iterator[tuple[Way, Generator | Scorer, Fields, Fields]]:
    """What asks or renders in a recipe, with its place, the fields that it sees of a seed with these, and what its
    templates see."""
    for index, stage in enumerate(recipe.stages):
        for way, plugin in asking(stage):
            if way[0] == "scorers":
                fields = {**fields, **_added(stage)}
            yield ("stages", index, *way), plugin, fields, {**fields, **plugin.template_values}
        fields = {**fields, **_added(stage)}


def _no_field(name: str, fields: Iterable[str]) -> Problem:
    known = list(dict.fromkeys(fields))
    return Problem(f"there is no field {name!r}; the fields here are {', '.join(known) or 'none'}{hint(name, known)}")


def unknown_fields(
    plugin: Value, way: Way, fields: Fields, values: Fields, options: Iterable[str] = FIELD_OPTIONS
) -> Iterator[At]:
    """Where a plug-in names fields that are not there; `values` are what its templates see."""
    for option in options:
        named = getattr(plugin, option, "")
        for field in (named,) if isinstance(named, str) else named:
            if field and field not in (values if option == "per" else fields):
                yield (*way, option), _no_field(field, fields)


def _shadowed(recipe: Recipe, fields: Fields) -> list[At]:
    """Fields of the seeds whose names the templates use for something else."""
    taken = {"seed": "all fields together"}
    for stage in recipe.stages:
        generator = stage.generator
        taken |= dict.fromkeys((*generator.template_values, *generator.adds), f"what {generator.kind} gives them")
    message = "the seeds have a field {!r}, which in templates is {}; rename it"
    return [(("seeds",), Problem(message.format(name, taken[name]))) for name in fields if name in taken]


def _added(stage: Stage) -> Fields:
    values = stage.generator.template_values
    return {name: values.get(name, "...") for name in stage.generator.adds}


def asking(stage: Stage) -> Iterator[tuple[Way, Generator | Scorer]]:
    """What asks or renders in a stage, with its place in it."""
    yield ("generator",), stage.generator
    for index, scorer in enumerate(stage.scorers):
        yield ("scorers", index), scorer
