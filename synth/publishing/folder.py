"""To a folder, or an object store such as S3 that fsspec opens: only what differs is written, `synth.json` last.

There are no commits here: who reads while it is written may see files of both versions. Each file that is up is noted,
so that an upload which was killed goes on where it stopped.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson

from synth.errors import PublishError, RecipeError
from synth.patterns import lazy
from synth.publishing.content import (
    RECORD,
    Accepted,
    Content,
    Item,
    Previous,
    Publication,
    is_published,
    read_record,
    version_of,
)
from synth.publishing.hub import Done, Plan, There

UPLOADED = "synth-upload.json"
"""The files of an upload that is not over, each with its hash; without one while it may be there in part."""
_PASSWORD = lazy(r"://[^/@:]*:(?!\d+(?:/|$))[^@]*@")


class _Disk:
    """The files of this machine, for what is done with those that fsspec opens."""

    def exists(self, path: str) -> bool:
        return os.path.lexists(path)

    def find(self, root: str, *, detail: bool) -> dict[str, dict[str, int]]:
        """Every file below a folder, with its size."""
        assert detail
        return {path.as_posix(): {"size": path.stat().st_size} for path in Path(root).rglob("*") if path.is_file()}

    def cat_file(self, path: str) -> bytes:
        return Path(path).read_bytes()

    def pipe_file(self, path: str, raw: bytes) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(raw)

    def put_file(self, source: str, path: str) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, path)

    def rm_file(self, path: str) -> None:
        Path(path).unlink()


class Place:
    """A folder here, or one that fsspec opens. Raises PublishError with one sentence for all that goes wrong."""

    def __init__(self, url: str) -> None:
        if _PASSWORD.search(url):
            raise RecipeError(
                "The address holds a password, which would be written down with it; leave it out, and give it by the "
                "variables that fsspec reads, such as FSSPEC_FTP_USERNAME and FSSPEC_FTP_PASSWORD."
            )
        self.url = url.rstrip("/")
        self._files: Any = _Disk()
        if _is_local(url):
            path = self.url.partition("://")[2] or self.url
            self._root = Path(path).expanduser().absolute().as_posix()
            return
        try:
            core: Any = import_module("fsspec.core")
            self._files, self._root = core.url_to_fs(self.url)
        except ModuleNotFoundError as error:
            raise RecipeError(
                f"{url} needs a package that is not installed ({error.name}): pip install 'synth[s3]' brings those "
                "for S3, and 'synth[hub]' fsspec alone; a folder such as ./published needs none."
            ) from None
        except (ImportError, ValueError) as error:
            raise RecipeError(f"{url} cannot be opened: {' '.join(str(error).split())}.") from None

    def look(self) -> There:
        """What it holds now: of each file its size."""
        with self._speaking():
            if not self._files.exists(self._root):
                return There()
            every: dict[str, Any] = self._files.find(self._root, detail=True)
            skip = len(self._root.rstrip("/")) + 1
            files = {path[skip:]: str(one["size"]) for path, one in every.items()}
            if RECORD not in files:
                return There(exists=True, files=files)
            raw: bytes = self._files.cat_file(self._at(RECORD))
        return There(exists=True, files=files, publication=read_record(raw, f"{self.url}/{RECORD}"))

    def plan(self, content: Content, there: There, accepted: tuple[Accepted, ...], last: str) -> Plan:
        """What publishing would do. `last` is the hash of what this run published there last, if it did."""
        files, before = there.files or {}, there.publication
        uploaded = self._uploaded(files)
        changed = [path for path, one in before.files.items() if files.get(path) != str(one.bytes)] if before else []
        whole = before is not None and all(uploaded.get(p, one.sha256) == one.sha256 for p, one in before.files.items())
        if before is not None and whole and not changed and is_published(content, before, accepted):
            return Plan(self.url, there, (), content.items, (), before.previous)
        if before is None and (others := sorted(files.keys() - uploaded.keys() - {UPLOADED})):
            raise PublishError(
                f"{self.url} holds what synth did not publish, such as {others[0]}; name a folder of its own."
            )
        if before is not None and not uploaded:
            if changed:
                raise PublishError(
                    f"Somebody else has changed {changed[0]} in {self.url} since synth published it, and nothing was "
                    "overwritten; look at it, or name another folder."
                )
            if last and last != before.manifest_sha256:
                raise PublishError(
                    f"Somebody else has published to {self.url} since this run did, and nothing was overwritten; name "
                    "another folder."
                )
        previous = None
        if before is not None:
            previous = Previous(manifest_sha256=before.manifest_sha256, rows=before.row_count)
        items = (*content.items, *version_of(content, previous, accepted))
        up = {path: one.sha256 for path, one in before.files.items()} if before else {}
        up |= uploaded
        kept = tuple(item for item in items if up.get(item.path) == item.record.sha256 and item.path in files)
        gone = sorted(({*before.files} if before else set[str]()) - {item.path for item in items})
        return Plan(self.url, there, tuple(item for item in items if item not in kept), kept, tuple(gone), previous)

    def push(self, plan: Plan) -> Done:
        """Do what a plan says."""
        with self._speaking():
            up = self._uploaded(plan.there.files or {}) | {item.path: "" for item in plan.changed}
            if plan.changed:
                self._files.pipe_file(self._at(UPLOADED), orjson.dumps(up))
            for item in plan.changed:
                if item.path == RECORD:
                    self._unchanged(plan.there.publication)
                    self._remove(plan.gone)
                self._write(item)
                up[item.path] = item.record.sha256
                if item.path != RECORD:
                    self._files.pipe_file(self._at(UPLOADED), orjson.dumps(up))
            if self._files.exists(self._at(UPLOADED)):
                self._files.rm_file(self._at(UPLOADED))
        return Done(self.url, "", is_new=not plan.is_done)

    def _write(self, item: Item) -> None:
        if isinstance(item.source, bytes):
            self._files.pipe_file(self._at(item.path), item.source)
        else:
            self._files.put_file(str(item.source), self._at(item.path))

    def _remove(self, paths: tuple[str, ...]) -> None:
        """Remove files, as far as an earlier upload that was killed has not."""
        for path in paths:
            if self._files.exists(self._at(path)):
                self._files.rm_file(self._at(path))

    def _unchanged(self, before: Publication | None) -> None:
        """Raise PublishError when another version took the place of the one that was seen, in the meantime."""
        exists = self._files.exists(self._at(RECORD))
        now = read_record(self._files.cat_file(self._at(RECORD)), RECORD) if exists else None
        if now != before:
            raise PublishError(
                f"Somebody else has published to {self.url} in the meantime; its {RECORD} was left as it is: look at "
                "what is there and publish again."
            )

    def _uploaded(self, files: dict[str, str]) -> dict[str, str]:
        """What an upload that was killed had brought."""
        if UPLOADED not in files:
            return {}
        with self._speaking():
            raw: bytes = self._files.cat_file(self._at(UPLOADED))
        try:
            return dict(orjson.loads(raw))
        except (orjson.JSONDecodeError, TypeError, ValueError):  # it was killed while it wrote this
            return dict.fromkeys(files, "")

    def _at(self, path: str) -> str:
        return f"{self._root.rstrip('/')}/{path}"

    @contextmanager
    def _speaking(self) -> Generator[None]:
        try:
            yield
        except (OSError, *_of_s3()) as error:
            raise PublishError(
                f"{self.url} cannot be written or read ({' '.join(str(error).split())[:300]}); what is up stays, run "
                "it again."
            ) from error


def _is_local(url: str) -> bool:
    return "://" not in url or url.startswith(("file://", "local://"))


def _of_s3() -> tuple[type[Exception], ...]:
    """What S3's client raises that is no OSError."""
    module = sys.modules.get("botocore.exceptions")
    return () if module is None else (module.BotoCoreError,)
