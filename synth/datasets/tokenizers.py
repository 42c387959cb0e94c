"""Which tokenizer a teacher's tokens are of, where its files can be read: their name and hash.

They can where the model lies on this machine: vLLM of the run's own, or a server here that names the folder it serves.
Of hosts elsewhere no hash is known, and none is made up.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import orjson

from synth.backends.fetch import fetched
from synth.backends.own_vllm.command import model_at
from synth.errors import Fatal
from synth.protocol.endpoint import HERE, Endpoint
from synth.recipes.recipe import LoadedRecipe, Recipe
from synth.storage.store import Store

FILES = ("tokenizer.json", "tokenizer.model", "tekken.json", "vocab.json")
"""What holds a vocabulary, the whole of it first."""
LIST_TIMEOUT_S = 10.0


def tellers(recipe: Recipe) -> list[str]:
    """The teachers whose tokens are kept with the rows."""
    return [name for name in sorted(recipe.row_writers()) if recipe.teachers[name].sampling.logprobs is not None]


async def note_tokenizers(loaded: LoadedRecipe, store: Store) -> None:
    """Note in the store which tokenizers the teachers have now, beside any that they had before."""
    for name in tellers(loaded.recipe):
        found = await asyncio.to_thread(_identity, loaded.recipe.teachers[name], loaded.folder)
        known = tokenizer_notes(store, name)
        if found and found not in known:
            await store.note(f"tokenizer {name}", orjson.dumps([*known, found]).decode())


def tokenizer_notes(store: Store, teacher: str) -> list[str]:
    """The tokenizers that a teacher was found to have, each as `FILE sha256:HASH`."""
    return cast("list[str]", orjson.loads(store.meta(f"tokenizer {teacher}") or "[]"))


def _identity(endpoint: Endpoint, folder: Path) -> str:
    """The file and its hash; empty where they cannot be known. Blocks."""
    for path in _files(_served(endpoint, folder)):
        if path.is_file():
            return f"{path.name} sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    return ""


def _served(endpoint: Endpoint, folder: Path) -> str:
    """What is served: a folder, or a name on the Hub; empty where that is not known."""
    if endpoint.is_own:
        return model_at(endpoint.base_url.partition(":")[2] or endpoint.model, folder)
    if endpoint.base_url.startswith(HERE) or not endpoint.queues_silently:
        return ""
    try:
        entries: Any = orjson.loads(fetched(endpoint, f"{endpoint.base_url}/models", LIST_TIMEOUT_S).body)["data"]
        return next((str(one["root"]) for one in entries if one["id"] == endpoint.model), "")
    except (Fatal, orjson.JSONDecodeError, KeyError, TypeError):
        return ""


def _files(served: str) -> Iterable[Path]:
    if not served:
        return []
    if Path(served).is_dir():
        return [Path(served) / name for name in FILES]
    if find_spec("huggingface_hub") is None:
        return []
    find: Any = import_module("huggingface_hub").try_to_load_from_cache
    try:
        found = [find(served, name) for name in FILES]
    except ValueError:  # a name that the Hub cannot have
        return []
    return [Path(one) for one in found if isinstance(one, str)]
