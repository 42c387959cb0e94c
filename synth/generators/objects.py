"""The teacher writes objects with named fields, such as problems with their answers; each becomes a sample."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Literal, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    Tag,
    create_model,
    field_validator,
    model_validator,
)

from synth.ask import Ask
from synth.errors import Rejected
from synth.recipes.classes import OwnModel
from synth.schema import example
from synth.types import Draft, Message, Seed, TemplateFile, Value

Kind = Annotated[
    Annotated[Literal["text", "texts", "number", "yes_no"], Tag("kind")]
    | Annotated[Annotated[list[str], Field(min_length=2)], Tag("words")]
    | Annotated[OwnModel, Tag("model")],
    Discriminator(lambda given: "words" if isinstance(given, list) else "model" if _names_model(given) else "kind"),
]
"""What a field holds: a text, a list of them, a number, yes or no, one of the given words, or an object of the pydantic
model that `file.py:Model` names."""

TYPES: dict[str, tuple[Any, JsonValue]] = {
    "text": (str, "..."),
    "texts": (list[str], ["..."]),
    "number": (float, 1),
    "yes_no": (bool, True),
}
NAME = r"^[^\W\d]\w*$"
EXACT = 2**53
"""Beyond it a JSON number is not told from its neighbours."""


def _names_model(given: Any) -> bool:
    return isinstance(given, type) or (isinstance(given, str) and ".py" in given)


class Objects(Value):
    """Ask for `count` objects with these `fields`, each of which templates and scorers of later stages can read.

    The template sees the seed's fields, `count`, and in `avoid` what a seed that is drawn again brought before. What
    the user says is the template `shown`, which sees the object's fields too, or else the object's first field; it
    becomes the field `instruction`. An object with a blank is refused with all that came with it, as its writer did
    not do what was asked. A field may be an object itself, of a pydantic model in a file beside the recipe:
    `{expected: "order.py:Order"}`; templates show it by `{{ expected | tojson }}`, and its schema by
    `{{ "order.py:Order" | schema }}`.
    """

    kind: Literal["objects"] = "objects"
    prompt: TemplateFile
    fields: dict[Annotated[str, Field(pattern=NAME)], Kind] = Field(min_length=1)
    shown: TemplateFile | None = None
    count: int = Field(default=5, ge=1, le=100)
    teacher: str = ""

    @field_validator("fields")
    @classmethod
    def _has_room_for_instruction(cls, fields: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted({"instruction", "count", "avoid", "seed"} & fields.keys()):
            raise ValueError(f"{taken[0]!r} has a meaning of its own in templates; give the field another name")
        return fields

    @model_validator(mode="after")
    def _shows_a_text(self) -> Objects:
        first = next(iter(self.fields))
        if self.shown is None and isinstance(self.fields[first], type):
            raise ValueError(
                f"the first field, {first!r}, is an object and no text to show; name a template in `shown`"
            )
        return self

    @property
    def adds(self) -> tuple[str, ...]:
        """The fields that it gives its samples."""
        return (*self.fields, "instruction")

    @property
    def usual_drafts(self) -> int:
        """How many drafts one seed usually brings."""
        return self.count

    @property
    def asks(self) -> type[BaseModel]:
        """What the teacher is asked for."""
        told = tuple((name, tuple(kind) if isinstance(kind, list) else kind) for name, kind in self.fields.items())
        return _model(told)

    @property
    def template_values(self) -> dict[str, JsonValue]:
        """What its templates see beside the seed's fields, by example."""
        return {"count": 5, "avoid": ["..."], **{name: _example(kind) for name, kind in self.fields.items()}}

    def template_files(self) -> tuple[str, ...]:
        """The template files it renders."""
        return (self.prompt,) if self.shown is None else (self.prompt, self.shown)

    async def generate(self, seed: Seed, ask: Ask) -> list[Draft]:
        """One draft for each object: a conversation that ends with the user's turn.

        Raises Rejected(`no_instructions`) when there are none, or blank ones.
        """
        avoid: list[JsonValue] = list(seed.made)
        prompt = ask.render(self.prompt, {**seed.fields, "count": self.count, "avoid": avoid})
        written = await ask.schema(self.asks, [Message(role="user", content=prompt)], teacher=self.teacher)
        objects = [
            cast("dict[str, JsonValue]", one) for one in written.model_dump(mode="json", by_alias=True)["objects"]
        ]
        blank = next(
            (name for one in objects for name, value in one.items() if value in ("", []) or str(value).isspace()), ""
        )
        if blank or not objects:
            raise Rejected("no_instructions", f"the field {blank!r} is blank" if blank else "the list is empty")
        return [self._draft(seed, {name: _whole(value) for name, value in one.items()}, ask) for one in objects]

    def _draft(self, seed: Seed, one: dict[str, JsonValue], ask: Ask) -> Draft:
        first = next(iter(self.fields))
        shown = str(one[first]).strip() if self.shown is None else ask.render(self.shown, {**seed.fields, **one})
        return Draft(messages=(Message(role="user", content=shown),), fields={**one, "instruction": shown})


def _example(kind: str | list[str] | type[BaseModel]) -> JsonValue:
    if isinstance(kind, list):
        return kind[0]
    if isinstance(kind, str):
        return TYPES[kind][1]
    schema = kind.model_json_schema()
    return cast("JsonValue", example(schema, schema, "..."))


def _whole(value: JsonValue) -> JsonValue:
    """A number as the teacher wrote it: 42 and not 42.0, which a template would show."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < EXACT else value


@cache
def _model(fields: tuple[tuple[str, str | tuple[str, ...] | type[BaseModel]], ...]) -> type[BaseModel]:
    """The model of a list of objects with these fields."""
    held: dict[str, Any] = {
        name: (TYPES[kind][0] if isinstance(kind, str) else kind if isinstance(kind, type) else Literal[kind], ...)
        for name, kind in fields
    }
    strict = ConfigDict(extra="forbid")
    item: Any = create_model("Object", __config__=strict, **held)
    return create_model("Objects", __config__=strict, objects=(cast("Any", list)[item], ...))
