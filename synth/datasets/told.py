"""What a card tells beside the counts: how it was checked, where its limits are, and the recipe to make it again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

import yaml

from synth.language.text import visible
from synth.patterns import lazy
from synth.results.manifest import Manifest

MOST_CHARACTERS = 20_000
"""Of one block of text in a card."""
NOT_TOLD = ("base_url", "key_variable", "replicas", "limits", "vllm_args", "profile", "output", "accept_terms")
"""Fields of a recipe that say where it was run and not what was made; terms have a place of their own in the card."""
PERSONAL = "pii"
_FOLDERS = lazy(r"(?<![^ ])(?:(?:~|[A-Za-z]:)?/(?:[^/;\n*+?^$|(){}\[\]]*/)+|[A-Za-z]:\\(?:[^\\;\n]*\\)+)")
"""Of the whole path of a file, all but its name: it tells who worked where. No pattern of a recipe's looks so."""


_RULES = (
    (lazy(r"refused for (.+)"), "不採用の理由（{0}）"),
    (lazy(r"(.+), at least (\S+) apart"), "{0} の点数に {1} 以上の差があるもの"),
    (lazy(r"(.+), good from (\S+), bad up to (\S+)"), "{0} が {1} 以上なら良い、{2} 以下なら悪い"),
)


class Checks(NamedTuple):
    """What the samples of a stage had to pass."""

    stage: str
    validators: tuple[str, ...]
    dedupe: str
    """What was compared for twins; empty when nothing was."""
    scorers: tuple[str, ...]


def checks(manifest: Manifest) -> list[Checks]:
    """The checks of each stage, as the recipe in the record names them."""
    found: list[Checks] = []
    for name, stage in _stages(manifest):
        dedupe: Any = stage.get("dedupe") or {}
        validators = tuple(str(one["kind"]) for one in stage.get("validators") or ())
        scorers = tuple(str(one.get("name") or one["kind"]) for one in stage.get("scorers") or ())
        found.append(Checks(name, validators, str(dedupe.get("by", "")), scorers))
    return found


def _stages(manifest: Manifest) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The stages of the recipe, or of those of all runs that were merged, as the record names them."""
    recipe = _recipe(manifest)
    runs: Mapping[str, Any] = recipe.get("runs") or {} if manifest.merged else {"": recipe}
    for run, of_run in runs.items():
        stages: Any = cast("dict[str, Any]", of_run).get("stages") if isinstance(of_run, dict) else None
        for stage in stages or ():
            yield (f"{run}/{stage['name']}" if run else str(stage["name"])), stage


def description(manifest: Manifest) -> str:
    """What the recipe says that it makes; empty where it says nothing, or several runs were merged."""
    return "" if manifest.merged else str(_recipe(manifest).get("description") or "")


def in_japanese(rule: str) -> str:
    """How good answers were told from bad ones, which the manifest says in English."""
    for pattern, words in _RULES:
        if match := pattern.fullmatch(rule):
            return words.format(*match.groups())
    return rule


def limits(manifest: Manifest) -> Iterator[str]:
    """The names of what is to be said of the limits, which the card's template has in words."""
    stages = checks(manifest)
    judged = {judge.name for judge in manifest.judges}
    if not manifest.scores:
        yield "unscored"
    elif judged >= manifest.scores.keys():
        yield "judged_alone"
    if not manifest.decontamination:
        yield "benchmarks"
    if not any(one.dedupe for one in stages):
        yield "twins"
    if not any(PERSONAL in one.validators for one in stages):
        yield "personal"
    if len({teacher.model for teacher in manifest.teachers}) == 1:
        yield "one_teacher"


def recipe_text(manifest: Manifest) -> str:
    """The recipe as YAML, without what is empty and what says where it was run."""
    recipe = _recipe(manifest)
    if not recipe:
        return manifest.recipe.text
    return yaml.safe_dump(_kept(recipe), allow_unicode=True, sort_keys=False, width=100)


def without_folders(text: str) -> str:
    """What names a file, without the folders of whole paths; paths that begin where the recipe lies stay."""
    return _FOLDERS.sub("", text)


def fenced(text: str, kind: str = "text") -> str:
    """A text of anybody's as a Markdown code block that nothing in it can end; what cannot be seen is shown."""
    shown = visible(text.replace("\r\n", "\n")).strip("\n")
    if len(shown) > MOST_CHARACTERS:
        shown = shown[:MOST_CHARACTERS] + "\n…"
    longest, run = 2, 0
    for sign in shown:
        run = run + 1 if sign == "`" else 0
        longest = max(longest, run)
    fence = "`" * (longest + 1)
    return f"{fence}{kind}\n{shown}\n{fence}"


def _recipe(manifest: Manifest) -> Mapping[str, Any]:
    try:
        recipe = json.loads(manifest.recipe.text)
    except json.JSONDecodeError:  # another synth's
        return {}
    return cast("dict[str, Any]", recipe) if isinstance(recipe, dict) else {}


def _kept(value: Any) -> Any:
    if isinstance(value, dict):
        items = {name: _kept(one) for name, one in cast("dict[str, Any]", value).items() if name not in NOT_TOLD}
        return {name: one for name, one in items.items() if one not in (None, "", [], {}, False)}
    if isinstance(value, list):
        return [_kept(one) for one in cast("list[Any]", value)]
    return without_folders(value) if isinstance(value, str) and _FOLDERS.match(value) else value
