"""synth distils a strong teacher into a checked, deduplicated, scored instruction dataset."""

from __future__ import annotations

TYPE_CHECKING = False  # importing `typing` takes its time, before Ctrl-C is heeded
if TYPE_CHECKING:
    from synth.api import arun, load, preview, read, run, select, start
    from synth.errors import BudgetReached, Fatal, FolderError, MissingPackage, RecipeError, SynthError
    from synth.quick import Answer, Answers, aask_all, ask_all

__all__ = [
    "Answer",
    "Answers",
    "BudgetReached",
    "Fatal",
    "FolderError",
    "MissingPackage",
    "RecipeError",
    "SynthError",
    "aask_all",
    "arun",
    "ask_all",
    "load",
    "preview",
    "read",
    "run",
    "select",
    "start",
]


def __getattr__(name: str) -> object:
    """Import what is asked for when it is asked for, so that `import synth` and `synth --help` are quick."""
    if name == "errors" or name in __all__:
        from importlib import import_module

        errors = import_module("synth.errors")
        if name == "errors":
            return errors
        if hasattr(errors, name):
            return getattr(errors, name)
        from synth import api, quick

        return getattr(api if hasattr(api, name) else quick, name)
    raise AttributeError(f"module 'synth' has no attribute {name!r}")
