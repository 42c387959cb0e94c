"""`synth new`: the library, and what to do with a copy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.markup import escape

from synth.console.screen import ERR, OUT, write_json


def listed(recipes: Mapping[str, str], *, wanted: str, as_json: bool) -> int:
    """Show the recipes to begin with; exit code 2 when one was to be named."""
    if as_json:
        write_json(dict(recipes))
        return 0
    width = max(map(len, recipes), default=0)
    for name, what in recipes.items():
        OUT.print(f"[bold]{escape(name):{width}}[/]  {escape(what)}", soft_wrap=True)
    if wanted:
        ERR.print(f"Name one to begin with: synth new {wanted} --from RECIPE.", markup=False, soft_wrap=True)
        return 2
    return 0


def begun(recipe: Path, original: str, *, as_json: bool) -> int:
    """Say what there is now, and what comes next."""
    folder = recipe.parent
    if as_json:
        write_json({"recipe": str(recipe), "from": original})
        return 0
    OUT.print(f"{folder} is a copy of {original}: {', '.join(sorted(path.name for path in folder.iterdir()))}.",
              markup=False, soft_wrap=True)  # fmt: skip
    OUT.print(f"Change what you like, then: synth check {folder}; synth preview {folder} --teacher main=URL,MODEL; "
              f"synth run {folder}.", markup=False, soft_wrap=True)  # fmt: skip
    return 0
