"""`synth practice`, `synth probe` and `synth hosts`."""

from __future__ import annotations

import asyncio
import contextlib

from rich.markup import escape

from synth import probe as probing
from synth.backends.practice.faults import faults_of
from synth.console.screen import OUT, plain_table, write_json
from synth.errors import Fatal, FolderError, RecipeError
from synth.language.text import visible
from synth.profiles import named
from synth.recipes.recipe import endpoint_of


def practice(host: str, port: int, faults: str, key: str | None) -> int:
    """Serve the practice teacher until Ctrl-C."""
    from synth.backends.practice.server import MODEL, serve  # brings a whole web server

    def ready(base_url: str) -> None:
        OUT.print(f"practice teacher [bold]{MODEL}[/] at {base_url}  (Ctrl-C stops it)")
        OUT.print("[dim]Exercises with planted faults, for trying synth: not a language model.[/]")

    try:
        asyncio.run(serve(host, port, faults_of(f"practice:{faults}"), api_key=key, ready=ready))
    except OSError as error:
        raise FolderError(
            f"Port {port} on {host} cannot be used ({error.strerror}); choose another with --port."
        ) from error
    except KeyboardInterrupt:
        pass
    return 0


def probed(url: str, model: str, key: str | None, *, as_json: bool) -> int:
    """Find out what a server can do, and say it."""
    variable = f",{key}" if key else ""
    listed = dict[str, probing.Listed]()
    with contextlib.suppress(*((Fatal,) if model else ())):  # not every server has a list
        listed = probing.models(endpoint_of(f"{url},-{variable}", "probe "))
    if not model and len(listed) > 1:
        raise RecipeError(f"{url} serves {len(listed)} models; name one after the URL: {', '.join([*listed][:20])}.")
    endpoint = endpoint_of(f"{url},{model or next(iter(listed))}{variable}", "probe ")
    findings, used = probing.probe(endpoint)
    told = listed.get(endpoint.model, probing.Listed())
    kind = probing.kind_of(endpoint, told)
    context = probing.Finding("context", f"{told.context:,} tokens" if told.context else "not told", "")
    findings = [*([kind] if kind else []), context, *findings]
    if as_json:
        write_json({"model": endpoint.model, "findings": [one._asdict() for one in findings], **used._asdict()})
        return 0
    title = f"{endpoint.model} at {endpoint.base_url}: {endpoint.known.title}"
    OUT.print(visible(title), markup=False, soft_wrap=True)
    table = plain_table("", "found", "so")
    for one in findings:
        table.add_row(one.what, escape(visible(one.found)), one.so)
    OUT.print(table)
    spent = f"{used.requests} requests, {used.prompt_tokens:,} tokens in and {used.completion_tokens:,} out"
    OUT.print(spent, style="dim")
    return 0


def hosts(*, as_json: bool) -> None:
    """Say what is known of every host."""
    if as_json:
        write_json({name: known.model_dump(mode="json", exclude_defaults=True) for name, known in named().items()})
        return
    table = plain_table("profile", "host", "key", "objects", "not taken")
    for name, known in named().items():
        unfit = [*known.refused, *known.ignored]
        some = sorted({field for rule in known.models for field in (*rule.refused, *rule.ignored)})
        not_taken = ", ".join([*unfit, *([f"by some models: {', '.join(some)}"] if some else [])])
        table.add_row(name, "\n".join(known.hosts), known.key_variable, known.structured[0], not_taken)
    OUT.print(table)
