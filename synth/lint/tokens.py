"""How many tokens a row has for a student, as its tokenizer and chat template write it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn, cast

import orjson
from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from synth.errors import RecipeError, Rejected
from synth.types import Fields

FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


class Tokens:
    """A student's tokenizer with its chat template."""

    def __init__(self, name: str) -> None:
        """Read it from a folder that holds tokenizer.json, or from a model's repository on the Hub.

        Raises RecipeError when there is none.
        """
        folder = Path(name)
        found = {one: _read(folder / one) for one in FILES} if folder.is_dir() else _fetched(name)
        if found[FILES[0]] is None:
            raise RecipeError(f"There is no tokenizer.json in {name}; name a model's folder, or its name on the Hub.")
        try:
            self._encode = import_module("tokenizers").Tokenizer.from_str(found[FILES[0]]).encode
        except ModuleNotFoundError:
            raise RecipeError("Counting tokens needs a package; install it: pip install 'synth[tokens]'") from None
        except Exception as error:  # noqa: BLE001 (the library raises nothing narrower)
            raise RecipeError(f"The tokenizer.json of {name} cannot be read ({error}).") from None
        config: Any = orjson.loads(found[FILES[1]] or "{}")
        self._values = {one: _text_of(config.get(one)) for one in ("bos_token", "eos_token", "unk_token", "pad_token")}
        template: Any = found[FILES[2]] or config.get("chat_template")
        if isinstance(template, list):  # several, each with a name
            named = {one["name"]: one["template"] for one in cast("list[dict[str, str]]", template)}
            template = named.get("default")
        self._template: Any = _compiled(template, name) if isinstance(template, str) else None

    def of(self, row: Fields) -> Iterator[tuple[int, str]]:
        """The tokens of each text that is trained on, and why there are none where the template raises an error.

        A row of pairs has two texts.
        """
        prompt = row.get("prompt")
        if isinstance(row.get("messages"), list):
            yield self._conversation(cast("list[Fields]", row["messages"]), row)
        elif row.get("chosen") or row.get("rejected"):
            for one in (row.get("chosen"), row.get("rejected")):
                yield self._joined(prompt, one, row)
        elif prompt is not None:
            yield self._joined(prompt, row.get("completion"), row)
        elif isinstance(row.get("text"), str):
            yield self._number(str(row["text"])), ""

    def _joined(self, before: Any, after: Any, row: Fields) -> tuple[int, str]:
        if isinstance(after, list) or isinstance(before, list):
            turns = [*_turns(before, "user"), *_turns(after, "assistant")]
            return self._conversation(turns, row)
        return self._number(f"{before or ''}{after or ''}"), ""

    def text(self, row: Fields) -> str:
        """A row of messages as the chat template writes it, without the sign of a beginning that the tokenizer adds.

        Raises Rejected(`template_refuses`), and RecipeError when there is no template.
        """
        if self._template is None:
            raise RecipeError("The tokenizer has no chat template, so it writes no conversation; name another one.")
        text = self._rendered(cast("list[Fields]", row["messages"]), row.get("tools"))
        begins = self._values["bos_token"]
        is_added = bool(begins) and self._encode("", add_special_tokens=True).tokens[:1] == [begins]
        return text.removeprefix(begins) if is_added else text

    def _conversation(self, turns: list[Fields], row: Fields) -> tuple[int, str]:
        if self._template is None:
            return self._number("\n".join(str(turn.get("content") or "") for turn in turns)), ""
        try:
            return self._number(self._rendered(turns, row.get("tools"))), ""
        except Rejected as refused:
            return 0, refused.detail

    def _rendered(self, turns: list[Fields], tools: Any) -> str:
        try:
            tools = orjson.loads(tools) if isinstance(tools, str) and tools else tools or None
            told = [{name: value for name, value in turn.items() if value is not None} for turn in turns]
            return self._template.render(**self._values, messages=told, tools=tools, add_generation_prompt=False)
        except (TemplateError, TypeError, ValueError, KeyError, IndexError) as error:
            detail = " ".join(str(error).split())[:120] or type(error).__name__
            raise Rejected("template_refuses", detail) from None

    def _number(self, text: str) -> int:
        return len(self._encode(text, add_special_tokens=False).ids)


def _turns(part: Any, role: str) -> list[Fields]:
    if isinstance(part, list):
        return [cast("Fields", one) for one in cast("list[Any]", part) if isinstance(one, dict)]
    return [{"role": role, "content": part}] if part else []


def _compiled(template: str, name: str) -> Any:
    """A chat template as transformers compile it: https://huggingface.co/docs/transformers/chat_templating."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )

    def raise_exception(message: str) -> NoReturn:
        raise TemplateError(message)

    def strftime_now(form: str) -> str:
        return datetime.now(UTC).strftime(form)

    environment.filters["tojson"] = _to_json
    try:
        # the tags mark what is trained on, and write nothing
        plain = re.sub(r"\{%-?\s*(end)?generation\s*-?%\}", "", template)
        return environment.from_string(plain, {"raise_exception": raise_exception, "strftime_now": strftime_now})
    except TemplateError as error:
        raise RecipeError(f"The chat template of {name} cannot be read ({error}).") from None


def _to_json(value: Any, indent: int | None = None, **_: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _text_of(token: Any) -> str:
    """A special token, which some configurations write as an object."""
    return str(cast("Mapping[str, Any]", token).get("content", "")) if isinstance(token, dict) else str(token or "")


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _fetched(name: str) -> dict[str, str | None]:
    try:
        hub = import_module("huggingface_hub")
        errors = import_module("huggingface_hub.errors")
    except ModuleNotFoundError:
        raise RecipeError(
            f"There is no folder {name!r}, and to fetch it from the Hub a package is missing: pip install 'synth[hub]'"
        ) from None
    found: dict[str, str | None] = {}
    for one in FILES:
        try:
            found[one] = Path(hub.hf_hub_download(name, one)).read_text(encoding="utf-8")
        except errors.EntryNotFoundError:
            found[one] = None
        except (errors.HFValidationError, errors.HfHubHTTPError, OSError) as error:
            reason = " ".join(str(error).split())[:200]
            raise RecipeError(f"There is no folder {name!r}, and the Hub gives no such tokenizer ({reason}).") from None
    return found
