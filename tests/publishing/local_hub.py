"""A Hub of one's own: the endpoints that the real clients use to make, fill, read and settle dataset repositories.

Its replies have the shapes that `huggingface_hub` and `datasets` read; what it holds lies in memory. It is strict where
the Hub is: tokens, who may read and write, a parent that the branch stands at, contents that match their hashes, a front
matter that can be read, and files that .gitattributes calls large come by the way of large files.
"""

from __future__ import annotations

import asyncio
import base64
import fnmatch
import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

ATTRIBUTES = b"*.parquet filter=lfs diff=lfs merge=lfs -text\n*.zip filter=lfs diff=lfs merge=lfs -text\n"
LARGE = 10 * 1024 * 1024
LICENSES = {"apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-nc-4.0", "other", "unknown"}
DATE = "2026-11-29T12:00:00.000Z"


@dataclass
class Blob:
    content: bytes
    large: bool
    told: tuple[str, int] | None = None
    """Of a file that lies in Xet, which this Hub cannot read: its SHA-256 and size, as the client gave them."""

    @property
    def sha256(self) -> str:
        return self.told[0] if self.told else hashlib.sha256(self.content).hexdigest()

    @property
    def size(self) -> int:
        return self.told[1] if self.told else len(self.content)

    @property
    def oid(self) -> str:
        """As git names what lies in the tree: of a large file its pointer."""
        held = self.content
        if self.large:
            held = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n".encode()
        return hashlib.sha1(b"blob %d\0" % len(held) + held).hexdigest()


@dataclass
class Commit:
    oid: str
    title: str
    tree: dict[str, Blob]
    author: str


@dataclass
class Repository:
    name: str
    private: bool
    gated: str | bool = False
    refs: dict[str, list[Commit]] = field(default_factory=dict)
    requests: list[dict[str, Any]] = field(default_factory=list)

    def at(self, revision: str) -> Commit | None:
        if revision in self.refs:
            return self.refs[revision][-1]
        return next((one for commits in self.refs.values() for one in commits if one.oid == revision), None)


