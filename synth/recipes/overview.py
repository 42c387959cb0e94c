"""A recipe at a glance, for a notebook cell: what is asked of whom, and what happens to the answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from markupsafe import Markup, escape

from synth.language.text import visible

FRAME = Markup(
    '<div style="font-size:13px;line-height:1.5"><b>{}</b><table style="border-collapse:collapse">{}</table></div>'
)
LINE = Markup(
    '<tr style="background:transparent"><th style="text-align:left;vertical-align:top;background:transparent">{}</th>'
    '<td style="text-align:left;overflow-wrap:anywhere;background:transparent">{}</td></tr>'
)


def lines(recipe: Any, seeds: str) -> Iterator[tuple[str, str]]:
    """A label and what there is to say, for each part of a recipe whose seeds are told in these words."""
    yield "language", recipe.language
    yield "license", recipe.license or "not given: the result cannot be published"
    yield "seeds", seeds
    for name, teacher in recipe.teachers.items():
        yield f"teacher {name}", f"{teacher.model} at {teacher.base_url}"
    for stage in recipe.stages:
        number = f"{stage.draws} draws" if isinstance(stage.draws, int) else "draws as needed"
        draws = [] if stage.draws == 1 else [number]
        checked = [each.kind for each in (*stage.validators, *stage.scorers)]
        dropped = [f"no twins by {stage.dedupe.by}"] if stage.dedupe is not None else []
        yield f"stage {stage.name}", ", ".join([stage.generator.kind, *draws, *checked, *dropped])


def in_html(name: str, told: Iterable[tuple[str, str]]) -> str:
    """Labels and texts as a table, escaped."""
    body = Markup("").join(LINE.format(escape(visible(label)), escape(visible(text))) for label, text in told)
    return str(FRAME.format(escape(visible(name)), body))
