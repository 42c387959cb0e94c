"""The columns that rows of JSON have together, for files in which every row has the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from synth.errors import RecipeError

NUMBERS = {"int", "float"}


@dataclass(slots=True)
class Shape:
    """What stands in one place of all rows seen so far."""

    kinds: set[str] = field(default_factory=set[str])
    """`str`, `bool`, `int`, `float`, `list`, `dict`; nothing where there were only nulls."""
    fields: dict[str, Shape] = field(default_factory=dict[str, "Shape"])
    items: Shape | None = None

    def see(self, value: Any) -> None:
        """Take one more value in."""
        if value is None:
            return
        self.kinds.add(type(value).__name__)
        if isinstance(value, dict):
            for name, one in cast("dict[str, Any]", value).items():
                self.fields.setdefault(name, Shape()).see(one)
        elif isinstance(value, list):
            self.items = self.items or Shape()
            for one in cast("list[Any]", value):
                self.items.see(one)

    def without_empty(self, value: Any) -> Any:
        """A value without the keys that are null in all rows."""
        if isinstance(value, dict):
            named = cast("dict[str, Any]", value).items()
            return {name: self.fields[name].without_empty(one) for name, one in named if self.fields[name].kinds}
        if isinstance(value, list) and self.items is not None:
            return [self.items.without_empty(one) for one in cast("list[Any]", value)]
        return cast("Any", value)

    def arrow(self, pyarrow: Any, name: str = "") -> Any:
        """Its type in Parquet. Raises RecipeError where there is none."""
        if self.kinds == {"dict"} and (fields := self.columns(pyarrow, f"{name}.")):
            return pyarrow.struct(fields)
        if self.kinds == {"list"}:
            items = self.items or Shape()
            return pyarrow.list_(items.arrow(pyarrow, f"{name}[]") if items.kinds else pyarrow.string())
        if self.kinds <= NUMBERS:
            return pyarrow.float64() if "float" in self.kinds else pyarrow.int64()
        if len(self.kinds) == 1 and not self.kinds & {"dict"}:
            return pyarrow.bool_() if self.kinds == {"bool"} else pyarrow.string()
        kinds = " and ".join(sorted(self.kinds)) if len(self.kinds) > 1 else "empty objects"
        raise RecipeError(f"Parquet has no type for {name}, which holds {kinds}; write JSONL, or leave it out.")

    def columns(self, pyarrow: Any, before: str = "") -> list[tuple[str, Any]]:
        """Its fields with their types, but for those that are null in all rows."""
        return [(name, one.arrow(pyarrow, before + name)) for name, one in self.fields.items() if one.kinds]
