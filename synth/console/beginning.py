"""`synth new`: the library, and what to do with a copy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from synth.console.screen import ERR, OUT, say, say_each, write_json


def listed(recipes: Mapping[str, str], *, wanted: str, as_json: bool) -> int:
    """Show the recipes to begin with; exit code 2 when one was to be named."""
    if as_json:
        write_json(dict(recipes))
        return 0
    say_each(recipes.items())
    if wanted:
        say(ERR, f"Name one to begin with: synth new {wanted} --from RECIPE.")
        return 2
    return 0


def begun(recipe: Path, original: str, *, as_json: bool) -> int:
    """Say what there is now, and what comes next."""
    folder = recipe.parent
    if as_json:
        write_json({"recipe": str(recipe), "from": original})
        return 0
    say(OUT, f"{folder} is a copy of {original}: {', '.join(sorted(path.name for path in folder.iterdir()))}.")
    steps = f"synth check {folder}; synth preview {folder} --teacher main=URL,MODEL; synth run {folder}"
    say(OUT, f"Change what you like, then: {steps}.")
    return 0
