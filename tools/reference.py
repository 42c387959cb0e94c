"""Writes the reference pages from the code: docs/commands.md, docs/recipe.md, docs/reasons.md and docs/events.md.

    .venv/bin/python tools/reference.py

`tests/test_docs.py` fails where a page is not what the code says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import click
import yaml

from synth.cli import command
from synth.live.events import EVENTS, Event
from synth.protocol.fates import FATES
from synth.recipes.described import described, json_schema
from synth.report.words import ENGLISH, JAPANESE

DOCS = Path(__file__).parents[1] / "docs"
ADVICE = yaml.safe_load((Path(__file__).parent / "reasons.yaml").read_text(encoding="utf-8"))
WIDTH = 100


def commands_page() -> str:
    """The help of every command, as the terminal prints it."""
    parts = ["# Commands", "Written by `tools/reference.py` from the commands' own help.", "## synth"]
    settings = {**command.context_settings, "max_content_width": WIDTH}  # click keeps the first help option it makes
    parts.append(_help(command, click.Context(command, info_name="synth", **settings)))
    for name, each in sorted(command.commands.items()):
        context = click.Context(each, info_name=f"synth {name}", **settings)
        parts += [f"## synth {name}", _help(each, context)]
    return "\n\n".join(parts) + "\n"


def _help(each: click.Command, context: click.Context) -> str:
    context.terminal_width = WIDTH
    return f"```text\n{each.get_help(context)}\n```"


def recipe_page() -> str:
    """Every part of a recipe: what it is for, and a table of its fields."""
    schema = json_schema()
    parts = [
        "# Recipe reference",
        "Written by `tools/reference.py` from what `synth schema` prints. A field without a default must be given.",
        *_part("recipe.yaml", schema),
    ]
    for name, one in sorted(schema["$defs"].items(), key=lambda item: _title(item[0]).lower()):
        if "properties" in one:
            parts += _part(_title(name), one)
    return "\n\n".join(parts) + "\n"


def _part(title: str, one: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {title}"
    if kind := one["properties"].get("kind", {}).get("const"):
        yield f"`kind: {kind}`"
    if text := one.get("description"):
        yield _plain(text)
    rows = [
        _row(name, field, name in one.get("required", ()))
        for name, field in one["properties"].items()
        if name != "kind"
    ]
    if rows:
        yield "\n".join(["| field | value | default | for |", "|---|---|---|---|", *rows])


def _row(name: str, field: Mapping[str, Any], required: bool) -> str:
    default = "" if required or "default" not in field else f"`{json.dumps(field['default'], ensure_ascii=False)}`"
    if default in ("`null`", '`""`', "`[]`", "`{}`"):
        default = "none"
    if len(default) > 40:
        default = "its own defaults"
    cells = (f"`{name}`", _value(field), default, _plain(field.get("description", "")))
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def _value(field: Mapping[str, Any]) -> str:
    """What may stand there, in words."""
    if "$ref" in field:
        title = _title(field["$ref"].rsplit("/", 1)[1])
        if title == "Json Value":
            return "anything"
        anchor = re.sub(r"[^a-z0-9 ]", "", title.lower()).replace(" ", "-")
        return f"[{title}](#{anchor})"
    if "enum" in field:
        return ", ".join(f"`{one}`" for one in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    several = field.get("anyOf") or field.get("oneOf")
    if several:
        return " or ".join(dict.fromkeys(_value(one) for one in several if one.get("type") != "null"))
    named: dict[str, Any] = field.get("patternProperties", {})
    inner = field.get("items") or field.get("additionalProperties") or next(iter(named.values()), None)
    words = {"array": "list", "object": "names with values", "integer": "whole number", "string": "text"}
    word = words.get(str(field.get("type")), str(field.get("type", "anything")))
    bounds = [f"{sign} {field[key]:g}" for key, sign in BOUNDS if key in field]
    said = f"{word} {', '.join(bounds)}" if bounds else word
    return f"{said} of {_value(cast('dict[str, Any]', inner))}" if isinstance(inner, dict) and inner else said


BOUNDS = (("minimum", "from"), ("exclusiveMinimum", "above"), ("maximum", "to"), ("exclusiveMaximum", "below"))


def _title(name: str) -> str:
    """A definition's name in words; where two modules have the same, the plug-in folder comes with it."""
    module, _, own = name.rpartition("__")
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", own or name)
    return f"{words} ({module.split('__')[1].removesuffix('s')})" if module else words


