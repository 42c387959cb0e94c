"""The record of a run: what made the rows, from what, how many, at what price. It holds no secret.

Timings and versions differ between two runs of the same recipe, so this file is outside the promise of equal bytes;
the rows are inside it.
"""

from __future__ import annotations

import platform
import sys
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import orjson
from pydantic import ValidationError

from synth.backends.practice import PRACTICE_MODELS
from synth.comparing.judges import JudgeRecord
from synth.datasets.files import write_whole
from synth.datasets.provenance import ProvenanceRecord
from synth.datasets.tokens import TokensRecord
from synth.dedupe import SemanticSummary, Summary
from synth.dedupe.decontaminate import BenchmarkRecord, NeighboursRecord
from synth.errors import FolderError
from synth.formats.views import ViewRecord
from synth.language.diversity import Diversity
from synth.money.budget import Caps, standing
from synth.money.savings import Saved
from synth.protocol.endpoint import Endpoint, Price, Sampling
from synth.recipes.fingerprint import Change
from synth.rights.terms import UNKNOWN, Acceptance, Terms, Verdict, terms_of, verdict_of
from synth.storage.database import Ledger
from synth.types import Spend, Value

SCHEMA_VERSION = 1

State = Literal["complete", "stopped_by_budget", "interrupted", "failed", "partial"]


class Versions(Value):
    """What ran."""

    synth: str
    python: str
    platform: str


class RecipeRecord(Value):
    """The recipe as it was run, with what overrides on the command line made of it."""

    name: str
    language: str
    license: str | None = None
    """The user's word on the licence of the result; None when none was given."""
    sha256: str
    text: str
    templates: dict[str, str] = {}
    """SHA-256 of each template by file name."""
    prompts: dict[str, str] = {}
    """The text of each, as far as it was read."""


class SeedsRecord(Value):
    """Where the seeds came from and how many there were."""

    identity: str
    """The source as the recipe names it, with the hash of its content where there is one."""
    license: str | None = None
    """Their licence as it was declared; empty where they are the recipe's own words, None when it is not told."""
    count: int
    """Seeds that went into the first stage."""
    repeated: int = 0
    """Seeds dropped because an earlier one says the same."""
    refused: dict[str, int] = {}
    """Seeds dropped for what they hold, by reason."""
    turns: int = 1
    """How often the seeds, or those that had brought too little, were drawn to get the rows that were wanted."""


class TeacherRecord(Value):
    """A named teacher as it was asked. `key_variable` is the name of a variable, never a key."""

    name: str
    model: str
    served: tuple[str, ...] = ()
    """The models the provider says it served."""
    base_url: str
    host: str
    key_variable: str | None = None
    structured: str
    sampling: Sampling
    price: Price | None = None
    """None: unknown."""
    is_practice: bool
    """Whether the practice teacher answered: embedded, over HTTP under its model's name, or recorded."""
    terms: Verdict = UNKNOWN
    """The strictest verdict of what was said about training on its output."""
    said: tuple[Terms, ...] = ()
    """What was said, where, and when it was read."""


class RungRecord(Value):
    """One rung of the ladder by which objects are asked for."""

    asked: int
    fitted: int
    """How many of the replies fitted the schema."""
    cost_microusd: int


class ShareRecord(Value):
    """One teacher's part in a stage that several answer in."""

    model: str
    asked: int
    of_use: int
    """How often something that it gave passed the validators, and the thresholds of `escalate_below`."""
    cost_microusd: int


class DrawsRecord(Value):
    """How the draws of a stage's prompts came out, where their number adapts."""

    prompts: int
    most: int
    """Draws that a fixed number for each prompt would have asked for."""
    made: int
    pass_rates: tuple[int, ...]
    """Prompts by the share of good draws: from 0 to 0.1, from 0.1 to 0.2, and so on, and 1 at the end."""
    hard: int
    """Prompts of which fewer than half of the draws were good: verified, or of one answer."""
    hard_empty: int
    """Of the hard prompts those that ended without a good draw."""


