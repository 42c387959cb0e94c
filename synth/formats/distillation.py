"""What a teacher told of its tokens, as files that a student is trained on by distillation, without the teacher.

    distillation   a row's ids with labels, as trainers take them, and for each labelled token the likeliest ones in its
                   place with their log-probabilities, in the same order
    distillkit     the same in the packed columns that DistillKit reads (https://github.com/arcee-ai/DistillKit,
                   distillkit/compression), all rows of one length, with the settings that say how they are packed

Both are of the tokens that lie beside a run's rows, and take rows of which ids are told, those of the prompt included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from synth.datasets.files import whole_file, write_whole
from synth.datasets.tokens import FOLDER
from synth.errors import Problem, RecipeError, Rejected
from synth.formats.convert import Converted

READ = ("id", "model", "prompt_token_ids", "token_ids", "top_ids", "top_logprobs")
ROWS_AT_ONCE = 64
Row = dict[str, Any]
UNLABELLED = -100
ID_BYTES = 3
"""Of an id when it is packed: room for any vocabulary."""
NEVER = -10_000.0
"""The log-probability of what fills up; e to its power is nothing."""
SETTINGS = "distillkit.yaml"


class Told(NamedTuple):
    """A row's tokens, by ids."""

    id: str
    model: str
    prompt: list[int]
    ids: list[int]
    top_ids: list[list[int]]
    top_logprobs: list[list[float]]

    @property
    def labels(self) -> list[int]:
        """What is to be learnt at each place: nothing of the prompt."""
        return [UNLABELLED] * len(self.prompt) + self.ids


def convert_tokens(paths: Sequence[Path], out: Path, name: str) -> Converted:
    """Write the tokens of runs, of datasets of theirs or of files of tokens in a format, as Parquet.

    Raises RecipeError when there are none, or none can be written so; FolderError when the disk refuses.
    """
    if find_spec("pyarrow") is None:
        raise RecipeError("Tokens are read and written as Parquet; install it: pip install 'synth[parquet]'")
    targets = _targets(paths, out)
    converted = Converted()
    longest = most = 0
    for source in targets.values():
        for told in _rows(source, converted):
            longest, most = max(longest, len(told.labels)), max(most, *map(len, told.top_ids))
    if not longest:
        reasons = ", ".join(f"{reason} {trapped.rows:,}" for reason, trapped in converted.left_out.items())
        raise RecipeError(f"No row can be written as {name}, so nothing was: {reasons or 'no tokens are told'}.")
    form = FORMS[name](longest, most)
    with ExitStack() as files:
        for target, source in targets.items():
            converted.files[target] = _write(_rows(source, Converted()), form, target, files)
    if form.settings:
        write_whole(next(iter(targets)).parent / SETTINGS, form.settings.encode())
    return converted


def _targets(paths: Sequence[Path], out: Path) -> dict[Path, Path]:
    """Which file is made of which. Raises RecipeError where that cannot be told."""
    sources = [one for path in paths for one in _sources(path)]
    if out.suffix and not out.is_dir():
        if out.suffix != ".parquet":
            raise RecipeError(f"{out} should end in .parquet, or be a folder.")
        if len(sources) > 1:
            raise RecipeError(f"There are {len(sources)} files of tokens; let --out be a folder for one of each.")
        targets = {out: sources[0]}
    else:
        targets = {out / one.name: one for one in sources}
        if len(targets) < len(sources):
            raise RecipeError("Several files of tokens have the same name; convert them one by one.")
    same = next((target for target, source in targets.items() if target.resolve() == source.resolve()), None)
    if same is not None:
        raise RecipeError(f"{same} would be written over; choose another --out.")
    return targets


def _sources(path: Path) -> list[Path]:
    """The files of tokens of a run, of a dataset, or of a folder of them; a file is its own."""
    inner = path / "dataset" if (path / "run.db").exists() else path
    inner = inner / FOLDER if (inner / FOLDER).is_dir() else inner
    found = sorted(inner.glob("*.parquet")) if inner.is_dir() else [inner] if inner.is_file() else []
    if not found or (inner.name != FOLDER and inner != path):
        raise RecipeError(
            f"There are no tokens in {path}: a run keeps them with `sampling: {{logprobs: 20}}`, and of vLLM with "
            "`extra: {return_tokens_as_token_ids: true, return_token_ids: true}` in it."
        )
    return found


def _rows(path: Path, converted: Converted) -> Iterator[Told]:
    """The rows of a file of which all is told; the others are counted. Raises RecipeError when it is none of tokens."""
    number = 0
    try:
        with import_module("pyarrow.parquet").ParquetFile(path) as file:
            if missing := {*READ} - {*file.schema_arrow.names}:
                raise RecipeError(
                    Problem(f"it holds no tokens of a run: there is no column {min(missing)!r}", str(path))
                )
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=[*READ]):
                for row in cast("list[Row]", batch.to_pylist()):
                    number += 1
                    try:
                        yield _told(row)
                    except Rejected as refused:
                        converted.leave_out(f"{path}:{number}", refused.reason, refused.detail)
    except (ValueError, OSError) as error:
        raise RecipeError(Problem(f"it is no Parquet file that can be read ({error})", str(path))) from None


