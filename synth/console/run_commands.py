"""The commands that take the folder of a run: to follow it, to look into it, to use what it made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from synth.console.helping import Told
from synth.console.options import AS_JSON, Choice


@click.command(cls=Told, short_help="Say how far a run is and what it has cost.")
@click.argument("folder", type=click.Path(path_type=Path))
@AS_JSON
def status(folder: Path, as_json: bool) -> int:
    """Say how far the run in FOLDER is and what it has cost."""
    from synth.console import status

    status.status(folder, as_json=as_json)
    return 0


@click.command(cls=Told, short_help="Watch a run that goes on in another terminal.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON every second.")
def watch(folder: Path, as_json: bool) -> int:
    """Watch the run in FOLDER, which another process does, until it ends; nothing is changed."""
    from synth.console import steering

    return steering.watch(folder, as_json=as_json)


@click.command(cls=Told, short_help="Pause, slow, fund or end a run in another terminal.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("what", type=Choice(["pause", "resume", "limit", "budget", "drain"]))
@click.argument("value", required=False, default="")
def ctl(folder: Path, what: str, value: str) -> int:
    """Steer the run in FOLDER, which another process does: pause, resume, limit N, budget USD, drain.

    `limit` is the most requests in flight at each teacher, up to the recipe's own; `budget` the sum in dollars for this
    run; `drain` ends what is in flight and writes what is there, as Ctrl-C does.
    """
    from synth.console import steering

    return steering.ctl(folder, what, value)


@click.command(cls=Told, short_help="Show rows of a run, or what was refused.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("ids", nargs=-1)
@click.option("--rejected", is_flag=True, help="Show what was refused.")
@click.option("--reason", default="", help="Show only what was refused for this reason.")
@click.option("-n", "count", default=3, show_default=True, type=click.IntRange(min=1), help="How many to show.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def show(folder: Path, ids: tuple[str, ...], rejected: bool, reason: str, count: int, as_json: bool) -> int:
    """Show rows of the run in FOLDER, or those with the given IDS."""
    from synth.console import rows

    rows.show(folder, ids, rejected=rejected or bool(reason), reason=reason, count=count, as_json=as_json)
    return 0


@click.command(cls=Told, short_help="Show the whole way of a row back to raw replies.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("row")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every reply's body as it came.")
def trace(folder: Path, row: str, as_json: bool) -> int:
    """Show how ROW, an id in rows.jsonl or rejected.jsonl of a run's FOLDER, was made: prompts, replies, cost, fate."""
    from synth.console.tracing import traced
    from synth.results import trace as tracing

    traced(tracing.trace(folder, row), as_json=as_json)
    return 0


@click.command(cls=Told, short_help="Publish the dataset of a run on the Hub, or into a folder.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("target", metavar="OWNER/NAME|URL")
@click.option("--dry-run", is_flag=True, help="Say what would be sent and what was found in it; send nothing.")
@click.option("--public", is_flag=True, help="Let everybody read it; without it the repository is private.")
@click.option("--gated", type=Choice(["auto", "manual"]), help="Whoever reads it has to ask, and gets in so.")
@click.option("--revision", default="", metavar="BRANCH", help="Publish on this branch, which is made if it is new.")
@click.option("--pull-request", is_flag=True, help="Propose it, and leave the branch as it is.")
@click.option(
    "--parent", default="", metavar="COMMIT", help="Go on top of this commit, although somebody else made it."
)
@click.option("--accept", multiple=True, type=Choice(["secret", "pii", "incomplete", "seeds", "terms"]),
              help="Publish although this was found; the card and synth.json tell.")  # fmt: skip
@AS_JSON
def publish(folder: Path, target: str, dry_run: bool, accept: tuple[str, ...], as_json: bool, **where: Any) -> int:
    """Publish the dataset of the run in FOLDER: OWNER/NAME on the Hugging Face Hub, or file:///..., s3://bucket/....

    Keys, tokens and personal data are looked for first. What is there already is not sent again.
    """
    from synth import publishing
    from synth.console.publishing import published
    from synth.publishing.hub import Wanted

    given = [f"--{name.replace('_', '-')}" for name, value in where.items() if value]
    if "://" in target or target.startswith(("/", "./", "../")):
        if given:
            raise click.UsageError(f"{given[0]} is for repositories of the Hub, and {target} is a folder.")
        outcome = publishing.to_folder(folder, target, accept, dry_run=dry_run)
    else:
        if where["pull_request"] and where["gated"]:
            raise click.UsageError("--gated is a setting of the repository, which a pull request cannot propose.")
        outcome = publishing.to_hub(folder, Wanted(target, **where), accept, dry_run=dry_run)
    return published(outcome, target, as_json=as_json)


@click.command(cls=Told, short_help="Make one dataset of several finished runs.")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FOLDER", help="Where it goes.")
@click.option("--name", default="", help="Its name; the folder's if none.")
@click.option("--license", "licence", metavar="ID", help="Its licence, where the runs have different ones.")
@click.option("--by", default="question", show_default=True, metavar="PART",
              help="What is compared with the earlier runs: question, answer, messages, or a column.")  # fmt: skip
@click.option("--exact", is_flag=True, help="Only texts that are equal but for width, case, blanks and punctuation.")
@click.option("--against", multiple=True, metavar="NAME",
              help="Remove rows that hold an item of this benchmark: a file, or hub:OWNER/NAME.")  # fmt: skip
@click.option("--field", default="", metavar="COLUMN", help="The benchmarks' column.")
@click.option(
    "--fractions", default="", metavar="NAME=SHARE,...", help="Deal all rows anew; else each keeps its split."
)
@click.option("--seed", default=0, show_default=True, help="With --fractions: another number deals them otherwise.")
@AS_JSON
def merge(
    runs: tuple[Path, ...],
    out: Path,
    name: str,
    licence: str | None,
    by: str,
    exact: bool,
    against: tuple[str, ...],
    field: str,
    fractions: str,
    seed: int,
    as_json: bool,
) -> int:
    """Make one dataset of the finished RUNS. What a later one repeats of an earlier one is left out."""
    from synth import merging
    from synth.console.merging import merged
    from synth.files.plugin_texts import split_of_text
    from synth.recipes.named import benchmarks

    how = merging.How(
        name=name or out.resolve().name,
        license=licence,
        by=by,
        near=not exact,
        benchmarks=benchmarks(against, Path(), field) if against else None,
        split=split_of_text(fractions, seed) if fractions else None,
    )
    merged(merging.merge(runs, out, how), out, as_json=as_json)
    return 0


@click.command(cls=Told, short_help="Say what differs between two versions of a dataset.")
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@AS_JSON
def diff(old: Path, new: Path, as_json: bool) -> int:
    """Say what differs between OLD and NEW: runs, datasets in folders, or files of rows."""
    from synth.comparing.differing import differ
    from synth.console.differing import differed

    differed(differ(old, new), as_json=as_json)
    return 0


ALL = (status, watch, ctl, show, trace, publish, merge, diff)
