"""Patterns that are compiled when they are first used.

All of them together take a third of a second, which every command would wait for, and few are needed by any one.
"""

from __future__ import annotations

import re
from functools import partialmethod
from typing import Any, AnyStr, cast

METHODS = ("search", "match", "fullmatch", "split", "findall", "finditer", "sub", "subn")


class Lazy:
    """Its methods are those of the class once, and then the compiled pattern's, which are found first."""

    def __init__(self, pattern: Any, flags: int) -> None:
        self.pattern, self.flags = pattern, flags

    def first(self, name: str, *arguments: Any, **named: Any) -> Any:
        """Compile it, and return what a method of the compiled pattern returns."""
        compiled = re.compile(self.pattern, self.flags)
        vars(self).update({method: getattr(compiled, method) for method in METHODS})
        return getattr(compiled, name)(*arguments, **named)


for _name in METHODS:
    setattr(Lazy, _name, partialmethod(Lazy.first, _name))


def lazy(pattern: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """What `re.compile` returns, compiled by the first call of one of its METHODS, which raises re.error where the
    pattern is none. Of its attributes it has `pattern` only.
    """
    return cast("re.Pattern[AnyStr]", Lazy(pattern, flags))
