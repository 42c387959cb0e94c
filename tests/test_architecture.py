"""Imports point one way, and one row takes a short way through the code."""

from __future__ import annotations

import ast
import asyncio
import hashlib
import json
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import orjson

from synth import opening, pipeline
from synth.recipes.loading import load
from synth.results.result import Options
from synth.types import Outcome

SYNTH = Path(pipeline.__file__).parent
MOST_FUNCTIONS = 80
MOST_FRAMES = 10

LAYERS = (
    {"types", "errors", "patterns", "shipped", "stopping"},
    {
        "shapes",
        "disk",
        "lock",
        "database",
        "text",
        "marked",
        "near",
        "look_alikes",
        "codes",
        "numerals",
        "dates",
        "yaml_places",
        "classes",
        "halt",
        "need",
        "prices",
        "price_table",
        "profiles",
        "endpoint",
        "keys",
        "terms",
        "licences",
        "buckets",
        "breaker",
        "refusals",
        "concurrency",
        "meter",
        "queueing",
        "scheduler",
        "sandbox",
        "symbolic",
        "chance",
        "loop",
    },
    {"emergency", "salvage", "seen", "writer"},
    {
        *(
            "schema",
            "streams",
            "vectors",
            "measures",
            "account",
            "budget",
            "lane",
            "waiting",
            "admission",
            "rate_headers",
            "messages",
            "thoughts",
            "outgoing",
            "fates",
            "usage",
            "replies",
            "lots",
            "store",
            "found",
            "pace",
            "seeds",
        ),
        *("templates", "dedupe", "named", "library", "split", "diversity"),
    },
    {"answers", "overview", "kept"},
    {"agreement", "decisions"},
    {"selection", "routing"},
    {"backends"},
    {"hedge", "gauges", "explain", "wording", "health"},
    {"batch_journal", "course", "batch"},
    {"unit", "sending"},
    {"teacher"},
    {"ask"},
    {"own"},
    {"generators", "validators", "scorers"},
    {"views", "mistyped", "options"},
    {"recipe"},
    {"view_checks", "field_checks"},
    {"recipe_checks", "every_seed"},
    {"loading"},
    {"fingerprint"},
    {"judges"},
    {
        "progress",
        "screen",
        "savings",
        "neighbours",
        "manifest",
        "datasets",
        "outcomes",
        "report",
        "bakeoff",
        "snapshot",
        "control",
        "events",
        "sink",
        "stored",
        "otlp",
        "spans",
    }
    | {"lint", "formats"},
    {"work", "boundary", "apart", "aside", "ladder"},
    {"line", "gate", "nearness", "making"},
    {"turns", "outputs", "passing", "result"},
    {"opening", "ending", "pilot", "up_to_date"},
    {"pipeline"},
    {
        *("probe", "trace", "estimates", "described", "parts", "plugin_texts"),
        *("scoring", "asking", "file_vectors", "parts_by_meaning"),
        *("publishing", "merging", "differing"),
    },
    {"status", "showing", "background"},
    {"api"},
    {"quick"},
    {"console"},
    {"cli"},
    {"__main__"},
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
# Folders of modules that belong together by subject but stand in different layers: there each module has a rank.
BY_SUBJECT = {
    *("storage", "admission", "money", "protocol", "batches", "recipes", "language", "files"),
    *("gates", "results", "comparing", "rights", "live"),
}


def part_of(names: list[str]) -> str:
    """What has a rank: a folder or a module of synth, or in a folder by subject its module ("" for the folder itself)."""
    return names[0] if names[0] not in BY_SUBJECT else names[1] if len(names) > 1 else ""


def imports_of(path: Path) -> set[str]:
    """The parts of synth that a module imports at any level."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module in {"synth", *(f"synth.{name}" for name in BY_SUBJECT)}:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return {part_of(name.split(".")[1:]) for name in found if name.startswith("synth.")} - {""}


def test_imports_point_one_way():
    upward = []
    for path in sorted(SYNTH.rglob("*.py")):
        part = part_of([name.removesuffix(".py") for name in path.relative_to(SYNTH).parts])
        if part != "__init__":
            upper = {name for name in imports_of(path) - {part} if RANK[name] > RANK[part]}
            upward += [f"{path.relative_to(SYNTH)} imports {name}" for name in upper]
    assert upward == []


COMPILING = """\
import importlib, pkgutil, re, sys
compiling = re.compile
def watched(pattern, flags=0):
    caller = sys._getframe(1)
    if caller.f_globals["__name__"].startswith("synth."):
        print(caller.f_globals["__name__"], caller.f_lineno)
    return compiling(pattern, flags)
re.compile = watched
import synth
for module in pkgutil.walk_packages(synth.__path__, "synth."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""


def test_no_module_compiles_a_pattern_when_it_is_imported():
    """Every command would wait for all of them."""
    imported = subprocess.run([sys.executable, "-c", COMPILING], cwd=SYNTH.parent, capture_output=True, text=True)
    assert (imported.returncode, imported.stdout, imported.stderr) == (0, "", "")


RECIPE = """\
name: one
language: en
seeds: {kind: jsonl, path: seeds.jsonl}
teachers: {main: {model: m, base_url: "replay:replies.jsonl"}}
stages:
  - name: answer
    generator: {kind: answer, prompt: ask.md.j2}
    dedupe: {by: question}
"""


class Watched:
    """A transport that notes how many of our own frames stand above it."""

    frames = 0

    async def send(self, request):
        frame, own = sys._getframe(1), 0
        while frame is not None:
            own += frame.f_code.co_filename.startswith(str(SYNTH))
            frame = frame.f_back
        self.frames = max(self.frames, own)
        question = orjson.loads(request.body)["messages"][-1]["content"]
        message = {"role": "assistant", "content": f"An answer to {question}"}
        usage = {"prompt_tokens": 9, "completion_tokens": 9}
        return Outcome(200, orjson.dumps({"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}))


def calls_for(rows: int, folder: Path, transport: Watched) -> Counter[str]:
    """How often each function of ours was entered in a run of so many rows."""
    folder.mkdir()
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "replies.jsonl").write_text("")
    (folder / "ask.md.j2").write_text("{{ q }}")
    questions = [hashlib.sha256(bytes([number])).hexdigest() for number in range(rows)]
    (folder / "seeds.jsonl").write_text("".join(json.dumps({"q": question}) + "\n" for question in questions))
    loaded = load(folder)
    calls: Counter[str] = Counter()

    def watch(frame, event, _argument):
        if event == "call" and frame.f_code.co_filename.startswith(str(SYNTH)):
            name = frame.f_code.co_name
            if not name.startswith("<"):
                calls[f"{Path(frame.f_code.co_filename).name}:{frame.f_code.co_qualname}"] += 1

    threading.setprofile(watch)
    sys.setprofile(watch)
    try:
        result = asyncio.run(pipeline.run(loaded, Options(folder / "run")))
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert result.manifest.row_count == rows
    return calls


def test_one_row_enters_few_functions_and_puts_few_frames_above_the_transport(tmp_path, monkeypatch):
    transport = Watched()
    monkeypatch.setattr(opening, "replay", lambda base_url, folder: transport)
    few, many = calls_for(10, tmp_path / "few", transport), calls_for(160, tmp_path / "many", transport)
    per_row = {name: (many[name] - few[name]) / 150 for name in many}
    functions = [name for name, calls in per_row.items() if calls > 0.5]
    print(
        f"{len(functions)} functions, {sum(per_row.values()):.0f} entries a row, {transport.frames} frames above send"
    )
    assert len(functions) <= MOST_FUNCTIONS
    assert 0 < transport.frames <= MOST_FRAMES
