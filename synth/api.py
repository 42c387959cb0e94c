"""synth from Python: the same run as on the command line, in a script or in a notebook cell."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from synth import pipeline
from synth.admission.halt import Halt
from synth.errors import RecipeError
from synth.live.background import Running, finished
from synth.live.progress import Progress
from synth.live.showing import Observe, Work, shown, tell
from synth.live.status import Status, status_of
from synth.recipes.loading import Overrides, load, override
from synth.recipes.recipe import LoadedRecipe
from synth.report.words import words_of
from synth.results.manifest import read_manifest
from synth.results.result import Options, Result

__all__ = ["arun", "load", "preview", "read", "run", "select", "start"]

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
    quiet: bool = False,
) -> Result:
    """`run`, for a loop of your own: takes the same, and is awaited."""
    options = _options(folder, limit, "limit", accept_change=accept_change)
    loaded = await asyncio.to_thread(_loaded, recipe, teachers, serve, seeds, budget_usd, rows, accept_terms)
    tell(loaded.notes, quiet=quiet)
    return await shown(_work(loaded, options), _ending, quiet=quiet)


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
    quiet: bool = False,
) -> Result:
    """Make the dataset of a recipe and return what came of it.

    What is given stands in for the recipe's own words:

    recipe          a path, or what `load` returned
    folder          the run folder; runs/NAME unless given
    limit           the most seeds to use
    rows            stop when so many rows are there
    budget_usd      the most it may cost, in dollars
    teachers        each "NAME=URL,MODEL[,KEY_VARIABLE]"
    serve           "[NAME=]MODEL [OPTIONS]", what vLLM is to serve for the run
    seeds           the file to read the seeds from
    accept_terms    names of terms that restrict training on a teacher's output
    accept_change   go on though the recipe, templates or seeds now ask anew
    quiet           without the line that tells how far it is

    It works in a notebook cell too, where a loop is already running. An
    interrupt stops the run and goes on to the caller; what had come is kept,
    and the same call goes on from there.

    Raises RecipeError, FolderError, and Fatal when a teacher cannot be opened;
    what stops a run later is in the result's `exit_code` and `message`.
    """
    options = _options(folder, limit, "limit", accept_change=accept_change)
    loaded = _loaded(recipe, teachers, serve, seeds, budget_usd, rows, accept_terms)
    tell(loaded.notes, quiet=quiet)
    return finished(_work(loaded, options), _first(loaded), _ending, quiet=quiet)


def start(
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
) -> Running[Result]:
    """`run` in the background: what is returned tells how far it is, waits for it, and stops it.

    It goes on when a cell is interrupted. The recipe is checked before this returns, and RecipeError raised.
    """
    options = _options(folder, limit, "limit", accept_change=accept_change)
    loaded = _loaded(recipe, teachers, serve, seeds, budget_usd, rows, accept_terms)
    tell(loaded.notes, quiet=False)
    return Running(_work(loaded, options), _first(loaded), _ending)


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
    quiet: bool = False,
) -> Result:
    """Ask for the first `n` seeds only and write no dataset; the replies are kept for the run.

    The result's `rows` and `rejected` hold what came of them, some of it where it is much. The rest is as in `run`.
    """
    options = _options(folder, n, "n", write=False)
    loaded = _loaded(recipe, teachers, serve, seeds, budget_usd, None, accept_terms)
    tell(loaded.notes, quiet=quiet)
    return finished(_work(loaded, options), _first(loaded), _ending, quiet=quiet)


def select(
    recipe: str | Path | LoadedRecipe,
    *,
    folder: str | Path | None = None,
    require: Mapping[str, float] | None = None,
    at_most: Mapping[str, float] | None = None,
    best_of: str | None = None,
    per_prompt: int | None = None,
    quiet: bool = False,
) -> Result:
    """Choose the rows of a recipe's run anew, by other thresholds than its own, without a request.

    `require` and `at_most` are bounds by score, `best_of` the score that chooses among the draws of a prompt,
    `per_prompt` the most rows of one. All draws are kept, so any choice can be made again and again.
    Raises FolderError where there is no run.
    """
    given = {"require": require, "at_most": at_most, "best_of": best_of, "per_prompt": per_prompt}
    selection = {name: dict(value) if isinstance(value, Mapping) else value for name, value in given.items() if value}
    overrides = Overrides(selection=selection)
    loaded = override(recipe, overrides) if isinstance(recipe, LoadedRecipe) else load(recipe, overrides)
    options = Options(None if folder is None else Path(folder), offline=True)
    tell(loaded.notes, quiet=quiet)
    return finished(_work(loaded, options), _first(loaded), _ending, quiet=quiet)


def read(folder: str | Path) -> Result:
    """What a run left in its folder: rows, refusals, cost, report. Raises FolderError when there is none."""
    manifest = read_manifest(Path(folder) / "manifest.json")
    return Result(Path(folder), manifest, 0, manifest.message, [], [])


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
    if budget_usd is not None and not 0 <= budget_usd < math.inf:
        raise RecipeError(f"budget_usd is {budget_usd}; it is the most the run may cost in dollars, from 0 on.")
    if rows is not None and rows < 1:
        raise RecipeError(f"rows is {rows}; it is how many rows are wanted, at least 1.")
    budget = None if budget_usd is None else {"usd": budget_usd}
    overrides = Overrides(named, seeds, budget, rows, tuple(accept_terms), serve=serve, called=True)
    if not isinstance(recipe, LoadedRecipe):
        return load(recipe, overrides)
    return recipe if overrides == Overrides(called=True) else override(recipe, overrides)


def _first(loaded: LoadedRecipe) -> Status:
    """How far a run is before it has begun."""
    return Status(loaded.recipe.name, words=words_of(loaded.recipe.language))


def _work(loaded: LoadedRecipe, options: Options) -> Work[Result]:
    words = words_of(loaded.recipe.language)

    def work(observe: Observe) -> Coroutine[Any, Any, Result]:
        def told(progress: Progress, halt: Halt) -> None:
            observe(partial(status_of, loaded.recipe.name, progress, words), halt)

        return pipeline.run(loaded, options, told)

    return work


def _ending(result: Result) -> Status:
    manifest = result.manifest
    return Status(
        manifest.recipe.name,
        state=manifest.state,
        seeds_done=manifest.seeds.count,
        seeds=manifest.seeds.count,
        rows=manifest.row_count,
        rejected=manifest.rejected,
        cost_microusd=manifest.cost_microusd,
        seconds=manifest.seconds,
        message=result.message,
        words=words_of(manifest.recipe.language),
    )
