"""Where each row comes from, as a configuration of its own, so that what is trained on stays clean.

Every row, and every refused sample of which a text was kept, by its `id`: what it was made from, what was found of it,
and each request on its way: of whom, as which model, where, with which sampling and template, when, at what price.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import orjson
import zstandard

from synth.datasets.export import Split, jsonl_sink, load_parquet, parquet_sink
from synth.datasets.files import whole_file
from synth.errors import Fatal, Rejected, Transient
from synth.own import OwnGenerator, OwnScorer
from synth.protocol.lots import choice_of
from synth.protocol.replies import read
from synth.recipes.recipe import LoadedRecipe, Recipe
from synth.storage.database import LOTS, RAW, connect, readable
from synth.types import Fields, Outcome, Value

FOLDER = "provenance"
REFUSED = "rejected"
"""The split of refused samples, where no other one is called so."""
UNSAMPLED = ("model", "messages", "prompt", "tools", "response_format", "stream", "stream_options")
"""What of a request's body is no sampling."""
ANSWERED = (
    "SELECT stage, teacher, model, draw, started_ns, body, cost_microusd, prompt_tokens, completion_tokens, "  # noqa: S608 (ours alone)
    "reasoning_tokens, place, draws, reply.status, reply.headers, reply.error, reply.detail, reply.written, "
    f"reply.seconds, {RAW} FROM attempt JOIN reply ON reply.attempt = attempt.id "
    f"JOIN settled ON settled.attempt = attempt.id {LOTS}"
    "WHERE key = ? AND failure IN ('ok', 'reused') ORDER BY attempt.id DESC LIMIT 1"
)
KNOWN_REQUESTS = 4096
"""Of how many requests what is known is kept: one may have made several rows."""


class ProvenanceRecord(Value):
    """What the configuration holds."""

    sha256: str
    """Of what it says in order, but for times: the card names it, and does not depend on when a run was made."""
    rows: dict[str, int]
    """By split; refused samples are one of their own."""
    files: dict[str, str]
    """Of each split, relative to the dataset folder."""


def write_provenance(loaded: LoadedRecipe, store: Path, run: Path) -> ProvenanceRecord | None:
    """Write where the rows that lie in `run` come from, out of the file `store`; None when the recipe does not ask.

    Raises FolderError when the disk refuses.
    """
    folder = run / "dataset" / FOLDER
    if not loaded.recipe.output.provenance:
        shutil.rmtree(folder, ignore_errors=True)
        return None
    load_parquet()
    parquet = find_spec("pyarrow") is not None
    ending = "parquet" if parquet else "jsonl"
    splits: dict[str, Split] = {}
    content = hashlib.sha256()
    with ExitStack() as files, closing(connect(store)) as connection, readable(store):
        way = _Way(loaded, connection)

        def split_of(name: str) -> Split:
            if name not in splits:
                file = files.enter_context(whole_file(folder / f"{name}.{ending}"))
                write, finish = parquet_sink(file, _schema(import_module("pyarrow"))) if parquet else jsonl_sink(file)
                files.callback(finish)
                splits[name] = Split(file, write, finish)
            return splits[name]

        for split, record in _records(run, loaded.recipe.split.fractions):
            told = way.of(record)
            split_of(split).add(orjson.dumps(told))
            content.update(orjson.dumps(_timeless(told)))
        for one in splits.values():
            one.close()
    for left in folder.iterdir() if folder.is_dir() else ():
        if left.stem not in splits or left.suffix != f".{ending}":
            left.unlink()
    return ProvenanceRecord(
        sha256=content.hexdigest(),
        rows={name: split.count for name, split in splits.items()},
        files={name: f"{FOLDER}/{name}.{ending}" for name in splits},
    )


def _records(run: Path, splits: Collection[str]) -> Iterator[tuple[str, Fields]]:
    """The rows with their splits, then what was refused and has a text."""
    refused = REFUSED if REFUSED not in splits else f"{REFUSED}_samples"
    for name in ("rows.jsonl", "rejected.jsonl"):
        with (run / name).open("rb") as lines:
            for line in lines:
                record: Fields = orjson.loads(line)
                if record["messages"]:
                    yield str(record.get("split", refused)), record


