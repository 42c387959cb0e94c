"""The command line. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import errno
import functools
import io
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synth.console import commands, finished
from synth.console.choices import Choice
from synth.console.helping import Grouped
from synth.errors import SynthError

if TYPE_CHECKING:
    from synth.console.telling import Wanted
    from synth.recipes.recipe import LoadedRecipe, Overrides

FULL_EXIT = 5


def main() -> None:
    """The `synth` command: one sentence and an exit code of its own for every error a user may meet."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows no Japanese is no reason to fail
    try:
        code = command(standalone_mode=False)
    except SynthError as error:
        from synth.console.screen import ERR, say

        say(ERR, str(error))
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo("Stopped.", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        click.echo("No space is left where this is written; free some, or write elsewhere, and run it again.", err=True)
        sys.stderr.close()  # what is left of the output would be told as a traceback
        sys.exit(FULL_EXIT)
    sys.exit(code if isinstance(code, int) else 0)


def _overriding(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that stand in for the recipe's own words."""
    options = [
        click.argument("recipe", type=click.Path(path_type=Path)),
        click.option("--teacher", "teachers", multiple=True, metavar="NAME=URL,MODEL[,KEY_VARIABLE]",
                     help="Ask this endpoint as the named teacher."),
        click.option("--serve", default="", metavar="[NAME=]MODEL",
                     help="Have vLLM serve this model (a folder, or a name on the Hub) for the run; options of "
                          "`vllm serve` may follow: 'MODEL --max-model-len 8192'."),
        click.option("--seeds", default="", metavar="PATH", help="Read the seeds from this file."),
        click.option("--budget", "caps", multiple=True, metavar="USD|NAME=VALUE",
                     help="Never use more: 20 (dollars), tokens=1e6, requests=500, hours=8, account=FILE."),
        click.option("--allow-unknown-price", is_flag=True, help="Go on under --budget where a price is not known."),
        click.option("--accept-terms", multiple=True, metavar="NAME",
                     help="Go on under these terms of a teacher's, such as openai."),
        click.option("--rows", type=click.IntRange(min=1), help="Stop when so many rows are there."),
        click.option("--online", is_flag=True, help="Wait for no batch: what has not come is asked at once."),
    ]  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def _load(
    recipe: Path,
    teachers: tuple[str, ...],
    serve: str,
    seeds: str,
    caps: tuple[str, ...],
    allow_unknown_price: bool,
    rows: int | None,
    accept_terms: tuple[str, ...] = (),
    online: bool = False,
    selection: Mapping[str, Any] | None = None,
) -> LoadedRecipe:
    from synth.recipes.recipe import Overrides, load

    budget = commands.cap_fields(caps, allow_unknown_price=allow_unknown_price)
    overrides: Overrides = Overrides(teachers, seeds, budget, rows, accept_terms, selection, online, serve)
    return load(recipe, overrides)


def _dollars(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """A sum that an account can hold; no range of click's refuses `nan`."""
    if value is not None and not 0 <= value <= 1e9:
        raise click.BadParameter(f"{value} is no sum of dollars from 0 to 1,000,000,000", context, parameter)
    return value


def _is_given(name: str) -> bool:
    """Whether the command line holds an option, and not its default."""
    return click.get_current_context().get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


_accept_change = click.option(
    "--accept-change", is_flag=True, help="Go on although what the folder's answers were asked with has changed."
)


def _telling(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of commands that ask: what is told beside the view, which they are given as `wanted`."""

    @click.option(
        "--events",
        metavar="PATH|-",
        help="Append events as JSON lines to this file or pipe, or print them (-).",
    )
    @click.option("--otel", is_flag=True, help="Send OpenTelemetry spans where the OTEL_ variables say.")
    @functools.wraps(function)
    def told(*arguments: Any, events: str | None, otel: bool, **options: Any) -> Any:
        from synth.console.telling import Wanted

        if options.get("as_json") and events == "-":
            raise click.UsageError("--json and --events - both print on standard output; give --events a path.")
        if events == "":  # as a variable that is not set leaves it
            raise click.UsageError("--events is empty; give a path, or - for standard output.")
        return function(*arguments, wanted=Wanted(events or "", otel), **options)

    return told


@click.group(cls=Grouped, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="synth")
def command() -> None:
    """Distil a strong teacher into a checked, deduplicated, scored instruction dataset."""


@command.command(short_help="Begin a recipe of your own with a copy of one of synth's.")
@click.argument("name", required=False, default="")
@click.option(
    "--from", "original", default="", metavar="RECIPE", help="The recipe to copy; without it, all are listed."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def new(name: str, original: str, as_json: bool) -> int:
    """Copy a recipe of synth's library, with its templates and seeds, to a new folder NAME. Nothing is written over."""
    from synth.console import beginning
    from synth.recipes import library

    if original and not name:
        raise click.UsageError(f"give the copy a name: synth new NAME --from {original}")
    if not original:
        return beginning.listed(library.recipes(), wanted=name, as_json=as_json)
    return beginning.begun(library.copy(original, Path(name)), original, as_json=as_json)


@command.command(short_help="Check a recipe without sending anything.")
@_overriding
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(recipe: Path, as_json: bool, **overrides: Any) -> int:
    """Check a RECIPE, and its templates with each of its seeds, without sending anything.

    All seeds are read; the templates are rendered with the first 100,000 of them.
    """
    from synth.console import checking

    return checking.check(_load(recipe, **overrides), as_json=as_json)


@command.command(short_help="Try a recipe on its first seeds and show the rows.")
@_overriding
@click.option("-n", "count", default=3, show_default=True, type=click.IntRange(min=1), help="Seeds to try.")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@_telling
def preview(recipe: Path, count: int, out: Path | None, as_json: bool, wanted: Wanted, **overrides: Any) -> int:
    """Try a RECIPE on its first seeds and show what comes of them. The replies are kept for the run."""
    from synth.console import running
    from synth.results.result import Options

    return running.preview(_load(recipe, **overrides), Options(out, count, write=False), wanted, as_json=as_json)


@command.command(short_help="Tell what a run will cost, from a few seeds.")
@_overriding
@click.option(
    "--pilot",
    default=20,
    show_default=True,
    type=click.IntRange(min=0),
    metavar="SEEDS",
    help="Seeds to try, spread over all; 0: ask nothing, and tell what the prompts alone tell.",
)
@click.option(
    "--pilot-usd",
    "most_usd",
    default=1.0,
    show_default=True,
    callback=_dollars,
    metavar="USD",
    help="The most that trying them may cost.",
)
@click.option(
    "--tokenizer",
    default="",
    metavar="NAME",
    help="With --pilot 0: count the prompts by this tokenizer, a folder or a name on the Hub.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Run folder, in which the replies are kept for the run.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@_telling
def estimate(
    recipe: Path,
    pilot: int,
    most_usd: float,
    tokenizer: str,
    out: Path | None,
    as_json: bool,
    wanted: Wanted,
    **overrides: Any,
) -> int:
    """Tell what a run of RECIPE will cost, bring and take. Seeds spread over all are tried; their replies are kept."""
    from synth.console import running
    from synth.results.result import Options

    if tokenizer and pilot:
        raise click.UsageError("--tokenizer is for --pilot 0: what a pilot's replies say of their tokens is exact")
    if not pilot and (wanted.events or wanted.otel):
        raise click.UsageError("--events and --otel tell of what is asked, and --pilot 0 asks nothing")
    if not pilot and (out is not None or _is_given("most_usd")):
        raise click.UsageError("--out and --pilot-usd are for a pilot, and --pilot 0 asks nothing")
    options = Options(out, pilot=pilot, write=False)
    return running.estimate(
        _load(recipe, **overrides), options, wanted, most_usd=most_usd, tokenizer=tokenizer, as_json=as_json
    )


@command.command(short_help="Ask several teachers the same, side by side.")
@_overriding
@click.option("--teachers", "named", default="", metavar="NAME,NAME", help="Of the recipe's teachers; all if none.")
@click.option("--stage", default="", metavar="NAME", help="The stage that they take turns in; the last if none.")
@click.option("-n", "--count", default=20, show_default=True, type=click.IntRange(min=1), help="Seeds to try.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FOLDER", help="runs/NAME-compare if none.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@_telling
def compare(
    recipe: Path,
    named: str,
    stage: str,
    count: int,
    out: Path | None,
    as_json: bool,
    wanted: Wanted,
    **overrides: Any,
) -> int:
    """Ask the first prompts of a RECIPE of each of its teachers in turn, and say how they differ.

    The replies are kept: `synth run --reuse FOLDER` with the one that you choose buys none of them again.
    """
    from synth.console import comparing
    from synth.results.result import Options

    names = [name.strip() for name in named.split(",") if name.strip()]
    return comparing.compared(_load(recipe, **overrides), stage, names, Options(out, count), wanted, as_json=as_json)


@command.command(short_help="Make the dataset of a recipe, or go on with it.")
@_overriding
@click.option("--out", type=click.Path(path_type=Path), help="Run folder; runs/NAME unless the recipe says otherwise.")
@click.option("--limit", type=click.IntRange(min=1), help="Use only so many seeds.")
@click.option("--fresh", default="", metavar="SALT", help="Ask everything anew under this word.")
@click.option(
    "--reuse",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Take replies to the same requests from this earlier run.",
)
@_accept_change
@_telling
def run(
    recipe: Path,
    out: Path | None,
    limit: int | None,
    fresh: str,
    reuse: tuple[Path, ...],
    accept_change: bool,
    wanted: Wanted,
    **overrides: Any,
) -> int:
    """Make the dataset of a RECIPE. Run it again to go on: nothing that is stored is asked twice."""
    from synth.console import running
    from synth.results.result import Options

    options = Options(out, limit, fresh, reuse, accept_change=accept_change)
    return running.run(_load(recipe, **overrides), options, wanted)


@command.command(short_help="Go on, and ask again for what had failed for good.")
@_overriding
@click.option("--out", type=click.Path(path_type=Path), help="Run folder.")
@click.option("--limit", type=click.IntRange(min=1), help="Use only so many seeds.")
@_accept_change
@_telling
def retry(
    recipe: Path, out: Path | None, limit: int | None, accept_change: bool, wanted: Wanted, **overrides: Any
) -> int:
    """Go on with the run of a RECIPE, and ask again for what had failed for good."""
    from synth.console import running
    from synth.results.result import Options

    options = Options(out, limit, retry=True, accept_change=accept_change)
    return running.run(_load(recipe, **overrides), options, wanted)


@command.command(short_help="Write the dataset again from stored replies alone.")
@_overriding
@click.option("--out", type=click.Path(path_type=Path), help="Run folder.")
@click.option("--limit", type=click.IntRange(min=1), help="Use only so many seeds.")
@_accept_change
def export(recipe: Path, out: Path | None, limit: int | None, accept_change: bool, **overrides: Any) -> int:
    """Write the dataset of a RECIPE again from stored replies alone, such as after changing its selection."""
    from synth.console import running
    from synth.results.result import Options

    return running.run(_load(recipe, **overrides), Options(out, limit, offline=True, accept_change=accept_change))


@command.command(short_help="Choose the rows of a run anew, without a request.")
@_overriding
@click.option("--out", type=click.Path(path_type=Path), help="Run folder.")
@click.option("--require", multiple=True, metavar="SCORE=LEAST", help="The least a score may be, as judge=4.")
@click.option("--at-most", multiple=True, metavar="SCORE=MOST", help="The most a score may be, as pass_rate=0.9.")
@click.option("--best-of", metavar="SCORE", help="Keep each prompt's best draw by this score, or by `majority`.")
@click.option("--per-prompt", type=click.IntRange(min=1), help="The most rows of one prompt.")
@click.option("--decisions", type=click.Path(path_type=Path), metavar="FILE", help="As saved in report.html.")
def select(
    recipe: Path,
    out: Path | None,
    require: tuple[str, ...],
    at_most: tuple[str, ...],
    best_of: str | None,
    per_prompt: int | None,
    decisions: Path | None,
    **overrides: Any,
) -> int:
    """Choose the rows of a RECIPE's run anew, by other thresholds than its own. Nothing is asked.

    RECIPE may also be the folder of a run. With --decisions what a person decided of single rows in its report.html
    counts as well: rejected rows go, accepted and edited ones are rows whatever the thresholds say.

    All draws with their scores and verdicts are kept, so any choice can be made of them again and again. What the
    recipe says comes back with `synth export RECIPE`.
    """
    from synth.console import running
    from synth.results.result import Options

    wanted = {"require": _thresholds(require, "--require"), "at_most": _thresholds(at_most, "--at-most")}
    given = {"best_of": best_of, "per_prompt": per_prompt, **{name: some for name, some in wanted.items() if some}}
    selection = {name: value for name, value in given.items() if value is not None}
    if (recipe / "run.db").is_file():
        from synth.storage.store import recipe_of

        recipe, out = recipe_of(recipe), out or recipe
    loaded = _load(recipe, **overrides, selection=selection)
    return running.run(loaded, Options(out, offline=True, decisions=decisions))


def _thresholds(texts: tuple[str, ...], option: str) -> dict[str, float]:
    """Thresholds by score."""
    found: dict[str, float] = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise click.BadParameter(f"{text!r} is not SCORE=NUMBER", param_hint=option) from None
    return found


@command.command(short_help="Say how far a run is and what it has cost.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(folder: Path, as_json: bool) -> int:
    """Say how far the run in FOLDER is and what it has cost."""
    from synth.console import status

    status.status(folder, as_json=as_json)
    return 0


@command.command(short_help="Watch a run that goes on in another terminal.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON every second.")
def watch(folder: Path, as_json: bool) -> int:
    """Watch the run in FOLDER, which another process does, until it ends; nothing is changed."""
    from synth.console import steering

    return steering.watch(folder, as_json=as_json)


@command.command(short_help="Pause, slow, fund or end a run in another terminal.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("what", type=Choice(["pause", "resume", "limit", "budget", "drain"]))
@click.argument("value", required=False, default="")
def ctl(folder: Path, what: str, value: str) -> int:
    """Steer the run in FOLDER, which another process does: pause, resume, limit N, budget USD, drain.

    `limit` is the most requests in flight at each teacher, up to the recipe's own; `budget` the sum in dollars for this
    run; `drain` ends what is in flight and writes what is there, as Ctrl-C does.
    """
    from synth.console import steering

    return steering.ctl(folder, what, value)


@command.command(short_help="Show rows of a run, or what was refused.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("ids", nargs=-1)
@click.option("--rejected", is_flag=True, help="Show what was refused.")
@click.option("--reason", default="", help="Show only what was refused for this reason.")
@click.option("-n", "count", default=3, show_default=True, type=click.IntRange(min=1), help="How many to show.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def show(folder: Path, ids: tuple[str, ...], rejected: bool, reason: str, count: int, as_json: bool) -> int:
    """Show rows of the run in FOLDER, or those with the given IDS."""
    from synth.console import rows

    rows.show(folder, ids, rejected=rejected or bool(reason), reason=reason, count=count, as_json=as_json)
    return 0


@command.command(short_help="Show the whole way of a row back to raw replies.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("row")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every reply's body as it came.")
def trace(folder: Path, row: str, as_json: bool) -> int:
    """Show how ROW, an id in rows.jsonl or rejected.jsonl of a run's FOLDER, was made: prompts, replies, cost, fate."""
    from synth import trace as tracing
    from synth.console.tracing import traced

    traced(tracing.trace(folder, row), as_json=as_json)
    return 0


@command.command(short_help="Serve the practice teacher, for trying things out.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option(
    "--faults", default="usual", show_default=True, type=Choice(["usual", "held_out", "faultless", "unhealthy"])
)
@click.option("--key", default=None, help="Demand this API key.")
def practice(port: int, host: str, faults: str, key: str | None) -> int:
    """Serve the practice teacher: an OpenAI-compatible server of exercises, for trying things out."""
    from synth.console import hosts

    return hosts.practice(host, port, faults, key)


@command.command(short_help="Say what is known of the hosts that people ask.")
@click.argument("name", required=False, default="")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def hosts(name: str, as_json: bool) -> int:
    """Say what is known of the hosts that people ask, or all that is known of the one called NAME: what it takes, how
    it tells limits and reasoning, where its prices come from, and what its terms said."""
    from synth.console import hosts

    hosts.hosts(name, as_json=as_json)
    return 0


@command.command(short_help="Find out what a server can do, by about ten small requests.")
@click.argument("url")
@click.argument("model", required=False, default="")
@click.option("--key", default=None, metavar="VARIABLE", help="The environment variable that holds the key.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def probe(url: str, model: str, key: str | None, as_json: bool) -> int:
    """Find out what the server at URL can do with MODEL (the only one it lists, unless given), by small requests.

    They are paid for like any others and are not kept: about 4,000 tokens in and 1,000 out at most.
    """
    from synth.console import hosts

    return hosts.probed(url, model, key, as_json=as_json)


@command.command()
def schema() -> int:
    """Print the JSON schema of recipes, for editors."""
    import json

    from synth.recipes.described import json_schema

    click.echo(json.dumps(json_schema(), ensure_ascii=False, indent=2))
    return 0


@command.command(short_help="Print what has a shell complete commands and options.")
@click.argument("shell", type=Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print the script by which SHELL completes commands, options and paths."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    script = found(command, {}, "synth", "_SYNTH_COMPLETE").source()
    click.echo(script.replace('string split ","', 'string split -m 1 ","'))  # fish: what is told may hold commas
    return 0


@command.command(short_help="Show, make or change a sum that several runs share.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--usd", type=float, callback=_dollars, help="Make the account with this total, or change its total.")
@click.option("--release", type=click.Path(path_type=Path), metavar="FOLDER", help="Give back what a dead run holds.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def account(file: Path, usd: float | None, release: Path | None, as_json: bool) -> int:
    """Show the account FILE that runs share with --budget account=FILE: its total, and what each run holds."""
    from synth.console import account

    account.account(file, usd, release, as_json=as_json)
    return 0


@command.command(short_help="Look over the installation, or a run's store.")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--repair", is_flag=True, help="Save what can be read of a damaged run.db; the old one stays beside it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(folder: Path | None, repair: bool, as_json: bool) -> int:
    """Look over the installation, and the run in FOLDER if one is given."""
    from synth.console import doctor

    if repair and folder is None:
        raise click.UsageError("--repair needs the FOLDER of a run.")
    return doctor.doctor(folder, repair=repair, as_json=as_json)


for each in (*commands.ALL, *finished.ALL):
    command.add_command(each)