class StageRecord(Value):
    """One stage's counts."""

    name: str
    units: int
    """Seed and draw pairs that were asked."""
    drafts: int
    accepted: int
    rejected: dict[str, int] = {}
    """Refused samples by reason."""
    parked: int = 0
    """Units that brought no usable reply this time and are asked again when the run goes on."""
    called_back: int = 0
    """Twins that took the place of what they were twins of, as that was refused later; not among the rejected."""
    rungs: dict[str, RungRecord] = {}
    """How objects were asked for, where a schema was: read as they were, mended, or asked for again."""
    shares: dict[str, ShareRecord] = {}
    """Where several teachers answer, what each of them was asked and gave."""
    twins: Summary | None = None
    """What its `dedupe` compared."""
    semantic: SemanticSummary | None = None
    """What it compared by meaning, and from which similarity on it took two texts for the same."""
    draws: DrawsRecord | None = None
    """Where the number of draws adapts, how many it took."""


class MergedRecord(Value):
    """One of the runs that a merged dataset was made of."""

    run: str
    """What stands in front of the ids of its rows, stages and teachers."""
    recipe: str
    language: str
    license: str | None = None
    seeds_license: str = ""
    """What was told of the licences of its seeds, with commas between."""
    recipe_sha256: str
    manifest_sha256: str
    rows: int
    """What it had."""
    kept: int
    removed: dict[str, int] = {}
    """What of it went, by reason: the others had it already, or a benchmark has."""


class Manifest(Value):
    """What a run was and what came of it."""

    schema_version: int = SCHEMA_VERSION
    versions: Versions
    state: State
    message: str = ""
    """Why it ended early, and what else was said at its end; empty when there was nothing to say."""
    message_ja: str = ""
    """The same in Japanese; empty where none of it is had in it."""
    practice: bool
    """Whether any teacher was the practice teacher: the rows are then exercise data."""
    recipe: RecipeRecord
    seeds: SeedsRecord
    teachers: tuple[TeacherRecord, ...]
    stages: tuple[StageRecord, ...]
    saved: Saved | None = None
    """What was not bought because a gate had dropped twins before; None when no stage that others follow has one."""
    decontamination: tuple[BenchmarkRecord, ...] = ()
    """The benchmarks that no row may hold an item of."""
    neighbours: NeighboursRecord | None = None
    """What was compared with their items by meaning."""
    not_selected: dict[str, int] = {}
    """Samples that passed every stage and were not chosen as rows, by reason."""
    by_hand: dict[str, int] = {}
    """How many rows a person accepted, rejected or edited: `accept`, `reject`, `edit`."""
    rows: dict[str, int]
    """Rows by split."""
    tokens: TokensRecord | None = None
    """What is told of the tokens of the rows' answers, where the recipe asks for it."""
    views: tuple[ViewRecord, ...] = ()
    """The rows in other shapes, as the recipe lists them."""
    provenance: ProvenanceRecord | None = None
    """Where each row comes from, where the recipe asks for it."""
    mixture: dict[str, int] = {}
    """Rows by the model that answered, where several teachers answer in the last stage."""
    scores: dict[str, dict[float, int]] = {}
    """How many rows have which value, to three digits, by score."""
    judges: tuple[JudgeRecord, ...] = ()
    """The scorers that ask a teacher, and how far they agree with those that verify."""
    diversity: tuple[Diversity, ...] = ()
    """How little the questions and the answers of the rows repeat each other."""
    merged: tuple[MergedRecord, ...] = ()
    """Where the dataset is one of several runs, those, the first first."""
    notice: str = ""
    """One sentence when a file was left out or written otherwise; empty when all is there."""
    notice_ja: str = ""
    """The same in Japanese."""
    ledger: tuple[Ledger, ...]
    """Attempts, tokens and money by stage, teacher and class of reply."""
    budget_microusd: int | None = None
    """The money cap; None when there was none."""
    caps: Caps = Caps()
    """The most the run might use, of everything."""
    accepted_terms: tuple[Acceptance, ...] = ()
    """Under which terms the run went on, and since when."""
    changes: tuple[Change, ...] = ()
    """Changes of what was asked with that the user accepted while the run was made."""
    limited_by_reservation_s: float = 0
    """Seconds of this invocation in which requests waited for open reservations to settle, not for the provider."""
    started: str
    """ISO 8601 with offset."""
    finished: str
    seconds: float

    @property
    def row_count(self) -> int:
        """Rows over all splits."""
        return sum(self.rows.values())

    @property
    def seeds_licences(self) -> tuple[str, ...]:
        """The licences of the seeds as far as they are told, those of runs that were merged among them."""
        told = [self.seeds.license or "", *(one.seeds_license for one in self.merged)]
        return tuple(dict.fromkeys(one for some in told for one in some.split(", ") if one))

    @property
    def listed(self) -> int:
        """Rows and refusals."""
        return self.row_count + sum(self.rejected.values())

    @property
    def cost_microusd(self) -> int:
        """Everything charged, lost attempts included."""
        return sum(line.cost_microusd for line in self.ledger)

    @property
    def lost_attempts(self) -> int:
        """Attempts that were open when a run was killed; they may have been paid for and stay charged."""
        return sum(line.sends for line in self.ledger if line.failure == "lost")

    @property
    def overshoot_microusd(self) -> int:
        """What replies cost beyond the worst case that was reserved for them, by the provider's own count."""
        return sum(line.overshoot_microusd for line in self.ledger)

    @property
    def usage_unknown(self) -> int:
        """Replies that said nothing usable about their tokens and are charged with the worst case."""
        return sum(line.usage_unknown for line in self.ledger if line.failure != "lost")

    @property
    def batched(self) -> int:
        """Attempts that went by batch."""
        return sum(line.batched for line in self.ledger)

    @property
    def batched_microusd(self) -> int:
        """What those cost."""
        return sum(line.batched_microusd for line in self.ledger)

    @property
    def unpriced(self) -> tuple[str, ...]:
        """Teachers whose price is unknown: their cost is in no sum here."""
        return tuple(teacher.name for teacher in self.teachers if teacher.price is None)

    @property
    def declared(self) -> list[str]:
        """What has to be said of the judges, a sentence each."""
        return [
            f"The judge {judge.name!r} asks {judge.model}, which wrote the answers itself; models favour their own."
            for judge in self.judges
            if judge.own_answers
        ]

    @property
    def standing(self) -> list[str]:
        """Where the money and the other caps stand, one phrase each, for people."""
        return self.standing_in("en")

    def standing_in(self, language: str) -> list[str]:
        """The same in `en` or `ja`."""
        spent = Spend(
            self.cost_microusd,
            sum(line.charged_tokens for line in self.ledger),
            sum(line.sends for line in self.ledger if line.failure not in ("unsent", "reused")),
        )
        return standing(
            self.caps,
            spent,
            Spend(),
            overshoot_microusd=self.overshoot_microusd,
            usage_unknown=self.usage_unknown,
            lost=self.lost_attempts,
            language=language,
        )

    @property
    def rejected(self) -> dict[str, int]:
        """Refused samples by reason over the seeds, all stages and the selection, most frequent first."""
        total = Counter[str]()
        for reasons in (self.seeds.refused, *(stage.rejected for stage in self.stages), self.not_selected):
            total.update(reasons)
        return dict(sorted(total.items(), key=lambda pair: (-pair[1], pair[0])))


