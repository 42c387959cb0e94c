"""Options that several commands share, and values whose errors say what was meant."""

from __future__ import annotations

from collections.abc import Callable
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


Command = Callable[..., Any]
Decorator = Callable[[Command], Command]


def taking(*options: Decorator) -> Decorator:
    """Several arguments and options as one, in their order."""

    def take(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return take


AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
CAPS = taking(
    click.option("--budget", "caps", multiple=True, metavar="USD|NAME=VALUE",
                 help="Never use more: 20 (dollars), tokens=1e6, requests=500, hours=8, account=FILE."),
    click.option("--allow-unknown-price", is_flag=True, help="Go on under --budget where a price is not known."),
)  # fmt: skip
"""The most that may be used."""


def _cap(text: str) -> tuple[str, int | float | str]:
    """The name and value of one --budget: dollars, or NAME=VALUE."""
    name, _, value = text.rpartition("=")
    name = name or "usd"
    if name == "account":
        if not value:
            raise click.BadParameter("account= names no file; write account=FILE", param_hint="--budget")
        return name, value
    try:
        number = float(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a number", param_hint="--budget") from None
    return name, int(number) if number.is_integer() else number


def cap_fields(texts: tuple[str, ...], *, allow_unknown_price: bool) -> dict[str, Any]:
    """The caps that --budget names, and whether an unknown price is no matter."""
    return dict(_cap(text) for text in texts) | ({"allow_unknown_price": True} if allow_unknown_price else {})


def dollars(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """A sum that an account can hold; no range of click's refuses `nan`."""
    if value is not None and not 0 <= value <= 1e9:
        raise click.BadParameter(f"{value} is no sum of dollars from 0 to 1,000,000,000", context, parameter)
    return value
