"""Jinja templates beside a recipe: rendered in a sandbox, strict about names that do not exist."""

from __future__ import annotations

import hashlib
import json
import re
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import JsonValue

from synth.errors import Problem, Rejected
from synth.language.near import hint
from synth.patterns import lazy
from synth.recipes.classes import NAMED, model_of, schema_of

SHARED = "shared"
FULL_WIDTH = lazy("[{｛]｛|｛[{%％]|{％|｝[}｝]|}｝|[%％]｝|％}")
"""Braces of a Japanese keyboard in the place of Jinja's, which would stand in every prompt as they are."""
HALF_WIDTH = str.maketrans("｛｝％", "{}%")
SHIPPED = Path(__file__).parents[1] / "scorers"
FAILURES = (
    jinja2.TemplateError,
    *(TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError),
)
"""What rendering may raise for a seed, filters and included templates as they are."""


class NullPrintedError(jinja2.TemplateRuntimeError):
    """A template prints a value that is null."""


class Templates:
    """The templates of one recipe folder; `../shared` beside it holds common ones, and synth brings the judges'.

    Beside Jinja's own filters there is `{{ "order.py:Order" | schema }}`, the JSON schema of a pydantic model.
    """

    def __init__(self, folder: Path) -> None:
        self._folders = (folder, folder.parent / SHARED, SHIPPED)
        self._loaded: dict[str, bytes] = {}
        self._ready: dict[str, tuple[jinja2.Template, dict[str, Any]]] = {}
        self._environment = ImmutableSandboxedEnvironment(
            loader=jinja2.FunctionLoader(self._load),
            undefined=jinja2.StrictUndefined,
            finalize=_not_null,
            autoescape=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters["schema"] = self._schema
        self._environment.policies["json.dumps_kwargs"] = {"sort_keys": False, "ensure_ascii": False}

    def render(self, name: str, values: Mapping[str, JsonValue]) -> str:
        """The text of a template; it sees each field by name, and all of them as `seed`.

        Raises Rejected(`template_error`) when this seed lacks what the template needs.
        """
        try:
            if name not in self._ready:
                template = self._environment.get_template(name)
                self._ready[name] = (template, dict(template.globals))
            template, names = self._ready[name]
            # the context that Template.render would make, without copying all names one by one for each row
            context = self._environment.context_class(
                self._environment, {**names, **values, "seed": dict(values)}, template.name, template.blocks
            )
            return "".join(template.root_render_func(context)).strip()
        except FAILURES:
            return self._explained(name, values)

    def _explained(self, name: str, values: Mapping[str, JsonValue]) -> str:
        """Render once more as Jinja does, which finds the line of what is wrong."""
        try:
            return self._environment.get_template(name).render({**values, "seed": dict(values)}).strip()
        except FAILURES as error:
            nulls = [field for field, value in values.items() if value is None]
            message = f"{error} (null here: {', '.join(nulls)})" if nulls else str(error)
            file, line = _place(error)
            place = f"{Path(file).name or name}:{line}" if line else name
            raise Rejected("template_error", f"{place}: {message}") from error

    def check(self, name: str, values: Mapping[str, JsonValue]) -> list[Problem]:
        """Every problem of a template, found by reading it and by rendering it once with these values."""
        path = self._find(name)
        if path is None:
            known = sorted(file.name for folder in self._folders if folder.is_dir() for file in folder.glob("*.j2"))
            there = hint(name, known) or f"; there is {', '.join(known) or 'none'}"
            return [Problem(f"there is no template {name!r}{there}")]
        try:
            problems = self._undefined(name, set(values) | {"seed"}, ", ".join(sorted(values)) or "none", set())
        except jinja2.TemplateSyntaxError as error:
            known_file = error.filename if error.filename and Path(error.filename).is_file() else str(path)
            return [Problem(str(error.message), known_file, error.lineno)]
        except jinja2.TemplateNotFound as error:
            return [Problem(f"it includes {error.name!r}, which does not exist", str(path))]
        except UnicodeDecodeError as error:
            return [Problem(f"it is not UTF-8 (byte {error.start}); save it as UTF-8", str(path))]
        if problems:
            return problems
        try:
            self.render(name, values)
        except Rejected as error:
            cause = error.__cause__ or error
            if not isinstance(cause, NullPrintedError):  # other seeds may have what the first one lacks
                file, line = _place(cause)
                return [Problem(str(cause), file or str(path), line)]
        return []

    def hold(self, name: str, raw: bytes) -> None:
        """Count a file beside the templates, whose code makes rows, among them."""
        self._loaded[name] = raw

    def _schema(self, named: str) -> str:
        """The JSON schema of the pydantic model that `file.py:Model` names, in one line; it counts as a template."""
        if named not in self._loaded:
            self._loaded[named] = _schema_lines(named, self._folders[0])
        return json.dumps(json.loads(self._loaded[named]), ensure_ascii=False)

    def sources(self) -> dict[str, str]:
        """SHA-256 of every template loaded so far, by name."""
        return {name: hashlib.sha256(raw).hexdigest() for name, raw in sorted(self._loaded.items())}

    def texts(self) -> dict[str, str]:
        """Every template loaded so far, by name."""
        return {name: _decoded(raw) for name, raw in sorted(self._loaded.items())}

    def sha256(self, name: str) -> str:
        """Of the file that has this name now; empty when none has."""
        path = self._find(name)
        if path is None and NAMED.match(name):
            return hashlib.sha256(_schema_lines(name, self._folders[0])).hexdigest()
        return "" if path is None else hashlib.sha256(path.read_bytes()).hexdigest()

    def _find(self, name: str) -> Path | None:
        parts = Path(name).parts
        if ".." in parts or Path(name).is_absolute():
            return None
        return next((folder / name for folder in self._folders if (folder / name).is_file()), None)

    def _load(self, name: str) -> tuple[str, str, None] | None:
        path = self._find(name)
        if path is None:
            return None
        raw = path.read_bytes()
        self._loaded[name] = raw
        return _decoded(raw), str(path), None

    def _undefined(self, name: str, known: set[str], listed: str, seen: set[str]) -> list[Problem]:
        """Undeclared variables of a template and of what it includes, each with its line."""
        if name in seen:
            return []
        seen.add(name)
        loaded = self._load(name)
        if loaded is None:
            raise jinja2.TemplateNotFound(name)
        source, path, _ = loaded
        full_width = [
            Problem(f"'{match[0]}' is no sign of Jinja's; type {match[0].translate(HALF_WIDTH)}", path, line)
            for line, text in enumerate(source.splitlines(), 1)
            for match in FULL_WIDTH.finditer(text)
        ]
        if full_width:  # nothing would be put in their place, in no prompt
            return full_width
        tree = self._environment.parse(source, name, path)
        missing = meta.find_undeclared_variables(tree) - known
        found = [
            Problem(
                f"{node.name!r} is not defined; the fields here are {listed}{hint(node.name, known)}", path, node.lineno
            )
            for node in tree.find_all(nodes.Name)
            if node.name in missing and node.ctx == "load"
        ]
        for reference in meta.find_referenced_templates(tree):
            if reference is not None:
                found += self._undefined(reference, known, listed, seen)
        return found


def _schema_lines(named: str, folder: Path) -> bytes:
    """A model's schema with a line for each member, so that a change is told with what changed."""
    return json.dumps(schema_of(model_of(named, folder)), ensure_ascii=False, indent=1).encode()


def _decoded(raw: bytes) -> str:
    return raw.decode("utf-8-sig").replace("\r\n", "\n")


def _not_null(value: object) -> object:
    """What a template prints: anything but null, which would become the word None in a prompt."""
    if value is None:
        raise NullPrintedError("it prints a value that is null; put {% if %} around it")
    return value


def _place(error: BaseException) -> tuple[str, int]:
    """File and line of the innermost template frame of an error; empty and 0 when none is known."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if re.search(r"\.j2$|\.jinja2?$", f.filename)]
    line = getattr(error, "lineno", None) or (frames[-1].lineno if frames else None)
    return frames[-1].filename if frames else "", line or 0
