"""Plug-ins and numbers as the command line writes them: a kind, or the recipe's own words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import orjson
from pydantic import TypeAdapter, ValidationError

from synth.errors import Problem, RecipeError
from synth.protocol.endpoint import Endpoint
from synth.recipes import yaml_places
from synth.recipes.mistyped import Form
from synth.recipes.options import endpoint_of
from synth.recipes.recipe import Stage
from synth.results.split import Split
from synth.scorers import ASKING, Scorer
from synth.types import Value
from synth.validators import Validator

P = TypeVar("P", bound=Value)

SCORER: TypeAdapter[Scorer] = TypeAdapter(Scorer)
VALIDATOR: TypeAdapter[Validator] = TypeAdapter(Validator)


def validators_of(checks: Sequence[str]) -> list[Validator]:
    """Validators by their kind or their recipe's words; those of a recipe that names none, without any.

    Raises RecipeError for what is no validator.
    """
    if not checks:
        return list(Stage.model_fields["validators"].default)
    validators = [_plugin(VALIDATOR, "--check", text) for text in checks]
    for validator in validators:
        if getattr(validator, "language", None) == "":
            hint = f"'{{kind: {validator.kind}, language: ja}}'"
            raise RecipeError(f"--check {validator.kind}: name the language, as in {hint}.")
    return validators


def values_of(texts: Iterable[str], option: str) -> dict[str, float]:
    """The numbers of NAME=VALUE texts. Raises RecipeError for others."""
    values: dict[str, float] = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            values[name] = float(value)
        except ValueError:
            raise RecipeError(f"{option} {text}: write NAME=VALUE with a number.") from None
    return values


def split_of_text(fractions: str, seed: int) -> Split:
    """The splits of a text such as `train=0.9,test=0.1`. Raises RecipeError for others."""
    try:
        return Split(fractions=values_of(fractions.split(","), "--fractions"), seed=seed)
    except ValidationError as error:
        message = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        raise RecipeError(f"--fractions {fractions}: {message}.") from None


def teachers_of(texts: Iterable[str]) -> dict[str, Endpoint]:
    """Teachers by NAME=BASE_URL,MODEL[,KEY_VARIABLE] texts. Raises RecipeError for others."""
    named = [text.partition("=") for text in texts]
    return {name: endpoint_of(rest, f"--teacher {name}=") for name, _, rest in named}


def scorers_of(texts: Sequence[str], teachers: Iterable[str] = ()) -> list[Scorer]:
    """Scorers by their recipe's words; as in a recipe, those that name no teacher ask the first.

    Raises RecipeError for what is no scorer, for two of one name, and for a teacher that none asks.
    """
    teachers = list(teachers)
    scorers = [_plugin(SCORER, "--scorer", text) for text in texts]
    for name, count in Counter(scorer.name for scorer in scorers).items():
        if count > 1:
            raise RecipeError(f"--scorer: {count} scorers are called {name!r}; set `name` to tell them apart.")
    scorers = [_asks(scorer, teachers) for scorer in scorers]
    asked = {scorer.teacher for scorer in scorers if isinstance(scorer, ASKING)}
    for name in teachers:
        if name not in asked:
            raise RecipeError(f"--teacher {name}=...: no scorer asks this teacher; leave it out, or name it in one.")
    return scorers


def _asks(scorer: Scorer, teachers: Sequence[str]) -> Scorer:
    """The scorer, with the first of the teachers where it names none."""
    if not isinstance(scorer, ASKING) or scorer.teacher or not teachers:
        return scorer
    return scorer.model_copy(update={"teacher": teachers[0]})


def _plugin(kinds: TypeAdapter[P], option: str, text: str) -> P:
    value, places, problems = yaml_places.load(text, option)
    if problems:
        raise RecipeError(problems)
    value = {"kind": value} if isinstance(value, str) else value
    try:
        return kinds.validate_json(orjson.dumps(value), strict=True)
    except ValidationError as error:
        first = cast("dict[str, Any]", error.errors(include_url=False)[0])
        at = yaml_places.place_of(places, first["loc"])[1]
        found = Form(kinds.json_schema(), value, Path()).problem(first, at)
        raise RecipeError(Problem(found.message, f"{option} {text}", field=found.field)) from None
