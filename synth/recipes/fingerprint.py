"""What a run's replies were asked with, and what may change before a run goes on in the same folder.

A change counts when it makes other requests of the same seeds: templates, models, sampling, generators, scorers that
ask or by which the next teacher's turn comes, the language, the words and schemas by which this version of synth asks
for structured output, a pinned model that did not answer everything so far, and the seeds themselves. Going on then
buys a second set of answers and leaves the first one unused, so the run stops first and says what changed. Everything
else is free:

- what is decided again from stored answers: selection, split, validators, dedupe, scorers that ask nobody;
- what caps, or says how many: budget, limits, `--limit`, `--rows`, `draws`, seeds added to the end;
- where the same model answers and what it costs: base URL, key, replicas, price; but the practice teacher is no model;
- names of files and folders, licence, description;
- everything, as long as the folder holds no answer yet. A preview neither keeps a fingerprint nor heeds one.

Another word after `--fresh` is a change that the option itself accepts; leaving the word out again is not. What goes on
with the answers that are there (`synth export`, `synth retry`) goes on under the last word.
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, cast

import orjson
from pydantic import BaseModel, JsonValue

from synth import schema
from synth.errors import RecipeError, Rejected
from synth.own import OwnGenerator, OwnScorer, OwnValidator
from synth.protocol.endpoint import Endpoint
from synth.protocol.replies import read
from synth.recipes.recipe import LoadedRecipe, Recipe, Stage
from synth.recipes.yaml_places import dotted
from synth.rights.terms import Acceptance, terms_of
from synth.scorers import ASKING
from synth.storage.store import Store
from synth.types import Message, Outcome, Value

NOTE = "fingerprint"
CHANGES = "changes"
TERMS = "terms"
ANSWERED = ("ok", "reused")
SALT = "--fresh"
SHOWN_CHANGES = 5
LONGEST_SHOWN = 60
SHOWN_BEFORE = 20
"""Characters before the first one that differs."""

Fingerprint = dict[str, JsonValue]


class Change(Value):
    """A change that the user accepted."""

    accepted: str
    """When: ISO 8601 with offset."""
    what: tuple[str, ...]
    """The places that changed, each with the old and the new."""


def fingerprint(loaded: LoadedRecipe, marks: Mapping[int, str], salt: str) -> Fingerprint:
    """What decides the requests of a run; `marks` are hashes of the seeds up to some positions."""
    recipe = loaded.recipe
    return {
        "language": recipe.language,
        "teachers": {name: _asked(endpoint) for name, endpoint in recipe.teachers.items()},
        "stages": [_asking(stage) for stage in recipe.stages],
        "templates": {name: text for name, text in loaded.templates.texts().items() if name not in _checks(recipe)},
        "schemas": dict(_schemas(recipe)),
        "seeds": {str(position): mark for position, mark in marks.items()},
        SALT: salt,
    }


def _checks(recipe: Recipe) -> set[str]:
    """Files of one's own that hold nothing but checks: no answer was asked with them, and they may change freely."""
    checks = {one.source[0] for stage in recipe.stages for one in stage.validators if isinstance(one, OwnValidator)}
    asking = [one for stage in recipe.stages for one in (stage.generator, *stage.scorers)]
    return checks - {one.source[0] for one in asking if isinstance(one, OwnGenerator | OwnScorer)}


def marked(store: Store) -> frozenset[int]:
    """Up to which positions the run in this store hashed its seeds."""
    return frozenset(int(position) for position in _mapping(_kept(store).get("seeds")))


def salt_of(store: Store) -> str:
    """The word after `--fresh` that the run in this store was last asked under."""
    return str(_kept(store).get(SALT, ""))


