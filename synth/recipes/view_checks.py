"""What is wrong with the views that a recipe asks for, beyond their form."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from synth.errors import At, Problem
from synth.recipes.recipe import Recipe
from synth.recipes.views import VERDICT, Preference, Shaped


def view_problems(recipe: Recipe, folder: Path) -> Iterator[At]:
    """Views whose pairs no two draws can make, by scores that nobody gives, or that need another tokenizer."""
    output, last = recipe.output, recipe.stages[-1]
    known = [scorer.name for scorer in last.scorers]
    for index, view in enumerate(output.wanted()):
        way = ("output", "views", index)
        if isinstance(view, Shaped):
            continue
        if view.by != VERDICT and view.by not in known:
            message = f"the last stage gives no score {view.by!r}; its scorers are {', '.join(known) or 'none'}"
            yield (*way, "by"), Problem(message)
        if isinstance(view, Preference) and last.draws == 1 and not last.ask_again and not last.is_shared:
            message = f"pairs are draws of the same prompt, and the stage {last.name!r} asks for one: more `draws`"
            yield way, Problem(message)
    student = folder / output.tokenizer
    has_text = any(view.kind == "text" for view in output.wanted())
    if has_text and not output.tokenizer:
        message = "the view text is written with the student's chat template; name the folder of its tokenizer"
        yield ("output", "tokenizer"), Problem(message)
    if output.tokenizer and not (student / "tokenizer.json").is_file():
        yield ("output", "tokenizer"), Problem(f"there is no tokenizer.json in {student}; name the student's folder")
    elif output.tokenizer and find_spec("tokenizers") is None:
        yield ("output", "tokenizer"), Problem("counting tokens needs a package: pip install 'synth[tokens]'")
    elif has_text and output.tokenizer and not _has_template(student):
        yield (
            ("output", "tokenizer"),
            Problem(f"the tokenizer in {student} has no chat template for the view text"),
        )


def _has_template(student: Path) -> bool:
    config = student / "tokenizer_config.json"
    told = config.is_file() and '"chat_template"' in config.read_text(encoding="utf-8", errors="replace")
    return told or (student / "chat_template.jinja").is_file()
