"""A static embedding model in a folder of this machine, at the interface of an embeddings endpoint.

Such a model is a vector for each token and their mean (https://github.com/MinishLab/model2vec): it needs neither a GPU
nor torch, and nothing is downloaded. What it makes is kept like what a server sends.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson

from synth.errors import RecipeError
from synth.types import EMBEDDINGS, Outcome, Request

FILES = ("config.json", "model.safetensors", "tokenizer.json")
ELSEWHERE = {"error": {"message": "a local model embeds and does nothing else", "type": "not_found_error"}}


class LocalModel:
    """Embeds in a thread, one request after the other."""

    def __init__(self, folder: Path) -> None:
        """Load the model; takes its time. Raises RecipeError when there is none, or the package for it is missing."""
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing:
            raise RecipeError(
                f"There is no static embedding model in {folder.absolute()}: {', '.join(missing)} is missing; give a "
                "folder as model2vec saves it."
            )
        try:
            static = import_module("model2vec").StaticModel
        except ModuleNotFoundError:
            raise RecipeError(
                "A local embedding model needs the package model2vec; install it: pip install 'synth[embed]'"
            ) from None
        try:
            self._model: Any = static.from_pretrained(folder)
        except Exception as error:  # whatever its reader raises of such files
            raise RecipeError(f"The model in {folder.absolute()} cannot be read ({error}).") from error
        digest = hashlib.sha256((folder / FILES[1]).read_bytes()).hexdigest()
        self._name = f"sha256:{digest[:16]}"
        """What a reply says it came from: another model under the same name shows."""
        self._one = asyncio.Lock()

    async def send(self, request: Request) -> Outcome:
        """The vectors of the texts that a request holds."""
        if request.path != EMBEDDINGS:
            return Outcome(404, orjson.dumps(ELSEWHERE))
        async with self._one:
            return Outcome(200, await asyncio.to_thread(self._reply, request.body))

    def _reply(self, body: bytes) -> bytes:
        texts = orjson.loads(body)["input"]
        # all of each text: of two long ones that begin alike, the beginnings would be twins
        vectors = self._model.encode(texts, max_length=None, use_multiprocessing=False)
        data = [
            {"index": place, "embedding": base64.b64encode(vector.astype("<f4").tobytes()).decode()}
            for place, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": 0, "total_tokens": 0}
        return orjson.dumps({"object": "list", "model": self._name, "data": data, "usage": usage})
