"""What the commands show: calm tables in a terminal, plain lines elsewhere, JSON where asked."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import orjson
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from synth import account as accounts
from synth import disk, pipeline, salvage
from synth import probe as probing
from synth.api import run_loop
from synth.backends.practice import PRACTICE_MODELS
from synth.backends.practice.faults import faults_of
from synth.backends.practice.scoreboard import Scoreboard, scoreboard
from synth.budget import Caps, standing, usd
from synth.dedupe import SemanticSummary
from synth.endpoint import Endpoint
from synth.errors import Fatal, FolderError, Interrupted, RecipeError
from synth.halt import Halt
from synth.lock import holder
from synth.manifest import Manifest, read_manifest
from synth.parts import Report
from synth.pipeline import Options, Result
from synth.prices import tariff
from synth.profiles import named
from synth.progress import Progress
from synth.recipe import LoadedRecipe, endpoint_of
from synth.report.figures import short
from synth.store import connect, examine, read_ledger, read_spent, readable
from synth.terms import sentence, terms_of
from synth.text import visible
from synth.types import Message, Request, Spend

T = TypeVar("T")

WAITING = "requests wait for reservations to settle: the budget is nearly used, the provider is not the limit"
PLAIN_EVERY_S = 5.0
LIVE_EVERY_S = 0.2
SIGNALS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "the end of its terminal"}
DRAIN_S = 60.0
"""How long what is in flight may take to end once the run is stopped."""
SQLITE_MENDED = (3, 51, 3)
SQLITE_NOTE = (
    " (before 3.51.3 two connections that write at once can lose commits, https://www.sqlite.org/wal.html#walresetbug; "
    "synth writes with one, so write nothing to run.db while a run goes on)"
)
PRACTICE = "[yellow]Practice data:[/] exercises of synth's practice teacher, not of a language model."
OPTIONAL = {
    "pyarrow": "parquet",
    "model2vec": "embed",
    "genai-prices": "prices",
    "datasets": "hub",
    "huggingface_hub": "hub",
    "jsonschema": "schema",
}


class _Console(Console):
    """A console that outlives its reader: the run goes on when nobody looks any more."""

    def on_broken_pipe(self) -> None:
        """Write to nowhere from now on."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)


_out = _Console(highlight=False)
_err = _Console(stderr=True, highlight=False)


def checked(loaded: LoadedRecipe, count: int, refused: Counter[str], *, as_json: bool) -> None:
    """Say that a recipe is sound and what it would do."""
    recipe = loaded.recipe
    _noted(loaded)
    if as_json:
        repeated = refused.pop("repeated_seed", 0)
        said = {"recipe": recipe.name, "seeds": count, "repeated": repeated, "refused": refused}
        _json({**said, "sha256": loaded.sha256})
        return
    words = {"repeated_seed": "repeated", "not_novel": "not novel"}
    dropped = "".join(f", {number:,} {words.get(reason, reason)}" for reason, number in refused.items())
    _out.print(f"[green]ok[/]  {recipe.name}: {count:,} seeds{dropped}")
    for name, endpoint in recipe.teachers.items():
        _out.print(f"    teacher {name}: {escape(endpoint.model)} at {escape(endpoint.base_url)}{_priced(endpoint)}")
        if (most := _held_at_once(endpoint, recipe.budget)) < endpoint.limits.max_in_flight:
            _out.print(
                f"        the money budget reserves for at most {most:,} of its requests at once: that limits the run, "
                f"not max_in_flight {endpoint.limits.max_in_flight:,}",
                soft_wrap=True,
            )
        for one in terms_of(endpoint):
            _out.print(f"        terms: {one.verdict.replace('_', ' ')}: {sentence(one)}", soft_wrap=True, markup=False)
    for stage in recipe.stages:
        checks = ", ".join(validator.kind for validator in stage.validators) or "none"
        scores = ", ".join(scorer.name for scorer in stage.scorers) or "none"
        most = stage.draws if isinstance(stage.draws, int) else stage.draws.most
        draws = "" if most == 1 else f" x {most} draws" if most == stage.draws else f" x at most {most} draws"
        _out.print(f"    stage {stage.name}: {stage.generator.kind}{draws}; checks {checks}; scores {scores}")
    if recipe.license is None:
        _out.print("    no licence is given, so the result cannot be published")


