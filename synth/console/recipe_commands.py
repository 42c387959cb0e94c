"""The commands that take a recipe: check, preview, estimate, compare, run, retry, export, select."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synth.console.helping import Told
from synth.console.options import AS_JSON, CAPS, cap_fields, dollars, taking

if TYPE_CHECKING:
    from synth.console.telling import Wanted
    from synth.recipes.loading import Overrides
    from synth.recipes.recipe import LoadedRecipe


OUT = click.option("--out", type=click.Path(path_type=Path), help="Run folder.")
LIMIT = click.option("--limit", type=click.IntRange(min=1), help="Use only so many seeds.")
ACCEPT_CHANGE = click.option(
    "--accept-change", is_flag=True, help="Go on although what the folder's answers were asked with has changed."
)
OVERRIDING = taking(
    click.argument("recipe", type=click.Path(path_type=Path)),
    click.option("--teacher", "teachers", multiple=True, metavar="NAME=URL,MODEL[,KEY_VARIABLE]",
                 help="Ask this endpoint as the named teacher."),
    click.option("--serve", default="", metavar="[NAME=]MODEL",
                 help="Have vLLM serve this model (a folder, or a name on the Hub) for the run; options of "
                      "`vllm serve` may follow: 'MODEL --max-model-len 8192'."),
    click.option("--seeds", default="", metavar="PATH", help="Read the seeds from this file."),
    CAPS,
    click.option("--accept-terms", multiple=True, metavar="NAME",
                 help="Go on under these terms of a teacher's, such as openai."),
    click.option("--rows", type=click.IntRange(min=1), help="Stop when so many rows are there."),
    click.option("--online", is_flag=True, help="Wait for no batch: what has not come is asked at once."),
)  # fmt: skip
"""The recipe, and the options that stand in for its own words."""


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
    from synth.recipes.loading import Overrides, load

    budget = cap_fields(caps, allow_unknown_price=allow_unknown_price)
    overrides: Overrides = Overrides(teachers, seeds, budget, rows, accept_terms, selection, online, serve)
    return load(recipe, overrides)


def _is_given(name: str) -> bool:
    """Whether the command line holds an option, and not its default."""
    return click.get_current_context().get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


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


@click.command(cls=Told, short_help="Check a recipe without sending anything.")
@OVERRIDING
@AS_JSON
def check(recipe: Path, as_json: bool, **overrides: Any) -> int:
    """Check a RECIPE, and its templates with each of its seeds, without sending anything.

    All seeds are read; the templates are rendered with the first 100,000 of them.
    """
    from synth.console import checking

    return checking.check(_load(recipe, **overrides), as_json=as_json)


@click.command(cls=Told, short_help="Try a recipe on its first seeds and show the rows.")
@OVERRIDING
@click.option("-n", "count", default=3, show_default=True, type=click.IntRange(min=1), help="Seeds to try.")
@OUT
@AS_JSON
@_telling
def preview(recipe: Path, count: int, out: Path | None, as_json: bool, wanted: Wanted, **overrides: Any) -> int:
    """Try a RECIPE on its first seeds and show what comes of them. The replies are kept for the run."""
    from synth.console import running
    from synth.results.result import Options

    return running.preview(_load(recipe, **overrides), Options(out, count, write=False), wanted, as_json=as_json)


@click.command(cls=Told, short_help="Tell what a run will cost, from a few seeds.")
@OVERRIDING
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
    callback=dollars,
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
@AS_JSON
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


@click.command(cls=Told, short_help="Ask several teachers the same, side by side.")
@OVERRIDING
@click.option("--teachers", "named", default="", metavar="NAME,NAME", help="Of the recipe's teachers; all if none.")
@click.option("--stage", default="", metavar="NAME", help="The stage that they take turns in; the last if none.")
@click.option("-n", "--count", default=20, show_default=True, type=click.IntRange(min=1), help="Seeds to try.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FOLDER", help="runs/NAME-compare if none.")
@AS_JSON
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


@click.command(cls=Told, short_help="Make the dataset of a recipe, or go on with it.")
@OVERRIDING
@click.option("--out", type=click.Path(path_type=Path), help="Run folder; runs/NAME unless the recipe says otherwise.")
@LIMIT
@click.option("--fresh", default="", metavar="SALT", help="Ask everything anew under this word.")
@click.option(
    "--reuse",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Take replies to the same requests from this earlier run.",
)
@ACCEPT_CHANGE
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


@click.command(cls=Told, short_help="Go on, and ask again for what had failed for good.")
@OVERRIDING
@OUT
@LIMIT
@ACCEPT_CHANGE
@_telling
def retry(
    recipe: Path, out: Path | None, limit: int | None, accept_change: bool, wanted: Wanted, **overrides: Any
) -> int:
    """Go on with the run of a RECIPE, and ask again for what had failed for good."""
    from synth.console import running
    from synth.results.result import Options

    options = Options(out, limit, retry=True, accept_change=accept_change)
    return running.run(_load(recipe, **overrides), options, wanted)


@click.command(cls=Told, short_help="Write the dataset again from stored replies alone.")
@OVERRIDING
@OUT
@LIMIT
@ACCEPT_CHANGE
def export(recipe: Path, out: Path | None, limit: int | None, accept_change: bool, **overrides: Any) -> int:
    """Write the dataset of a RECIPE again from stored replies alone, such as after changing its selection."""
    from synth.console import running
    from synth.results.result import Options

    return running.run(_load(recipe, **overrides), Options(out, limit, offline=True, accept_change=accept_change))


@click.command(cls=Told, short_help="Choose the rows of a run anew, without a request.")
@OVERRIDING
@OUT
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
        from synth.storage.database import recipe_of

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


ALL = (check, preview, estimate, compare, run, retry, export, select)
