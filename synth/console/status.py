"""`synth status`: what a run folder holds."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from synth.backends.practice import PRACTICE_MODELS
from synth.console.folding import NBSP, folded_text
from synth.console.panel import WAITING, since
from synth.console.screen import OUT, PRACTICE, clock_time, plain_table, say, write_json
from synth.errors import FolderError
from synth.language.text import several, visible
from synth.live.stored import UNSETTLED, in_flight, last_commit
from synth.money import account
from synth.money.budget import Caps, standing, usd
from synth.report.words import ENGLISH
from synth.results.manifest import Manifest, read_manifest
from synth.storage.database import Ledger, connect, read_ledger, read_spent, readable
from synth.storage.lock import holder, was_cut_off
from synth.storage.store import FILES
from synth.types import Spend

LARGEST = (
    "SELECT coalesce(max(money), 0), coalesce(max(tokens), 0) FROM (SELECT sum(reserved_microusd) AS money, "
    "sum(reserved_tokens) AS tokens FROM attempt "
    "LEFT JOIN lot ON lot.attempt = attempt.id WHERE id NOT IN (SELECT attempt FROM settled) "
    "GROUP BY coalesce(lot.first, attempt.id))"
)
"""The most that is set aside for one request, in micro-dollars and in tokens."""

LAST = (
    "SELECT teacher, failure, started_ns FROM settled JOIN attempt ON id = attempt "
    "WHERE id > (SELECT max(id) FROM attempt) - 10000 AND failure <> 'unsent' ORDER BY id DESC"
)
NARROW = 80
"""Columns that a table of who was asked for what needs at least."""
LONG_S = 600.0
"""For so long nothing but refusals must have come to be told of."""
LIMITED = {
    "usd": "the run's own budget",
    "account": "the account {}",
    "tokens": "the budget of tokens",
    "requests": "the budget of requests",
}


@dataclass(frozen=True, slots=True)
class _Found:
    """What a run folder holds."""

    recipe: str | None
    state: str
    """In a word, for programs."""
    told: str
    """The same for people."""
    last_commit: str
    in_flight: int
    manifest: Manifest | None
    parked: int
    practice: bool
    ledger: list[Ledger]
    spent: Spend
    reserved: Spend
    caps: Caps
    limited: tuple[str, ...]
    """Whose reservations hold requests back: `usd`, `account`, `tokens` or `requests`."""
    refused_s: dict[str, float]
    """For how long a teacher has told nothing but that its rate limit is reached, where that is long."""

    @property
    def is_whole(self) -> bool:
        """Whether it came to an end that its manifest tells."""
        return self.manifest is not None and self.state == self.manifest.state

    def overshoot_microusd(self) -> int:
        """What replies cost beyond their reservations."""
        return sum(line.overshoot_microusd for line in self.ledger)

    def usage_unknown(self) -> int:
        """Attempts charged with the worst case, but for those that were lost."""
        return sum(line.usage_unknown for line in self.ledger if line.failure != "lost")


def status(folder: Path, *, as_json: bool) -> None:
    """What a run folder holds. Raises FolderError when it holds no run."""
    found = _found(folder)
    if as_json:
        _write(found)
        return
    if not found.is_whole:
        head = Text.assemble((visible(str(found.recipe)), "bold"), f"  {found.told}")
        OUT.print(Text("\n").join(folded_text(head, OUT.width)) if OUT.is_screen else head)
        say(OUT, ", ".join(_money(found)))
    if found.limited:
        named = " and ".join(LIMITED[kind].format(found.caps.account) for kind in found.limited)
        say(OUT, f"{WAITING} ({named}), not the provider")
    for teacher, seconds in found.refused_s.items():
        said = f"nothing but refusals for its rate limit for {clock_time(seconds)}; it is waited for as long as the run"
        say(OUT, f"{teacher}: {said} lasts: Ctrl-C ends that, or a cap of hours")
    if found.manifest is not None:
        summary(found.manifest)
        if found.is_whole and found.manifest.message:
            say(OUT, found.manifest.message, "yellow")
    elif found.practice:
        OUT.print(PRACTICE)
    _ledger(found.ledger, [stage.name for stage in found.manifest.stages] if found.manifest else [])


def _found(folder: Path) -> _Found:
    with readable(folder / "run.db"), closing(connect(folder / "run.db")) as connection:
        ledger, spent = read_ledger(connection), read_spent(connection)
        meta = dict(connection.execute("SELECT name, value FROM meta").fetchall())
        parked = connection.execute("SELECT count(*) FROM passed_over").fetchone()[0]
        asked = connection.execute("SELECT DISTINCT model FROM (SELECT model FROM attempt ORDER BY id DESC LIMIT 1000)")
        practice = any(model.startswith(PRACTICE_MODELS) for (model,) in asked.fetchall())
        last = connection.execute(LAST).fetchall()
        largest = Spend(*connection.execute(LARGEST).fetchone(), requests=1)
    manifest = read_manifest(folder / "manifest.json") if (folder / "manifest.json").exists() else None
    running, cut, flying = holder(folder), was_cut_off(folder), in_flight(ledger)
    if manifest is not None and not running:  # the journal keeps also those that a later run asked again
        parked = sum(stage.parked for stage in manifest.stages)
    written = last_commit(folder).isoformat(timespec="seconds")
    unwritten = "replies to commands on files" if meta.get("recipe") == FILES else "stopped before its first export"
    ended = "cut_off" if cut else manifest.state if manifest else unwritten
    told = f"running ({running})" if running else "cut off" if cut else ended
    if running or cut:
        told += f", last written {_whole(since(written))}, {flying:,} in flight{' then' if cut else ''}"
    caps = Caps.model_validate_json(meta.get("caps") or "{}")
    return _Found(
        recipe=meta.get("recipe"),
        state="running" if running else ended,
        told=told,
        last_commit=written,
        in_flight=flying,
        manifest=manifest,
        parked=parked,
        practice=practice or (manifest is not None and manifest.practice),
        ledger=ledger,
        spent=spent,
        reserved=Spend(sum(line.cost_microusd for line in ledger if line.failure in UNSETTLED)),
        caps=caps,
        limited=_limited(caps, spent, largest, folder) if running and flying else (),
        refused_s=_refused_s(last, time.time()) if running else {},
    )


def _refused_s(last: list[tuple[str, str, int]], now: float) -> dict[str, float]:
    """For how long each teacher's last replies, the newest first, have been refusals for its rate limit alone."""
    since: dict[str, float] = {}
    others: set[str] = set()
    for teacher, failure, started_ns in last:
        others |= {teacher} if failure != "rate" else set()
        if teacher not in others:
            since[teacher] = started_ns / 1e9
    return {teacher: now - then for teacher, then in since.items() if now - then >= LONG_S}


