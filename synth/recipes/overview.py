"""A recipe at a glance, for a notebook cell: what is asked of whom, and what happens to the answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from markupsafe import Markup, escape

from synth.language.codes import is_japanese
from synth.language.text import visible

FRAME = Markup(
    '<div lang="{}" style="font-size:13px;line-height:1.5"><b>{}</b>'
    '<table style="border-collapse:collapse;font-size:inherit;margin:.4em 0">{}</table></div>'
)
CELL = "text-align:left;vertical-align:top;padding:.1em 1.2em .1em 0;background:transparent;overflow-wrap:anywhere"
LINE = Markup('<tr style="background:transparent"><th style="{0}">{1}</th><td style="{0}">{2}</td></tr>')
ENGLISH = {
    "language": "language",
    "license": "license",
    "unlicensed": "not given: the result cannot be published",
    "seeds": "seeds",
    "teacher": "teacher {}",
    "stage": "stage {}",
    "draws": "{} draws",
    "adaptive": "draws as needed",
    "twins": "no twins by {}",
    "comma": ", ",
}
JAPANESE = {
    "language": "言語",
    "license": "ライセンス",
    "unlicensed": "指定なし（結果は公開できません）",
    "seeds": "シード",
    "teacher": "教師 {}",
    "stage": "段階 {}",
    "draws": "一つにつき {} 回答",
    "adaptive": "回答数は必要に応じて",
    "twins": "{} の重複なし",
    "comma": "、",
}


def _phrases(language: str) -> dict[str, str]:
    return JAPANESE if is_japanese(language) else ENGLISH


def lines(recipe: Any, seeds: str) -> Iterator[tuple[str, str]]:
    """A label and what there is to say, for each part of a recipe whose seeds are told in these words."""
    phrases = _phrases(recipe.language)
    yield phrases["language"], recipe.language
    yield phrases["license"], recipe.license or phrases["unlicensed"]
    yield phrases["seeds"], seeds
    for name, teacher in recipe.teachers.items():
        yield phrases["teacher"].format(name), f"{teacher.model} at {teacher.base_url}"
    for stage in recipe.stages:
        number = phrases["draws"].format(stage.draws) if isinstance(stage.draws, int) else phrases["adaptive"]
        draws = [] if stage.draws == 1 else [number]
        checked = [each.kind for each in (*stage.validators, *stage.scorers)]
        dropped = [phrases["twins"].format(stage.dedupe.by)] if stage.dedupe is not None else []
        yield (
            phrases["stage"].format(stage.name),
            phrases["comma"].join([stage.generator.kind, *draws, *checked, *dropped]),
        )


def in_html(recipe: Any, told: Iterable[tuple[str, str]]) -> str:
    """Labels and texts as a table, escaped."""
    each = (LINE.format(CELL, escape(visible(label)), escape(visible(text))) for label, text in told)
    return str(FRAME.format(escape(recipe.language), escape(visible(recipe.name)), Markup("").join(each)))