async def hold_to(store: Store, now: Fingerprint, when: str, *, accept: bool) -> None:
    """Compare with the run that the store holds, and keep the fingerprint of this one.

    Raises RecipeError, saying what changed, when the store's answers were asked with something else and the user did
    not `accept` that. An accepted change is noted in the store.
    """
    before = _kept(store)
    if before == now:
        return
    if before:
        before = _repinned(store, before, now)
    what = list(changes(before, now)) if before and _has_answers(store) else []
    if what and not accept and not (now[SALT] and changes_only_salt(before, now)):
        raise RecipeError(_sentence(store, what))
    if what:
        every = [*accepted(store), Change(accepted=when, what=tuple(what))]
        await store.note(CHANGES, json.dumps([change.model_dump() for change in every], ensure_ascii=False))
    seeds = _mapping(now["seeds"])
    if not _reseeded(before, now):
        seeds = {**_mapping(before.get("seeds")), **seeds}
    await store.note(NOTE, json.dumps({**now, "seeds": seeds}, ensure_ascii=False))


async def note_acceptance(store: Store, recipe: Recipe, when: str) -> None:
    """Keep under which restricting terms the run goes on; the first time counts."""
    known = accepted_terms(store)
    had = {(one.id, one.read) for one in known}
    said = {one.id: one for endpoint in recipe.teachers.values() for one in terms_of(endpoint)}
    new = [one for one in said.values() if one.verdict == "restricted" and (one.id, one.read) not in had]
    if new:
        every = [*known, *(Acceptance(id=one.id, read=one.read, accepted=when) for one in new)]
        await store.note(TERMS, json.dumps([one.model_dump(mode="json") for one in every]))


def accepted_terms(store: Store) -> tuple[Acceptance, ...]:
    """The terms under which the run in this store went on, oldest first."""
    return tuple(Acceptance.model_validate(one) for one in json.loads(store.meta(TERMS) or "[]"))


def accepted(store: Store) -> tuple[Change, ...]:
    """The changes that were accepted in this folder, oldest first."""
    return tuple(Change.model_validate(change) for change in json.loads(store.meta(CHANGES) or "[]"))


def changes(before: Fingerprint, now: Fingerprint) -> Iterator[str]:
    """The places that differ in a way that counts, each with the old and the new, shortened."""
    yield from _template_changes(_mapping(before["templates"]), _mapping(now["templates"]))
    asked, asking = _mapping(before.get("schemas")), _mapping(now["schemas"])
    for name in asked.keys() & asking.keys():  # one that came or went is told by its stage, and by its teacher
        if asked[name] != asking[name]:
            yield f"how this synth asks for {name}: {_shown(asked[name], asking[name])}"
    for part in ("language", "teachers", "stages", SALT):
        yield from _differences(before[part], now[part], part)
    if change := _reseeded(before, now):
        yield change


def changes_only_salt(before: Fingerprint, now: Fingerprint) -> bool:
    """Whether the word after `--fresh` is all that changed."""
    return not list(changes({**before, SALT: now[SALT]}, now))


def _asked(endpoint: Endpoint) -> JsonValue:
    asked: dict[str, JsonValue] = endpoint.model_dump(
        mode="json", include={"model", "structured", "sampling", "pin_model", "extractor"}
    )
    return {**asked, "practice teacher": endpoint.is_practice}


def _asking(stage: Stage) -> JsonValue:
    asking = (*ASKING, OwnScorer)
    deciding = [one for one in stage.scorers if isinstance(one, asking) or one.name in stage.escalate_below]
    scorers = [scorer.model_dump(mode="json") for scorer in deciding]
    shared = stage.model_dump(mode="json", include={"teachers", "route", "escalate_below"}, exclude_defaults=True)
    return {"generator": stage.generator.model_dump(mode="json"), "scorers": cast("list[JsonValue]", scorers), **shared}


def _schemas(recipe: Recipe) -> Iterator[tuple[str, JsonValue]]:
    """What is sent beside the prompt where an object is asked for: schema, words, and those that ask again."""
    nothing = [Message(role="user", content="")]
    for stage in recipe.stages:
        for plugin in (stage.generator, *stage.scorers):
            model: type[BaseModel] | None = getattr(plugin, "asks", None)
            if model is None:
                continue
            how, language = recipe.teachers[getattr(plugin, "teacher", "")].structured, recipe.language
            words = schema.with_words(nothing, model, language) if how != "json_schema" else ()
            said = [*(message.content for message in words), *schema.words_again(language)]
            yield f"{model.__name__} by {how}", orjson.dumps([schema.response_format(model, how), *said]).decode()


