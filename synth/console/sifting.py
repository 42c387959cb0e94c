"""What the commands on files kept and removed."""

from __future__ import annotations

from pathlib import Path

from synth.console.screen import ERR, OUT, plain_table, say, write_json
from synth.dedupe import SemanticSummary
from synth.files.parts import Report
from synth.language.text import several
from synth.money.budget import usd
from synth.report.figures import short


def sifted(report: Report, out: Path | None, *, as_json: bool) -> None:
    """What a command on files kept and removed, and what else it found."""
    rows = sum(report.rows.values())
    if as_json:
        splits = {name: count for name, count in report.kept.items() if name}
        kept = {"rows": report.rows, "kept": report.kept.total(), "splits": splits, "removed": report.removed}
        more = {"benchmarks": [one.model_dump() for one in report.benchmarks], "notice": report.notice}
        if report.bought is not None:
            found = {"semantic": report.semantic, "neighbours": report.neighbours}
            more |= {name: one.model_dump() for name, one in found.items() if one is not None}
            more["bought"] = report.bought._asdict()
        write_json({**kept, **more, "scores": report.scores, "out": None if out is None else str(out)})
        return
    splits = ", ".join(f"{name} {count:,}" for name, count in report.kept.items() if name)
    kept, removed = report.kept.total(), report.removed.total()
    OUT.print(f"{several(rows, 'row')}: [green]{kept:,} kept[/]{f' ({splits})' if splits else ''}, {removed:,} removed")
    table = plain_table("reason", "rows", "", right=1)
    for reason, count in report.removed.most_common():
        table.add_row(reason, f"{count:,}", f"{count / rows:.1%}")
    if report.removed:
        OUT.print(table)
    for name, counts in report.scores.items():
        mean = sum(value * count for value, count in counts.items()) / counts.total()
        values = "  ".join(f"{value:g}: {count:,}" for value, count in sorted(counts.items())[:12])
        say(OUT, f"{name}: mean {short(mean)} of {several(counts.total(), 'row')}   {values}")
    for benchmark in report.benchmarks:
        say(OUT, f"{benchmark.name}: {benchmark}")
    if report.semantic is not None:
        _meanings(report.semantic)
    if report.neighbours is not None:
        near = report.neighbours
        compared = f"{several(near.compared, 'text')} compared with {several(near.items, 'item')}"
        decides = f"a judge decides from {near.grey_from} on, else {near.near_from} is refused"
        say(OUT, f"by meaning: {compared}, {near.refused:,} refused, {near.cleared:,} cleared ({decides})")
    if report.bought is not None:
        vectors, requests, microusd = report.bought
        what = f"{several(vectors, 'vector')} with " if report.semantic or report.neighbours else ""
        OUT.print(f"bought {what}{several(requests, 'request')} for {usd(microusd)}")
    if report.notice:
        say(ERR, report.notice, "yellow")
    if out is not None:
        OUT.print(f"written to {out}", markup=False, soft_wrap=True)


def _meanings(found: SemanticSummary) -> None:
    """From which similarity on texts mean the same, by script."""
    for one in found.scripts:
        pairs, usual = one.texts * (one.texts - 1) // 2, one.exceeded_by_one_in_thousand or 0
        drawn = f"of {several(pairs, 'pair')} drawn at random one in a thousand exceeds {usual:.3f}"
        say(OUT, f"by meaning, {one.script}: the same from {one.threshold:.3f} on; {drawn}")
    if found.uncompared:
        OUT.print(
            f"not compared by meaning: {several(found.uncompared, 'row')} without a vector, or of a script with too few"
        )
    if found.unremembered:
        OUT.print(f"not remembered, for want of room: {several(found.unremembered, 'row')}")
