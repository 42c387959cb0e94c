"""What a run leaves beside its rows: views of them, each a configuration of the dataset, and where all of it goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal, cast

from pydantic import Discriminator, Field, Tag, model_validator

from synth.language.near import hint
from synth.shapes import Style
from synth.types import Value

VERDICT = "verdict"
"""Pairs by what was accepted and what was refused, where no score is named."""
QUALITY = frozenset(
    {"refusal", "soft_refusal", "prompt_leak", "template_leak", "self_identification", "placeholder",
     "missing_reference", "mixed_script", "broken_markdown", "repetition", "wrong_language", "no_final_answer",
     "too_short", "too_long", "below_threshold", "declined", "not_declined", "no_citation", "wrong_citation",
     "not_in_passage"}
)  # fmt: skip
"""Reasons that call the last answer bad. Others count where a view names them: `truncated`, or `wrong_tool_use`,
which may be about an earlier turn."""
NO_QUALITY = frozenset(
    {"duplicate", "near_duplicate", "semantic_duplicate", "repeated_seed", "template_quota", "contaminated",
     "not_novel", "seed_full", "not_diverse", "not_balanced", "beyond_target", "no_verdict", "no_reference",
     "empty_question", "template_error", "plugin_error", "pii", "parked", "not_asked"}
)  # fmt: skip
"""Reasons that say nothing of an answer's quality, and personal data, which no view may hold."""
TAKEN = ("data", "default", "tokens", "provenance")
"""Configurations that are something else."""

Reasons = Annotated[list[str], Field(min_length=1)]
Number = Annotated[float, Field(allow_inf_nan=False)]
ShapeName = Literal["messages", "prompt-completion", "prompt", "tools", "reasoning", "text"]
ViewName = Literal[ShapeName, "preference", "unpaired"]


class View(Value):
    """What all views have."""

    name: str = Field(default="", pattern=r"^([a-z0-9][a-z0-9_-]{0,63})?$")
    """Of the configuration and its folder; that of the kind unless given."""
    shuffle: int | None = None
    """A seed, by which the rows are shuffled; in the order of their ids when none is given."""
    reasoning: Style = "field"
    """Where reasoning goes: `field` (`reasoning_content`), `inline` (`<think>` before the answer), or `drop`."""


class Shaped(View):
    """Every row in another shape: whole conversations, prompt and completion apart, the prompt alone, those rows alone
    that offer tools or have reasoning, or one text as the chat template of `output.tokenizer` writes it."""

    kind: ShapeName

    @model_validator(mode="after")
    def _has_reasoning(self) -> Shaped:
        if self.kind == "reasoning" and self.reasoning == "drop":
            raise ValueError("a view of the rows that have reasoning cannot drop it; give field or inline")
        return self


class Preference(View):
    """Two answers to the same prompt: `chosen` is a row, `rejected` was refused, or scored less."""

    kind: Literal["preference"]
    by: str = VERDICT
    """`verdict`, or the score by which they differ."""
    gap: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """The least by which the score of `chosen` is higher; needed where a score is named."""
    reasons: Reasons | None = None
    """What `rejected` may have been refused for, by verdict; the reasons that call an answer bad unless given."""
    per_prompt: int = Field(default=1, ge=1)
    """The most pairs of one prompt, those furthest apart first."""

    @model_validator(mode="after")
    def _one_rule(self) -> Preference:
        _check_rule(self.by, self.reasons, {"gap": self.gap})
        return self


class Unpaired(View):
    """Answers with a `label`: true for good ones, false for bad ones.

    A check looks at every answer of a dialogue, so that a refused one counts as bad only where a row of the same prompt
    has the same turns before its last answer.
    """

    kind: Literal["unpaired"]
    by: str = VERDICT
    """`verdict`: rows are good, and bad is what was refused for `reasons`; or the score that decides."""
    good: Number | None = None
    """The least that a good row scores."""
    bad: Number | None = None
    """The most that a bad answer scores, below `good`."""
    reasons: Reasons | None = None
    """What a bad answer may have been refused for, by verdict; the reasons that call an answer bad unless given."""

    @model_validator(mode="after")
    def _one_rule(self) -> Unpaired:
        _check_rule(self.by, self.reasons, {"good": self.good, "bad": self.bad})
        if self.good is not None and self.bad is not None and self.bad >= self.good:
            raise ValueError(f"`bad` is {self.bad:g} and `good` {self.good:g}; a bad one scores less than a good one")
        return self


