"""How a run ended: its state, its exit code, and what the user should know of it in a sentence."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from synth.errors import Fatal, Interrupted
from synth.language.text import several
from synth.line import Enough, Line
from synth.results.manifest import Manifest, State
from synth.results.selection import select
from synth.teacher import Teacher
from synth.types import Sample

PARKED_EXIT = 3


class Offline(Fatal):
    """Only what is stored is used."""

    exit_code = 0


def state_of(line: Line) -> State:
    """What has become of a run so far."""
    error, progress = line.halt.error, line.progress
    if error is None or isinstance(error, Enough | Offline):
        undone = not line.has_enough and progress.unfinished()
        return "partial" if undone or progress.parked() else "complete"
    if isinstance(error, Interrupted):
        return "interrupted"
    return "stopped_by_budget" if error.exit_code == 6 else "failed"


def ending_of(line: Line) -> tuple[int, str]:
    """Exit code and reason."""
    error, progress = line.halt.error, line.progress
    if error is not None and error.exit_code:
        return error.exit_code, str(error)
    missing, parked = (0, 0) if line.has_enough else (progress.unfinished(), progress.parked())
    if missing:
        left = f"At least {several(missing, 'sample')} without a stored reply"
        return PARKED_EXIT, f"{left}; `synth run` asks for what is missing."
    if parked:
        return PARKED_EXIT, parked_for(parked, progress.poison())
    return 0, ""


def parked_for(parked: int, poison: int) -> str:
    """What is to be done of so many samples without a usable reply, of which some failed in the same way each time."""
    if poison == parked:
        return f"{several(parked, 'sample')} failed in the same way each time: parked, until `synth retry` asks again."
    said = f"{several(parked, 'sample')} got no usable reply: parked, to be asked for once more when you run again"
    return f"{said}, but for {poison:,} that failed in the same way each time: `synth retry`." if poison else f"{said}."


def left_at_hosts(teachers: Iterable[Teacher]) -> str:
    """What was left at hosts for the next run to collect; a sentence, or empty."""
    left = [one.batches.left for one in teachers if one.batches is not None and one.batches.left]
    if not left:
        return ""
    return f"{'; '.join(left)}: run again to collect what they bring, or with --online to wait no longer."


def left_out(teachers: Iterable[Teacher]) -> str:
    """Which servers, or keys, were of no use in the end, while others were: what to mend; empty when all were."""
    whys = [why for one in teachers for why in one.health.left_out()]
    return f"{' '.join(whys)} The others of its teacher were asked instead." if whys else ""


def no_row(manifest: Manifest, *, kept: bool) -> str:
    """That all was refused, and for what; `kept` tells whether that stays in the run's folder."""
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in list(manifest.rejected.items())[:3])
    seen = ": see rejected.jsonl or `synth show --rejected`" if kept else ""
    return f"No row was made; everything was refused ({reasons}){seen}."


def too_few(manifest: Manifest, wanted: int, *, offline: bool) -> str:
    """Why there are fewer rows than wanted, and what helps."""
    turns = manifest.seeds.turns
    over = "The seeds were taken once" if turns == 1 else f"The seeds were gone over {turns} times"
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in list(manifest.rejected.items())[:3])
    told = f"{manifest.row_count:,} of {several(wanted, 'row')}: {over}"
    if offline:
        return f"{told}; `synth run` draws them again while that brings more."
    return (
        f"{told}, and another turn would bring too little{f' (refused: {reasons})' if reasons else ''}; add seeds, or "
        "loosen what refuses most."
    )


def kept_instead(line: Line, folder: Path) -> str:
    """A sentence when an unfinished run without rows would take the place of a dataset with some; else empty."""
    rows = folder / "rows.jsonl"
    if state_of(line) == "complete" or not rows.is_file() or rows.stat().st_size == 0:
        return ""
    if any(isinstance(chosen, Sample) for chosen in select(line.outcomes.accepted(), line.recipe.selection)):
        return ""
    return f"No row was made, so the earlier dataset in {folder} stays as it is."
