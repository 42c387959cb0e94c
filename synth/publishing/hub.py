"""To a dataset repository of the Hugging Face Hub, or of what HF_ENDPOINT names: one commit on top of what was seen.

The large files go first, and the Hub says of each whether it has it already, so that an upload which was killed goes on
where it stopped. The commit names its parent: when somebody else has pushed in between, the Hub refuses it whole.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from synth.errors import PublishError, RecipeError
from synth.publishing.content import (
    RECORD,
    Accepted,
    Content,
    FileRecord,
    Item,
    Previous,
    Publication,
    is_published,
    read_record,
    version_of,
)

OF_THE_HUB = ".gitattributes"
"""Which every new repository begins with."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where a dataset is to go, and how."""

    repo: str
    revision: str = ""
    """A branch; the main one when empty."""
    pull_request: bool = False
    public: bool = False
    gated: Literal["auto", "manual"] | None = None
    parent: str = ""
    """The commit to go on top of, although somebody else made it; any beginning of its name."""


@dataclass(frozen=True, slots=True)
class There:
    """What a repository holds."""

    exists: bool = False
    private: bool = True
    gated: str = ""
    has_branch: bool = False
    """Whether the revision is there; else what is told of it is what it will begin with, the main branch."""
    head: str = ""
    """The commit that it stands at."""
    files: dict[str, str] | None = None
    """By path what tells a file's content: its SHA-256, or for a small one what git calls it."""
    publication: Publication | None = None
    """What synth published last."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What publishing would do."""

    repo: str
    there: There
    changed: tuple[Item, ...]
    """Files that the repository has not, or not so."""
    kept: tuple[Item, ...]
    gone: tuple[str, ...]
    """Files of the earlier version that this one has no more."""
    previous: Previous | None

    @property
    def is_done(self) -> bool:
        """Whether the repository holds it all."""
        return not self.changed and not self.gone


@dataclass(frozen=True, slots=True)
class Done:
    """What was published."""

    url: str
    commit: str
    is_new: bool
    """Whether there was anything to do."""


class Hub:
    """The Hub, with the token that its own tools use. Raises PublishError with one sentence for all that goes wrong."""

    def __init__(self) -> None:
        hub = _import()
        self._hub: Any = hub
        self._errors: Any = import_module("huggingface_hub.errors")
        self._api: Any = hub.HfApi(library_name="synth")
        self.endpoint = str(self._api.endpoint)
        self.token: str = hub.get_token() or ""
        if not sys.stderr.isatty():
            import_module("huggingface_hub.utils").disable_progress_bars()

    def name(self, repo: str) -> str:
        """The repository's whole name, `OWNER/NAME`: who names no owner means their own."""
        if not self.token:
            raise PublishError(
                f"There is no token for {self.endpoint}: log in with `hf auth login`, or set HF_TOKEN to one that "
                "may write."
            )
        with self._speaking(repo):
            who = self._api.whoami()
        name = repo if "/" in repo else f"{who['name']}/{repo}"
        try:
            import_module("huggingface_hub.utils").validate_repo_id(name)
        except ValueError:
            raise RecipeError(f"{name!r} names no repository; write OWNER/NAME.") from None
        return name

    def look(self, repo: str, revision: str) -> There:
        """What a repository holds now."""
        errors = self._errors
        with self._speaking(repo):
            try:
                info = self._api.dataset_info(repo)
            except errors.RepositoryNotFoundError:
                return There()
            try:
                head, has_branch = self._api.dataset_info(repo, revision=revision or "main").sha, True
            except errors.RevisionNotFoundError:
                head, has_branch = info.sha, False
            tree = self._api.list_repo_tree(repo, recursive=True, revision=head, repo_type="dataset")
            files = {one.path: one.lfs.sha256 if one.lfs else one.blob_id for one in tree if hasattr(one, "blob_id")}
            there = There(True, bool(info.private), str(info.gated or ""), has_branch, head, files)
            if RECORD not in files:
                return there
            raw = Path(self._api.hf_hub_download(repo, RECORD, repo_type="dataset", revision=head)).read_bytes()
        return replace(there, publication=read_record(raw, f"{RECORD} of {repo}"))

    def push(self, plan: Plan, wanted: Wanted, message: str) -> Done:
        """Do what a plan says."""
        repo, there = plan.repo, plan.there
        with self._speaking(repo):
            if not there.exists:
                self._api.create_repo(repo, repo_type="dataset", private=True, exist_ok=True)
            if wanted.revision and not there.has_branch:
                self._api.create_branch(repo, branch=wanted.revision, repo_type="dataset", exist_ok=True)
            head = there.head or self._api.dataset_info(repo, revision=wanted.revision or "main").sha
            done = Done(f"{self.endpoint}/datasets/{repo}", head, is_new=not plan.is_done)
            if not plan.is_done:
                done = self._commit(plan, wanted, message, head)
            self._settle(repo, there, wanted)
        return done

    def open_request(self, repo: str, title: str) -> str:
        """The address of an open pull request of this title; empty when there is none."""
        with self._speaking(repo):
            every: Iterator[Any] = self._api.get_repo_discussions(
                repo, repo_type="dataset", discussion_type="pull_request", discussion_status="open"
            )
            return next((str(one.url) for one in every if one.title == title), "")

    def _commit(self, plan: Plan, wanted: Wanted, message: str, head: str) -> Done:
        hub = self._hub
        operations = [
            *(hub.CommitOperationAdd(item.path, _source(item)) for item in plan.changed),
            *(hub.CommitOperationDelete(path) for path in plan.gone),
        ]
        made = self._api.create_commit(
            plan.repo,
            operations,
            commit_message=message,
            repo_type="dataset",
            revision=wanted.revision or None,
            create_pr=wanted.pull_request,
            parent_commit=head,
        )
        return Done(str(made.pr_url or f"{self.endpoint}/datasets/{plan.repo}"), str(made.oid), is_new=True)

    def _settle(self, repo: str, there: There, wanted: Wanted) -> None:
        """Who may read it, once it is there: what is gated is so before it is public."""
        if wanted.pull_request:
            return
        if wanted.gated is not None and there.gated != wanted.gated:
            self._api.update_repo_settings(repo, repo_type="dataset", gated=wanted.gated)
        if wanted.public and there.private:
            self._api.update_repo_settings(repo, repo_type="dataset", private=False)

    @contextmanager
    def _speaking(self, repo: str) -> Generator[None]:
        """Turn what the Hub's client raises into a sentence, which never holds the token."""
        errors = self._errors
        # that of httpx, or of its successor in later versions
        of_http = next(one for one in errors.HfHubHTTPError.__mro__ if one.__name__ == "HTTPError")
        try:
            yield
        except (of_http, OSError, RuntimeError, ValueError) as error:
            answer: Any = error
            while answer is not None and not isinstance(answer, errors.HfHubHTTPError):
                answer = answer.__cause__  # uploads and downloads end with an error of their own
            if "metadata in README.md" in str(error):  # the Hub looks at the card before anything is uploaded
                told = f"{self.endpoint} does not take the card: {self._plain(error)}"
            elif answer is not None:
                told = self._sentence(answer, repo)
            else:
                told = (
                    f"{self.endpoint} cannot be reached ({self._plain(error)}); what was uploaded stays, run it again."
                )
            raise PublishError(told) from error

    def _sentence(self, error: Any, repo: str) -> str:
        status = int(error.response.status_code)
        said = self._plain(error.server_message or "")
        if status in (409, 412):
            return (
                f"Somebody else has pushed to {repo} in the meantime, and nothing was overwritten; look at what is "
                "there and publish again."
            )
        if status == 401:
            return f"{self.endpoint} does not take the token (401); log in anew with `hf auth login`, or set HF_TOKEN."
        if status == 403:
            return f"The token may not do this to {repo} (403{': ' + said if said else ''}); use one that may write."
        if status == 404:
            return f"{repo} is not there, or the token may not see it ({self.endpoint})."
        return f"{self.endpoint} answered {status}{': ' + said if said else ''}; what is up stays, run it again."

    def _plain(self, error: object) -> str:
        text = " ".join(str(error).split())
        return (text.replace(self.token, "…") if self.token else text)[:300]


