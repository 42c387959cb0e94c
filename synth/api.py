"""synth from Python: the same run as on the command line, in a script or in a notebook cell."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from synth import pipeline
from synth.pipeline import Options, Result
from synth.recipe import LoadedRecipe, Overrides, load

__all__ = ["arun", "load", "preview", "run"]

T = TypeVar("T")


async def arun(
    recipe: str | Path | LoadedRecipe,
    *,
    folder: str | Path | None = None,
    limit: int | None = None,
    rows: int | None = None,
    budget_usd: float | None = None,
    teachers: Sequence[str] = (),
    seeds: str = "",
) -> Result:
    """Make the dataset of a recipe (a path, or what `load` returned) and return what came of it.

    `folder` is the run folder, `limit` the most seeds, `rows` the most rows, `budget_usd` the cap in dollars;
    `teachers` are `NAME=BASE_URL,MODEL[,KEY_VARIABLE]`. They stand in for the recipe's own words.
    Raises RecipeError, FolderError, and Fatal when a teacher cannot be opened; what stops a run later is in the
    result's `exit_code` and `message`.
    """
    overrides = Overrides(teachers, seeds, budget_usd, rows)
    loaded = recipe if isinstance(recipe, LoadedRecipe) else await asyncio.to_thread(load, recipe, overrides)
    return await pipeline.run(loaded, Options(None if folder is None else Path(folder), limit))


def run(
    recipe: str | Path | LoadedRecipe,
    *,
    folder: str | Path | None = None,
    limit: int | None = None,
    rows: int | None = None,
    budget_usd: float | None = None,
    teachers: Sequence[str] = (),
    seeds: str = "",
) -> Result:
    """`arun`, waited for; works in a notebook cell too, where a loop is already running."""
    return _wait(
        arun(recipe, folder=folder, limit=limit, rows=rows, budget_usd=budget_usd, teachers=teachers, seeds=seeds)
    )


def preview(recipe: str | Path | LoadedRecipe, n: int = 3, *, folder: str | Path | None = None) -> Result:
    """Ask for the first `n` seeds only and write no dataset; the replies are kept for the run.

    The result's `examples` and `rejections` hold what came of them.
    """
    loaded = recipe if isinstance(recipe, LoadedRecipe) else load(recipe)
    options = Options(None if folder is None else Path(folder), limit=n, write=False)
    return _wait(pipeline.run(loaded, options))


def _wait(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end, on a thread of its own when this one already has a running loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    results: list[T] = []
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            results.append(asyncio.run(work))
        except BaseException as error:  # noqa: BLE001 (handed over to the caller's thread)
            errors.append(error)

    thread = threading.Thread(target=wait, name="synth-run")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