def _plain(text: str) -> str:
    return text.replace("<", "&lt;").strip()


def reasons_page() -> str:
    """Every reason for which a sample is refused: its name, what it means in both languages, and what to do."""
    rows = [
        f"| `{name}` | {words} | {JAPANESE.reasons[name]} | {' '.join(ADVICE[name].split())} |"
        for name, words in ENGLISH.reasons.items()
    ]
    head = (
        "# Reasons\n\nEvery refused sample stands in `rejected.jsonl` with one of these names in `reason`, and with a "
        "`detail` of its own. `synth show FOLDER --reason NAME` shows them, `synth trace FOLDER ID` the way of one. "
        "A plug-in of yours may add names.\n\n| name | means | 意味 | what to do |\n|---|---|---|---|\n"
    )
    return head + "\n".join(rows) + "\n"


EVENTS_HEAD = """# Events

Written by `tools/reference.py` from the code. `synth run RECIPE --events PATH` appends lines of JSON, one for each of
these, to a file or a pipe, and so do `retry`, `preview`, `estimate` and `compare`; `--events -` prints them on
standard output, and what is for people goes to standard error. Each run begins with `started`, also where it goes on
with an earlier one in the same file. A line is whole or not there: half a one, as a kill may leave it at the end, is
cut off by the next run. A reader that stands still or goes away holds nothing up. No event holds a key, a prompt or
an answer.

```sh
synth run RECIPE --events - | jq -c 'select(.event == "problem") | .text'
synth run RECIPE --events - | jq -r 'select(.event == "progress") | .now | [.rows, .spent_microusd / 1e6] | @tsv'
```

Money is in millionths of a dollar. Fields may be added under the same `v`; what one means never changes under it."""


def events_page() -> str:
    """Every event that a run tells, every field of it, and every code of a problem."""
    common = described(Event)["properties"]
    parts, values = [EVENTS_HEAD, "## Every event", _fields(common)], dict[str, Any]()
    for event in EVENTS:
        schema = described(event)
        parts += [f"## {schema['properties']['event']['const']}", _plain(schema["description"])]
        parts.append(
            _fields({name: one for name, one in schema["properties"].items() if name not in {"event", *common}})
        )
        values |= schema.get("$defs", {})
    for name, one in values.items():
        parts += [f"## {_title(name)}", _plain(one["description"]), _fields(one["properties"])]
    codes = [f"| `{code}` | {ENGLISH.failures[code]} | {JAPANESE.failures[code]} |" for code in (*FATES, "lost")]
    parts += ["## Codes of problems", "\n".join(["| code | means | 意味 |", "|---|---|---|", *codes])]
    return "\n\n".join(parts) + "\n"


def _fields(properties: Mapping[str, Any]) -> str:
    rows = ["| field | value | means |", "|---|---|---|"]
    for name, field in properties.items():
        value = _value(field) + " or `null`" * any(one.get("type") == "null" for one in field.get("anyOf", ()))
        rows.append(
            f"| `{name}` | {value} | {' '.join(_plain(field['description']).split()).replace('None', '`null`')} |"
        )
    return "\n".join(rows)


PAGES = {"commands": commands_page, "recipe": recipe_page, "reasons": reasons_page, "events": events_page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / f"{name}.md").write_text(page(), encoding="utf-8")
