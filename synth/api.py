"""synth from Python: the same run as on the command line, in a script or in a notebook cell."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from synth import pipeline
from synth.errors import RecipeError
from synth.pipeline import Options, Result
from synth.recipes.recipe import LoadedRecipe, Overrides, load, override

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
    serve: str = "",
    seeds: str = "",
    accept_terms: Sequence[str] = (),
    accept_change: bool = False,
) -> Result:
    """Make the dataset of a recipe (a path, or what `load` returned) and return what came of it.

    `folder` is the run folder, `limit` the most seeds, `rows` the most rows, `budget_usd` the cap in dollars;
    `teachers` are `NAME=BASE_URL,MODEL[,KEY_VARIABLE]`, `serve` is `[NAME=]MODEL [OPTIONS]`, what vLLM is to serve
    for the run. They stand in for the recipe's own words. `accept_terms` names
    terms of teachers that restrict training on their output.
    `accept_change` lets a run go on whose recipe, templates or seeds were changed in a way that asks anew.
    Raises RecipeError, FolderError, and Fatal when a teacher cannot be opened; what stops a run later is in the
    result's `exit_code` and `message`.
    """
    options = _options(folder, limit, "limit", accept_change=accept_change)
    loaded = await asyncio.to_thread(_loaded, recipe, teachers, serve, seeds, budget_usd, rows, accept_terms)
    return await pipeline.run(loaded, options)


def run(
    recipe: str | Path | LoadedRecipe,
    *,
    folder: str | Path | None = None,
    limit: int | None = None,
    rows: int | None = None,
    budget_usd: float | None = None,
    teachers: Sequence[str] = (),
    serve: str = "",
    seeds: str = "",
    accept_terms: Sequence[str] = (),
    accept_change: bool = False,
) -> Result:
    """`arun`, waited for; works in a notebook cell too, where a loop is already running.

    An interrupt stops the run before it goes on to the caller; what had come is kept.
    """
    return _wait(
        arun(
            recipe,
            folder=folder,
            limit=limit,
            rows=rows,
            budget_usd=budget_usd,
            teachers=teachers,
            serve=serve,
            seeds=seeds,
            accept_terms=accept_terms,
            accept_change=accept_change,
        )
    )


def preview(
    recipe: str | Path | LoadedRecipe,
    n: int = 3,
    *,
    folder: str | Path | None = None,
    budget_usd: float | None = None,
    teachers: Sequence[str] = (),
    serve: str = "",
    seeds: str = "",
    accept_terms: Sequence[str] = (),
) -> Result:
    """Ask for the first `n` seeds only and write no dataset; the replies are kept for the run.

    The result's `examples` and `rejections` hold what came of them. The rest is as in `arun`.
    """
    options = _options(folder, n, "n", write=False)
    return _wait(pipeline.run(_loaded(recipe, teachers, serve, seeds, budget_usd, None, accept_terms), options))


def run_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end on an event loop of its own: uvloop's where there is one, else asyncio's."""
    try:
        import uvloop
    except ModuleNotFoundError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _options(
    folder: str | Path | None, limit: int | None, name: str, *, write: bool = True, accept_change: bool = False
) -> Options:
    if limit is not None and limit < 1:
        raise RecipeError(f"{name} is {limit}; it is how many seeds to use, at least 1.")
    return Options(None if folder is None else Path(folder), limit, write=write, accept_change=accept_change)


def _loaded(
    recipe: str | Path | LoadedRecipe,
    teachers: Sequence[str],
    serve: str,
    seeds: str,
    budget_usd: float | None,
    rows: int | None,
    accept_terms: Sequence[str],
) -> LoadedRecipe:
    named = (teachers,) if isinstance(teachers, str) else tuple(teachers)
    budget = None if budget_usd is None else {"usd": budget_usd}
    overrides = Overrides(named, seeds, budget, rows, tuple(accept_terms), serve=serve)
    if not isinstance(recipe, LoadedRecipe):
        return load(recipe, overrides)
    return recipe if overrides == Overrides() else override(recipe, overrides)


def _wait(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end, on a thread of its own when this one already has a running loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return run_loop(work)
    results: list[T] = []
    errors: list[BaseException] = []
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[T]]] = []
    began = threading.Event()

    async def watched() -> T:
        task = asyncio.current_task()
        assert task is not None
        running.append((asyncio.get_running_loop(), task))
        began.set()
        return await work

    def wait() -> None:
        try:
            results.append(run_loop(watched()))
        except BaseException as error:  # noqa: BLE001 (handed over to the caller's thread)
            errors.append(error)
        finally:
            began.set()

    thread = threading.Thread(target=wait, name="synth-run")
    thread.start()
    try:
        thread.join()
    except BaseException:  # an interrupt of the cell must not leave a run behind that goes on buying
        began.wait()
        for loop, task in running:
            with contextlib.suppress(RuntimeError):  # it has just ended by itself
                loop.call_soon_threadsafe(task.cancel)
        thread.join()
        raise
    if errors:
        raise errors[0]
    return results[0]
