"""A dataset on its way out: what goes, what should not, and where to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson
from pydantic import TypeAdapter, ValidationError

from synth.datasets.files import write_whole
from synth.language.text import several
from synth.protocol.keys import key_of, look
from synth.publishing.content import Accepted, Content, gather
from synth.publishing.findings import Finding, accepted_of, find
from synth.publishing.folder import Place
from synth.publishing.hub import Done, Hub, Plan, Wanted, planned
from synth.types import Value

NOTES = "published.json"
SHORTEST_KEY = 8
"""Characters: what is shorter guards nothing, and would be found in any text."""


class Note(Value):
    """That a run was published somewhere."""

    target: str
    commit: str
    manifest_sha256: str
    published: str
    """ISO 8601 with offset."""
    accepted: tuple[Accepted, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was published, or would be."""

    content: Content
    plan: Plan
    found: tuple[Finding, ...]
    refused: tuple[Finding, ...]
    """Those of them that were not accepted."""
    done: Done | None = None
    """None when nothing was to be done yet."""
    request: str = ""
    """The pull request that proposes this already."""


def to_hub(folder: Path, wanted: Wanted, accept: Sequence[str], *, dry_run: bool) -> Outcome:
    """Publish a run's dataset on the Hub. Raises RecipeError, FolderError and PublishError."""
    content, hub = gather(folder), Hub()
    repo = hub.name(wanted.repo)
    found = find(content, _keys(content, folder) | {"HF_TOKEN": hub.token})
    accepted, refused = accepted_of(found, accept)
    target = f"{hub.endpoint}/datasets/{repo}" + (f"@{wanted.revision}" if wanted.revision else "")
    notes = _notes(folder)
    last = next((note.commit for note in reversed(notes) if note.target == target), "")
    plan = planned(content, wanted, repo, hub.look(repo, wanted.revision), accepted, last)
    outcome = Outcome(content, plan, tuple(found), tuple(refused))
    if refused or dry_run:
        return outcome
    rows = content.manifest.row_count
    message = f"{content.manifest.recipe.name}: {several(rows, 'row')} ({content.digest[:12]})"
    if wanted.pull_request:
        open_one = "" if plan.is_done else hub.open_request(repo, message)
        done = Done(open_one, "", is_new=False) if open_one else hub.push(plan, wanted, message)
        return Outcome(content, plan, tuple(found), (), done, open_one)
    done = hub.push(plan, wanted, message)
    _note(folder, notes, _note_of(target, done, content, accepted))
    return Outcome(content, plan, tuple(found), (), done)


def to_folder(folder: Path, url: str, accept: Sequence[str], *, dry_run: bool) -> Outcome:
    """Publish a run's dataset into a folder or an object store. Raises as `to_hub` does."""
    content, place = gather(folder), Place(url)
    found = find(content, _keys(content, folder))
    accepted, refused = accepted_of(found, accept)
    notes = _notes(folder)
    last = next((note.manifest_sha256 for note in reversed(notes) if note.target == place.url), "")
    plan = place.plan(content, place.look(), accepted, last)
    if refused or dry_run:
        return Outcome(content, plan, tuple(found), tuple(refused))
    done = place.push(plan)
    if done.is_new:
        _note(folder, notes, _note_of(place.url, done, content, accepted))
    return Outcome(content, plan, tuple(found), (), done)


def _note_of(target: str, done: Done, content: Content, accepted: tuple[Accepted, ...]) -> Note:
    return Note(
        target=target,
        commit=done.commit,
        manifest_sha256=content.manifest_sha256,
        published=datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
        accepted=accepted,
    )


def _keys(content: Content, folder: Path) -> dict[str, str]:
    """The keys that the teachers are asked with on this machine, by their variables."""
    named = {one.key_variable: one.base_url for one in content.manifest.teachers if one.key_variable}
    look(named, (Path(), folder, folder.absolute().parent))
    return {name: key for name in sorted(named) if len(key := key_of(name)) >= SHORTEST_KEY}


_NOTES = TypeAdapter(tuple[Note, ...])


def _notes(folder: Path) -> tuple[Note, ...]:
    """Where the run was published before; damaged, nowhere: what is there tells enough to be careful."""
    try:
        return _NOTES.validate_json((folder / NOTES).read_bytes())
    except (OSError, ValidationError):
        return ()


def _note(folder: Path, notes: tuple[Note, ...], note: Note) -> None:
    every = _NOTES.dump_python((*(one for one in notes if one.target != note.target), note), mode="json")
    write_whole(folder / NOTES, orjson.dumps(every, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