def _limited(caps: Caps, spent: Spend, largest: Spend, folder: Path) -> tuple[str, ...]:
    """Of which caps too little is left for one more request, when what is in flight is counted at its worst case."""
    left = {
        "usd": (caps.microusd, spent.microusd, largest.microusd),
        "account": (_share(caps.account, folder), spent.microusd, largest.microusd),
        "tokens": (caps.tokens, spent.tokens, largest.tokens),
        "requests": (caps.requests, spent.requests, largest.requests),
    }
    return tuple(kind for kind, (cap, used, more) in left.items() if cap is not None and used + more > cap)


def _share(path: str, folder: Path) -> int | None:
    """What others leave of an account, in micro-dollars; None without one, or where it cannot be read."""
    if not path:
        return None
    try:
        total, leases = account.standing(Path(path))
    except FolderError:
        return None
    return total - sum(lease.held_microusd for lease in leases if lease.folder != str(folder.absolute()))


def _money(found: _Found) -> list[str]:
    return standing(
        found.caps,
        found.spent._replace(microusd=found.spent.microusd - found.reserved.microusd),
        found.reserved,
        overshoot_microusd=found.overshoot_microusd(),
        usage_unknown=found.usage_unknown(),
        lost=sum(line.sends for line in found.ledger if line.failure == "lost"),
    )


def _write(found: _Found) -> None:
    """For programs."""
    manifest = found.manifest
    write_json(
        {
            "recipe": found.recipe,
            "state": found.state,
            "message": manifest.message if manifest and found.is_whole else "",
            "last_commit": found.last_commit,
            "in_flight": found.in_flight,
            "rows": manifest.rows if manifest else {},
            "rejected": manifest.rejected if manifest else {},
            "parked": found.parked,
            "practice": found.practice,
            "cost_microusd": sum(line.cost_microusd for line in found.ledger),
            "reserved_microusd": found.reserved.microusd,
            "overshoot_microusd": found.overshoot_microusd(),
            "usage_unknown": found.usage_unknown(),
            "tokens": found.spent.tokens,
            "requests": found.spent.requests,
            "caps": found.caps.model_dump(),
            "limited_by_reservation": list(found.limited),
            "refused_s": found.refused_s,
            "ledger": found.ledger,
        }
    )


