"""A choice among words whose error says which one was probably meant."""

from __future__ import annotations

from typing import Any

import click

from synth.language.near import hint


class Choice(click.Choice[str]):
    """Click's own, with a hint."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The word, if it is one of them. Raises click.BadParameter, with the one that was probably meant."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            self.fail(error.message.rstrip(".") + (hint(str(value), self.choices) or "."), param, ctx)


def among(name: str, known: list[str]) -> str:
    """That a name is none of the known ones."""
    return f"{name!r} is none of {', '.join(known)}{hint(name, known)}"
