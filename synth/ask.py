"""What a plug-in may do: render a template, ask for a text, ask for a schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from pydantic import BaseModel, JsonValue

from synth.types import Completion, Message

M = TypeVar("M", bound=BaseModel)


class Ask(Protocol):
    """The one capability a generator or scorer receives.

    Every call is stored under the content of its request, so that asking the same again costs nothing.
    """

    @property
    def draw(self) -> int:
        """Which of the replies to the same prompt this is, from 0."""
        ...

    def render(self, template: str, values: Mapping[str, JsonValue]) -> str:
        """Render a template file of the recipe with these values."""
        ...

    async def text(self, messages: Sequence[Message], *, teacher: str) -> Completion:
        """Ask the named teacher and return its text.

        Raises Rejected for this sample only (`teacher_refused`, `truncated_empty`, `permanent`, ...); a Transient
        failure whose retries are used up, and a Fatal one, pass through to the run.
        """
        ...

    async def schema(self, model: type[M], messages: Sequence[Message], *, teacher: str) -> M:
        """Ask the named teacher for an object of `model`, validated; asked again with the error at most twice.

        Raises Rejected(`invalid_output`) when no reply fits.
        """
        ...
