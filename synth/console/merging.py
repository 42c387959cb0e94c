"""`synth merge`: what came of each run."""

from __future__ import annotations

from pathlib import Path

from synth.console.screen import ERR, OUT, PRACTICE, plain_table, say, write_json
from synth.language.text import several, visible
from synth.results.manifest import Manifest


def merged(manifest: Manifest, out: Path, *, as_json: bool) -> None:
    """Say how many rows of each run were kept, and why the others were not."""
    if as_json:
        runs = [one.model_dump() for one in manifest.merged]
        write_json({"rows": manifest.rows, "runs": runs, "license": manifest.recipe.license, "out": str(out)})
        return
    if manifest.practice:
        OUT.print(PRACTICE)
    splits = ", ".join(f"{name} {count:,}" for name, count in manifest.rows.items())
    OUT.print(f"[green]{several(manifest.row_count, 'row')}[/] ({splits})")
    table = plain_table("run", "rows", "kept", "", right=1)
    for one in manifest.merged:
        why = ", ".join(f"{reason} {count:,}" for reason, count in one.removed.items())
        table.add_row(visible(one.run), f"{one.rows:,}", f"{one.kept:,}", why)
    OUT.print(table)
    for benchmark in manifest.decontamination:
        say(OUT, f"{benchmark.name}: {benchmark}")
    if manifest.notice:
        say(ERR, manifest.notice, "yellow")
    OUT.print(f"dataset  {visible(str(out / 'dataset'))}", markup=False, soft_wrap=True)