class LocalHub:
    """A server in a thread of its own; `with LocalHub() as hub` gives `hub.url`."""

    def __init__(self) -> None:
        self.tokens = {"hf_writer": ("owner", True), "hf_reader": ("reader", False), "hf_other": ("other", True)}
        self.repositories: dict[str, Repository] = {}
        self.store: dict[str, bytes] = {}
        """Large files by their SHA-256."""
        self.log: list[tuple[str, str]] = []
        """Every request: its method and path."""
        self.uploads: list[str] = []
        """Every large file whose bytes came whole."""
        self.xet: Path | None = None
        """A folder in which the client's own Xet keeps what it uploads; None where there is no Xet."""
        self.before_upload: Callable[[int], None] = lambda number: None
        """Called on a thread when the n-th upload begins."""
        self.before_commit: Callable[[], None] = lambda: None
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()

    def __enter__(self) -> LocalHub:
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._run())
        self._loop.close()

    async def _run(self) -> None:
        self._stop = asyncio.Event()
        app = web.Application(client_max_size=1 << 30, middlewares=[self._logged])
        repo = "/api/datasets/{owner}/{name}"
        add = app.router.add_route
        add("GET", "/api/whoami-v2", self.whoami)
        add("POST", "/api/repos/create", self.create)
        add("POST", "/api/validate-yaml", self.validate)
        add("GET", repo, self.info)
        add("GET", repo + "/revision/{rev}", self.info)
        add("GET", repo + "/tree/{rev}", self.tree)
        add("GET", repo + "/tree/{rev}/{path:.+}", self.tree)
        add("POST", repo + "/paths-info/{rev}", self.paths)
        add("GET", repo + "/refs", self.refs)
        add("POST", repo + "/branch/{rev}", self.branch)
        add("PUT", repo + "/settings", self.settings)
        add("GET", repo + "/discussions", self.discussions)
        add("POST", repo + "/preupload/{rev}", self.preupload)
        add("POST", repo + "/commit/{rev}", self.commit)
        add("GET", repo + "/xet-write-token/{rev}", self.xet_token)
        add("POST", "/datasets/{owner}/{name}.git/info/lfs/objects/batch", self.batch)
        add("PUT", "/upload/{oid}", self.upload)
        add("POST", "/verify", self.verify)
        app.router.add_get("/datasets/{owner}/{name}/resolve/{rev}/{path:.+}", self.resolve)  # and HEAD
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._started.set()
        await self._stop.wait()
        await runner.cleanup()

    @web.middleware
    async def _logged(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.log.append((request.method, request.path))
        return await handler(request)

    # who may do what

    def _who(self, request: web.Request) -> tuple[str, bool]:
        """The user and whether they may write. Refuses a token that nobody has, as the Hub does."""
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not given:
            return "", False
        if given not in self.tokens:
            raise _error(web.HTTPUnauthorized, "", "Invalid credentials in Authorization header")
        return self.tokens[given]

    def _repo(self, request: web.Request, *, write: bool = False, propose: bool = False) -> Repository:
        user, may_write = self._who(request)
        name = f"{request.match_info['owner']}/{request.match_info['name']}"
        found, is_own = self.repositories.get(name), request.match_info["owner"] == user
        if found is None or (found.private and not is_own):
            raise _error(web.HTTPNotFound if user else web.HTTPUnauthorized, "RepoNotFound", "Repository not found")
        if write and not (may_write and (is_own or propose)):
            raise _error(web.HTTPForbidden, "", "you don't have the rights to write to this repository")
        return found

    @staticmethod
    def _commit_of(repo: Repository, request: web.Request) -> Commit:
        found = repo.at(request.match_info.get("rev", "main"))
        if found is None:
            raise _error(web.HTTPNotFound, "RevisionNotFound", "Invalid rev id")
        return found

    # endpoints

    async def whoami(self, request: web.Request) -> web.Response:
        user, may_write = self._who(request)
        if not user:
            raise _error(web.HTTPUnauthorized, "", "Invalid username or password.")
        role = "write" if may_write else "read"
        auth = {"type": "access_token", "accessToken": {"displayName": "t", "role": role}}
        return web.json_response({"type": "user", "id": "1", "name": user, "orgs": [], "auth": auth})

    async def create(self, request: web.Request) -> web.Response:
        user, may_write = self._who(request)
        body = await request.json()
        owner = body.get("organization") or user
        if not may_write or owner != user:
            raise _error(web.HTTPForbidden, "", f"You don't have the rights to create a dataset under {owner}")
        assert body["type"] == "dataset"
        name = f"{owner}/{body['name']}"
        if name in self.repositories:
            return web.json_response({"error": "exists", "url": f"{self.url}/datasets/{name}"}, status=409)
        made = Repository(name, body.get("visibility") == "private" or body.get("private") is True)
        made.refs["main"] = [self._made("initial commit", {".gitattributes": Blob(ATTRIBUTES, large=False)}, user, "")]
        self.repositories[name] = made
        return web.json_response({"url": f"{self.url}/datasets/{name}", "name": name, "id": "1"})

    async def validate(self, request: web.Request) -> web.Response:
        content = (await request.json())["content"]
        try:
            header = yaml.safe_load(content.split("---\n", 2)[1])
            errors = [] if header.get("license") in (*LICENSES, None) else ['"license" must be one of the known ids']
        except (IndexError, yaml.YAMLError, AttributeError) as error:
            errors = [f"front matter: {error}"]
        told = {"errors": [{"message": one} for one in errors], "warnings": []}
        return web.json_response(told, status=400 if errors else 200)

    async def info(self, request: web.Request) -> web.Response:
        repo = self._repo(request)
        commit = self._commit_of(repo, request)
        siblings = [{"rfilename": path} for path in commit.tree]
        return web.json_response(
            {
                "_id": "1",
                "id": repo.name,
                "author": repo.name.partition("/")[0],
                "sha": commit.oid,
                "lastModified": DATE,
                "private": repo.private,
                "gated": repo.gated,
                "disabled": False,
                "tags": [],
                "downloads": 0,
                "likes": 0,
                "createdAt": DATE,
                "siblings": siblings,
            }
        )

    async def tree(self, request: web.Request) -> web.Response:
        commit = self._commit_of(self._repo(request), request)
        below = request.match_info.get("path", "").rstrip("/")
        prefix = below + "/" if below else ""
        if below and not any(path.startswith(prefix) for path in commit.tree):
            raise _error(web.HTTPNotFound, "EntryNotFound", f"{below} does not exist")
        recursive = request.query.get("recursive", "").lower() in ("1", "true")
        entries: dict[str, dict[str, Any]] = {}
        for path, blob in sorted(commit.tree.items()):
            if not path.startswith(prefix):
                continue
            parts = path[len(prefix) :].split("/")
            for depth in range(1, len(parts) if recursive else min(2, len(parts))):
                folder = prefix + "/".join(parts[:depth])
                entries[folder] = {"type": "directory", "oid": "0" * 40, "size": 0, "path": folder}
            if recursive or len(parts) == 1:
                entries[path] = _entry(path, blob)
        return web.json_response(list(entries.values()))

    async def paths(self, request: web.Request) -> web.Response:
        commit = self._commit_of(self._repo(request), request)
        wanted = await _fields(request)
        found: list[dict[str, Any]] = []
        for path in wanted.get("paths", []):
            if path in commit.tree:
                found.append(_entry(path, commit.tree[path]))
            elif any(name.startswith(path.rstrip("/") + "/") for name in commit.tree):
                found.append({"type": "directory", "oid": "0" * 40, "size": 0, "path": path})
        return web.json_response(found)

    async def refs(self, request: web.Request) -> web.Response:
        repo = self._repo(request)
        branches = [
            {"name": name, "ref": f"refs/heads/{name}", "targetCommit": commits[-1].oid}
            for name, commits in repo.refs.items()
            if not name.startswith("refs/")
        ]
        return web.json_response({"branches": branches, "tags": [], "converts": [], "pullRequests": []})

    async def branch(self, request: web.Request) -> web.Response:
        repo, name = self._repo(request, write=True), request.match_info["rev"]
        if name in repo.refs:
            return web.json_response({"error": "Reference already exists"}, status=409)
        start = (await _fields(request)).get("startingPoint", "main")
        repo.refs[name] = [repo.at(start) or repo.refs["main"][-1]]
        return web.json_response({}, status=201)

    async def settings(self, request: web.Request) -> web.Response:
        repo, body = self._repo(request, write=True), await request.json()
        if "gated" in body:
            repo.gated = body["gated"]
        if "visibility" in body or "private" in body:
            repo.private = body.get("visibility") == "private" or body.get("private") is True
        return web.json_response({"private": repo.private, "gated": repo.gated})

    async def discussions(self, request: web.Request) -> web.Response:
        repo = self._repo(request)
        every = [
            {
                "num": one["num"],
                "title": one["title"],
                "author": {"name": one["author"]},
                "createdAt": DATE,
                "status": one["status"],
                "isPullRequest": True,
                "repo": {"name": repo.name, "type": "dataset"},
            }
            for one in repo.requests
            if request.query.get("status", one["status"]) == one["status"]
        ]
        return web.json_response({"discussions": every, "count": len(every), "start": 0})

    async def preupload(self, request: web.Request) -> web.Response:
        repo = self._repo(request, write=True, propose=request.query.get("create_pr") == "1")
        commit = self._commit_of(repo, request)
        told: list[dict[str, Any]] = []
        for file in (await request.json())["files"]:
            base64.b64decode(file["sample"], validate=True)
            held = commit.tree.get(file["path"])
            large = _is_large(commit, file["path"], file["size"])
            told.append(
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if large else "regular",
                    "shouldIgnore": False,
                    "oid": None if held is None else held.sha256 if held.large else held.oid,
                }
            )
        return web.json_response({"files": told, "commitOid": commit.oid})

    async def xet_token(self, request: web.Request) -> web.Response:
        self._repo(request, write=True, propose=True)
        told = {
            "X-Xet-Cas-Url": f"local://{self.xet}",
            "X-Xet-Access-Token": "of-xet",
            "X-Xet-Token-Expiration": str(2**31),
        }
        return web.json_response({"casUrl": f"local://{self.xet}", "accessToken": "of-xet", "exp": 2**31}, headers=told)

    async def batch(self, request: web.Request) -> web.Response:
        self._repo(request, write=True, propose=True)
        body = await request.json()
        assert body["operation"] == "upload"
        assert "basic" in body["transfers"]
        objects: list[dict[str, Any]] = []
        for wanted in body["objects"]:
            entry: dict[str, Any] = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.store:
                entry["actions"] = {
                    "upload": {"href": f"{self.url}/upload/{wanted['oid']}", "header": {}},
                    "verify": {"href": f"{self.url}/verify", "header": {}},
                }
            objects.append(entry)
        return web.json_response({"transfer": "basic", "objects": objects})

    async def upload(self, request: web.Request) -> web.Response:
        assert "Authorization" not in request.headers, (
            "the address is a signed one of a storage: no token belongs there"
        )
        number = sum(path.startswith("/upload/") for _, path in self.log)
        await asyncio.to_thread(self.before_upload, number)
        content = await request.read()
        if hashlib.sha256(content).hexdigest() != request.match_info["oid"]:
            return web.json_response({"error": "the content is not that of its name"}, status=400)
        self.store[request.match_info["oid"]] = content
        self.uploads.append(request.match_info["oid"])
        return web.Response(headers={"ETag": '"1"'})

    async def verify(self, request: web.Request) -> web.Response:
        body = await request.json()
        there = len(self.store.get(body["oid"], b"")) == body["size"]
        return web.json_response({}, status=200 if there else 404)

    async def commit(self, request: web.Request) -> web.Response:
        proposed = request.query.get("create_pr") == "1"
        repo = self._repo(request, write=True, propose=proposed)
        await asyncio.to_thread(self.before_commit)
        lines = [json.loads(line) for line in (await request.read()).splitlines()]
        assert request.content_type == "application/x-ndjson"
        header = lines[0]["value"]
        base = self._commit_of(repo, request)
        parent = header.get("parentCommit")
        if parent and not base.oid.startswith(parent) and not proposed:
            return web.json_response(
                {"error": "A commit has happened since. Please refresh and try again."}, status=412
            )
        tree = dict(base.tree)
        for line in lines[1:]:
            self._apply(tree, base, line["key"], line["value"])
        user, _ = self._who(request)
        made = self._made(header["summary"], tree, user, base.oid)
        told = {
            "success": True,
            "commitOid": made.oid,
            "commitUrl": f"{self.url}/datasets/{repo.name}/commit/{made.oid}",
        }
        if proposed:
            number = len(repo.requests) + 1
            repo.refs[f"refs/pr/{number}"] = [made]
            repo.requests.append({"num": number, "title": header["summary"], "author": user, "status": "open"})
            told["pullRequestUrl"] = f"{self.url}/datasets/{repo.name}/discussions/{number}"
        else:
            repo.refs[request.match_info["rev"]].append(made)
        return web.json_response(told)

    def _apply(self, tree: dict[str, Blob], base: Commit, key: str, value: dict[str, Any]) -> None:
        path = value["path"]
        if key == "file":
            content = base64.b64decode(value["content"], validate=True)
            assert value["encoding"] == "base64"
            assert not _is_large(base, path, len(content)), f"{path} is a large file"
            tree[path] = Blob(content, large=False)
        elif key == "lfsFile" and self.xet is not None:
            tree[path] = Blob(b"", large=True, told=(value["oid"], value["size"]))
        elif key == "lfsFile":
            if value["oid"] not in self.store:
                raise _error(web.HTTPBadRequest, "", f"{path}: its content was not uploaded")
            tree[path] = Blob(self.store[value["oid"]], large=True)
        elif key == "deletedFile":
            if path not in tree:
                raise _error(web.HTTPNotFound, "EntryNotFound", "A file with this name doesn't exist")
            del tree[path]
        else:
            raise AssertionError(key)

    async def resolve(self, request: web.Request) -> web.StreamResponse:
        repo = self._repo(request)
        user, _ = self._who(request)
        if repo.gated and request.match_info["owner"] != user:
            raise _error(web.HTTPForbidden, "GatedRepo", f"Access to dataset {repo.name} is restricted.")
        commit, path = self._commit_of(repo, request), request.match_info["path"]
        headers = {"X-Repo-Commit": commit.oid}
        if path not in commit.tree:
            raise _error(web.HTTPNotFound, "EntryNotFound", "Entry not found", headers)
        blob = commit.tree[path]
        etag = blob.sha256 if blob.large else blob.oid
        headers |= {"ETag": f'"{etag}"', "X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(blob.content))}
        start, stop = request.http_range.start, request.http_range.stop
        if start is None and stop is None:
            return web.Response(body=blob.content, headers=headers)
        part = blob.content[start:stop]
        begin = start or 0
        headers["Content-Range"] = f"bytes {begin}-{begin + len(part) - 1}/{len(blob.content)}"
        return web.Response(status=206, body=part, headers=headers)

    # for tests

    def _made(self, title: str, tree: dict[str, Blob], author: str, parent: str) -> Commit:
        named = "".join(f"{path} {blob.sha256}\n" for path, blob in sorted(tree.items()))
        return Commit(hashlib.sha1(f"{parent}\n{title}\n{named}".encode()).hexdigest(), title, tree, author)

    def push(self, name: str, path: str, content: bytes, branch: str = "main") -> str:
        """A commit of somebody else's; gives its name."""
        commits = self.repositories[name].refs[branch]
        commits.append(self._made("edit", commits[-1].tree | {path: Blob(content, large=False)}, "x", commits[-1].oid))
        return commits[-1].oid

    def files(self, name: str, revision: str = "main") -> dict[str, bytes]:
        """What a revision holds."""
        commit = self.repositories[name].at(revision)
        assert commit is not None
        return {path: blob.content for path, blob in commit.tree.items()}

    def commits(self, name: str, branch: str = "main") -> list[Commit]:
        """The commits of a branch, the first first."""
        return self.repositories[name].refs[branch]


def _is_large(commit: Commit, path: str, size: int) -> bool:
    if size == 0:
        return False
    attributes = commit.tree.get(".gitattributes", Blob(b"", large=False)).content.decode()
    forms = [line.split()[0] for line in attributes.splitlines() if "filter=lfs" in line]
    return size > LARGE or any(fnmatch.fnmatch(path.rpartition("/")[2], form) for form in forms)


def _entry(path: str, blob: Blob) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "oid": blob.oid, "size": blob.size, "path": path}
    if blob.large:
        entry["lfs"] = {"oid": blob.sha256, "size": blob.size, "pointerSize": 130}
    return entry


async def _fields(request: web.Request) -> dict[str, Any]:
    """A body as JSON or as a form, whichever the client sends."""
    if request.content_type == "application/json":
        return await request.json() if request.can_read_body else {}
    form = await request.post()
    return {"paths": form.getall("paths", []), **{name: form[name] for name in form if name != "paths"}}


def _error(kind: type[web.HTTPError], code: str, message: str, headers: dict[str, str] | None = None) -> web.HTTPError:
    told = {**(headers or {}), "X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
    return kind(text=json.dumps({"error": message}), content_type="application/json", headers=told)
