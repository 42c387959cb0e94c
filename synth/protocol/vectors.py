"""Vectors of texts: as embeddings endpoints send them, and ready to be compared.

Shape of the reply: https://platform.openai.com/docs/api-reference/embeddings/object
"""

from __future__ import annotations

import base64
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]


def decoded(data: Any) -> tuple[Vector, ...]:
    """The vectors of a reply's `data`, in the order of the texts: base64 of little-endian float32, or lists of numbers.

    Raises ValueError when one is missing, is no vector, or is not as long as the others.
    """
    by_index: dict[int, Vector] = {}
    for place, one in enumerate(cast("list[Any]", data) if isinstance(data, list) else []):
        entry = cast("dict[str, Any]", one) if isinstance(one, dict) else {}
        index = entry.get("index", place)  # some servers leave it out, and send them in order
        by_index[index if type(index) is int else -1] = _vector(entry.get("embedding"))
    if not by_index or sorted(by_index) != list(range(len(cast("list[Any]", data)))):
        raise ValueError("their indices do not count up from 0")
    if len({vector.size for vector in by_index.values()}) != 1:
        raise ValueError("they are not all as long as the first")
    return tuple(by_index[index] for index in range(len(by_index)))


def _vector(told: Any) -> Vector:
    if isinstance(told, str):
        vector = np.frombuffer(base64.b64decode(told, validate=True), "<f4")
    elif isinstance(told, list) and all(type(one) in (int, float) for one in cast("list[Any]", told)):
        vector = np.array(told, np.float32)
    else:
        raise ValueError("one is neither a list of numbers nor base64")
    if not vector.size or not np.isfinite(vector).all():
        raise ValueError("one is empty or not finite")
    return vector
