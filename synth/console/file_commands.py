"""The commands that work on any dataset file: dedupe, validate, decontaminate, split, score, lint, convert."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synth.console.helping import Told
from synth.console.options import AS_JSON, CAPS, Choice, Decorator, among, cap_fields, taking

if TYPE_CHECKING:
    from synth.admission.halt import Halt
    from synth.files.asking import Desk
    from synth.files.parts import Report
    from synth.protocol.endpoint import Endpoint
    from synth.shapes import Style


def _endpoint(_: click.Context, parameter: click.Parameter, value: str | None) -> Endpoint | None:
    from synth.recipes.options import endpoint_of

    return None if value is None else endpoint_of(value, f"{parameter.opts[0]} ")


ON_FILES = taking(
    click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path)),
    click.option("--out", type=click.Path(path_type=Path), metavar="FOLDER",
                 help="Write the kept rows here, and removed.jsonl; without it, only say what would go."),
    AS_JSON,
)  # fmt: skip
BY = click.option("--by", default="messages", show_default=True, metavar="PART",
                  help="What is compared: messages, question, answer, or a column's name.")  # fmt: skip


def _buying(folder: str) -> Decorator:
    """The options of those that may ask somebody; what comes is kept in `folder` unless another one is named."""
    return taking(
        click.option("--run", "folder", default=folder, show_default=True, metavar="FOLDER",
                     type=click.Path(path_type=Path), help="Where all that comes is kept: nothing is bought twice."),
        CAPS,
    )  # fmt: skip


SEMANTIC = taking(
    click.option("--semantic", metavar="URL,MODEL[,KEY_VARIABLE]", callback=_endpoint,
                 help="Compare by meaning too, with the vectors of this embeddings endpoint."),
    _buying("runs/vectors"),
)  # fmt: skip
"""The options of those that may ask an embedder."""


@click.command(cls=Told, short_help="Remove rows of files that repeat an earlier one.")
@ON_FILES
@BY
@click.option("--exact", is_flag=True, help="Only texts that are equal but for width, case, blanks and punctuation.")
@click.option("--threshold", type=click.FloatRange(0, 1, min_open=True), metavar="SHARE",
              help="Share of n-grams in common that makes a twin; by script and length unless given.")  # fmt: skip
@click.option("--novel-against", "known", multiple=True, metavar="NAME", help="Also remove what this data holds.")
@SEMANTIC
def dedupe(
    files: tuple[Path, ...],
    out: Path | None,
    as_json: bool,
    by: str,
    exact: bool,
    threshold: float | None,
    known: tuple[str, ...],
    semantic: Endpoint | None,
    **asking: Any,
) -> int:
    """Remove rows of FILES that say the same as an earlier one. Other numbers make another question."""
    from synth.console import sifting
    from synth.dedupe import Dedupe, Semantic
    from synth.files import parts

    settings = Dedupe(by=by, near=not exact, threshold=threshold)
    if semantic is None:
        report = parts.sift(files, out, parts.deduping(settings, known), by)
    else:
        from synth.files import parts_by_meaning

        settings = settings.model_copy(update={"semantic": Semantic(embedder=parts_by_meaning.EMBEDDER)})
        report = _asked(
            {parts_by_meaning.EMBEDDER: semantic},
            lambda desk: parts_by_meaning.dedupe(files, out, settings, known, desk),
            **asking,
        )
    sifting.sifted(report, out, as_json=as_json)
    return 0


def _asked(
    endpoints: Mapping[str, Endpoint],
    work: Callable[[Desk], Coroutine[Any, Any, Report]],
    *,
    folder: Path,
    caps: tuple[str, ...],
    allow_unknown_price: bool,
    own: Mapping[str, Any] | None = None,
) -> Report:
    """What comes of work that asks; `own` are a recipe's caps."""
    from synth.console import live
    from synth.files.asking import desk
    from synth.recipes.options import caps_of
    from synth.results.result import Options

    most = caps_of({**(own or {}), **cap_fields(caps, allow_unknown_price=allow_unknown_price)})

    async def asked(halt: Halt) -> Report:
        async with desk(folder, endpoints, most, halt, Options(say=live.tell)) as opened:
            return await work(opened)

    return live.heeding(asked)


