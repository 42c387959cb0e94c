# pyright: basic, reportMissingImports=false
"""vLLM's own application, asked over standard input: run as a script by the Python that has vLLM.

`child.py MODEL [OPTIONS of vllm serve]`. It needs nothing of synth, and nothing but Python and vLLM. Each request is
a line of JSON (`number`, `path` below /v1, `length`) and so many bytes of a body; `cancel` names one that nobody wants
any more. Each reply is such a line (`number`, `status`, `length`) and its body. What vLLM prints goes to standard
error.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable

GRACE_S = 15.0
LOOK_S = 1.0
AT_THE_ROOT = ("/pooling", "/classify", "/score")
ELSEWHERE = (
    "This vLLM ({}) keeps its application elsewhere than vLLM 0.32 does, so it cannot be asked without a server; write "
    'base_url: "serve:MODEL".'
)


class Answers:
    """The way back: whole replies, one after the other."""

    def __init__(self, descriptor):
        self._out = os.fdopen(descriptor, "wb")

    def write(self, head, body=b""):
        """Write one reply."""
        self._out.write(json.dumps({**head, "length": len(body)}).encode() + b"\n" + body)
        self._out.flush()


class Questions(threading.Thread):
    """Reads standard input from the first, while vLLM loads too: at its end nobody is left to answer."""

    def __init__(self, descriptor):
        super().__init__(daemon=True)
        self._in = os.fdopen(descriptor, "rb")
        self._heed: Callable[..., object] | None = None

    def heeded_by(self, heed):
        """Hand every request over from now on, and None at the end."""
        loop = asyncio.get_running_loop()
        self._heed = lambda *question: loop.call_soon_threadsafe(heed, *question)

    def run(self):
        """Read until the end; then there is a while to end kindly."""
        while (line := self._in.readline()).endswith(b"\n"):  # who was killed leaves half a line
            head = json.loads(line)
            assert self._heed is not None  # nobody asks before it is ready
            self._heed(head, self._in.read(head["length"]))
        if self._heed is not None:
            self._heed(None, b"")
            time.sleep(GRACE_S)
        os.killpg(os.getpgrp(), signal.SIGKILL)


async def ask(app, path, body):
    """The status and body that the application answers a POST with."""
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    root = "" if path in AT_THE_ROOT else "/v1"
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": root + path, "raw_path": (root + path).encode(), "query_string": b"", "root_path": "",
        "headers": headers, "client": ("127.0.0.1", 0), "server": ("127.0.0.1", 0),
    }  # fmt: skip
    asked, status, pieces = False, 500, []

    async def receive():
        nonlocal asked
        if asked:
            await asyncio.Event().wait()  # nobody hangs up: what is not wanted any more is cancelled
        asked = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        elif message["type"] == "http.response.body":
            pieces.append(message.get("body", b""))

    await app(scope, receive, send)
    return status, b"".join(pieces)


def told(error):
    """What a server says of an error of its own."""
    message = f"{type(error).__name__}: {error}"
    return json.dumps({"error": {"message": message, "type": "InternalServerError", "code": 500}}).encode()


async def answer_all(app, engine, questions, answers):
    """Answer what comes until nothing more can come."""
    under_way, over = {}, asyncio.Event()

    def answered(number, task):
        under_way.pop(number)
        if task.cancelled():
            return
        error = task.exception()
        status, reply = (500, told(error)) if error else task.result()
        answers.write({"number": number, "status": status}, reply)

    def heed(head, body):
        if head is None:
            over.set()
        elif "cancel" in head:
            if task := under_way.get(head["cancel"]):
                task.cancel()
        else:
            number = head["number"]
            task = under_way[number] = asyncio.ensure_future(ask(app, head["path"], body))
            task.add_done_callback(lambda task: answered(number, task))

    questions.heeded_by(heed)
    answers.write({"ready": True})
    while not over.is_set():
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(over.wait(), LOOK_S)
        if engine.errored:
            sys.exit("The engine has died.")
    for task in [*under_way.values()]:
        task.cancel()


def parts():
    """What of vLLM makes an application."""
    import vllm

    try:
        from vllm.entrypoints.launchers.api_server.app_state import init_app_state
        from vllm.entrypoints.launchers.api_server.entry import build_async_engine_client
        from vllm.entrypoints.launchers.app import build_app
        from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
        from vllm.entrypoints.serve.utils.api_utils import cli_env_setup
        from vllm.utils.argparse_utils import FlexibleArgumentParser
    except ImportError:
        sys.exit(ELSEWHERE.format(vllm.__version__))
    cli_env_setup()
    args = make_arg_parser(FlexibleArgumentParser()).parse_args()
    args.model = args.model_tag
    validate_parsed_serve_args(args)
    return args, build_async_engine_client, build_app, init_app_state


async def main(questions, answers):
    """Load the model and answer."""
    args, build_async_engine_client, build_app, init_app_state = parts()
    async with build_async_engine_client(args) as engine:
        tasks = await engine.get_supported_tasks()
        app = build_app(args, tasks, engine.model_config)
        await init_app_state(engine, app.state, args, tasks)
        app.state.server = types.SimpleNamespace(should_exit=False)  # what a dead engine tells to exit
        async with app.router.lifespan_context(app):
            await answer_all(app, engine, questions, answers)


if __name__ == "__main__":  # vLLM's own processes import this file anew
    replies, requests = os.dup(1), os.dup(0)
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    asked = Questions(requests)
    asked.start()
    asyncio.run(main(asked, Answers(replies)))
    os.killpg(os.getpgrp(), signal.SIGKILL)  # nobody is left to answer, and whatever it started goes with it
