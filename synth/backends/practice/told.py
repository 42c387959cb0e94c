"""What the practice teacher tells of the tokens it wrote: a letter each, and of Japanese sometimes a part of one."""

from __future__ import annotations

import hashlib
import math
from typing import Any

NEAR = "aeiou あいうえお。"
"""Letters that might have stood in a token's place."""


def logprobs_of(text: str, most: int) -> dict[str, Any]:
    """The `logprobs` of a choice with this text, each token with the `most` likeliest in its place.

    Shape: https://platform.openai.com/docs/api-reference/chat/object
    """
    content: list[dict[str, Any]] = []
    for place, piece in enumerate(_pieces(text)):
        digest = hashlib.sha256(b"%d %b" % (place, piece)).digest()
        share = 0.5 + digest[0] / 512
        others = [letter.encode() for letter in NEAR if letter.encode() != piece][: max(0, most - 1)]
        rest = [(other, (1 - share) / 2 ** (rank + 1)) for rank, other in enumerate(others)]
        told = [_token(one, chance) for one, chance in ((piece, share), *rest)]
        content.append({**told[0], "top_logprobs": told[:most]})
    return {"content": content, "refusal": None}


def _pieces(text: str) -> list[bytes]:
    """The tokens as bytes: every third kanji is cut in two, as byte-level tokenisers cut rare ones."""
    pieces: list[bytes] = []
    for letter in text:
        raw = letter.encode("utf-8", "surrogatepass")
        pieces += [raw[:2], raw[2:]] if len(raw) == 3 and ord(letter) > 0x4E00 and ord(letter) % 3 == 0 else [raw]
    return pieces


def _token(piece: bytes, share: float) -> dict[str, Any]:
    return {"token": piece.decode("utf-8", "replace"), "logprob": math.log(share), "bytes": [*piece]}