def planned(
    content: Content, wanted: Wanted, repo: str, there: There, accepted: tuple[Accepted, ...], last: str
) -> Plan:
    """What publishing would do. `last` is the commit that this run made there last, if any.

    Raises PublishError where it would overwrite what somebody else has done, or show what is to stay private.
    """
    if there.exists and not there.private and not wanted.public:
        raise PublishError(f"{repo} is public: everybody could read this; --public says that it shall be so.")
    if wanted.pull_request and not there.has_branch:
        raise PublishError(f"{repo} has no {wanted.revision or 'main'} that a pull request could be made to.")
    files, before = there.files or {}, there.publication
    if before is not None and is_published(content, before, accepted) and _changed(before, files) == []:
        return Plan(repo, there, (), content.items, (), before.previous)
    _nobody_elses(wanted, repo, there, last)
    previous = None
    if before is not None:
        previous = Previous(commit=there.head, manifest_sha256=before.manifest_sha256, rows=before.row_count)
    items = (*content.items, *version_of(content, previous, accepted))
    kept = tuple(item for item in items if files.get(item.path) in _names(item.record))
    gone = sorted(({*before.files} if before else set[str]()) & files.keys() - {item.path for item in items})
    return Plan(repo, there, tuple(item for item in items if item not in kept), kept, tuple(gone), previous)


def _nobody_elses(wanted: Wanted, repo: str, there: There, last: str) -> None:
    """Raise PublishError when what is there is not what synth left, unless the user names it as the parent."""
    if wanted.parent:
        if not there.head.startswith(wanted.parent):
            raise PublishError(
                f"{repo} stands at {there.head[:12] or 'no commit'} and not at {wanted.parent}: somebody else has "
                "pushed, and nothing was overwritten."
            )
        return
    how = f"Nothing was overwritten; look at it, and go on top of it with --parent {there.head[:12]}."
    files, before = there.files or {}, there.publication
    if before is None:
        if others := sorted(files.keys() - {OF_THE_HUB}):
            raise PublishError(f"{repo} holds what synth did not publish, such as {others[0]}. {how}")
        return
    if changed := _changed(before, files):
        raise PublishError(f"Somebody else has changed {changed[0]} in {repo} since synth published it. {how}")
    if last and last != there.head:
        raise PublishError(
            f"Somebody else has pushed to {repo} since this run was published there as {last[:12]}. {how}"
        )


def _changed(before: Publication, files: dict[str, str]) -> list[str]:
    """Files of a version that are no longer as it left them."""
    return [path for path, record in before.files.items() if files.get(path) not in _names(record)]


def _names(record: FileRecord) -> tuple[str, str]:
    """What the Hub may call a file's content."""
    return record.sha256, record.git


def _source(item: Item) -> bytes | str:
    return item.source if isinstance(item.source, bytes) else str(item.source)


def _import() -> Any:
    try:
        return import_module("huggingface_hub")
    except ModuleNotFoundError:
        raise RecipeError(
            "Publishing on the Hub needs the package huggingface_hub; install it: pip install 'synth[hub]'. A folder "
            "is written as ./NAME, and needs none."
        ) from None
