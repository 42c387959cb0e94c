"""What a run leaves: the rows selected, split and written, and the record of it all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import orjson

from synth import seeds
from synth.comparing.judges import Judges
from synth.datasets.export import Written, write_dataset, write_rejected
from synth.datasets.files import write_whole
from synth.datasets.provenance import ProvenanceRecord, write_provenance
from synth.datasets.tokens import TokensRecord, write_tokens
from synth.errors import RecipeError
from synth.formats.views import ViewRecord, write_views
from synth.gates.screen import Screen
from synth.generators.tool_calling import ToolCalling
from synth.language.diversity import Diversity, measured
from synth.live.progress import Progress, StageCount
from synth.money.savings import Saved, saved
from synth.recipes.fingerprint import accepted, accepted_terms
from synth.recipes.recipe import LoadedRecipe, Recipe
from synth.report.words import JAPANESE
from synth.results.decisions import Decision
from synth.results.manifest import (
    DrawsRecord,
    Manifest,
    RecipeRecord,
    RungRecord,
    SeedsRecord,
    ShareRecord,
    StageRecord,
    State,
    teacher_record,
    versions,
)
from synth.results.outcomes import Kept, Outcomes
from synth.results.passing import EXAMPLES, Passing, chosen
from synth.results.split import deal
from synth.storage.database import Ledger
from synth.storage.store import Store
from synth.types import Rejection, Sample

DECIDED = "by_hand.jsonl"
NONE_DECIDED: Mapping[str, Decision] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Outputs:
    """What was written, and what of it is shown."""

    written: Written
    scores: dict[str, dict[float, int]]
    """How many rows have which value, to three digits, by score."""
    not_selected: Mapping[str, int]
    mixture: dict[str, int]
    """Rows by the model that answered, where several may."""
    examples: list[Sample]
    rejections: list[Rejection]
    twins: dict[str, Sample]
    """Samples that were kept in place of the shown duplicates."""
    notice: str
    notice_ja: str
    judges: Judges
    diversity: tuple[Diversity, ...]


def write(
    loaded: LoadedRecipe,
    folder: Path,
    outcomes: Outcomes,
    screen: Screen | None,
    decisions: Mapping[str, Decision] = NONE_DECIDED,
) -> Outputs:
    """Select, split and write; everything in id order, so that the same outcomes give the same bytes.

    Without the `screen` that refused what is in a benchmark, the file for its review stays as it is.

    Raises RecipeError for decisions about what is no row of these outcomes.
    """
    recipe = loaded.recipe
    _check(decisions, outcomes)
    every = (one.sample() for one in chosen(outcomes, recipe.selection, decisions) if isinstance(one, Kept))
    dealt = deal(((one.seed_id, one.question() or one.answer()) for one in every), recipe.split)
    _write_decisions(decisions, folder / DECIDED)
    tools, passing = isinstance(recipe.stages[-1].generator, ToolCalling), Passing(recipe, outcomes)
    rows = passing.rows(chosen(outcomes, recipe.selection, decisions), dealt.splits)
    written = write_dataset(rows, folder, tools=tools)
    rejected = passing.rejected() if screen is None else screen.reviewed(passing.rejected(), folder)
    write_rejected(rejected, folder / "rejected.jsonl", outcomes.models)
    shown = passing.rejections
    twins = {rejection.twin_id: outcomes.known_as(rejection.twin_id) for rejection in shown if rejection.twin_id}
    few = min(EXAMPLES, len(passing.examples))
    return Outputs(
        written=written,
        scores={
            name: {value: count for (of, value), count in sorted(passing.scores.items()) if of == name}
            for name in sorted({name for name, _ in passing.scores})
        },
        not_selected=passing.not_selected,
        mixture=dict(sorted(passing.mixture.items())),
        examples=[passing.examples[place * len(passing.examples) // few] for place in range(few)],
        rejections=shown,
        twins={name: sample for name, sample in twins.items() if sample is not None},
        notice=dealt.notice,
        notice_ja=dealt.notice_ja,
        judges=passing.judges,
        diversity=measured(passing.texts),
    )


@dataclass(frozen=True, slots=True)
class Beside:
    """What stands beside the rows, each in configurations of its own."""

    tokens: TokensRecord | None
    views: tuple[ViewRecord, ...]
    provenance: ProvenanceRecord | None


def beside(loaded: LoadedRecipe, store: Store, run: Path, *, views: bool) -> Beside:
    """Write what the recipe wants beside the rows that lie in `run`; without `views` the tokens alone.

    Raises RecipeError when the views' tokenizer cannot be read, FolderError when the disk refuses.
    """
    tokens = write_tokens(loaded.recipe, store, run)
    if not views:
        return Beside(tokens, (), None)
    return Beside(tokens, write_views(loaded, run), write_provenance(loaded, store.folder / "run.db", run))


def _why_empty(view: ViewRecord) -> str:
    left_out = ", ".join(f"{reason} {rows:,}" for reason, rows in view.left_out.items())
    return left_out or ("no two draws fit its rule" if view.rule else "no row was kept")


def _why_empty_ja(view: ViewRecord) -> str:
    left_out = "、".join(f"{JAPANESE.reasons.get(reason, reason)} {rows:,}" for reason, rows in view.left_out.items())
    return left_out or ("規則に合う回答の組がありません" if view.rule else "採用された行がありません")


def with_beside(manifest: Manifest, written: Beside) -> Manifest:
    """The manifest with what stands beside the rows, and a notice of each view that holds nothing."""
    empty = [view for view in written.views if not view.rows]
    notice = [f"The view {view.name!r} has no row: {_why_empty(view)}." for view in empty]
    notice_ja = [f"ビュー「{view.name}」は空です（{_why_empty_ja(view)}）。" for view in empty]
    return manifest.model_copy(
        update={
            "tokens": written.tokens,
            "views": written.views,
            "provenance": written.provenance,
            "notice": " ".join([manifest.notice, *notice]).strip(),
            "notice_ja": "".join([manifest.notice_ja, *notice_ja]),
        }
    )


def _check(decisions: Mapping[str, Decision], outcomes: Outcomes) -> None:
    """Raise RecipeError when a decision is about what is no row, or about another text than the row's."""
    for id_, decision in decisions.items():
        sample = outcomes.accepted_one(id_)
        if sample is None:
            refusal = outcomes.refusal_of(id_)
            if refusal is None:
                raise RecipeError(f"{id_} was decided by hand, and this run has no such row; save the decisions anew.")
            raise RecipeError(
                f"{id_} was refused ({refusal.reason}) by the stage {refusal.stage!r} before it was a row, so it "
                "cannot be decided by hand; take it out of the decisions, or change the stage's checks."
            )
        if decision.decision == "edit" and decision.original != sample.messages:
            raise RecipeError(
                f"{id_} has another text now than the one that was edited by hand; edit it again in a new report.html."
            )