def _told(row: Row) -> Told:
    """Raises Rejected when something is missing that a student has to have."""
    told = [row[name] for name in READ]
    if not row["token_ids"]:
        raise Rejected("no_token_ids")
    if not row["prompt_token_ids"]:
        raise Rejected("no_prompt_ids")
    tops = cast("list[list[int]] | None", row["top_ids"])
    if not tops or not all(tops):
        raise Rejected("no_top_ids")
    return Told(*told)


class Form(NamedTuple):
    """How rows are written."""

    make: Callable[[Told], Row]
    schema: Callable[[Any], list[tuple[str, Any]]]
    """The columns, by the module pyarrow."""
    settings: str = ""
    """What is to be told to the trainer."""


def _write(rows: Iterator[Told], form: Form, target: Path, files: ExitStack) -> int:
    arrow: Any = import_module("pyarrow")
    schema: Any = arrow.schema(form.schema(arrow))
    writer: Any = import_module("pyarrow.parquet").ParquetWriter(
        files.enter_context(whole_file(target)), schema, compression="zstd"
    )
    files.callback(writer.close)
    count, group = 0, list[Row]()
    for told in rows:
        group.append(form.make(told))
        count += 1
        if len(group) == ROWS_AT_ONCE:
            writer.write_table(arrow.Table.from_pylist(group, schema=schema))
            group.clear()
    writer.write_table(arrow.Table.from_pylist(group, schema=schema))
    return count


def _plain(_longest: int, _most: int) -> Form:
    def made(told: Told) -> Row:
        ids = [*told.prompt, *told.ids]
        return {"id": told.id, "model": told.model, "input_ids": ids, "labels": told.labels,
                "top_ids": told.top_ids, "top_logprobs": told.top_logprobs}  # fmt: skip

    def schema(arrow: Any) -> list[tuple[str, Any]]:
        ids, values = arrow.list_(arrow.int32()), arrow.list_(arrow.float32())
        return [("id", arrow.string()), ("model", arrow.string()), ("input_ids", ids), ("labels", ids),
                ("top_ids", arrow.list_(ids)), ("top_logprobs", arrow.list_(values))]  # fmt: skip

    return Form(made, schema)


def _distillkit(longest: int, most: int) -> Form:
    def made(told: Told) -> Row:
        ids, labels = [*told.prompt, *told.ids], told.labels
        room, first = longest - len(ids), len(told.prompt) - 1  # what a place foretells is the token after it
        places = np.zeros((longest, most), np.int64)
        values = np.full((longest, most), NEVER, "<f4")
        for number, (tops, logprobs) in enumerate(zip(told.top_ids, told.top_logprobs, strict=True)):
            order = np.argsort(-np.asarray(logprobs), kind="stable")
            places[first + number, : len(tops)] = np.asarray(tops)[order]
            values[first + number, : len(tops)] = np.asarray(logprobs, "<f4")[order]
        big_endian = places.astype(">u4").view(np.uint8).reshape(longest, most, 4)[:, :, 4 - ID_BYTES :]
        return {
            "input_ids": ids + [0] * room,
            "attention_mask": [1] * len(ids) + [0] * room,
            "labels": labels + [UNLABELLED] * room,
            "compressed_logprobs": values.view(np.uint8).tolist(),
            "bytepacked_indices": big_endian.reshape(longest, -1).tolist(),
        }

    def schema(arrow: Any) -> list[tuple[str, Any]]:
        ids, packed = arrow.list_(arrow.int64()), arrow.list_(arrow.list_(arrow.uint8()))
        return [("input_ids", ids), ("attention_mask", ids), ("labels", ids),
                ("compressed_logprobs", packed), ("bytepacked_indices", packed)]  # fmt: skip

    settings = (
        "# for the configuration of DistillKit, beside its model and its losses\n"
        f"sequence_length: {longest}\n"
        "dataset:\n  prepacked: true\n"
        "teacher:\n  kind: dataset\n  logprob_compressor:\n"
        f"    d: {2 ** (8 * ID_BYTES)}\n    k: {most}\n    exact_k: {most}\n    exact_dtype: float32\n"
        "    polynomial_terms: null\n    residual_bins: []\n    delta_encoding: false\n    error_diffusion: false\n"
    )
    return Form(made, schema, settings)


FORMS: dict[str, Callable[[int, int], Form]] = {"distillation": _plain, "distillkit": _distillkit}
"""By the name of the format: how rows are written whose longest and whose most likely tokens are so many."""
