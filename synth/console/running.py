"""`synth run` and `synth preview`: what came of a run."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

from rich.table import Table

from synth import pipeline
from synth.admission.halt import Halt
from synth.backends.practice.faults import faults_of
from synth.backends.practice.scoreboard import Scoreboard, scoreboard
from synth.console.live import heeding_signals, steered, tell
from synth.console.previewing import previewed
from synth.console.screen import ERR, OUT, noted, plain_table, say, write_json
from synth.console.status import summary
from synth.console.telling import NOTHING, Telling, Wanted, telling
from synth.errors import Interrupted
from synth.language.text import several
from synth.live.control import Steering
from synth.live.loop import run_loop
from synth.live.progress import Progress
from synth.money.budget import usd
from synth.recipes.recipe import LoadedRecipe
from synth.results.ending import PARKED_EXIT
from synth.results.result import Options, Result, run_folder


def run(loaded: LoadedRecipe, options: Options, wanted: Wanted = NOTHING) -> int:
    """Run (or export) with live progress, and say what came of it."""
    noted(loaded)
    result = watched_run(loaded, options, wanted)
    manifest = result.manifest
    summary(manifest)
    faults = {
        endpoint.model: faults_of(endpoint.base_url)
        for endpoint in loaded.recipe.teachers.values()
        if endpoint.is_practice
    }
    if faults and not options.offline:
        OUT.print(_board(scoreboard(result.folder, faults)))
    if manifest.row_count or not result.message:  # of no rows the reason says all
        for said in (*manifest.declared, *[manifest.notice] * bool(manifest.notice)):
            say(OUT, said, "yellow")
    OUT.print(f"dataset  {result.dataset}", soft_wrap=True, markup=False)
    OUT.print(f"report   {result.report().path}", soft_wrap=True, markup=False)
    return ended(result)


def preview(loaded: LoadedRecipe, options: Options, wanted: Wanted, *, as_json: bool) -> int:
    """Run on a few seeds and show rows and rejections."""
    noted(loaded)
    result = watched_run(loaded, options, wanted)
    if as_json:
        write_json(
            {
                "rows": [asdict(sample) for sample in result.examples],
                "rejected": [asdict(rejection) for rejection in result.rejections],
                "practice": result.manifest.practice,
            }
        )
        return result.exit_code
    previewed(result)
    summary(result.manifest)
    say(OUT, f"replies  kept in {result.folder} for `synth run`")
    return ended(result)


def estimate(
    loaded: LoadedRecipe, options: Options, wanted: Wanted, *, most_usd: float, tokenizer: str, as_json: bool
) -> int:
    """Run on a few seeds spread over all, and tell what the whole will come to; on none, what their prompts tell."""
    from synth.console import estimating  # numpy takes a tenth of a second

    noted(loaded)
    name, prompts = loaded.recipe.name, run_loop(estimating.rendered(loaded, options.pilot or 0))
    if not options.pilot:
        estimating.told_unasked(loaded.recipe, prompts, tokenizer, as_json=as_json)
        return 0
    held = estimating.ceiling(loaded, run_folder(loaded, options), most_usd)
    tried = f"{min(options.pilot, prompts.of):,} of {several(prompts.of, 'seed')} to be tried first"
    ERR.print(f"{tried}, {held.said}. Their replies are kept for the run.", markup=False, soft_wrap=True)
    result = watched_run(held.loaded, options, wanted)
    if result.pilot is not None and result.exit_code in (0, PARKED_EXIT):
        found = estimating.estimate(loaded.recipe, result.folder, result.pilot, result.manifest.stages, prompts)
        estimating.told(found, name, as_json=as_json)
    elif held.cap_microusd is not None and result.message.startswith(f"The budget of {usd(held.cap_microusd)} "):
        used = f"The pilot's {usd(round(most_usd * 1e6))} are used up, and its seeds are not all tried"
        mend = "go on with a higher --pilot-usd, or with fewer seeds by --pilot."
        ERR.print(f"{used}; {mend}", style="yellow", markup=False, soft_wrap=True)
        return result.exit_code
    return ended(result)


def ended(result: Result) -> int:
    """Say why a run ended early; gives its exit code."""
    if result.message:
        say(ERR, result.message, "yellow")
    return result.exit_code


def watched_run(loaded: LoadedRecipe, options: Options, wanted: Wanted = NOTHING, name: str = "") -> Result:
    """Run with progress on stderr, heeding signals, and tell programs what they want. What came is always kept."""
    name, folder = name or loaded.recipe.name, run_folder(loaded, options)
    with telling(name, folder, loaded, wanted) as told:
        result = _watched(loaded, options, name, folder, told)
        if told is not None:
            told.end(result)
        return result


def _watched(loaded: LoadedRecipe, options: Options, name: str, folder: Path, told: Telling | None) -> Result:
    async def watched() -> Result:
        loop = asyncio.get_running_loop()
        watching: list[asyncio.Task[None]] = []
        with ExitStack() as heeding:

            def observe(progress: Progress, halt: Halt) -> None:
                if progress.warning:
                    say(ERR, progress.warning, "yellow")
                heeding.enter_context(heeding_signals(loop, halt))
                steering = Steering(name, folder, progress, halt)
                watching.append(loop.create_task(steered(steering)))
                if told is not None:
                    told.begin(steering, progress, halt)
                    watching.append(loop.create_task(told.follow(steering)))

            try:
                return await pipeline.run(loaded, replace(options, say=tell), observe)
            finally:
                for one in watching:
                    one.cancel()
                await asyncio.gather(*watching, return_exceptions=True)

    try:
        return run_loop(watched())
    except asyncio.CancelledError:
        raise Interrupted("Stopped by Ctrl-C; what had come is kept. Run again to go on.") from None


def _board(board: Scoreboard) -> Table:
    table = plain_table("planted fault", "planted", "caught", "", right=1)
    for fault in sorted(board.planted):
        planted, caught = board.planted[fault], board.caught[fault]
        table.add_row(fault, f"{planted:,}", f"{caught:,}", f"{caught / planted:.0%}")
    table.add_row("all", f"{sum(board.planted.values()):,}", f"{sum(board.caught.values()):,}", f"{board.recall():.1%}")
    table.add_row("good rows lost", f"{board.good:,}", f"{board.lost:,}", f"{board.false_rejections():.1%}")
    for failure, count in board.resent.items():
        table.add_row(failure, f"{count:,}", "sent again", "")
    return table
