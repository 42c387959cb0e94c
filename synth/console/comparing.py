"""`synth compare`: several teachers side by side."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import orjson
from rich.text import Text

from synth.comparing import bakeoff
from synth.comparing.bakeoff import Comparison
from synth.console.running import watched_run
from synth.console.screen import ERR, OUT, PRACTICE, noted, plain_table, say
from synth.console.telling import Wanted
from synth.datasets.files import write_whole
from synth.errors import Interrupted
from synth.language.text import several, visible
from synth.recipes.recipe import LoadedRecipe
from synth.report.compared import amount, figures, interval, write_comparison
from synth.report.words import ENGLISH
from synth.results.result import Options


def compared(
    loaded: LoadedRecipe, stage: str, named: Sequence[str], options: Options, wanted: Wanted, *, as_json: bool
) -> int:
    """Ask the same prompts of several teachers, and say how they differ.

    Raises RecipeError when there are no two to compare, or no such stage.
    """
    noted(loaded)
    stage, names = bakeoff.contenders(loaded.recipe, stage, named)
    folder = options.folder or Path(f"runs/{loaded.recipe.name}-compare")
    sides: list[bakeoff.Side] = []
    exit_code, practice = 0, False
    for name in names:
        asking = bakeoff.with_teacher(loaded, stage, name)
        with tempfile.TemporaryDirectory() as vanishing:
            here = replace(options, folder=folder, write=False, into=Path(vanishing))
            result = watched_run(asking, here, wanted, name)
            if result.message:
                say(ERR, f"{name}: {result.message}", "yellow")
            told = bakeoff.side(asking.recipe, name, Path(vanishing), folder, result.manifest, result.message)
        sides.append(told)
        exit_code, practice = exit_code or result.exit_code, practice or result.manifest.practice
        if result.exit_code == Interrupted.exit_code:
            break
    found = bakeoff.compared(loaded.recipe, stage, sides, practice=practice)
    content = orjson.dumps(found.model_dump(mode="json"), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    write_whole(folder / "compare.json", content)
    write_comparison(folder / "compare.html", found)
    if as_json:
        sys.stdout.buffer.write(content)
    else:
        _side_by_side(found)
        OUT.print(f"side by side  {folder / 'compare.html'}", soft_wrap=True, markup=False)
    return exit_code


def _side_by_side(found: Comparison) -> None:
    """A bake-off as a table, a column for each teacher, and what may be said of the differences."""
    table = plain_table("", *(one.name for one in found.contenders))
    of = found.contenders
    for label, values in figures(of, ENGLISH):
        table.add_row(label, *(Text(visible(value)) for value in values))
    refused = ("\n".join(f"{reason} {count:,}" for reason, count in one.refused.items()) for one in of)
    table.add_row(ENGLISH.compared.refused, *(Text(visible(one)) for one in refused))
    OUT.print(f"\n[bold]{found.recipe}[/]  stage {found.stage}, {several(len(found.answers), 'prompt')}")
    if found.practice:
        OUT.print(PRACTICE)
    OUT.print(table)
    differences = plain_table(f"against {of[0].name}", "", "difference", "at 95 %", "prompts", "so", right=2)
    for one in found.differences:
        verdict = "within chance" if one.by_chance else "more than chance"
        differences.add_row(
            *(one.measure, one.teacher, amount(one, one.difference), interval(one), f"{one.prompts:,}", verdict)
        )
    OUT.print(differences)
    for one in of:
        for judge in one.own_judges:
            said = f"The judge {judge!r} asks {one.model}, as {one.name} does; models favour their own answers."
            say(OUT, said, "yellow")