class _Way:
    """What is known of the requests of a run."""

    def __init__(self, loaded: LoadedRecipe, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._unpack = zstandard.ZstdDecompressor().decompress
        self._hosts = hosts(loaded.recipe)
        self._templates = templates(loaded.recipe, loaded.templates.sha256)
        self._request = lru_cache(KNOWN_REQUESTS)(self._found)

    def of(self, record: Fields) -> Fields:
        """A row, or a refused sample, with its way."""
        own, seed = str(record["id"]), str(record["seed_id"])
        ends = [place for place, letter in enumerate(own) if letter == "/"]
        steps = [self._request(key) for key in cast("list[str]", record["requests"])]
        scores = cast("list[dict[str, Any]]", record["scores"])
        return {
            "id": own,
            "seed_id": seed,
            "parents": [own[:end] for end in ends[2::2]],
            "verdict": record.get("reason", "accepted"),
            "scores": [{"name": one["name"], "value": one["value"]} for one in scores],
            "repairs": record["repairs"],
            "cost_microusd": record["cost_microusd"],
            "requests": [step for step in steps if step is not None],
        }

    def _found(self, key: str) -> Fields | None:
        row = self._connection.execute(ANSWERED, (bytes.fromhex(key),)).fetchone()
        if row is None:
            return None
        stage, teacher, model, draw, started_ns, body, cost, prompt, completion, reasoning, place, draws, *reply = row
        asked: Fields = orjson.loads(self._unpack(body))
        sampling = {name: value for name, value in asked.items() if name not in UNSAMPLED}
        step: Fields = {
            "key": key,
            "stage": stage,
            "teacher": teacher,
            "model": model,
            "served": self._served(reply, place, draws),
            "host": self._hosts.get(teacher, ""),
            "draw": draw,
            "sampling": orjson.dumps(sampling, option=orjson.OPT_SORT_KEYS).decode(),
            "templates": cast("list[Any]", self._templates.get(stage, [])),
            "started": datetime.fromtimestamp(started_ns / 1e9, UTC).isoformat(timespec="milliseconds")[:23],
            "seconds": round(reply[5], 3),
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "reasoning_tokens": reasoning,
            "cost_microusd": cost,
        }
        return step

    def _served(self, reply: Sequence[Any], place: int, draws: int | None) -> str:
        """The model that a reply says it came from, which may hold several draws."""
        status, headers, error, detail, written, seconds, raw = reply
        outcome = Outcome(status, self._unpack(raw), orjson.loads(headers), error, detail, bool(written), seconds)
        try:
            return read(outcome if draws is None else choice_of(outcome, place, draws), None).model
        except (Transient, Rejected, Fatal):
            return ""


def _timeless(told: Fields) -> Fields:
    steps = cast("list[Fields]", told["requests"])
    return {**told, "requests": [{**step, "started": None, "seconds": None} for step in steps]}


def hosts(recipe: Recipe) -> dict[str, str]:
    """Where each teacher answers; several hosts where it has replicas on them."""
    return {
        name: ", ".join(dict.fromkeys(member.host for member in endpoint.members()))
        for name, endpoint in recipe.teachers.items()
    }


def templates(recipe: Recipe, sha256: Callable[[str], str]) -> dict[str, list[str]]:
    """The templates of each stage, and of its scorers, as `name sha256`, and the user's own code that asks."""
    found: dict[str, list[str]] = {}
    for stage in recipe.stages:
        for name, plugins in ((stage.name, [stage.generator]), (f"{stage.name}:score", stage.scorers)):
            files = dict.fromkeys(file for plugin in plugins for file in plugin.template_files())
            files |= {plugin.source[0]: None for plugin in plugins if isinstance(plugin, OwnGenerator | OwnScorer)}
            found[name] = [f"{file} {sha256(file)}".rstrip() for file in files]
    return found


def _schema(pyarrow: Any) -> Any:
    text, number = pyarrow.string(), pyarrow.int64()
    request = pyarrow.struct(
        [("key", text), ("stage", text), ("teacher", text), ("model", text), ("served", text), ("host", text),
         ("draw", number), ("sampling", text), ("templates", pyarrow.list_(text)), ("started", pyarrow.timestamp("ms")),
         ("seconds", pyarrow.float64()), ("prompt_tokens", number), ("completion_tokens", number),
         ("reasoning_tokens", number), ("cost_microusd", number)]
    )  # fmt: skip
    return pyarrow.schema(
        [("id", text), ("seed_id", text), ("parents", pyarrow.list_(text)), ("verdict", text),
         ("scores", pyarrow.list_(pyarrow.struct([("name", text), ("value", pyarrow.float64())]))),
         ("repairs", pyarrow.list_(text)), ("cost_microusd", number), ("requests", pyarrow.list_(request))]
    )  # fmt: skip