def _ledger(ledger: list[Ledger], stages: list[str]) -> None:
    """What was asked and what came of it, in the order of the stages."""
    figures = ("attempts", "tokens in", "tokens out", "cost")
    is_narrow = OUT.width < NARROW  # there who was asked stands above what came of it
    heads = ("outcome", *figures) if is_narrow else ("stage", "teacher", "outcome", *figures)
    table = plain_table(*heads, right=len(heads) - len(figures))
    table.columns[0].no_wrap = is_narrow
    places = {name: place for place, name in enumerate(stages)}
    asked = None
    for line in sorted(ledger, key=lambda line: places.get(line.stage.partition(":")[0], len(places))):
        outcome = ENGLISH.failures.get(line.failure, line.failure)
        tokens = [f"{line.prompt_tokens:,}", f"{line.completion_tokens:,}"]
        sums = [*tokens, usd(line.cost_microusd)] if any((line.prompt_tokens, line.cost_microusd)) else []
        if is_narrow and asked != (asked := (line.stage, line.teacher)):
            table.add_row(Text("  ".join(asked), style="bold"))
        who = [f"  {outcome}"] if is_narrow else [line.stage, line.teacher, outcome]
        table.add_row(*who, f"{line.attempts:,}", *sums)
    OUT.print()
    OUT.print(table)
    along = sum(line.along for line in ledger)
    if along:
        say(OUT, f"{along:,} of the attempts went along in another one's request, which spared their prompts")


def _reasons(counts: dict[str, int]) -> str:
    return "  ".join(_whole(f"{reason} {count:,}") for reason, count in counts.items())


def _whole(said: str) -> str:
    """What stays on one line of a terminal."""
    return said.replace(" ", NBSP) if OUT.is_screen else said


def summary(manifest: Manifest) -> None:
    """Rows, reasons and money of a run."""
    splits = ", ".join(f"{name} {count:,}" for name, count in manifest.rows.items())
    OUT.print(f"\n[bold]{manifest.recipe.name}[/]  {manifest.state}  {clock_time(manifest.seconds)}")
    said = Text.assemble((several(manifest.row_count, "row"), "green"), f" ({splits})  {', '.join(manifest.standing)}")
    OUT.print(said)
    for view in manifest.views if manifest.row_count else ():
        pairs = f", chosen the longer in {view.pairs.chosen_longer:,}" if view.pairs else ""
        say(OUT, f"view {view.name}  {several(sum(view.rows.values()), 'row')}{pairs}")
    if manifest.practice:
        OUT.print(PRACTICE)
    if manifest.unpriced:
        names = ", ".join(manifest.unpriced)
        say(OUT, f"the price of {names} is not known: what it costs is in no sum here")
    if manifest.limited_by_reservation_s >= 1:
        held = clock_time(manifest.limited_by_reservation_s)
        say(OUT, f"for {held} the budget's reservations held requests back, not the provider")
    if manifest.batched:
        OUT.print(f"{several(manifest.batched, 'request')} went by batch, for {usd(manifest.batched_microusd)}")
    if manifest.saved is not None and manifest.saved.prompts:
        saved = manifest.saved
        cost = f" ({usd(saved.cost_microusd)})" if saved.cost_microusd else ""
        dropped = f"as {several(saved.prompts, 'prompt')} had been dropped as duplicates (an estimate)"
        say(OUT, f"not bought: up to {several(saved.replies, 'reply')}{cost}, {dropped}")
    table = plain_table("stage", "asked", "drafts", "kept", "refused", right=1)
    if manifest.seeds.refused:
        table.add_row("seeds", "", "", f"{manifest.seeds.count:,}", _reasons(manifest.seeds.refused))
    for stage in manifest.stages:
        reasons = stage.rejected | ({"parked": stage.parked} if stage.parked else {})
        counts = (f"{stage.units:,}", f"{stage.drafts:,}", f"{stage.accepted:,}")
        table.add_row(stage.name, *counts, _reasons(reasons))
    if manifest.not_selected:
        table.add_row("selection", "", "", f"{manifest.row_count:,}", _reasons(manifest.not_selected))
    OUT.print(table)
    for stage in manifest.stages:
        for teacher, share in stage.shares.items():
            said = f"{teacher} answered {share.asked:,}, of use {share.of_use:,}, {usd(share.cost_microusd)}"
            say(OUT, f"{stage.name}: {said}")
    for benchmark in manifest.decontamination:
        say(OUT, f"{benchmark.name}: {benchmark}")
