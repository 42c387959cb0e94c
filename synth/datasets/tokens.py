"""Tokens as data: what a teacher told of each token that it wrote, beside the dataset and joined to it by row ids.

    <run>/dataset/tokens/train.parquet    one file per split; `load_dataset("<run>/dataset", "tokens")` reads them

It is made from the stored replies alone. Tokens are kept as ids where the server gives them, as vLLM does with
`return_tokens_as_token_ids`, else as their bytes: a token may be a part of a character, which no text can hold. They
are all that the teacher wrote: where it thinks, and its server tells so, the tokens of its reasoning come first.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import orjson

from synth.datasets.export import NO_PYARROW
from synth.datasets.files import whole_file
from synth.datasets.tokenizers import tellers, tokenizer_notes
from synth.errors import Fatal, Rejected, Transient
from synth.patterns import lazy
from synth.protocol.replies import read
from synth.storage.store import Store
from synth.types import Outcome, Value

if TYPE_CHECKING:
    from synth.recipes.recipe import Recipe

FOLDER = "tokens"
ROWS_AT_ONCE = 500
TOKEN_ID = lazy(r"token_id:([0-9]+)")
"""How a token is written by servers that give its id in place of its text."""
MOST_ID = 2**31 - 1
"""That the file has room for."""


class TokensRecord(Value):
    """What is known of the tokens of a dataset's rows."""

    rows: int
    """Rows whose tokens are told."""
    without: int
    """Rows that nothing was told of."""
    tokens: int
    most: int
    """The most likely tokens that each token is told with, at most."""
    with_ids: int
    """Rows whose tokens are told by their ids."""
    tokenizers: dict[str, int] = {}
    """Rows by the model whose tokenizer they are of, as the server names it."""
    tokenizer_files: dict[str, list[str]] = {}
    """By teacher the files that hold its tokenizer, as `FILE sha256:HASH`; several where it has changed meanwhile.

    Teachers whose files could not be read are left out."""
    files: dict[str, str] = {}
    """The file of each split, relative to the dataset folder."""
    sha256: str = ""
    """Of the files, one after the other."""
    notice: str = ""


class Told(NamedTuple):
    """The tokens of one answer, each with the most likely ones in its place."""

    ids: list[int] | None
    """None where the server does not tell them."""
    texts: list[bytes | None]
    logprobs: list[float]
    top_ids: list[list[int]] | None
    top_texts: list[list[bytes]]
    """Empty where ids stand for them."""
    top_logprobs: list[list[float]]
    prompt_ids: list[int] | None
    model: str


def told(outcome: Outcome) -> Told | None:
    """What a reply tells of its tokens; None when that is nothing, or unusable.

    Shape: https://platform.openai.com/docs/api-reference/chat/object, `choices[].logprobs.content`.
    """
    try:
        document: Any = orjson.loads(outcome.body)
        entries: list[dict[str, Any]] = document["choices"][0]["logprobs"]["content"]
        tops: list[list[dict[str, Any]]] = [one.get("top_logprobs") or [] for one in entries]
        ids = [_id(one) for one in entries]
        top_ids = [[_id(one) for one in top] for top in tops]
        has_ids = None not in ids and not any(None in top for top in top_ids)
        return Told(
            ids=cast("list[int]", ids) if has_ids else _given_ids(document, len(entries)),
            texts=[_bytes(one) for one in entries],
            logprobs=[float(one["logprob"]) for one in entries],
            top_ids=cast("list[list[int]]", top_ids) if has_ids else None,
            top_texts=[] if has_ids else [[_bytes(one) or b"" for one in top] for top in tops],
            top_logprobs=[[float(one["logprob"]) for one in top] for top in tops],
            prompt_ids=_whole(document.get("prompt_token_ids")),
            model=str(document.get("model") or ""),
        )
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, ValueError, AttributeError):
        return None


def _id(entry: Mapping[str, Any]) -> int | None:
    found = TOKEN_ID.fullmatch(entry["token"])
    told: Any = int(found[1]) if found else entry.get("id")
    return told if type(told) is int and 0 <= told <= MOST_ID else None


def _given_ids(document: dict[str, Any], count: int) -> list[int] | None:
    """The ids that stand beside a choice, where there are as many as tokens."""
    ids = _whole(document["choices"][0].get("token_ids"))
    return ids if ids is not None and len(ids) == count else None


def _whole(ids: Any) -> list[int] | None:
    """What a server calls ids, where all of it can be."""
    if not isinstance(ids, list):
        return None
    listed = cast("list[Any]", ids)
    return listed if all(type(one) is int and 0 <= one <= MOST_ID for one in listed) else None


def _bytes(entry: Mapping[str, Any]) -> bytes | None:
    """The bytes of a token; of one that holds a part of a character its text tells only U+FFFD, and an id none."""
    if entry.get("bytes") is not None:
        return bytes(entry["bytes"])
    is_id = TOKEN_ID.fullmatch(entry["token"]) and _id(entry) is not None
    return None if is_id else str(entry["token"]).encode("utf-8", "surrogatepass")