def _write_decisions(decisions: Mapping[str, Decision], path: Path) -> None:
    """Keep what was decided beside the rows: who, when, why, and the text that an edit took the place of."""
    if not decisions:
        path.unlink(missing_ok=True)
        return
    lines = (orjson.dumps(one.told()) for one in decisions.values())
    write_whole(path, b"".join(line + b"\n" for line in lines))


def record(
    loaded: LoadedRecipe,
    store: Store,
    progress: Progress,
    screen: Screen,
    state: State,
) -> Manifest:
    """What was asked and what came of it, but for what is `with_written`."""
    recipe = loaded.recipe
    ledger = tuple(store.ledger())
    teachers = tuple(
        teacher_record(name, endpoint, progress.teachers[name].served) for name, endpoint in recipe.teachers.items()
    )
    return Manifest(
        versions=versions(),
        state=state,
        practice=any(teacher.is_practice for teacher in teachers),
        recipe=_recipe_record(loaded),
        seeds=_seeds_record(loaded, progress),
        teachers=teachers,
        stages=tuple(_stage_record(name, count, recipe, screen) for name, count in progress.stages.items()),
        saved=_saved(loaded, progress, ledger),
        decontamination=screen.record(),
        neighbours=None if screen.neighbours is None else screen.neighbours.record(),
        rows={},
        ledger=ledger,
        budget_microusd=progress.budget.caps.microusd,
        caps=progress.budget.caps,
        accepted_terms=accepted_terms(store),
        changes=accepted(store),
        limited_by_reservation_s=round(progress.budget.limited_s, 3),
        started="",
        finished="",
        seconds=0,
    )


