"""`synth status`: what a run folder holds."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text

from synth.backends.practice import PRACTICE_MODELS
from synth.console.panel import WAITING, since
from synth.console.screen import OUT, PRACTICE, clock_time, plain_table, say, write_json
from synth.files.asking import OWNER
from synth.language.text import visible
from synth.live.stored import in_flight, last_commit
from synth.money.budget import Caps, standing, usd
from synth.report.words import ENGLISH
from synth.results.manifest import Manifest, read_manifest
from synth.storage.lock import holder, was_cut_off
from synth.storage.store import Ledger, connect, read_ledger, read_spent, readable
from synth.types import Spend


def status(folder: Path, *, as_json: bool) -> None:
    """What a run folder holds. Raises FolderError when it holds no run."""
    with readable(folder / "run.db"):
        connection = connect(folder / "run.db")
        ledger = read_ledger(connection)
        meta = dict(connection.execute("SELECT name, value FROM meta").fetchall())
        parked = connection.execute("SELECT count(*) FROM passed_over").fetchone()[0]
        asked = connection.execute("SELECT DISTINCT model FROM (SELECT model FROM attempt ORDER BY id DESC LIMIT 1000)")
        practice = any(model.startswith(PRACTICE_MODELS) for (model,) in asked.fetchall())
        spent = read_spent(connection)
        largest = connection.execute(
            "SELECT coalesce(max(reserved), 0) FROM (SELECT sum(reserved_microusd) AS reserved FROM attempt "
            "LEFT JOIN lot ON lot.attempt = attempt.id WHERE id NOT IN (SELECT attempt FROM settled) "
            "GROUP BY coalesce(lot.first, attempt.id))"
        ).fetchone()[0]
        connection.close()
    manifest = read_manifest(folder / "manifest.json") if (folder / "manifest.json").exists() else None
    practice = practice or (manifest is not None and manifest.practice)
    running = holder(folder)
    if manifest is not None and not running:  # the journal keeps also those that a later run asked again
        parked = sum(stage.parked for stage in manifest.stages)
    unwritten = "replies to commands on files" if meta.get("recipe") == OWNER else "stopped before its first export"
    cut, written, flying = was_cut_off(folder), last_commit(folder).isoformat(timespec="seconds"), in_flight(ledger)
    ended = "cut_off" if cut else manifest.state if manifest else unwritten
    state = f"running ({running})" if running else "cut off" if cut else ended
    if running or cut:
        state += f", last written {since(written)}, {flying:,} in flight{' then' if cut else ''}"
    cost = sum(line.cost_microusd for line in ledger)
    caps = Caps.model_validate_json(meta.get("caps") or "{}")
    reserved = Spend(sum(line.cost_microusd for line in ledger if line.failure == "open"))
    charged = spent._replace(microusd=spent.microusd - reserved.microusd)
    free = (caps.microusd or 0) - spent.microusd
    held_back = bool(running) and caps.microusd is not None and 0 <= free < largest
    money = standing(
        caps,
        charged,
        reserved,
        overshoot_microusd=sum(line.overshoot_microusd for line in ledger),
        usage_unknown=sum(line.usage_unknown for line in ledger if line.failure != "lost"),
        lost=sum(line.sends for line in ledger if line.failure == "lost"),
    )
    if as_json:
        write_json(
            {
                "recipe": meta.get("recipe"),
                "state": "running" if running else ended,
                "last_commit": written,
                "in_flight": flying,
                "rows": manifest.rows if manifest else {},
                "rejected": manifest.rejected if manifest else {},
                "parked": parked,
                "practice": practice,
                "cost_microusd": cost,
                "reserved_microusd": reserved.microusd,
                "overshoot_microusd": sum(line.overshoot_microusd for line in ledger),
                "usage_unknown": sum(line.usage_unknown for line in ledger if line.failure != "lost"),
                "tokens": spent.tokens,
                "requests": spent.requests,
                "caps": caps.model_dump(),
                "limited_by_reservation": held_back,
                "ledger": ledger,
            }
        )
        return
    if running or cut or manifest is None:
        OUT.print(Text.assemble((visible(str(meta.get("recipe"))), "bold"), f"  {state}"), soft_wrap=True)
        say(OUT, ", ".join(money))
    if held_back:
        OUT.print(WAITING, markup=False)
    if manifest is not None:
        summary(manifest)
    elif practice:
        OUT.print(PRACTICE)
    _ledger(ledger, [stage.name for stage in manifest.stages] if manifest else [])


def _ledger(ledger: list[Ledger], stages: list[str]) -> None:
    """What was asked and what came of it, in the order of the stages."""
    table = plain_table("stage", "teacher", "outcome", "attempts", "tokens in", "tokens out", "cost", right=3)
    places = {name: place for place, name in enumerate(stages)}
    for line in sorted(ledger, key=lambda line: places.get(line.stage.partition(":")[0], len(places))):
        outcome = ENGLISH.failures.get(line.failure, line.failure)
        tokens = [f"{line.prompt_tokens:,}", f"{line.completion_tokens:,}"]
        sums = [*tokens, usd(line.cost_microusd)] if any((line.prompt_tokens, line.cost_microusd)) else []
        table.add_row(line.stage, line.teacher, outcome, f"{line.attempts:,}", *sums)
    OUT.print()
    OUT.print(table)
    along = sum(line.along for line in ledger)
    if along:
        say(OUT, f"{along:,} of the attempts went along in another one's request, which spared their prompts")


def summary(manifest: Manifest) -> None:
    """Rows, reasons and money of a run."""
    splits = ", ".join(f"{name} {count:,}" for name, count in manifest.rows.items())
    OUT.print(f"\n[bold]{manifest.recipe.name}[/]  {manifest.state}  {clock_time(manifest.seconds)}")
    said = Text.assemble((f"{manifest.row_count:,} rows", "green"), f" ({splits})  {', '.join(manifest.standing)}")
    OUT.print(said)
    for view in manifest.views if manifest.row_count else ():
        pairs = f", chosen the longer in {view.pairs.chosen_longer:,}" if view.pairs else ""
        say(OUT, f"view {view.name}  {sum(view.rows.values()):,} rows{pairs}")
    if manifest.practice:
        OUT.print(PRACTICE)
    if manifest.unpriced:
        names = ", ".join(manifest.unpriced)
        say(OUT, f"the price of {names} is not known: what it costs is in no sum here")
    if manifest.limited_by_reservation_s >= 1:
        held = clock_time(manifest.limited_by_reservation_s)
        say(OUT, f"for {held} the budget's reservations held requests back, not the provider")
    if manifest.batched:
        OUT.print(f"{manifest.batched:,} requests went by batch, for {usd(manifest.batched_microusd)}")
    if manifest.saved is not None and manifest.saved.prompts:
        saved = manifest.saved
        cost = f" ({usd(saved.cost_microusd)})" if saved.cost_microusd else ""
        dropped = f"as {saved.prompts:,} prompts had been dropped as duplicates (an estimate)"
        say(OUT, f"up to {saved.replies:,} replies{cost} were not bought, {dropped}")
    table = plain_table("stage", "asked", "drafts", "kept", "refused", right=1)
    if manifest.seeds.refused:
        reasons = "  ".join(f"{reason} {count:,}" for reason, count in manifest.seeds.refused.items())
        table.add_row("seeds", "", "", f"{manifest.seeds.count:,}", reasons)
    for stage in manifest.stages:
        reasons = "  ".join(f"{reason} {count:,}" for reason, count in stage.rejected.items())
        parked = f"  parked {stage.parked:,}" if stage.parked else ""
        table.add_row(stage.name, f"{stage.units:,}", f"{stage.drafts:,}", f"{stage.accepted:,}", reasons + parked)
    if manifest.not_selected:
        reasons = "  ".join(f"{reason} {count:,}" for reason, count in manifest.not_selected.items())
        table.add_row("selection", "", "", f"{manifest.row_count:,}", reasons)
    OUT.print(table)
    for stage in manifest.stages:
        for teacher, share in stage.shares.items():
            said = f"{teacher} answered {share.asked:,}, of use {share.of_use:,}, {usd(share.cost_microusd)}"
            say(OUT, f"{stage.name}: {said}")
    for benchmark in manifest.decontamination:
        say(OUT, f"{benchmark.name}: {benchmark}")
