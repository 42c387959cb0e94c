"""The run as one document: what a recipe may hold, and what it says as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Discriminator, Field, Tag

from synth import seeds
from synth.comparing.agreement import Adaptive
from synth.dedupe import Dedupe
from synth.dedupe.decontaminate import Decontaminate
from synth.generators import Generator
from synth.money.budget import Caps
from synth.protocol.endpoint import Endpoint
from synth.recipes import overview
from synth.recipes.routing import Route
from synth.recipes.templates import Templates
from synth.recipes.views import Output
from synth.results.selection import Selection, Threshold
from synth.results.split import Split
from synth.scorers import Scorer
from synth.seeds.sources import SeedSource
from synth.types import Fields, Value
from synth.validators import Validator
from synth.validators.finished import Finished
from synth.validators.refusal import Refusal

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


Draws = Annotated[
    Annotated[int, Field(ge=1, le=100), Tag("number")] | Annotated[Adaptive, Tag("rule")],
    Discriminator(
        lambda given: "rule" if isinstance(given, dict | Adaptive) else "number"
    ),  # one error, not one of each
]


class Stage(Value):
    """One straight line: generator, validators, dedupe, scorers."""

    name: Name
    draws: Draws = 1
    """How many replies to ask for each seed: a number, or a rule by which each gets as many as it needs."""
    generator: Generator
    validators: list[Validator] = [Finished(), Refusal()]
    """Given a list, exactly these are applied."""
    ask_again: int = Field(default=0, ge=0, le=5)
    """How often to ask anew when the teacher refuses or nothing of its reply passes the validators: with twice
    max_tokens after a reply that was cut, and the last time the teacher's `fallback`, if it has one."""
    teachers: list[Name] = []
    """Who answers in place of the generator's `teacher`, the cheapest first: the next one is asked when nothing that
    one gave passes the validators, or all of it is below `escalate_below`."""
    route: Route | None = None
    """Who else answers for some of the seeds."""
    escalate_below: dict[str, Threshold] = {}
    """The least that scorers of this stage must give, by their names, for what the teachers before the last gave."""
    dedupe: Dedupe | None = None
    novel_against: list[str] = []
    """Data that exists already and that `dedupe` compares with too: paths from the recipe's folder of files or run
    folders, or `hub:OWNER/NAME[/CONFIGURATION][@SPLIT]`."""
    scorers: list[Scorer] = []
    can_wait_h: float = Field(default=0, ge=0, le=24 * 30)
    """How many hours its requests can wait for a cheaper batch, from when that is ordered: what has not come by then is
    asked online, as is what the host takes no batches of. 0: everything is asked online."""

    def answering(self) -> list[str]:
        """The teachers that answer in it."""
        routed = [] if self.route is None else [name for _, name in self.route.named()]
        return list(dict.fromkeys([*(self.teachers or [self.generator.teacher]), *routed]))

    @property
    def is_shared(self) -> bool:
        """Whether more than one teacher may answer in it."""
        return bool(self.teachers) or self.route is not None

    def answering_for(self, fields: Fields) -> Sequence[str]:
        """The teachers that answer for what has these fields, from the cheapest on."""
        routed = None if self.route is None else self.route.teachers(fields)
        return routed or self.teachers or [self.generator.teacher]

    def asks(self) -> list[str]:
        """The teachers that its generator and its scorers ask."""
        every = [getattr(plugin, "teacher", "") for plugin in (self.generator, *self.scorers)]
        every += [*self.answering(), getattr(self.generator, "user_teacher", "")]
        return [name for name in dict.fromkeys(every) if name]


class Recipe(Value):
    """A dataset to be made."""

    name: Name
    language: str = Field(pattern=r"^[a-z]{2,3}$")
    """ISO 639 code of the rows."""
    accept_terms: list[str] = []
    """The names of terms, such as `openai`, that you have read and go on under: those of a teacher that restrict
    training on its output have to stand here."""
    license: str | None = None
    """Licence of the result. The user's word: nothing is assumed, and without it the result cannot be published."""
    description: str = ""
    seeds: SeedSource
    teachers: dict[Name, Endpoint] = Field(min_length=1)
    """Named endpoints; the first is the one that plug-ins ask when they name none."""
    stages: list[Stage] = Field(min_length=1)
    decontaminate: Decontaminate | None = None
    selection: Selection = Selection()
    split: Split = Split()
    output: Output = Output()
    budget: Caps = Caps()
    """What the run may use at most."""

    def waits(self) -> dict[str, float]:
        """How many seconds each stage can wait that can."""
        return {stage.name: 3600 * stage.can_wait_h for stage in self.stages if stage.can_wait_h}

    def waited_for(self) -> set[str]:
        """The teachers that stages ask which can wait, and those that stand in for them."""
        asked = {name for stage in self.stages if stage.can_wait_h for name in stage.asks()}
        others = {other for name in asked for other in (self.teachers[name].fallback, self.teachers[name].extractor)}
        return asked | (others - {""})

    def embedders(self) -> set[str]:
        """The teachers whose vectors samples are compared by."""
        meanings = [stage.dedupe.semantic for stage in self.stages if stage.dedupe is not None]
        meanings += [] if self.decontaminate is None else [self.decontaminate.semantic]
        return {one.embedder for one in meanings if one is not None}

    def row_writers(self) -> set[str]:
        """The teachers whose replies may become rows: those that answer in the last stage, and their stand-ins."""
        names = self.stages[-1].answering()
        others = {self.teachers[name].fallback for name in names if name in self.teachers}
        return {*names, *others} & self.teachers.keys()

    def cap_microusd(self) -> int | None:
        """The run's own money cap in micro-dollars; None when there is none."""
        return self.budget.microusd


@dataclass(frozen=True, slots=True)
class LoadedRecipe:
    """A checked recipe and where it came from."""

    recipe: Recipe
    path: Path
    sha256: str
    """Of the recipe as it is run: overrides and filled-in fields included."""
    templates: Templates
    notes: tuple[str, ...] = ()
    """What the user should know before the run: what of the sampling a teacher named in its stead does not take."""

    @property
    def folder(self) -> Path:
        """The folder its templates and seeds are relative to."""
        return self.path.parent

    def __repr__(self) -> str:
        return f"<Recipe {self.recipe.name}: {', '.join(stage.name for stage in self.recipe.stages)}; {self.path}>"

    def _repr_html_(self) -> str:
        """For a notebook: https://ipython.readthedocs.io/en/stable/config/integrating.html"""
        return overview.in_html(self.recipe, overview.lines(self.recipe, seeds.describe(self.recipe.seeds)))