@click.command(cls=Told, short_help="Remove rows of files that hold an item of a benchmark.")
@ON_FILES
@BY
@click.option("--against", multiple=True, required=True, metavar="NAME",
              help="A benchmark: a file, or hub:OWNER/NAME[/CONFIGURATION][@SPLIT].")  # fmt: skip
@click.option("--field", default="", metavar="COLUMN",
              help="The benchmarks' column; a number for tables without a header.")  # fmt: skip
@click.option("--judge", metavar="URL,MODEL[,KEY_VARIABLE]", callback=_endpoint,
              help="With --semantic: who decides about what is only like an item.")  # fmt: skip
@SEMANTIC
def decontaminate(
    files: tuple[Path, ...],
    out: Path | None,
    as_json: bool,
    by: str,
    against: tuple[str, ...],
    field: str,
    judge: Endpoint | None,
    semantic: Endpoint | None,
    **asking: Any,
) -> int:
    """Remove rows of FILES that hold an item of a benchmark, also re-spaced, lightly edited or with other numbers."""
    from synth.console import sifting
    from synth.files import parts
    from synth.recipes.named import benchmarks

    if judge is not None and semantic is None:
        raise click.UsageError("--judge decides about what --semantic finds; name an embeddings endpoint with it.")
    index = benchmarks(against, Path(), field)
    if semantic is None:
        hits: Counter[str] = Counter()
        report = parts.sift(files, out, parts.decontaminating(index, by, hits), by)
        report.benchmarks = index.record(hits)
    else:
        from synth.files import parts_by_meaning

        endpoints = {parts_by_meaning.EMBEDDER: semantic} | ({parts_by_meaning.JUDGE: judge} if judge else {})
        report = _asked(endpoints, lambda desk: parts_by_meaning.decontaminate(files, out, index, by, desk), **asking)
    sifting.sifted(report, out, as_json=as_json)
    return 0


@click.command(cls=Told, short_help="Remove rows of files that a check refuses.")
@ON_FILES
@click.option("--check", "checks", multiple=True, metavar="KIND",
              help="A validator, or '{kind: length, min_chars: 5}'; finished and refusal if none.")  # fmt: skip
@click.option("--recipe", type=click.Path(path_type=Path), help="Use the validators of this recipe's last stage.")
def validate(
    files: tuple[Path, ...], out: Path | None, as_json: bool, checks: tuple[str, ...], recipe: Path | None
) -> int:
    """Remove rows of FILES that a check refuses."""
    from synth.console import sifting
    from synth.files import parts, plugin_texts
    from synth.recipes.loading import Overrides, load

    if recipe is not None and checks:
        raise click.UsageError("Give --check or --recipe, not both.")
    loaded = None if recipe is None else load(recipe, Overrides(makes=False))
    validators = loaded.recipe.stages[-1].validators if loaded else plugin_texts.validators_of(checks)
    with parts.validating(validators, loaded.folder if loaded else Path()) as judge:
        report = parts.sift(files, out, judge)
    sifting.sifted(report, out, as_json=as_json)
    return 0


@click.command(cls=Told, short_help="Deal rows of files to splits, twins together.")
@ON_FILES
@BY
@click.option("--fractions", default="train=0.9,test=0.1", show_default=True, metavar="NAME=SHARE,...")
@click.option("--seed", default=0, show_default=True, help="Another number deals the rows anew.")
def split(files: tuple[Path, ...], out: Path | None, as_json: bool, by: str, fractions: str, seed: int) -> int:
    """Deal the rows of FILES to splits, twins together, so that no test row has one in train."""
    from synth.console import sifting
    from synth.files import parts, plugin_texts

    wanted = plugin_texts.split_of_text(fractions, seed)
    judge, notice = parts.splitting(files, wanted, by)
    report = parts.sift(files, out, judge, by, list(wanted.fractions))
    report.notice = notice
    sifting.sifted(report, out, as_json=as_json)
    return 0


