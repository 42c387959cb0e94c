"""The quick path: prompts in, answers out, without a recipe; stored like those of any run, and never bought twice."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from pydantic import BaseModel, TypeAdapter, ValidationError

from synth.admission.halt import Halt
from synth.admission.scheduler import WINDOW_PER_SLOT, in_order, together
from synth.api import finished
from synth.errors import BudgetReached, Fatal, RecipeError, Rejected, TeacherError
from synth.files.asking import Desk, desk
from synth.language.codes import mistaken
from synth.language.near import hint
from synth.live.background import Observe, Status, Work, shown, tell
from synth.live.progress import silent
from synth.money.budget import Caps, usd
from synth.protocol.endpoint import PRACTICE, Endpoint
from synth.recipes.mistyped import QUOTED
from synth.recipes.options import caps_of, endpoint_of
from synth.recipes.recipe_checks import host_problems
from synth.report import cards
from synth.report.table import Table
from synth.report.words import Words, words_of
from synth.results.result import Options
from synth.rights import terms
from synth.types import Message, Sample
from synth.validators import Validator
from synth.validators.finished import Finished
from synth.validators.refusal import Refusal

M = TypeVar("M", bound=BaseModel)
Prompt = str | Sequence[Message | Mapping[str, str]]
"""A question, or the turns of a conversation that the teacher is to go on with, each `role` and `content`."""

FOLDER = "runs/asked"
TEACHER, STAGE, PROMPTS = "teacher", "ask", "prompts"
PRACTICE_MODEL = "practice-1"
NOT_ASKED, PARKED = "not_asked", "parked"
MESSAGES = TypeAdapter(tuple[Message, ...])
VALIDATORS = TypeAdapter(list[Validator])
KEYS = ("role", "content", "reasoning_content")
"""What a message may say. The reasoning of earlier turns is not sent, as hosts want it."""
HALF = re.compile("[\ud800-\udfff]")
"""A surrogate without its other half, as damaged files have it."""


@dataclass(frozen=True, slots=True)
class Answer(Generic[M]):
    """What came of one prompt: an answer that passed, or a reason."""

    messages: tuple[Message, ...]
    """The prompt, and where there is one the answer as the last turn."""
    value: M | None = None
    """The object, where a schema was given and the answer fits it; None otherwise."""
    reason: str = ""
    """Empty for an answer that passed; else why there is none that can be used."""
    detail: str = ""
    cost_microusd: int = 0
    """What its requests cost, when they were made."""
    bought: int = 0
    """How many of them were sent this time; the others were stored."""

    @property
    def text(self) -> str:
        """The answer; also one that was refused, as far as there is one."""
        return self.messages[-1].content if self.messages[-1].role == "assistant" else ""

    @property
    def reasoning(self) -> str | None:
        """What the teacher showed of its thinking."""
        return self.messages[-1].reasoning_content

    @property
    def is_good(self) -> bool:
        """Whether it passed."""
        return not self.reason


@dataclass(frozen=True, slots=True, repr=False)
class Answers(Generic[M]):
    """One answer for each prompt, in their order."""

    rows: tuple[Answer[M], ...]
    folder: Path
    """Where the replies are kept: asking the same there again buys nothing."""
    model: str
    seconds: float
    message: str = ""
    """Why the asking ended early; empty when it did not."""
    language: str = "en"

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Answer[M]]:
        return iter(self.rows)

    def __getitem__(self, place: int) -> Answer[M]:
        return self.rows[place]

    @property
    def good(self) -> list[Answer[M]]:
        """Those that passed."""
        return [row for row in self.rows if row.is_good]

    @property
    def rejected(self) -> list[Answer[M]]:
        """Those that did not, each with its reason."""
        return [row for row in self.rows if not row.is_good]

    @property
    def cost_usd(self) -> float:
        """Dollars that all of these answers cost, whenever they were bought."""
        return sum(row.cost_microusd for row in self.rows) / 1e6

    @property
    def bought(self) -> int:
        """Requests that were sent this time."""
        return sum(row.bought for row in self.rows)

    def table(self) -> Table:
        """All of them as rows, with `reason` empty for those that passed and `value` as plain data."""
        each = [
            {
                "id": f"{place:08d}",
                "messages": [_plain(message) for message in row.messages],
                "value": None if row.value is None else row.value.model_dump(mode="json"),
                "reason": row.reason,
                "detail": row.detail,
                "teacher": self.model,
                "scores": [],
                "cost_microusd": row.cost_microusd,
            }
            for place, row in enumerate(self.rows)
        ]
        return Table(each, self._words)

    def to_pandas(self) -> Any:
        """A pandas.DataFrame. Raises MissingPackage where pandas is not installed."""
        return self.table().to_pandas()

    def to_polars(self) -> Any:
        """A polars.DataFrame. Raises MissingPackage where polars is not installed."""
        return self.table().to_polars()

    def to_dataset(self) -> Any:
        """A datasets.Dataset. Raises MissingPackage where datasets is not installed."""
        return self.table().to_dataset()

    @property
    def _words(self) -> Words:
        return words_of(self.language)

    def __repr__(self) -> str:
        return f"<Answers {self.status()}>"

    def _repr_html_(self) -> str:
        """For a notebook."""
        words, table = self._words, self.table()
        status = self.status()
        told = [(words.model, self.model), (words.cost, usd(status.cost_microusd))]
        told += [(words.reasons.get(reason, reason), f"{count:,}") for reason, count in status.rejected.items()]
        head = cards.notes([self.message]) + cards.table((), told)
        return cards.framed(words, head + cards.rows(list(table)[: cards.SHOWN], len(table), words))

    def status(self) -> Status:
        """How far the asking got."""
        reasons = Counter(row.reason for row in self.rejected)
        return Status(
            str(self.folder),
            state="partial" if self.message else "complete",
            seeds_done=len(self.rows) - reasons[NOT_ASKED],
            seeds=len(self.rows),
            rows=len(self.good),
            rejected=dict(reasons.most_common()),
            cost_microusd=sum(row.cost_microusd for row in self.rows),
            seconds=self.seconds,
            message=self.message,
            words=self._words,
            of=PROMPTS,
        )


async def aask_all(
    prompts: Sequence[Prompt],
    *,
    teacher: str | Mapping[str, Any] | Endpoint,
    schema: type[M] | None = None,
    system: str = "",
    budget: float | Mapping[str, Any] | None = None,
    folder: str | Path = FOLDER,
    validators: Sequence[Mapping[str, Any]] | None = None,
    language: str = "en",
    accept_terms: Sequence[str] = (),
    quiet: bool = False,
) -> Answers[M]:
    """`ask_all`, for a loop of your own: takes the same, and is awaited."""
    work = _work(prompts, teacher, schema, system, budget, folder, validators, language, accept_terms, quiet)
    return await shown(work, Answers[M].status, quiet=quiet)


def ask_all(
    prompts: Sequence[Prompt],
    *,
    teacher: str | Mapping[str, Any] | Endpoint,
    schema: type[M] | None = None,
    system: str = "",
    budget: float | Mapping[str, Any] | None = None,
    folder: str | Path = FOLDER,
    validators: Sequence[Mapping[str, Any]] | None = None,
    language: str = "en",
    accept_terms: Sequence[str] = (),
    quiet: bool = False,
) -> Answers[M]:
    """Ask a teacher each of the prompts; an answer or a reason for each, in order.

    prompts       texts, or whole conversations that end with a user's turn
    teacher       "URL,MODEL[,KEY_VARIABLE]", "practice:" for the embedded
                  practice teacher, or what a recipe says of a teacher
    schema        a pydantic model that each answer has to fit, asked for as in
                  a recipe, with the same ladder of corrections
    system        a system turn before each prompt
    budget        dollars, or caps such as {"requests": 500}, of all that is
                  asked in `folder`
    folder        where every reply is kept before it is read: asking the same
                  there again buys nothing
    validators    those of a recipe's stage; unless given, the finished and the
                  refusal check
    language      that of the words around a schema, and what the checks expect
    accept_terms  names of terms that restrict training on a teacher's output
    quiet         without the line that tells how far it is

    It works in a notebook cell too. An interrupt ends the asking, and what had
    come is kept.

    Raises RecipeError for what cannot be asked so, FolderError for a folder
    that cannot be used, and Fatal when the teacher gave no answer at all and
    cannot give any; what ends the asking later is in the result's `message`.
    """
    work = _work(prompts, teacher, schema, system, budget, folder, validators, language, accept_terms, quiet)
    first = Status(str(folder), words=words_of(language), of=PROMPTS)
    return finished(work, first, Answers[M].status, quiet=quiet)


def _work(
    prompts: Sequence[Prompt],
    teacher: str | Mapping[str, Any] | Endpoint,
    schema: type[M] | None,
    system: str,
    budget: float | Mapping[str, Any] | None,
    folder: str | Path,
    validators: Sequence[Mapping[str, Any]] | None,
    language: str,
    accept_terms: Sequence[str],
    quiet: bool,
) -> Work[Answers[M]]:
    """What asks, with everything checked that can be before the first request."""
    if schema is not None and not (isinstance(kind := cast("object", schema), type) and issubclass(kind, BaseModel)):
        raise RecipeError(f"schema= takes a pydantic model, a class of its own, and {schema!r} is none.")
    endpoint = _endpoint(teacher)
    _permitted(endpoint, accept_terms)
    caps = Caps() if budget is None else caps_of(budget if isinstance(budget, Mapping) else {"usd": budget})
    asking = _Asking(_conversations(prompts, system), schema, _checks(validators, language), language)

    async def work(observe: Observe) -> Answers[M]:
        began, halt = time.monotonic(), Halt()
        options = Options(say=lambda note: tell([note], quiet=quiet))
        async with desk(Path(folder), {TEACHER: endpoint}, caps, halt, options) as opened:
            observe(lambda: asking.status(opened, str(folder), time.monotonic() - began), halt)
            await asking.done(opened)
        rows = tuple(asking.answers)
        ended = halt.error
        if ended is not None and not isinstance(ended, BudgetReached) and not any(row.text for row in rows):
            raise ended.with_traceback(None)
        message = "" if ended is None else str(ended)
        return Answers(rows, Path(folder), endpoint.model, time.monotonic() - began, message, language)

    return work


class _Asking(Generic[M]):
    """The answers while they come."""

    def __init__(
        self, prompts: list[tuple[Message, ...]], schema: type[M] | None, checks: Sequence[Validator], language: str
    ) -> None:
        self._prompts, self._schema, self._checks, self._language = prompts, schema, checks, language
        self._done = 0
        self.answers: list[Answer[M]] = [Answer(prompt, reason=NOT_ASKED) for prompt in prompts]

    async def done(self, at: Desk) -> None:
        """Ask until all have come, or the asking has stopped."""
        # the same prompt twice is one request, whose price is told once
        first: dict[tuple[Message, ...], int] = {}
        for place, prompt in enumerate(self._prompts):
            first.setdefault(prompt, place)

        async def some() -> AsyncIterator[int]:
            for place in first.values():
                if at.halt.error is not None:
                    return
                yield place

        async def answer(place: int) -> None:
            self.answers[place] = await self._answer(at, place)
            self._done += 1

        window = WINDOW_PER_SLOT * at.teachers[TEACHER].endpoint.limits.max_in_flight
        await together(in_order(some(), answer, _nothing, window))
        stopped = "" if at.halt.error is None else str(at.halt.error)
        for place, prompt in enumerate(self._prompts):
            if first[prompt] != place:
                self.answers[place] = _again(self.answers[first[prompt]])
            if self.answers[place].reason == NOT_ASKED:
                self.answers[place] = Answer(prompt, reason=NOT_ASKED, detail=stopped)

    async def _answer(self, at: Desk, place: int) -> Answer[M]:
        prompt, name = self._prompts[place], f"{place:08d}"
        ask = at.ask(STAGE, name, self._language)
        value, told = None, prompt
        reason = detail = ""
        try:
            if self._schema is None:
                completion = await ask.text(prompt, teacher=TEACHER)
                finish, text, thought = completion.finish_reason, completion.text, completion.reasoning
            else:
                value = await ask.schema(self._schema, prompt, teacher=TEACHER)
                finish, text, thought = "stop", value.model_dump_json(), None
            told = (*prompt, Message(role="assistant", content=text, reasoning_content=thought))
            self._check(told, finish, name)
        except Rejected as error:
            reason, detail, value = error.reason, error.detail, None
        except Fatal as error:
            reason, detail = NOT_ASKED, str(error)
        except TeacherError as error:
            reason, detail = PARKED, f"{error}; ask again to try once more"
        return Answer(told, value, reason, detail, ask.unit.cost_microusd, ask.unit.bought)

    def _check(self, messages: tuple[Message, ...], finish: str, name: str) -> None:
        sample = Sample(
            id=name,
            seed_id=name,
            parent_id=name,
            stage=STAGE,
            draw=0,
            messages=messages,
            fields={},
            finish_reason=finish,
        )
        for check in self._checks:
            check.check(sample)

    def status(self, at: Desk, name: str, seconds: float) -> Status:
        """How far it is."""
        reasons = Counter(one.reason for one in self.answers)
        good = reasons.pop("", 0)
        reasons.pop(NOT_ASKED, 0)
        share = self._done / len(self.answers) if self.answers else 1.0
        return Status(
            name,
            seeds_done=self._done,
            seeds=len(self.answers),
            rows=good,
            rejected=dict(reasons.most_common()),
            in_flight=at.teachers[TEACHER].admission.in_flight,
            silent=silent(at.teachers),
            cost_microusd=at.budget.spent_microusd,
            seconds=seconds,
            left_s=seconds * (1 - share) / share if self._done else None,
            words=words_of(self._language),
            of=PROMPTS,
        )


def _again(answer: Answer[M]) -> Answer[M]:
    """The same answer where the same was asked before, bought already."""
    return Answer(answer.messages, answer.value, answer.reason, answer.detail)


def _plain(message: Message) -> dict[str, str | None]:
    return {"role": message.role, "content": message.content, "reasoning_content": message.reasoning_content}


async def _nothing(_answered: object) -> None:
    """Answers are kept as they come."""


def _endpoint(teacher: str | Mapping[str, Any] | Endpoint) -> Endpoint:
    if isinstance(teacher, Endpoint):
        return teacher.filled()
    if isinstance(teacher, str):
        alone = teacher.startswith(PRACTICE) and "," not in teacher
        return endpoint_of(f"{teacher},{PRACTICE_MODEL}" if alone else teacher, "teacher=").fitted()[0]
    try:
        return Endpoint.model_validate(teacher).filled()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place, reason = ".".join(map(str, first["loc"])), str(first["msg"]).removeprefix("Value error, ")
        raise RecipeError(f"teacher= {place or 'as a whole'}: {reason}.") from None


def _permitted(endpoint: Endpoint, accept_terms: Sequence[str]) -> None:
    """Raise RecipeError for a host that would refuse, and for terms that restrict and that nobody has accepted."""
    problems = [f"teacher= {problem.message}." for problem in host_problems(endpoint)]
    problems += [
        f"{terms.sentence(one)} If you may go on, give accept_terms=[{one.id!r}]."
        for one in terms.terms_of(endpoint)
        if one.verdict == "restricted" and one.id not in accept_terms
    ]
    if problems:
        raise RecipeError(" ".join(problems))


def _conversations(prompts: Sequence[Prompt], system: str) -> list[tuple[Message, ...]]:
    if isinstance(prompts, str):
        raise RecipeError("ask_all takes a list of prompts; this is one text: write [prompt].")
    if not isinstance(cast("object", prompts), Iterable):
        raise RecipeError(f"ask_all takes a list of prompts, and {prompts!r} is none.")
    begin = (Message(role="system", content=system),) if system else ()
    return [(*begin, *_turns(prompt, place)) for place, prompt in enumerate(prompts)]


def _turns(prompt: object, place: int) -> tuple[Message, ...]:
    try:
        turns = (Message(role="user", content=prompt),) if isinstance(prompt, str) else MESSAGES.validate_python(prompt)
    except ValidationError:
        turns = ()
    for number, message in enumerate(cast("Iterable[object]", prompt) if isinstance(prompt, list | tuple) else ()):
        _check_keys(message, f"prompts[{place}][{number}]")
    if not turns or turns[-1].role != "user" or not turns[-1].content.strip():
        raise RecipeError(
            f"prompts[{place}] asks nothing: give a text, or messages with `role` and `content` that end with a user's."
        )
    if broken := next(filter(None, (HALF.search(turn.content) for turn in turns)), None):
        code = f"U+{ord(broken[0]):04X}"
        raise RecipeError(f"prompts[{place}] holds half a letter, {code}, which cannot be sent; mend it.")
    return turns


def _check_keys(message: object, where: str) -> None:
    """Raise RecipeError for what a message says that would not be sent."""
    given: Mapping[object, object] = cast("Any", message) if isinstance(message, Mapping) else {}
    for key, value in given.items():
        if key not in KEYS and value is not None:
            known = hint(str(key), KEYS) or "; a message has `role` and `content` alone."
            raise RecipeError(f"{where} has {key!r}, which would not be sent{known}")


def _plain_checks(validators: object) -> list[dict[str, Any]]:
    """The checks as dictionaries. Raises RecipeError for what is no list of them."""
    each = list(cast("Sequence[Any]", validators)) if isinstance(validators, Sequence) else []
    if isinstance(validators, str) or not all(isinstance(one, Mapping) for one in each) or (validators and not each):
        raise RecipeError('validators= takes a list of checks, each as {"kind": "finished"}.')
    return [dict(one) for one in each]


def _checks(validators: Sequence[Mapping[str, Any]] | None, language: str) -> list[Validator]:
    if wrong := mistaken(language):
        raise RecipeError(f"language= {wrong}.")
    if validators is None:
        return [Finished(), Refusal()]
    try:
        found = VALIDATORS.validate_python(_plain_checks(validators))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "union_tag_invalid":
            told = first.get("ctx", {})
            kind, known = str(told.get("tag")), QUOTED.findall(str(told.get("expected_tags")))
            meant = hint(kind, known) or f"; choose one of {', '.join(known)}."
            raise RecipeError(f"validators.{first['loc'][0]}: there is no kind {kind!r}{meant}") from None
        place = ".".join(str(part) for part in first["loc"])
        raise RecipeError(f"validators.{place}: {str(first['msg']).removeprefix('Value error, ')}.") from None
    lacking = [getattr(one, "language", None) == "" for one in found]
    return [
        one.model_copy(update={"language": language}) if lacks else one
        for one, lacks in zip(found, lacking, strict=True)
    ]
