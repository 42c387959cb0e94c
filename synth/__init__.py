"""synth distils a strong teacher into a checked, deduplicated, scored instruction dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synth.errors import BudgetReached, Fatal, FolderError, RecipeError, SynthError

if TYPE_CHECKING:
    from synth.api import arun, load, preview, run

__all__ = ["BudgetReached", "Fatal", "FolderError", "RecipeError", "SynthError", "arun", "load", "preview", "run"]


def __getattr__(name: str) -> object:
    """Import what is asked for when it is asked for, so that `import synth` and `synth --help` are quick."""
    if name in __all__:
        from synth import api

        return getattr(api, name)
    raise AttributeError(f"module 'synth' has no attribute {name!r}")
