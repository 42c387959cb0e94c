"""Plays vLLM, as a server (`fake_vllm.py serve MODEL ...`) and as the package that its application is made from.

It answers a chat with the words that it was asked, and other paths with their name. What it lives through is told by
files in the folder that FAKE_VLLM names: `starts`, `args`, `answered` and `cancelled` are written by it, `plan` is read:

    load=SECONDS      takes so long to load
    fail              says something and does not start
    die=N             dies when it has answered N requests, in its first life; `die_always=N` in every life
    together=N        answers none before N are there
    never             answers nothing
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

BOOK = Path(os.environ.get("FAKE_VLLM", "."))


def plan() -> dict[str, str]:
    path = BOOK / "plan"
    words = path.read_text().split() if path.exists() else []
    return {word.partition("=")[0]: word.partition("=")[2] for word in words}


def note(name: str, what: str) -> None:
    with (BOOK / name).open("a", encoding="utf-8") as file:
        file.write(what + "\n")


class Engine:
    errored = False
    model_config = None

    def __init__(self, args: list[str]) -> None:
        note("args", json.dumps(args, ensure_ascii=False))
        note("starts", str(os.getpid()))
        self.lives = len((BOOK / "starts").read_text().split())
        self.name = args[args.index("--served-model-name") + 1]
        self.answered = 0
        self.waiting = 0
        self.enough = asyncio.Event()
        # a worker of its own, which takes no notice of a kind word
        worker = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
        note("workers", str(subprocess.Popen([sys.executable, "-c", worker]).pid))

    async def load(self) -> None:
        print(f"{self.name} を読み込んでいます", flush=True)
        told = plan()
        await asyncio.sleep(float(told.get("load", 0)))
        if "fail" in told:
            print("RuntimeError: 重みが見つかりません", file=sys.stderr, flush=True)
            os._exit(3)

    async def answer(self, path: str, raw: bytes) -> tuple[int, dict]:
        told, body = plan(), json.loads(raw)
        self.waiting += 1
        if self.waiting >= int(told.get("together", 1)):
            self.enough.set()
        try:
            await self.enough.wait()
            if "never" in told:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            note("cancelled", path)
            raise
        self.answered += 1
        note("answered", path)
        last = told.get("die_always") or (told.get("die") if self.lives == 1 else None)
        if last is not None and self.answered >= int(last):
            print("EngineDeadError: 動力が止まりました", file=sys.stderr, flush=True)
            print(" - leaked type\n" * 30, file=sys.stderr, flush=True)  # as the libraries of the real one do
            os._exit(9)
        if os.environ.get("VLLM_API_KEY"):
            return 401, {"error": {"message": "Unauthorized", "type": "AuthenticationError", "code": 401}}
        if body["model"] != self.name:
            message = f"The model `{body['model']}` does not exist."
            return 404, {"error": {"message": message, "type": "NotFoundError", "code": 404}}
        said = f"{path}: {body['messages'][-1]['content']}" if "messages" in body else path
        choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
        return 200, {"id": "x", "object": "chat.completion", "model": self.name, "choices": [choice], "usage": usage}


# what synth's child takes of vLLM


def make_arg_parser(parser):
    return parser


class FlexibleArgumentParser:
    def parse_args(self):
        return SimpleNamespace(model_tag=sys.argv[1], model=None, all=sys.argv[1:])


def validate_parsed_serve_args(args) -> None:
    assert args.model_tag


def cli_env_setup() -> None:
    pass


@asynccontextmanager
async def build_async_engine_client(args):
    engine = Engine(args.all)
    await engine.load()
    engine.get_supported_tasks = _tasks
    assert args.model == args.model_tag
    yield engine


async def _tasks():
    return ("generate",)


class Application:
    def __init__(self) -> None:
        self.state = SimpleNamespace()
        self.router = SimpleNamespace(lifespan_context=self._life)

    @asynccontextmanager
    async def _life(self, _app):
        yield

    async def __call__(self, scope, receive, send) -> None:
        raw = (await receive())["body"]
        if b"raise yourself" in raw:
            raise ValueError("自分で上げました")
        status, reply = await self.state.engine.answer(scope["path"], raw)
        await send({"type": "http.response.start", "status": status, "headers": []})
        whole = json.dumps(reply, ensure_ascii=False).encode()
        for piece in (whole[:20], whole[20:]):
            await send({"type": "http.response.body", "body": piece, "more_body": piece != whole[20:]})


def build_app(args, tasks, model_config):
    return Application()


async def init_app_state(engine, state, args, tasks) -> None:
    state.engine = engine


PARTS = {
    "entrypoints/launchers/api_server/app_state": "init_app_state",
    "entrypoints/launchers/api_server/entry": "build_async_engine_client",
    "entrypoints/launchers/app": "build_app",
    "entrypoints/launchers/cli_args": "make_arg_parser, validate_parsed_serve_args",
    "entrypoints/serve/utils/api_utils": "cli_env_setup",
    "utils/argparse_utils": "FlexibleArgumentParser",
}


def install(folder: Path) -> Path:
    """Make `bin/vllm`, the Python beside it and the package; gives the command."""
    package, bin_ = folder / "site" / "vllm", folder / "bin"
    for name, parts in PARTS.items():
        path = package / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"from fake_vllm import {parts}\n")
    (package / "__init__.py").write_text('__version__ = "0.0"\n')
    bin_.mkdir()
    script = {
        "vllm": f'exec "{sys.executable}" "{Path(__file__)}" "$@"\n',
        "python": f'PYTHONPATH="{folder / "site"}:{Path(__file__).parent}" exec "{sys.executable}" "$@"\n',
    }
    for name, line in script.items():
        (bin_ / name).write_text(f"#!/bin/sh\n{line}")
        (bin_ / name).chmod(0o755)
    return bin_ / "vllm"


async def serve(args: list[str]) -> None:
    from aiohttp import web

    engine = Engine(args)
    await engine.load()

    async def answer(request: web.Request) -> web.Response:
        status, reply = await engine.answer(request.path, await request.read())
        return web.json_response(reply, status=status, dumps=lambda one: json.dumps(one, ensure_ascii=False))

    async def health(_request: web.Request) -> web.Response:
        return web.Response()

    application = web.Application()
    application.router.add_get("/health", health)
    application.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, args[args.index("--host") + 1], int(args[args.index("--port") + 1])).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    assert sys.argv[1] == "serve"
    asyncio.run(serve(sys.argv[2:]))
