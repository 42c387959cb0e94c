"""`synth practice`, `synth probe` and `synth hosts`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import orjson
from rich.markup import escape

from synth import probe as probing
from synth.backends.practice.faults import faults_of
from synth.console.screen import ERR, OUT, plain_table, say, write_json
from synth.errors import Fatal, FolderError, RecipeError
from synth.language.near import hint
from synth.language.text import several, visible
from synth.live.loop import run_loop
from synth.money.price_table import provider_of
from synth.profiles import Profile, named
from synth.protocol.endpoint import HERE, look_for_keys
from synth.recipes.options import endpoint_of
from synth.rights.terms import of_hosts, sentence, verdict_of


def practice(host: str, port: int, faults: str, key: str | None) -> int:
    """Serve the practice teacher until Ctrl-C."""
    from synth.backends.practice.server import MODEL, serve  # brings a whole web server

    def ready(base_url: str) -> None:
        OUT.print(f"practice teacher [bold]{MODEL}[/] at {base_url}  (Ctrl-C stops it)")
        OUT.print("[dim]Exercises with planted faults, for trying synth: not a language model.[/]")

    try:
        run_loop(serve(host, port, faults_of(f"practice:{faults}"), api_key=key, ready=ready))
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
    asked = endpoint_of(f"{url},-{variable}", "probe ")
    if url.startswith(HERE):
        raise RecipeError(
            f"{url} is no server that is asked over a network; give a base URL like http://localhost:8000/v1."
        )
    for note in look_for_keys([asked], (Path(),)):
        say(ERR, note)
    listed = dict[str, probing.Listed]()
    with contextlib.suppress(*((Fatal,) if model else ())):  # not every server has a list
        listed = probing.models(asked)
    if not model and len(listed) > 1:
        raise RecipeError(f"{url} serves {len(listed)} models; name one after the URL: {', '.join([*listed][:20])}.")
    endpoint = endpoint_of(f"{url},{model or next(iter(listed))}{variable}", "probe ")
    findings, used = probing.probe(endpoint)
    told = listed.get(endpoint.model, probing.Listed())
    kind = probing.kind_of(endpoint, told)
    context = probing.Finding("context", several(told.context, "token") if told.context else "not told", "")
    findings = [*([kind] if kind else []), context, *findings]
    if as_json:
        write_json({"model": endpoint.model, "findings": [one._asdict() for one in findings], **used._asdict()})
        return 0
    title = f"{endpoint.model} at {endpoint.base_url}: {endpoint.known.title}"
    say(OUT, title)
    table = plain_table("", "found", "so")
    for one in findings:
        table.add_row(one.what, escape(visible(one.found)), one.so)
    OUT.print(table)
    tokens = f"{several(used.prompt_tokens, 'token')} in and {used.completion_tokens:,} out"
    spent = f"{several(used.requests, 'request')}, {tokens}"
    OUT.print(spent, style="dim")
    return 0


def hosts(name: str, *, as_json: bool) -> None:
    """Say what is known of every host, or all that is known of one. Raises RecipeError for a name that none has."""
    known = named()
    if name and name not in known:
        listed = f"; there are {', '.join(known)}."
        raise RecipeError(f"There is no profile {name!r}{hint(name, known) or listed}")
    if as_json:
        chosen = {name: known[name]} if name else known
        write_json({name: one.model_dump(mode="json", exclude_defaults=True) for name, one in chosen.items()})
    elif name:
        _one(known[name])
    else:
        _overview(known)


def _overview(known: Mapping[str, Profile]) -> None:
    table = plain_table("profile", "key", "cheaper", "terms")
    for name, one in known.items():
        flex = ["flex"] if (tier := one.service_tiers.get("flex")) is not None and tier.factor != 1 else []
        cheaper = ", ".join([*(["batch"] if one.batch else []), *flex, *(["draws"] if one.choices else [])])
        verdict = verdict_of(of_hosts(one.hosts)) if one.hosts else "those of the model"
        table.add_row(name, one.key_variable, cheaper, verdict.replace("_", " "))
    OUT.print(table)
    OUT.print("All of one: synth hosts NAME. Of a server nobody described: synth probe URL.", style="dim")


def _one(one: Profile) -> None:
    """All that is known of a host, a line each."""
    table = plain_table("", "")
    table.show_header = False
    for title, text in _lines(one):
        if text:
            table.add_row(title, escape(text))
    OUT.print(one.title, style="bold")
    OUT.print(table)


def _lines(one: Profile) -> Iterator[tuple[str, str]]:
    yield "hosts", ", ".join(one.hosts) or "wherever you run it"
    yield "base URL ends", one.base_path
    yield "key", f"{one.key_variable} in the header {one.key_header}" if one.key_variable else ""
    yield "asked by", "Anthropic's messages" if one.protocol == "messages" else "OpenAI's chat completions"
    yield "objects", ", ".join(one.structured)
    yield "refuses", ", ".join(one.refused)
    yield "ignores", ", ".join(one.ignored)
    for rule in one.models:
        unless = "".join(f" unless {field} is {orjson.dumps(value).decode()}" for field, value in rule.unless.items())
        for does, fields in (("refuse", rule.refused), ("ignore", rule.ignored), ("take objects by", rule.structured)):
            if fields:
                yield f"models {rule.names}", f"{does} {', '.join(fields)}{unless}"
    yield "called otherwise", ", ".join(f"{ours} as {theirs}" for ours, theirs in one.renamed.items())
    yield "temperature", f"at most {one.most_temperature:g}" if one.most_temperature is not None else ""
    yield "reasoning", one.reasoning or "not known"
    yield "limits told by", ", ".join(one.limits) or ("/metrics" if one.gauges else "nothing that is known; found")
    yield "service tiers", ", ".join(one.service_tiers)
    most = one.choices.most if one.choices else 0
    yield "draws", f"up to {most} of a prompt in one request, which bills it once" if most else ""
    batch = one.batch
    yield "batches", f"at {batch.factor:g} of the price, up to {several(batch.requests, 'request')}" if batch else ""
    yield "prices", _priced(one)
    yield "terms", "\n".join(sentence(said) for said in of_hosts(one.hosts)) or "not known; those of the model may be"
    yield "read", f"{one.read}: {one.source}"


def _priced(one: Profile) -> str:
    """Where its prices come from."""
    if not one.hosts or one.hosts[0].startswith("*:"):
        return "yours, in the recipe; without one a server of your own costs nothing"
    provider = provider_of(f"https://{one.hosts[0].replace('*', 'any')}{one.base_path}")
    return f"the recipe's, or those of {provider} in genai-prices" if provider else "the recipe's"