def wanted(recipe: Recipe) -> bool:
    """Whether the rows' tokens are asked for."""
    return bool(tellers(recipe))


def write_tokens(recipe: Recipe, store: Store, run: Path) -> TokensRecord | None:
    """Write the tokens of the rows that `rows.jsonl` in a run's folder holds; None when nobody asked for them.

    Raises FolderError when the disk refuses.
    """
    folder = run / "dataset" / FOLDER
    if not wanted(recipe):
        shutil.rmtree(folder, ignore_errors=True)
        return None
    most = max(recipe.teachers[name].sampling.logprobs or 0 for name in recipe.row_writers())
    if find_spec("pyarrow") is None:
        return TokensRecord(rows=0, without=0, tokens=0, most=most, with_ids=0, notice=NO_PYARROW)
    gathered: dict[str, list[tuple[str, Told]]] = {}
    written: dict[str, _Sink] = {}
    count, models = Counter[str](), Counter[str]()
    with ExitStack() as files:

        def sink(split: str) -> _Sink:
            return written.get(split) or written.setdefault(split, _Sink(folder / f"{split}.parquet", files))

        for id_, split, found in _rows(run / "rows.jsonl", store):
            if found is None:
                count["without"] += 1
                continue
            count.update(rows=1, tokens=len(found.logprobs), with_ids=int(found.ids is not None))
            models[found.model] += 1
            group = gathered.setdefault(split, [])
            group.append((id_, found))
            if len(group) >= ROWS_AT_ONCE:
                sink(split).write(group)
                group.clear()
        for split, group in gathered.items():
            if group:
                sink(split).write(group)
    for left in folder.glob("*.parquet"):
        if left.stem not in written:
            left.unlink()
    content = hashlib.sha256()
    for split in written:
        content.update((folder / f"{split}.parquet").read_bytes())
    return TokensRecord(
        sha256=content.hexdigest(),
        rows=count["rows"],
        without=count["without"],
        tokens=count["tokens"],
        most=most,
        with_ids=count["with_ids"],
        tokenizers=dict(sorted(models.items())),
        tokenizer_files={name: notes for name in tellers(recipe) if (notes := tokenizer_notes(store, name))},
        files={split: f"{FOLDER}/{split}.parquet" for split in written},
    )


def _rows(path: Path, store: Store) -> Iterator[tuple[str, str, Told | None]]:
    """Each row's id and split, with what the reply that became its answer tells."""
    with path.open("rb") as file:
        for line in file:
            row: dict[str, Any] = orjson.loads(line)
            answer = row["messages"][-1]["content"]
            yield row["id"], row["split"], _told_of(answer, row["requests"], store)


def _told_of(answer: str, requests: list[str], store: Store) -> Told | None:
    """What the newest reply with this text tells: an earlier one with the same may be another teacher's."""
    for stored in (one for key in reversed(requests) for one in store.find(bytes.fromhex(key))):
        try:
            text = read(stored.outcome, None).text
        except (Transient, Rejected, Fatal):
            continue
        if text == answer:
            return told(stored.outcome)
    return None


class _Sink:
    """One split's file being written."""

    def __init__(self, path: Path, files: ExitStack) -> None:
        self._pyarrow: Any = import_module("pyarrow")
        parquet: Any = import_module("pyarrow.parquet")
        arrow = self._pyarrow
        ids, texts = arrow.list_(arrow.int32()), arrow.list_(arrow.binary())
        self._schema: Any = arrow.schema(
            [
                ("id", arrow.string()),
                ("model", arrow.string()),
                ("prompt_token_ids", ids),
                ("token_ids", ids),
                ("tokens", texts),
                ("logprobs", arrow.list_(arrow.float32())),
                ("top_ids", arrow.list_(ids)),
                ("top_tokens", arrow.list_(texts)),
                ("top_logprobs", arrow.list_(arrow.list_(arrow.float32()))),
            ]
        )
        file = files.enter_context(whole_file(path))
        self._writer: Any = parquet.ParquetWriter(file, self._schema, compression="zstd")
        files.callback(self._writer.close)

    def write(self, group: list[tuple[str, Told]]) -> None:
        columns = {
            "id": [id_ for id_, _ in group],
            "model": [one.model for _, one in group],
            "prompt_token_ids": [one.prompt_ids for _, one in group],
            "token_ids": [one.ids for _, one in group],
            "tokens": [one.texts for _, one in group],
            "logprobs": [one.logprobs for _, one in group],
            "top_ids": [one.top_ids for _, one in group],
            "top_tokens": [one.top_texts or None for _, one in group],
            "top_logprobs": [one.top_logprobs for _, one in group],
        }
        self._writer.write_table(self._pyarrow.table(columns, schema=self._schema))