def _check_rule(by: str, reasons: Sequence[str] | None, numbers: dict[str, float | None]) -> None:
    """Raises ValueError where an option is missing, or would have no effect."""
    if by == VERDICT:
        given = [name for name, number in numbers.items() if number is not None]
        if given:
            raise ValueError(f"`{given[0]}` goes with a score: name it with `by`")
        for name in reasons or ():
            if name in NO_QUALITY:
                raise ValueError(f"{name!r} says nothing of an answer's quality, so it makes no answer a bad one")
            if name not in QUALITY and (near := hint(name, QUALITY, 0.8)):
                raise ValueError(f"there is no reason {name!r}{near}")
        return
    missing = [name for name, number in numbers.items() if number is None]
    if missing:
        raise ValueError(f"`by: {by}` needs `{missing[0]}`, in points of that score")
    if reasons is not None:
        raise ValueError("`reasons` decide by verdict; leave them out, or `by`")


Rule = Preference | Unpaired
"""How answers are told apart."""
AnyOf = Shaped | Rule


def bad_reasons(rule: Rule) -> frozenset[str]:
    """What makes an answer a bad one under a rule by verdict."""
    return QUALITY if rule.reasons is None else frozenset(rule.reasons)


def _kind_of(given: Any) -> str:
    if isinstance(given, str):
        return "name"
    kind = cast("dict[str, Any]", given).get("kind") if isinstance(given, dict) else getattr(given, "kind", "")
    return str(kind) if kind in ("preference", "unpaired") else "shaped"


AnyView = Annotated[
    Annotated[ViewName, Tag("name")]
    | Annotated[Shaped, Tag("shaped")]
    | Annotated[Preference, Tag("preference")]
    | Annotated[Unpaired, Tag("unpaired")],
    Discriminator(_kind_of),
]


class Output(Value):
    """Where the run goes, and what stands there beside its rows."""

    folder: str = ""
    """Relative to the working directory; `runs/<name>` when empty."""
    views: list[AnyView] = []
    """Other shapes of the rows, by kind, or with options as `{kind: preference, by: judge, gap: 1}`."""
    tokenizer: str = ""
    """The folder, from the recipe's, of the student's tokenizer: it counts the views' tokens, and its chat template
    writes the view `text`. Without it characters are counted."""
    shard_mb: int = Field(default=500, ge=1)
    """A view is written as several files, each of about so many megabytes of JSON before compression."""
    provenance: bool = False
    """Whether a configuration `provenance` tells of each row who made it, where, when, from what and by which
    requests."""

    @model_validator(mode="after")
    def _each_its_own(self) -> Output:
        names = [config_of(view) for view in self.wanted()]
        double = next((name for name, count in Counter(names).items() if count > 1), None)
        if double is not None:
            raise ValueError(f"two views are called {double!r}; give one of them a `name`")
        taken = next((name for name in names if name in TAKEN), None)
        if taken is not None:
            raise ValueError(f"a view cannot be called {taken!r}, which is something else in the dataset")
        fields = type(self).model_fields  # a recipe that was written out whole names the defaults too
        idle = [name for name in ("tokenizer", "shard_mb") if getattr(self, name) != fields[name].default]
        if idle and not names:
            raise ValueError(f"`{idle[0]}` is for views, and none is listed; add `views`, or leave it out")
        return self

    def wanted(self) -> list[AnyOf]:
        """The views, each with its options."""
        return [_named(view) if isinstance(view, str) else view for view in self.views]


def _named(kind: ViewName) -> AnyOf:
    if kind == "preference":
        return Preference(kind=kind)
    return Unpaired(kind=kind) if kind == "unpaired" else Shaped(kind=kind)


def config_of(view: AnyOf) -> str:
    """What a view's configuration is called."""
    return view.name or view.kind
