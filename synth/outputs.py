"""What a run leaves: the rows selected, split and written, and the record of it all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from synth import seeds
from synth.datasets.export import Written, write_dataset, write_rejected
from synth.diversity import MOST_CHARACTERS, MOST_ROWS, Diversity, measured
from synth.fingerprint import accepted, accepted_terms
from synth.judges import Judges
from synth.manifest import (
    DrawsRecord,
    Manifest,
    RecipeRecord,
    RungRecord,
    SeedsRecord,
    StageRecord,
    State,
    teacher_record,
    versions,
)
from synth.outcomes import Outcomes
from synth.progress import Progress, StageCount
from synth.recipe import LoadedRecipe
from synth.savings import Saved, saved
from synth.screen import Screen
from synth.selection import select
from synth.split import deal
from synth.store import Ledger, Store
from synth.types import Rejection, Sample

EXAMPLES = 12
LAST_ID = "~"
"""Comes after every id, as they are made of digits and slashes, with `t` before those of later turns."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """What was written, and what of it is shown."""

    written: Written
    not_selected: dict[str, int]
    examples: list[Sample]
    rejections: list[Rejection]
    twins: dict[str, Sample]
    """Samples that were kept in place of the shown duplicates."""
    notice: str
    judges: Judges
    diversity: tuple[Diversity, ...]


def write(loaded: LoadedRecipe, folder: Path, outcomes: Outcomes, screen: Screen) -> Outputs:
    """Select, split and write; everything in id order, so that the same outcomes give the same bytes."""
    every = (one for one in select(outcomes.accepted(), loaded.recipe.selection) if isinstance(one, Sample))
    dealt = deal(((one.seed_id, one.question() or one.answer()) for one in every), loaded.recipe.split)
    only = next(iter(loaded.recipe.split.fractions))
    refused: list[str] = []
    examples: list[Sample] = []
    texts: list[tuple[str, str]] = []
    judges = Judges(loaded.recipe)
    shown: Counter[str] = Counter()
    rejections: list[Rejection] = []
    end = LAST_ID

    def rows() -> Iterator[tuple[str, Sample]]:
        nonlocal end
        made, stride, wide = 0, 1, 1
        for chosen in select(outcomes.accepted(), loaded.recipe.selection):
            if judges.names:
                judges.see(chosen)
            if isinstance(chosen, Rejection):
                refused.append(chosen.reason)
                outcomes.reject(chosen)
                continue
            if made % stride == 0:
                examples.append(chosen)
            if made % wide == 0:
                texts.append((chosen.question()[:MOST_CHARACTERS], chosen.answer()[:MOST_CHARACTERS]))
            made += 1
            if len(texts) > 2 * MOST_ROWS:
                del texts[1::2]
                wide *= 2
            if len(examples) > 2 * EXAMPLES:  # every second one goes, so that they stay spread over the run
                del examples[1::2]
                stride *= 2
            if made == loaded.recipe.selection.rows:
                end = f"{chosen.parent_id}/{LAST_ID}"
            yield dealt.splits.get(chosen.seed_id, only), chosen

    def shown_rejections(every: Iterable[Rejection]) -> Iterator[Rejection]:
        for rejection in every:
            if rejection.id > end:
                return  # how far the run went beyond the last wanted row depends on timing
            shown[rejection.reason] += 1
            if shown[rejection.reason] <= 3:
                rejections.append(rejection)
            yield rejection

    models = {stage.name: loaded.recipe.teachers[stage.generator.teacher].model for stage in loaded.recipe.stages}
    written = write_dataset(rows(), folder, models)
    write_rejected(screen.reviewed(shown_rejections(outcomes.rejected()), folder), folder / "rejected.jsonl")
    twins = {rejection.twin_id: outcomes.known_as(rejection.twin_id) for rejection in rejections if rejection.twin_id}
    known = {name: sample for name, sample in twins.items() if sample is not None}
    few = min(EXAMPLES, len(examples))
    shown_rows = [examples[place * len(examples) // few] for place in range(few)]
    return Outputs(
        written, dict(Counter(refused)), shown_rows, rejections, known, dealt.notice, judges, measured(texts)
    )


def record(
    loaded: LoadedRecipe,
    store: Store,
    progress: Progress,
    screen: Screen,
    written: Outputs,
    *,
    state: State,
    started: str,
    finished: str,
    seconds: float,
) -> Manifest:
    """What the run was and what came of it; `started` and `finished` are ISO 8601."""
    recipe = loaded.recipe
    ledger = tuple(store.ledger())
    refused = dict(sorted(progress.refused_seeds.items()))
    repeated = refused.pop("repeated_seed", 0)
    teachers = tuple(
        teacher_record(name, endpoint, progress.teachers[name].served) for name, endpoint in recipe.teachers.items()
    )
    return Manifest(
        versions=versions(),
        state=state,
        practice=any(teacher.is_practice for teacher in teachers),
        recipe=RecipeRecord(
            name=recipe.name,
            language=recipe.language,
            license=recipe.license,
            sha256=loaded.sha256,
            text=recipe.model_dump_json(indent=2),
            templates=loaded.templates.sources(),
        ),
        seeds=SeedsRecord(
            identity=seeds.describe(recipe.seeds, loaded.folder),
            count=progress.seeds,
            repeated=repeated,
            refused=refused,
            turns=progress.turns,
        ),
        teachers=teachers,
        stages=tuple(
            StageRecord(
                name=name,
                units=count.units,
                drafts=count.drafts,
                accepted=count.accepted,
                rejected={reason: number for reason, number in sorted(count.rejected.items()) if number},
                parked=count.parked,
                called_back=count.called_back,
                twins=screen.twins[name].summary() if name in screen.twins else None,
                semantic=screen.meanings[name].summary() if name in screen.meanings else None,
                draws=_draws_record(count) if count.pass_rates else None,
                rungs={rung: RungRecord(**asdict(count.rungs[rung])) for rung in sorted(count.rungs)},
            )
            for name, count in progress.stages.items()
        ),
        saved=_saved(loaded, progress, ledger),
        decontamination=screen.record(),
        neighbours=None if screen.neighbours is None else screen.neighbours.record(),
        not_selected=written.not_selected,
        rows=written.written.rows,
        scores=written.written.scores,
        judges=written.judges.records({name: teacher.served for name, teacher in progress.teachers.items()}),
        diversity=written.diversity,
        notice=f"{written.written.notice} {written.notice}".strip(),
        ledger=ledger,
        budget_microusd=recipe.cap_microusd(),
        caps=recipe.budget,
        accepted_terms=accepted_terms(store),
        changes=accepted(store),
        limited_by_reservation_s=round(progress.budget.limited_s, 3),
        started=started,
        finished=finished,
        seconds=round(seconds, 3),
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
