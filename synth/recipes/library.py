"""The recipes that come with synth, and a copy of one as the beginning of one's own."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from synth.errors import FolderError, RecipeError
from synth.language.near import hint
from synth.patterns import lazy
from synth.recipes import yaml_places

SHIPPED = Path(__file__).parents[1] / "library"
"""Where an installed synth has them; a clone has them beside the package."""
OUTSIDE = lazy(r"(?:\.\./)+[\w./-]+\w")
"""A file of the library beyond the recipe's own folder, such as its seeds."""
NOT_COPIED = ("README.md", "sample.jsonl")
"""What tells of the recipe in the library, and not of its copy."""
NAME = lazy(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def root() -> Path:
    """The folder that holds `prompts` and `data`."""
    return SHIPPED if SHIPPED.is_dir() else Path(__file__).parents[2]


def recipes() -> dict[str, str]:
    """The recipes by name, each with what it makes, in one line."""
    return {name: _description(path) for name, path in _paths().items()}


def copy(recipe: str, target: Path) -> Path:
    """Copy a recipe with its templates and seeds to a folder that does not exist yet; gives the new recipe's path.

    It is called as its folder. Raises RecipeError when there is no such recipe or the name will not do, FolderError
    when something is there already or it cannot be written.
    """
    source, known = root() / "prompts" / recipe, _paths()
    if recipe not in known:
        near = hint(recipe, known) or "; `synth new` lists what there is."
        raise RecipeError(f"There is no recipe {recipe!r} in the library{near}")
    if not NAME.fullmatch(target.name):
        message = "a name has Latin letters, digits, dots, hyphens and underscores, 64 at most, and begins with one of "
        message += "the first two"
        raise RecipeError(f"{target.name!r} cannot be a recipe's name: {message}.")
    if target.exists() or target.is_symlink():
        raise FolderError(f"{target} exists already, and nothing is written over; choose another name.")
    text = (source / "recipe.yaml").read_text(encoding="utf-8")
    beyond = _beyond(text, source)
    text = OUTSIDE.sub(lambda path: beyond.get(path[0], path[0]), text).replace(f"prompts/{recipe}", target.name)
    text = re.sub(rf"(?m)^name: {re.escape(recipe)}$", f"name: {target.name}", text)
    try:
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(*NOT_COPIED, "__pycache__"))
        for path, name in beyond.items():
            shutil.copyfile(source / path, target / name)
        (target / "recipe.yaml").write_text(text, encoding="utf-8")
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        raise FolderError(f"{target} cannot be written ({error.strerror}).") from error
    return target / "recipe.yaml"


def _paths() -> dict[str, Path]:
    """Where each recipe is, by name."""
    return {path.parent.name: path for path in sorted((root() / "prompts").glob("*/recipe.yaml"))}


def _beyond(text: str, source: Path) -> dict[str, str]:
    """The files of elsewhere that a recipe names, with what each is called in the copy: as there, unless there is
    another one of that name."""
    names: dict[str, str] = {}
    for path in map(Path, OUTSIDE.findall(text)):
        if (source / path).is_file():
            others = [name for known, name in names.items() if known != str(path)]
            taken = (source / path.name).exists() or path.name in others
            names[str(path)] = f"{path.parent.name}-{path.name}" if taken else path.name
    return names


def _description(path: Path) -> str:
    """What a recipe says that it makes: its `description`, or else its first comment."""
    text = path.read_text(encoding="utf-8")
    value, _, _ = yaml_places.load(text, str(path))
    comment = text.partition("\n")[0].lstrip("# ").strip()
    return str(value.get("description") or comment)