def _noted(loaded: LoadedRecipe) -> None:
    """Say on standard error what the user should know before the run."""
    for note in loaded.notes:
        _err.print(visible(note), style="yellow", markup=False, soft_wrap=True)


def _priced(endpoint: Endpoint) -> str:
    price = endpoint.known_price()
    if price is None:
        return "; price unknown"
    dated = f" as of {price.as_of}" if price.as_of else ""
    source = f" ({escape(price.source)}{dated})" if price.source else dated
    return f"; ${price.input_usd:g} / ${price.output_usd:g} per million tokens{source}"


def _held_at_once(endpoint: Endpoint, caps: Caps) -> int:
    """How many requests of full output the money cap can reserve for at the same time, prompts left out."""
    price, most = endpoint.known_price(), endpoint.limits.max_in_flight
    if caps.microusd is None or price is None:
        return most
    empty = Request(b"", "", endpoint.model, b"", 0, 0, endpoint.sampling.max_tokens)
    worst = tariff(price, endpoint.service_tier).worst(empty).microusd
    return min(most, caps.microusd // worst) if worst else most


def run(loaded: LoadedRecipe, options: Options) -> int:
    """Run (or export) with live progress, and say what came of it."""
    _noted(loaded)
    result = _watched(loaded, options)
    manifest = result.manifest
    _summary(manifest)
    faults = {
        endpoint.model: faults_of(endpoint.base_url)
        for endpoint in loaded.recipe.teachers.values()
        if endpoint.is_practice
    }
    if faults and not options.offline:
        _out.print(_board(scoreboard(result.folder, faults)))
    for said in (*manifest.declared, *[manifest.notice] * bool(manifest.notice)):
        _out.print(visible(said), style="yellow", markup=False, soft_wrap=True)
    _out.print(f"dataset  {result.dataset}", soft_wrap=True, markup=False)
    _out.print(f"report   {result.report}", soft_wrap=True, markup=False)
    return _ended(result)


def preview(loaded: LoadedRecipe, options: Options, *, as_json: bool) -> int:
    """Run on a few seeds and show rows and rejections."""
    _noted(loaded)
    result = _watched(loaded, options)
    if as_json:
        _json(
            {
                "rows": [asdict(sample) for sample in result.examples],
                "rejected": [asdict(rejection) for rejection in result.rejections],
                "practice": result.manifest.practice,
            }
        )
        return result.exit_code
    for sample in result.examples:
        scores = "  ".join(f"{score.name} {score.value:g}" for score in sample.scores)
        _conversation(f"{sample.id}  {scores}", sample.messages)
    for rejection in result.rejections:
        detail = escape(visible(" ".join(rejection.detail.split())[:200]))
        _out.print(f"[yellow]refused[/] {rejection.id}  {rejection.reason}  [dim]{detail}[/]")
    _summary(result.manifest)
    return _ended(result)


def status(folder: Path, *, as_json: bool) -> None:
    """What a run folder holds. Raises FolderError when it holds no run."""
    with readable(folder / "run.db"):
        connection = connect(folder / "run.db")
        ledger = read_ledger(connection)
        meta = dict(connection.execute("SELECT name, value FROM meta").fetchall())
        parked = connection.execute("SELECT count(*) FROM passed_over").fetchone()[0]
        asked = connection.execute("SELECT DISTINCT model FROM (SELECT model FROM attempt ORDER BY id DESC LIMIT 1000)")
        practice = any(model.startswith(PRACTICE_MODELS) for (model,) in asked.fetchall())
        spent = read_spent(connection)
        largest = connection.execute(
            "SELECT coalesce(max(reserved_microusd), 0) FROM attempt WHERE id NOT IN (SELECT attempt FROM settled)"
        ).fetchone()[0]
        connection.close()
    manifest = read_manifest(folder / "manifest.json") if (folder / "manifest.json").exists() else None
    practice = practice or (manifest is not None and manifest.practice)
    running = holder(folder)
    if manifest is not None and not running:  # the journal keeps also those that a later run asked again
        parked = sum(stage.parked for stage in manifest.stages)
    state = f"running ({running})" if running else manifest.state if manifest else "stopped before its first export"
    cost = sum(line.cost_microusd for line in ledger)
    caps = Caps.model_validate_json(meta.get("caps") or "{}")
    reserved = Spend(sum(line.cost_microusd for line in ledger if line.failure == "open"))
    charged = spent._replace(microusd=spent.microusd - reserved.microusd)
    free = (caps.microusd or 0) - spent.microusd
    held_back = bool(running) and caps.microusd is not None and 0 <= free < largest
    money = standing(
        caps,
        charged,
        reserved,
        overshoot_microusd=sum(line.overshoot_microusd for line in ledger),
        usage_unknown=sum(line.usage_unknown for line in ledger if line.failure != "lost"),
        lost=sum(line.attempts for line in ledger if line.failure == "lost"),
    )
    if as_json:
        _json(
            {
                "recipe": meta.get("recipe"),
                "state": "running" if running else state,
                "rows": manifest.rows if manifest else {},
                "rejected": manifest.rejected if manifest else {},
                "parked": parked,
                "practice": practice,
                "cost_microusd": cost,
                "reserved_microusd": reserved.microusd,
                "overshoot_microusd": sum(line.overshoot_microusd for line in ledger),
                "usage_unknown": sum(line.usage_unknown for line in ledger if line.failure != "lost"),
                "tokens": spent.tokens,
                "requests": spent.requests,
                "caps": caps.model_dump(),
                "limited_by_reservation": held_back,
                "ledger": ledger,
            }
        )
        return
    _out.print(f"[bold]{meta.get('recipe')}[/]  {state}")
    _out.print(", ".join(money), soft_wrap=True, markup=False)
    if held_back:
        _out.print(WAITING, markup=False)
    if manifest is not None:
        _summary(manifest)
    elif practice:
        _out.print(PRACTICE)
    table = _table("stage", "teacher", "class", "attempts", "tokens in", "tokens out", "cost", right=4)
    for line in ledger:
        table.add_row(
            *(line.stage, line.teacher, line.failure, f"{line.attempts:,}", f"{line.prompt_tokens:,}"),
            *(f"{line.completion_tokens:,}", usd(line.cost_microusd)),
        )
    _out.print(table)


def show(folder: Path, ids: tuple[str, ...], *, rejected: bool, reason: str, count: int, as_json: bool) -> None:
    """Rows or rejections of a run; those with the given ids, whichever they are, or made from these.

    Raises FolderError when there are none, or an id is not among them.
    """
    names = ["rejected.jsonl"] if rejected else ["rows.jsonl", "rejected.jsonl"] if ids else ["rows.jsonl"]
    paths = [folder / name for name in names]
    for path in paths:
        if not path.exists():
            raise FolderError(f"There is no {path.name} in {folder}; run or export the recipe first.")
    if (folder / "manifest.json").exists() and read_manifest(folder / "manifest.json").practice:
        (_err if as_json else _out).print(PRACTICE)
    records = (record for record in _records(paths) if not reason or record["reason"] == reason)
    chosen = _with_ids(records, ids, count, folder) if ids else list(islice(records, count))
    for record in chosen:
        if as_json:
            sys.stdout.buffer.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
        else:
            _record(record)
    if not chosen and not as_json:
        _out.print(f"Nothing to show in {paths[0]}.", markup=False)


def _records(paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """The lines of output files as objects, with all that is shown of them."""
    for path in paths:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                yield _row(line, path, number)


def _row(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        row: Any = orjson.loads(line)
        if row.keys() >= {"id", "messages", "scores"}:
            return row
    except (orjson.JSONDecodeError, AttributeError):
        pass
    raise FolderError(f"{path}:{number}: not a row that synth wrote; export the recipe again.")


def _with_ids(
    records: Iterable[dict[str, Any]], ids: tuple[str, ...], count: int, folder: Path
) -> list[dict[str, Any]]:
    """The records with these ids; for a sample that only went on into others, up to `count` made from it."""
    exact: dict[str, list[dict[str, Any]]] = {one: [] for one in ids}
    made: dict[str, list[dict[str, Any]]] = {one: [] for one in ids}
    for record in records:
        name: str = record["id"]
        if name in exact:
            exact[name].append(record)
        for one in ids:
            if name.startswith(f"{one}/") and len(made[one]) < count:
                made[one].append(record)
    missing = [one for one in ids if not exact[one] and not made[one]]
    if missing:
        raise FolderError(f"There is no {missing[0]!r} in {folder}.")
    return [record for one in ids for record in exact[one] or made[one]]


def sifted(report: Report, out: Path | None, *, as_json: bool) -> None:
    """What a command on files kept and removed, and what else it found."""
    rows = sum(report.rows.values())
    if as_json:
        splits = {name: count for name, count in report.kept.items() if name}
        kept = {"rows": report.rows, "kept": report.kept.total(), "splits": splits, "removed": report.removed}
        more = {"benchmarks": [one.model_dump() for one in report.benchmarks], "notice": report.notice}
        if report.bought is not None:
            found = {"semantic": report.semantic, "neighbours": report.neighbours}
            more |= {name: one.model_dump() for name, one in found.items() if one is not None}
            more["bought"] = report.bought._asdict()
        _json({**kept, **more, "scores": report.scores, "out": None if out is None else str(out)})
        return
    splits = ", ".join(f"{name} {count:,}" for name, count in report.kept.items() if name)
    kept, removed = report.kept.total(), report.removed.total()
    _out.print(f"{rows:,} rows: [green]{kept:,} kept[/]{f' ({splits})' if splits else ''}, {removed:,} removed")
    table = _table("reason", "rows", "", right=1)
    for reason, count in report.removed.most_common():
        table.add_row(reason, f"{count:,}", f"{count / rows:.1%}")
    if report.removed:
        _out.print(table)
    for name, counts in report.scores.items():
        mean = sum(value * count for value, count in counts.items()) / counts.total()
        values = "  ".join(f"{value:g}: {count:,}" for value, count in sorted(counts.items())[:12])
        _out.print(f"{name}: mean {short(mean)} of {counts.total():,} rows   {values}", markup=False, soft_wrap=True)
    for benchmark in report.benchmarks:
        _out.print(f"{benchmark.name}: {benchmark}", markup=False, soft_wrap=True)
    if report.semantic is not None:
        _meanings(report.semantic)
    if report.neighbours is not None:
        near = report.neighbours
        _out.print(
            f"by meaning: {near.compared:,} texts compared with {near.items:,} items, {near.refused:,} refused, "
            f"{near.cleared:,} cleared (a judge decides from {near.grey_from} on, else {near.near_from} is refused)",
            soft_wrap=True,
        )
    if report.bought is not None:
        vectors, requests, microusd = report.bought
        what = f"{vectors:,} vectors with " if report.semantic or report.neighbours else ""
        _out.print(f"bought {what}{requests:,} requests for {usd(microusd)}")
    if report.notice:
        _err.print(report.notice, style="yellow", markup=False, soft_wrap=True)
    if out is not None:
        _out.print(f"written to {out}", markup=False, soft_wrap=True)


def _meanings(found: SemanticSummary) -> None:
    """From which similarity on texts mean the same, by script."""
    for one in found.scripts:
        pairs, usual = one.texts * (one.texts - 1) // 2, one.exceeded_by_one_in_thousand or 0
        _out.print(
            f"by meaning, {one.script}: the same from {one.threshold:.3f} on; of {pairs:,} pairs drawn at random one "
            f"in a thousand exceeds {usual:.3f}",
            soft_wrap=True,
        )
    if found.uncompared:
        _out.print(f"not compared by meaning: {found.uncompared:,} rows without a vector, or of a script with too few")
    if found.unremembered:
        _out.print(f"not remembered, for want of room: {found.unremembered:,} rows")


def practice(host: str, port: int, faults: str, key: str | None) -> int:
    """Serve the practice teacher until Ctrl-C."""
    from synth.backends.practice.server import MODEL, serve  # brings a whole web server

    def ready(base_url: str) -> None:
        _out.print(f"practice teacher [bold]{MODEL}[/] at {base_url}  (Ctrl-C stops it)")
        _out.print("[dim]Exercises with planted faults, for trying synth: not a language model.[/]")

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
    listed = dict[str, int | None]()
    with contextlib.suppress(*((Fatal,) if model else ())):  # not every server has a list
        listed = probing.models(endpoint_of(f"{url},-{variable}", "probe "))
    if not model and len(listed) > 1:
        raise RecipeError(f"{url} serves {len(listed)} models; name one after the URL: {', '.join([*listed][:20])}.")
    endpoint = endpoint_of(f"{url},{model or next(iter(listed))}{variable}", "probe ")
    findings, used = probing.probe(endpoint)
    context = listed.get(endpoint.model)
    findings.insert(0, probing.Finding("context", f"{context:,} tokens" if context else "not told", ""))
    if as_json:
        _json({"model": endpoint.model, "findings": [one._asdict() for one in findings], **used._asdict()})
        return 0
    title = f"{endpoint.model} at {endpoint.base_url}: {endpoint.known.title}"
    _out.print(visible(title), markup=False, soft_wrap=True)
    table = _table("", "found", "so")
    for one in findings:
        table.add_row(one.what, escape(visible(one.found)), one.so)
    _out.print(table)
    spent = f"{used.requests} requests, {used.prompt_tokens:,} tokens in and {used.completion_tokens:,} out"
    _out.print(spent, style="dim")
    return 0


def hosts(*, as_json: bool) -> None:
    """Say what is known of every host."""
    if as_json:
        _json({name: known.model_dump(mode="json", exclude_defaults=True) for name, known in named().items()})
        return
    table = _table("profile", "host", "key", "objects", "not taken")
    for name, known in named().items():
        unfit = [*known.refused, *known.ignored]
        some = sorted({field for rule in known.models for field in (*rule.refused, *rule.ignored)})
        not_taken = ", ".join([*unfit, *([f"by some models: {', '.join(some)}"] if some else [])])
        table.add_row(name, "\n".join(known.hosts), known.key_variable, known.structured[0], not_taken)
    _out.print(table)


def account(file: Path, total_usd: float | None, folder: Path | None, *, as_json: bool) -> None:
    """Make or change an account file, release what a dead run holds of it, and show it.

    Raises FolderError when there is none, or the run is not dead.
    """
    if total_usd is not None:
        accounts.set_total(file, Caps(usd=total_usd).microusd or 0)
    if folder is not None:
        if who := holder(folder):
            raise FolderError(f"{folder} is in use by {who}; it gives back what it does not spend when it ends.")
        connection = connect(folder / "run.db")
        back = accounts.release(file, folder, read_spent(connection).microusd)
        connection.close()
        _err.print(f"{usd(back)} came back from {folder}", markup=False, soft_wrap=True)
    total, leases = accounts.standing(file)
    free = total - sum(lease.held_microusd for lease in leases)
    if as_json:
        _json({"total_microusd": total, "free_microusd": free, "leases": leases})
        return
    _out.print(f"{file}: {usd(free)} free of {usd(total)}", markup=False, soft_wrap=True)
    table = _table("folder", "spent", "held", "", right=1)
    for lease in leases:
        state = "running" if holder(Path(lease.folder)) else ""
        if not state and lease.held_microusd > lease.spent_microusd:
            state = f"not running; `synth account {file} --release {lease.folder}` frees what it holds"
        table.add_row(Text(lease.folder), usd(lease.spent_microusd), usd(lease.held_microusd), Text(state))
    _out.print(table)


def doctor(folder: Path | None, *, repair: bool, as_json: bool) -> int:
    """Versions and optional packages; with a folder, the state of its store, which `repair` mends first."""
    report: dict[str, Any] = {"synth": version("synth"), "python": platform.python_version()}
    report["platform"] = platform.platform()
    report["sqlite"] = f"{sqlite3.sqlite_version}{SQLITE_NOTE if sqlite3.sqlite_version_info < SQLITE_MENDED else ''}"
    for package, extra in OPTIONAL.items():
        try:
            report[package] = version(package)
        except PackageNotFoundError:
            report[package] = f"not installed (pip install 'synth[{extra}]')"
    sound = True
    if folder is not None:
        if repair:
            report["repair"] = _repaired(salvage.repair(folder))
        findings = examine(folder / "run.db")
        sound = findings.problem == ""
        report["store"] = findings.problem or "sound"
        report["attempts"], report["lost"] = findings.attempts, findings.lost
        report["in use by"] = holder(folder) or "nobody"
        report["filesystem"] = disk.filesystem(folder) or "unknown"
        report["free"] = disk.megabytes(disk.free_bytes(folder))
    if as_json:
        _json(report)
    else:
        table = _table("", "")
        for name, value in report.items():
            table.add_row(name, Text(str(value)))
        _out.print(table)
    return 0 if sound else FolderError.exit_code


def _repaired(found: salvage.Salvage) -> str:
    if found.kept is None:
        return "nothing is wrong, nothing was changed"
    return (
        f"saved {found.attempts:,} attempts, {found.replies:,} replies and {found.settled:,} charges; "
        f"{found.missing_attempts:,} attempts and {found.missing_replies:,} replies could not be read; "
        f"what was there is kept as {found.kept}"
    )


def _ended(result: Result) -> int:
    """Say why a run ended early; gives its exit code."""
    if result.message:
        _err.print(visible(result.message), style="yellow", markup=False, soft_wrap=True)
    return result.exit_code


def _watched(loaded: LoadedRecipe, options: Options) -> Result:
    """Run with progress on stderr, heeding signals. What came is kept in every case."""
    name = loaded.recipe.name

    async def watched() -> Result:
        loop = asyncio.get_running_loop()
        watching: list[asyncio.Task[None]] = []
        with ExitStack() as heeding:

            def observe(progress: Progress, halt: Halt) -> None:
                if progress.warning:
                    _err.print(progress.warning, style="yellow", markup=False, soft_wrap=True)
                heeding.enter_context(_signals(loop, halt))
                watching.append(loop.create_task(_watch(name, progress)))

            try:
                return await pipeline.run(loaded, replace(options, say=said), observe)
            finally:
                for one in watching:
                    one.cancel()
                await asyncio.gather(*watching, return_exceptions=True)

    try:
        return run_loop(watched())
    except asyncio.CancelledError:
        raise Interrupted("Stopped by Ctrl-C; what had come is kept. Run again to go on.") from None


def said(text: str) -> None:
    """Say on standard error what a run waits for."""
    _err.print(visible(text), markup=False, soft_wrap=True)


def heeding(work: Callable[[Halt], Coroutine[Any, Any, T]]) -> T:
    """Do work that asks, heeding signals. What came is kept in every case."""

    async def heeded() -> T:
        halt = Halt()
        with _signals(asyncio.get_running_loop(), halt):
            return await work(halt)

    try:
        return run_loop(heeded())
    except asyncio.CancelledError:
        raise Interrupted("Stopped by Ctrl-C; what had come is kept. Run again to go on.") from None


@contextmanager
def _signals(loop: asyncio.AbstractEventLoop, halt: Halt) -> Generator[None]:
    """Ctrl-C, SIGTERM and a closed terminal end what is in flight, in a minute at most.

    Ctrl-C twice ends the current task at once, a third time the process, whatever it waits for: hence no handler of
    the loop's, which would wait for the loop.
    """
    task, presses = asyncio.current_task(), 0
    on_terminal = [console for console in (_out, _err) if console.is_terminal]

    def heed(number: int, _frame: FrameType | None) -> None:
        nonlocal presses
        presses += number == signal.SIGINT
        if presses >= 3:
            os._exit(Interrupted.exit_code)
        with suppress(RuntimeError):  # the loop is closed, and nothing is left to stop
            loop.call_soon_threadsafe(stop, number)

    def stop(number: int) -> None:
        if presses == 2 and task is not None:
            task.cancel()
            return
        if not isinstance(halt.error, Interrupted) and task is not None:
            loop.call_later(DRAIN_S, task.cancel)
        halt.throw(Interrupted(f"Stopped by {SIGNALS[signal.Signals(number)]}; run again to go on."))
        if number == signal.SIGHUP:
            for console in on_terminal:
                console.on_broken_pipe()
        _err.print("Ending what is in flight; Ctrl-C again stops at once.", style="yellow")

    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:  # as nohup sets it for SIGHUP
            signal.signal(number, heed)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def _watch(name: str, progress: Progress) -> None:
    if not _err.is_terminal:
        while True:
            await asyncio.sleep(PLAIN_EVERY_S)
            _err.print(_line(name, progress), soft_wrap=True)
    with Live(_panel(name, progress), console=_err, auto_refresh=False, transient=True) as live:
        while True:
            await asyncio.sleep(LIVE_EVERY_S)
            live.update(_panel(name, progress), refresh=True)


def _line(name: str, progress: Progress) -> str:
    rejected = " ".join(f"{reason}={count}" for reason, count in progress.rejected().most_common(6))
    return (
        f"{name}: {progress.seeds_done}/{progress.total_seeds or '?'} seeds, {progress.rows} accepted, "
        f"{sum(progress.rejected().values())} rejected ({rejected or 'none'}), {progress.in_flight()} in flight, "
        f"{', '.join(_standing(progress))}"
    )


def _standing(progress: Progress) -> list[str]:
    """The live budget, and what the run waits for."""
    budget = progress.budget
    spent = Spend(budget.spent_microusd, budget.spent_tokens, budget.spent_requests)
    said = standing(budget.caps, spent, Spend(budget.reserved_microusd), overshoot_microusd=budget.overshoot_microusd)
    said += [f"{budget.waiting:,} {WAITING}"] if budget.waiting else []
    return said + [f"{name} is asked again in {_clock(pause_s)}" for name, pause_s in progress.held().items()]


def _panel(name: str, progress: Progress) -> Group:
    seconds = max(0.001, time.monotonic() - progress.began)
    left = progress.left_s()
    tokens = sum(teacher.tokens for teacher in progress.teachers.values())
    head = Text.assemble(
        (name, "bold"),
        f"   {progress.seeds_done:,} of {progress.total_seeds or 0:,} seeds",
        f"   {_clock(seconds)} gone",
        f"   {_clock(left)} left" if left is not None else "",
    )
    table = _table("stage", "asked", "kept", "refused", right=1)
    for stage, count in progress.stages.items():
        reasons = "  ".join(f"{reason} {number:,}" for reason, number in count.rejected.most_common(5))
        table.add_row(stage, f"{count.units:,}", f"{count.accepted:,}", reasons)
    foot = Text.assemble(
        (f"{progress.rows:,} accepted", "green"),
        f"   {progress.rows / seconds:,.1f}/s",
        f"   {progress.in_flight()} in flight",
        f"   {tokens:,} tokens",
        f"   {'   '.join(_standing(progress))}",
    )
    return Group(head, table, foot)


def _summary(manifest: Manifest) -> None:
    """Rows, reasons and money of a run."""
    splits = ", ".join(f"{name} {count:,}" for name, count in manifest.rows.items())
    _out.print(f"\n[bold]{manifest.recipe.name}[/]  {manifest.state}  {_clock(manifest.seconds)}")
    _out.print(
        f"[green]{manifest.row_count:,} rows[/] ({splits})  {', '.join(manifest.standing)}", markup=True, soft_wrap=True
    )
    if manifest.practice:
        _out.print(PRACTICE)
    if manifest.unpriced:
        names = ", ".join(manifest.unpriced)
        _out.print(f"the price of {names} is not known: what it costs is in no sum here", markup=False)
    if manifest.limited_by_reservation_s >= 1:
        _out.print(
            f"for {_clock(manifest.limited_by_reservation_s)} the budget's reservations held requests back, "
            "not the provider"
        )
    if manifest.saved is not None and manifest.saved.prompts:
        saved = manifest.saved
        _out.print(
            f"up to {saved.replies:,} replies{f' ({usd(saved.cost_microusd)})' if saved.cost_microusd else ''} "
            f"were not bought, as {saved.prompts:,} prompts had been dropped as duplicates (an estimate)",
            markup=False,
            soft_wrap=True,
        )
    table = _table("stage", "asked", "drafts", "kept", "refused", right=1)
    if manifest.seeds.refused:
        reasons = "  ".join(f"{reason} {count:,}" for reason, count in manifest.seeds.refused.items())
        table.add_row("seeds", "", "", f"{manifest.seeds.count:,}", reasons)
    for stage in manifest.stages:
        reasons = "  ".join(f"{reason} {count:,}" for reason, count in stage.rejected.items())
        parked = f"  parked {stage.parked:,}" if stage.parked else ""
        table.add_row(stage.name, f"{stage.units:,}", f"{stage.drafts:,}", f"{stage.accepted:,}", reasons + parked)
    if manifest.not_selected:
        reasons = "  ".join(f"{reason} {count:,}" for reason, count in manifest.not_selected.items())
        table.add_row("selection", "", "", f"{manifest.row_count:,}", reasons)
    _out.print(table)
    for benchmark in manifest.decontamination:
        _out.print(f"{benchmark.name}: {benchmark}", markup=False, soft_wrap=True)


def _board(board: Scoreboard) -> Table:
    table = _table("planted fault", "planted", "caught", "", right=1)
    for fault in sorted(board.planted):
        planted, caught = board.planted[fault], board.caught[fault]
        table.add_row(fault, f"{planted:,}", f"{caught:,}", f"{caught / planted:.0%}")
    table.add_row("all", f"{sum(board.planted.values()):,}", f"{sum(board.caught.values()):,}", f"{board.recall():.1%}")
    table.add_row("good rows lost", f"{board.good:,}", f"{board.lost:,}", f"{board.false_rejections():.1%}")
    for failure, count in board.resent.items():
        table.add_row(failure, f"{count:,}", "sent again", "")
    return table


def _record(record: dict[str, Any]) -> None:
    title = record["id"]
    if "reason" in record:
        title += f"  {record['reason']}  {record['detail']}"
    title += "".join(f"  {score['name']} {score['value']:g}" for score in record["scores"])
    _conversation(title, [Message(**message) for message in record["messages"]])


def _conversation(title: str, messages: Any) -> None:
    _out.print(Text(visible(title), style="bold"))
    for message in messages:
        _out.print(Text(message.role, style="cyan"))
        _out.print(Text(visible(message.content)))
    _out.print()


def _table(*columns: str, right: int | None = None) -> Table:
    """A table without lines; columns from `right` to the last but one are numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for place, column in enumerate(columns):
        numeric = right is not None and right <= place < max(right + 1, len(columns) - 1)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    return table


def _clock(seconds: float) -> str:
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def _json(value: Any) -> None:
    sys.stdout.buffer.write(
        orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS)
    )