@click.command(cls=Told, short_help="Score rows of files.")
@ON_FILES
@click.option("--scorer", "scorers", multiple=True, metavar="YAML",
              help="As in a recipe: '{kind: exact_answer, reference: answer}', where answer is a column.")  # fmt: skip
@click.option("--recipe", type=click.Path(path_type=Path), help="Use the scorers of this recipe's last stage.")
@click.option("--require", multiple=True, metavar="NAME=VALUE", help="Remove rows whose score is lower.")
@click.option("--teacher", "teachers", multiple=True, metavar="NAME=URL,MODEL[,KEY_VARIABLE]",
              help="Whom a scorer asks that names this teacher; with --recipe in place of the recipe's.")  # fmt: skip
@_buying("runs/scores")
def score(
    files: tuple[Path, ...],
    out: Path | None,
    as_json: bool,
    scorers: tuple[str, ...],
    recipe: Path | None,
    require: tuple[str, ...],
    teachers: tuple[str, ...],
    **asking: Any,
) -> int:
    """Score the rows of FILES; the scores go into scores.jsonl."""
    from contextlib import nullcontext

    from synth.console import sifting
    from synth.datasets.files import whole_file
    from synth.files import parts, plugin_texts
    from synth.files.scoring import asked_by, scoring, sift_asking
    from synth.recipes.loading import Overrides, load
    from synth.recipes.templates import Templates

    if bool(scorers) == (recipe is not None):
        raise click.UsageError("Give --scorer or --recipe.")
    loaded = None if recipe is None else load(recipe, Overrides(teachers=teachers, makes=False))
    known = loaded.recipe.teachers if loaded else plugin_texts.teachers_of(teachers)
    chosen = loaded.recipe.stages[-1].scorers if loaded else plugin_texts.scorers_of(scorers, known)
    templates, language = (loaded.templates, loaded.recipe.language) if loaded else (Templates(Path()), "")
    least = plugin_texts.values_of(require, "--require")
    scores: parts.Scores = {}
    with nullcontext() if out is None else whole_file(out / "scores.jsonl") as notes:
        asked = asked_by(chosen, known)
        if asked:
            report = _asked(
                asked,
                lambda desk: sift_asking(
                    files,
                    out,
                    desk,
                    chosen,
                    lambda way: scoring(chosen, least, notes, scores, way),
                    templates,
                    language,
                ),
                **asking,
                own=loaded.recipe.budget.model_dump() if loaded else None,
            )
        else:
            with scoring(chosen, least, notes, scores) as judge:
                report = parts.sift(files, out, judge)
    report.scores = scores
    sifting.sifted(report, out, as_json=as_json)
    return 0


@click.command(cls=Told, short_help="Find what fails or spoils a training in rows of files.")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--tokenizer", metavar="FOLDER|NAME", help="The student's, to count tokens and try its chat template.")
@click.option("--max-length", type=click.IntRange(min=1), help="The most tokens a row may have, as the trainer cuts.")
@click.option("--for", "name", metavar="FORMAT",
              help="Only files of this format of `synth convert`, and only what matters to its readers.")  # fmt: skip
@AS_JSON
def lint(
    paths: tuple[Path, ...], tokenizer: str | None, max_length: int | None, name: str | None, as_json: bool
) -> int:
    """Find in PATHS, files of rows or folders of them, what would fail or spoil a training without a word."""
    from synth import lint as linting
    from synth.console.linting import linted
    from synth.formats import FORMATS, aim_of
    from synth.lint.tokens import Tokens

    if name is not None and name not in FORMATS:
        raise click.BadParameter(among(name, [*FORMATS]), param_hint="--for")
    if max_length is not None and tokenizer is None:
        raise click.UsageError("--max-length counts tokens; name the student's --tokenizer.")
    tokens = None if tokenizer is None else Tokens(tokenizer)
    aim = None if name is None else aim_of(name)
    return linted(linting.lint(paths, tokens, max_length, aim), as_json=as_json)