def _repinned(store: Store, before: Fingerprint, now: Fingerprint) -> Fingerprint:
    """The earlier fingerprint with those of the new pins that every answer fits: nothing is bought again for them."""
    teachers = _mapping(before["teachers"])
    for name, asked in _mapping(now["teachers"]).items():
        pin = asked["pin_model"]
        if name not in teachers or teachers[name].get("pin_model") == pin:
            continue
        if not pin or all(_fits(outcome, pin) for outcome in store.read_from(name)):
            teachers = {**teachers, name: {**teachers[name], "pin_model": pin}}
    return {**before, "teachers": teachers}


def _fits(outcome: Outcome, pin: str) -> bool:
    """Whether a reply is of the model; a refusal that was taken over from an earlier run fits every one."""
    try:
        return read(outcome, None).model == pin
    except Rejected:
        return True


def _kept(store: Store) -> Fingerprint:
    return cast("Fingerprint", json.loads(store.meta(NOTE) or "{}"))


def _has_answers(store: Store) -> bool:
    return any(line.failure in ANSWERED for line in store.ledger()) or bool(store.unsettled())


def _sentence(store: Store, what: list[str]) -> str:
    more = f"; and {len(what) - SHOWN_CHANGES} more" if len(what) > SHOWN_CHANGES else ""
    return (
        f"The answers in {store.folder} were asked for with something else: {'; '.join(what[:SHOWN_CHANGES])}{more}. "
        "Change it back, choose another folder with --out, or go on with --accept-change (accept_change=True in "
        "Python): every answer is kept, what still fits is used, and the rest is asked anew."
    )


def _template_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """A template that came or went is told by the field that names it."""
    for name in before.keys() & now.keys():
        old, new = before[name].splitlines(), now[name].splitlines()
        if old == new:
            continue
        line = next((at for at, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), None)
        line = min(len(old), len(new)) if line is None else line
        kind = "file" if name.endswith(".py") else "model" if ".py:" in name else "template"
        yield f"{kind} {name}, line {line + 1}: {_shown(_at(old, line), _at(new, line))}"


def _at(lines: list[str], place: int) -> str | None:
    return lines[place] if place < len(lines) else None


def _differences(old: JsonValue, new: JsonValue, at: str) -> Iterator[str]:
    before, now = dict(_leaves(old, (at,))), dict(_leaves(new, (at,)))
    # an option that an earlier synth did not have is as good as one that is left empty
    now = {place: value for place, value in now.items() if value != "" or place in before}
    for place in {**before, **now}:
        if before.get(place) != now.get(place):
            yield f"{dotted(place)}: {_shown(before.get(place), now.get(place))}"


def _leaves(value: JsonValue, at: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], JsonValue]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if members is None:
        yield at, value
        return
    for name, member in members:
        yield from _leaves(member, (*at, name))


def _reseeded(before: Fingerprint, now: Fingerprint) -> str:
    """Where the seeds differ, in words; empty when one run's begin as the other's do."""
    old, new = _mapping(before.get("seeds")), _mapping(now["seeds"])
    same = 0
    for position in sorted(map(int, old.keys() & new.keys())):
        if old[str(position)] != new[str(position)]:
            return f"the seeds: there is another one among numbers {same + 1:,} to {position:,}"
        same = position
    return ""


def _mapping(value: JsonValue | None) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _shown(old: JsonValue, new: JsonValue) -> str:
    one, other = _text(old), _text(new)
    same = len(os.path.commonprefix([one, other]))  # noqa: RUF071 (letter by letter is meant)
    start = max(0, same - SHOWN_BEFORE) if max(len(one), len(other)) > LONGEST_SHOWN else 0
    return f"{_excerpt(one, start)} -> {_excerpt(other, start)}"


def _text(value: JsonValue) -> str:
    if value is None:
        return "nothing"
    return f"“{value}”" if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _excerpt(text: str, start: int) -> str:
    """A part of a text that is not cut between a letter and its marks."""
    end = start + LONGEST_SHOWN
    while 0 < start < len(text) and unicodedata.combining(text[start]):
        start -= 1
    while end < len(text) and unicodedata.combining(text[end]):
        end += 1
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"