class Times(NamedTuple):
    """When a run began and ended, in ISO 8601, and how long it took."""

    started: str
    finished: str
    seconds: float


def recorded_anew(before: Manifest, loaded: LoadedRecipe) -> Manifest:
    """What was asked in an earlier run, for a recipe in which other things are done with its samples.

    The templates stay those of that run: which others they include is only seen where they are rendered.
    """
    now = _recipe_record(loaded).model_copy(update=before.recipe.model_dump(include={"templates", "prompts"}))
    return before.model_copy(update={"recipe": now, "limited_by_reservation_s": 0})


def with_written(
    manifest: Manifest,
    written: Outputs,
    decisions: Mapping[str, Decision],
    times: Times,
) -> Manifest:
    """The record of what was asked, with what was written of it."""
    return manifest.model_copy(
        update={
            "not_selected": dict(written.not_selected),
            "by_hand": dict(sorted(Counter(one.decision for one in decisions.values()).items())),
            "rows": written.written.rows,
            "mixture": written.mixture,
            "scores": written.scores,
            "judges": written.judges.records({one.name: one.served for one in manifest.teachers}),
            "diversity": written.diversity,
            "notice": f"{written.written.notice} {written.notice}".strip(),
            "notice_ja": f"{written.written.notice_ja}{written.notice_ja}",
            "started": times.started,
            "finished": times.finished,
            "seconds": round(times.seconds, 3),
        }
    )


def _recipe_record(loaded: LoadedRecipe) -> RecipeRecord:
    recipe = loaded.recipe
    return RecipeRecord(
        name=recipe.name,
        language=recipe.language,
        license=recipe.license,
        sha256=loaded.sha256,
        text=recipe.model_dump_json(indent=2),
        templates=loaded.templates.sources(),
        prompts=loaded.templates.texts(),
    )


def _seeds_record(loaded: LoadedRecipe, progress: Progress) -> SeedsRecord:
    refused = dict(sorted(progress.refused_seeds.items()))
    repeated = refused.pop("repeated_seed", 0)
    return SeedsRecord(
        identity=seeds.describe(loaded.recipe.seeds, loaded.folder),
        license=seeds.licence(loaded.recipe.seeds),
        count=progress.seeds,
        repeated=repeated,
        refused=refused,
        turns=progress.turns,
    )


def _stage_record(name: str, count: StageCount, recipe: Recipe, screen: Screen) -> StageRecord:
    twins, semantic = screen.told.get(name, (None, None))
    return StageRecord(
        name=name,
        units=count.units - count.unasked,
        drafts=count.drafts,
        accepted=count.accepted,
        rejected={reason: number for reason, number in sorted(count.rejected.items()) if number},
        parked=count.parked,
        called_back=count.called_back,
        twins=twins,
        semantic=semantic,
        draws=_draws_record(count) if count.pass_rates else None,
        shares={
            teacher: ShareRecord(model=recipe.teachers[teacher].model, **asdict(share))
            for teacher, share in sorted(count.shares.items())
        },
        rungs={rung: RungRecord(**asdict(count.rungs[rung])) for rung in sorted(count.rungs)},
    )


def _saved(loaded: LoadedRecipe, progress: Progress, ledger: tuple[Ledger, ...]) -> Saved | None:
    if all(stage.dedupe is None for stage in loaded.recipe.stages[:-1]):
        return None
    counts = progress.stages
    drafts = {name: count.drafts for name, count in counts.items()}
    return saved(drafts, {name: count.rejected for name, count in counts.items()}, ledger)


def _draws_record(count: StageCount) -> DrawsRecord:
    prompts = count.pass_rates.total()
    return DrawsRecord(
        prompts=prompts,
        most=prompts * count.draws,
        made=count.drawn,
        pass_rates=tuple(count.pass_rates[tenth] for tenth in range(11)),
        hard=count.hard,
        hard_empty=count.empty,
    )