@click.command(cls=Told, short_help="Write rows in the shape of another trainer.")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--to", "name", required=True, metavar="FORMAT", help="Such as prompt-completion, openai, llama-factory.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE|FOLDER",
              help="A .jsonl or .parquet file, or a folder that gets one for each.")  # fmt: skip
@click.option("--reasoning", type=Choice(["field", "inline", "drop"]),
              help="As reasoning_content, as <think> before the answer, or nowhere; by default by format.")  # fmt: skip
@click.option("--tokenizer", metavar="FOLDER|NAME", help="The student's, whose chat template writes the format text.")
@click.option("--by", metavar="SCORE", help="Tell a run's draws apart (preference, unpaired) by this score.")
@click.option("--gap", type=float, help="For preference: the least by which chosen scores more than rejected.")
@click.option("--per-prompt", type=int, help="For preference: the most pairs of one prompt; 1 unless given.")
@click.option("--good", type=float, help="For unpaired: the least that a good answer scores.")
@click.option("--bad", type=float, help="For unpaired: the most that a bad answer scores.")
@click.option("--reason", "reasons", multiple=True, metavar="NAME",
              help="By verdict: what bad answers were refused for; unless given, what calls them bad.")  # fmt: skip
@click.option("--keep", multiple=True, metavar="COLUMN", help="Keep this column too, beside the id.")
@click.option("--shuffle", type=int, metavar="SEED", help="Shuffle the rows; the same seed gives the same order.")
@click.option("--shards", type=click.IntRange(1, 10_000), default=1, show_default=True, help="Files to write of each.")
@click.option("--parquet", is_flag=True, help="Write Parquet into a folder, not JSONL.")
@AS_JSON
def convert(
    paths: tuple[Path, ...],
    name: str,
    out: Path,
    reasoning: Style | None,
    tokenizer: str | None,
    keep: tuple[str, ...],
    shuffle: int | None,
    shards: int,
    parquet: bool,
    as_json: bool,
    **telling_apart: Any,
) -> int:
    """Write the rows of PATHS, which are runs, files or folders of them, as FORMAT. Nothing is cut to fit it.

    Of a run, preference and unpaired are made of its draws, kept and refused; of other files, of their own pairs.
    """
    from synth.console.converting import converted
    from synth.formats import FORMATS, TOKEN_FORMATS
    from synth.formats.convert import Wanted
    from synth.formats.convert import convert as work
    from synth.formats.pairs import rule_for
    from synth.lint.tokens import Tokens

    if name in TOKEN_FORMATS:
        from synth.formats.distillation import convert_tokens

        if reasoning or tokenizer or keep or shuffle is not None or shards > 1 or any(telling_apart.values()):
            raise click.UsageError(f"--to {name} writes what is told of tokens, and takes no option but --out.")
        return converted(convert_tokens(paths, out, name), as_json=as_json)
    if name not in FORMATS:
        raise click.BadParameter(among(name, [*FORMATS, *TOKEN_FORMATS]), param_hint="--to")
    if (tokenizer is None) == (FORMATS[name].make is None):
        raise click.UsageError("--to text needs the student's --tokenizer, and the other formats take none.")
    render = None if tokenizer is None else Tokens(tokenizer).text
    given = {option: value for option, value in telling_apart.items() if value not in (None, ())}
    wanted = Wanted(name, reasoning, keep, shuffle, shards, parquet, render, rule_for(name, paths, given))
    return converted(work(paths, out, wanted), as_json=as_json)


ALL = (dedupe, validate, decontaminate, split, score, lint, convert)