def versions() -> Versions:
    """The versions of what is running now."""
    python = ".".join(str(part) for part in sys.version_info[:3])
    return Versions(synth=version("synth"), python=python, platform=platform.platform())


def teacher_record(name: str, endpoint: Endpoint, served: Iterable[str] = ()) -> TeacherRecord:
    """The record of a teacher; `served` are the models its replies named."""
    served, said = tuple(sorted(set(served))), terms_of(endpoint)
    return TeacherRecord(
        name=name,
        model=endpoint.model,
        served=served,
        base_url=endpoint.base_url,
        host=endpoint.host,
        key_variable=endpoint.key_variable,
        structured=endpoint.structured,
        sampling=endpoint.sampling,
        price=endpoint.known_price(),
        terms=verdict_of(said),
        said=said,
        is_practice=endpoint.is_practice or any(model.startswith(PRACTICE_MODELS) for model in served),
    )


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write the manifest as indented JSON. Raises FolderError when the disk refuses."""
    write_whole(path, orjson.dumps(manifest.model_dump(mode="json"), option=orjson.OPT_INDENT_2) + b"\n")


def read_manifest(path: Path) -> Manifest:
    """Read a manifest. Raises FolderError when there is none, or it is damaged or from a newer synth."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FolderError(f"{path} cannot be read ({error.strerror}); run or export the recipe first.") from error
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise FolderError(
            f"{path} is not a manifest this synth reads ({place or 'JSON'}: {first['msg']}); "
            "export the run again, or update synth."
        ) from error
