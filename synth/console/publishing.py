"""`synth publish`: what goes where, what was found in it, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from rich.text import Text

from synth.console.screen import ERR, OUT, PRACTICE, plain_table, write_json
from synth.language.text import several, visible
from synth.publishing import Outcome
from synth.publishing.findings import ACCEPTABLE, Finding
from synth.publishing.hub import Plan

REFUSED_EXIT = 1


def published(outcome: Outcome, target: str, *, as_json: bool) -> int:
    """Say what was published, or would be; gives the exit code, 1 when something found forbids it."""
    if as_json:
        write_json(_told(outcome, target))
        return REFUSED_EXIT if outcome.refused else 0
    plan, manifest = outcome.plan, outcome.content.manifest
    if manifest.practice:
        OUT.print(PRACTICE)
    OUT.print(
        f"{manifest.recipe.name}: {several(manifest.row_count, 'row')}, to {visible(plan.repo)}",
        markup=False,
        soft_wrap=True,
    )
    table = plain_table("", "file", "bytes", "", right=2)
    for state, path, size in _files(plan):
        table.add_row(state, Text(visible(path), overflow="fold"), "" if size is None else f"{size:,}", "")
    OUT.print(table)
    if plan.previous is not None and not plan.is_done:
        name = plan.previous.commit[:12] or plan.previous.manifest_sha256[:12]
        OUT.print(f"It follows {name}, which had {several(plan.previous.rows, 'row')}.")
    for finding in outcome.found:
        _found(finding, refused=finding in outcome.refused)
    if outcome.refused:
        _refusal(outcome.refused)
        return REFUSED_EXIT
    if outcome.done is None:
        OUT.print("Nothing was sent: this was a dry run." if not plan.is_done else "It is there already.")
    elif outcome.request:
        OUT.print(f"proposed already  {visible(outcome.request)}", markup=False, soft_wrap=True)
    else:
        word = "published" if outcome.done.is_new else "it is there already"
        commit = f"  {outcome.done.commit[:12]}" if outcome.done.commit else ""
        OUT.print(f"{word}  {visible(outcome.done.url)}{commit}", markup=False, soft_wrap=True)
    return 0


def _files(plan: Plan) -> Iterator[tuple[str, str, int | None]]:
    known = plan.there.files or {}
    for item in plan.changed:
        yield "changed" if item.path in known else "new", item.path, item.record.bytes
    for item in plan.kept:
        yield "there", item.path, item.record.bytes
    for path in plan.gone:
        yield "gone", path, None


def _found(finding: Finding, *, refused: bool) -> None:
    word = "[red]found[/]" if refused else "[yellow]accepted[/]"
    ERR.print(f"\n{word}  [bold]{finding.kind}[/]  {finding.count:,}")
    ERR.print(f"  {visible(finding.what)}", markup=False)
    ERR.print(f"  {visible(', '.join(finding.places))}", markup=False, style="dim", soft_wrap=True)


def _refusal(refused: tuple[Finding, ...]) -> None:
    kinds = sorted({one.kind for one in refused if one.kind in ACCEPTABLE})
    told = " ".join(f"--accept {kind}" for kind in kinds)
    more = " A key of this machine is never published." if any(one.kind == "own_key" for one in refused) else ""
    ask = f" Take it out, or say {told} to publish it all the same; the card will tell." if kinds else ""
    ERR.print(f"\nNothing was published.{more}{ask}", markup=False)


def _told(outcome: Outcome, target: str) -> dict[str, object]:
    plan, done = outcome.plan, outcome.done
    return {
        "target": target,
        "repository": plan.repo,
        "rows": outcome.content.manifest.rows,
        "files": [{"state": state, "path": path, "bytes": size} for state, path, size in _files(plan)],
        "previous": None if plan.previous is None else plan.previous.model_dump(),
        "found": [asdict(one) for one in outcome.found],
        "refused": sorted({one.kind for one in outcome.refused}),
        "published": bool(done and done.is_new),
        "url": "" if done is None else done.url,
        "commit": "" if done is None else done.commit,
    }
