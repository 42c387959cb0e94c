"""vLLM that a run has to itself: started for it, waited for, started again once when it dies, and stopped at its end.

Either as the server that `vllm serve` is, on a port of this machine alone (`base_url: "serve:MODEL"`), or without any
port, as a process that is asked over a pipe (`base_url: "vllm:MODEL"`). Both read a request as vLLM does, so the same
request brings the same reply.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from synth.admission.halt import Halt
from synth.backends.online import online
from synth.backends.own_vllm.command import command_of, model_at
from synth.backends.own_vllm.life import Life
from synth.backends.own_vllm.piped import Piped
from synth.backends.own_vllm.served import HOST, Served, free_port
from synth.protocol.endpoint import SERVE, Endpoint
from synth.protocol.streams import Loop


@asynccontextmanager
async def own_vllm(
    endpoint: Endpoint, folder: Path, log: Path, halt: Halt, say: Callable[[str], None], is_loop: Loop
) -> AsyncGenerator[Life]:
    """A backend whose vLLM runs as long as the body; a relative path of its model counts from `folder`.

    `log` takes all that vLLM prints, `say` is told what is waited for.

    Raises RecipeError when there is no such model in a folder, EngineStopped when vLLM is not installed or does not
    come to serve.
    """
    scheme, _, named = endpoint.base_url.partition(":")
    model, vllm = model_at(named or endpoint.model, folder), command_of(endpoint.model)
    options = ["--served-model-name", endpoint.model, "--enable-prompt-tokens-details", *map(str, endpoint.vllm_args)]
    if f"{scheme}:" != SERVE:
        way = Piped(vllm, [model, *options])
        async with Life(way, endpoint, log, halt, say).lived() as life:
            yield life
        return
    port = free_port()
    there = endpoint.model_copy(update={"base_url": f"http://{HOST}:{port}/v1", "profile": "vllm"})
    async with online(endpoint, there.base_url, is_loop) as wire:
        way = Served(vllm, [model, *options], port, wire)
        async with Life(way, there, log, halt, say).lived() as life:
            yield life
