"""The commands for what is finished: publish."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command(short_help="Publish the dataset of a run on the Hub, or into a folder.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("target", metavar="OWNER/NAME|URL")
@click.option("--dry-run", is_flag=True, help="Say what would be sent and what was found in it; send nothing.")
@click.option("--public", is_flag=True, help="Let everybody read it; without it the repository is private.")
@click.option("--gated", type=click.Choice(["auto", "manual"]), help="Whoever reads it has to ask, and gets in so.")
@click.option("--revision", default="", metavar="BRANCH", help="Publish on this branch, which is made if it is new.")
@click.option("--pull-request", is_flag=True, help="Propose it, and leave the branch as it is.")
@click.option(
    "--parent", default="", metavar="COMMIT", help="Go on top of this commit, although somebody else made it."
)
@click.option("--accept", multiple=True, type=click.Choice(["secret", "pii", "incomplete", "seeds", "terms"]),
              help="Publish although this was found; the card and synth.json tell.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
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


ALL = (publish,)
