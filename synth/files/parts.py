"""The parts of a run on their own: dedupe, validate, decontaminate, score and split for files that exist already.

Rows are read in pieces, so memory does not grow with a file, but for what an index keeps of each row. What is kept is
written as it stood in its file; what is removed goes into `removed.jsonl` with its reason.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from synth.admission.halt import Halt
from synth.apart import Apart
from synth.boundary import Boundary
from synth.datasets.files import whole_file
from synth.datasets.rows import line
from synth.datasets.tables import Piece, Write, ending, pieces, writer
from synth.dedupe import TWIN_REASONS, Dedupe, SemanticSummary, Twins, text_of
from synth.dedupe.decontaminate import BenchmarkRecord, Benchmarks, NeighboursRecord
from synth.errors import Problem, RecipeError, Rejected
from synth.language.near import hint
from synth.own import OwnValidator
from synth.recipes.named import KNOWN, prefill
from synth.results.split import Split, deal
from synth.shapes import PARTS, SHAPES, sample_of
from synth.types import Fields, Sample
from synth.validators import Validator

Scores = dict[str, Counter[float]]
"""How many rows have which value, to three digits, by score."""

REMOVED = "removed.jsonl"


class Removal(NamedTuple):
    """Why a row is removed."""

    reason: str
    detail: str = ""
    pair: Mapping[str, Any] = {}
    """What it was compared with, for people to look at."""


Verdict = Removal | str
"""Why a row is removed; or the split it goes to, empty when there are none."""
Judge = Callable[[Sequence[Sample]], Iterable[Verdict]]


class Bought(NamedTuple):
    """What a command that asks has paid for, this time."""

    vectors: int
    requests: int
    cost_microusd: int


@dataclass(slots=True)
class Report:
    """What was read, kept and removed."""

    rows: Counter[str] = field(default_factory=Counter[str])
    """By file."""
    removed: Counter[str] = field(default_factory=Counter[str])
    """By reason."""
    kept: Counter[str] = field(default_factory=Counter[str])
    """By split; under an empty name when there are none."""
    scores: Scores = field(default_factory=dict[str, Counter[float]])
    benchmarks: tuple[BenchmarkRecord, ...] = ()
    semantic: SemanticSummary | None = None
    """What was compared by meaning."""
    neighbours: NeighboursRecord | None = None
    """What was compared with the benchmarks' items by meaning."""
    bought: Bought | None = None
    """What was asked for."""
    notice: str = ""
    """One sentence when something came out otherwise than expected."""


def sift(
    files: Sequence[Path], out: Path | None, judge: Judge, by: str = "messages", splits: Sequence[str] = ("",)
) -> Report:
    """Put every row of the files before a judge, and write what is kept and what is not into the folder `out`.

    `by` is what the judge looks at: `question`, `answer` or `messages` of a row in a known shape, or a column's name.
    `splits` are the names it gives to what it keeps.
    Raises RecipeError when a file cannot be read, or a row has no known shape; FolderError when the disk refuses.
    """
    report = Report()
    with ExitStack() as stack:
        place = None if out is None else _Place(files, out, stack)
        for path in files:
            writes = {split: place.kept(path, split) for split in splits} if place else {}
            for piece, samples in samples_of(path, by):
                verdicts = list(judge(samples))
                report.rows[str(path)] += len(samples)
                report.removed.update(verdict.reason for verdict in verdicts if isinstance(verdict, Removal))
                report.kept.update(verdict for verdict in verdicts if isinstance(verdict, str))
                for split, write in writes.items():
                    write(piece, [verdict == split for verdict in verdicts])
                for number, row, verdict in zip(piece.numbers, piece.rows, verdicts, strict=True):
                    if place is not None and isinstance(verdict, Removal):
                        place.remove(path, number, row, verdict)
    return report


def samples_of(path: Path, by: str) -> Iterator[tuple[Piece, list[Sample]]]:
    """The rows of a file in pieces, each row as a sample too. Raises RecipeError as `sift` does."""
    for piece in pieces(path):
        named = zip(piece.numbers, piece.rows, strict=True)
        yield piece, [_sample(row, path, number, by) for number, row in named]


def text_by(sample: Sample, by: str) -> str:
    """The part of a row that is compared."""
    if by in PARTS and sample.messages:
        return text_of(by)(sample)
    value = sample.fields.get(by)
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()


def deduping(dedupe: Dedupe, known: Iterable[str] = ()) -> Judge:
    """Removes twins of earlier rows (`duplicate`, `near_duplicate`), and of what is known by these names (`not_novel`).

    Raises RecipeError when what is known cannot be read.
    """
    twins = Twins(dedupe)
    prefill(twins, known, Path(), dedupe.by)

    def judge(samples: Sequence[Sample]) -> Iterator[Verdict]:
        compared = {sample.id: text for sample in samples if (text := text_by(sample, dedupe.by)).strip()}
        matches = dict(zip(compared, twins.add_batch(list(compared), list(compared.values())), strict=True))
        for sample in samples:
            match = matches.get(sample.id)
            if match is None:
                yield ""
            else:
                twin = match.twin_id.removeprefix(KNOWN)
                reason = "not_novel" if twin != match.twin_id else TWIN_REASONS[match.kind]
                yield Removal(reason, f"of {twin}", {"twin": twin, "similarity": match.similarity})

    return judge


@contextmanager
def validating(validators: Sequence[Validator], folder: Path = Path()) -> Generator[Judge]:
    """Removes what a validator refuses, with its reason; those in files of the folder are called in a process apart.

    The judge raises Fatal when some of these keep failing.
    """
    halt = Halt()
    apart = Apart([one for one in validators if isinstance(one, OwnValidator)], folder, Boundary(halt), halt)

    async def verdict(sample: Sample) -> Verdict:
        try:
            for view, validator in itertools.product(sample.by_answer(), validators):
                if isinstance(validator, OwnValidator):
                    await apart.check(validator, view)
                else:
                    validator.check(view)
        except Rejected as error:
            halt.check()
            return Removal(error.reason, error.detail)
        return ""

    async def verdicts(samples: Sequence[Sample]) -> list[Verdict]:
        return [await verdict(sample) for sample in samples]

    with asyncio.Runner() as runner:
        try:
            yield lambda samples: runner.run(verdicts(samples))
        finally:
            runner.run(apart.end())


def splitting(files: Sequence[Path], split: Split, by: str) -> tuple[Judge, str]:
    """Sends each row to its split, twins together, after reading all of the files once; and a sentence when a split
    comes out empty. Rows with the same `seed_id` go together too, if they have that column.

    Raises RecipeError as `sift` does.
    """
    every = (sample for path in files for _, samples in samples_of(path, by) for sample in samples)
    dealt = deal(((_origin(sample, by), text_by(sample, by)) for sample in every), split)
    only = next(iter(split.fractions))

    def judge(samples: Sequence[Sample]) -> Iterator[Verdict]:
        return (dealt.splits.get(_origin(sample, by), only) for sample in samples)

    return judge, dealt.notice


def _origin(sample: Sample, by: str) -> str:
    """What a row comes from: its seed, or what it says, so that it goes the same way from whatever file."""
    seed_id = sample.fields.get("seed_id")
    if isinstance(seed_id, str):
        return seed_id
    return blake2b(text_by(sample, by).encode("utf-8", "replace"), digest_size=12).hexdigest()


def decontaminating(benchmarks: Benchmarks, by: str, hits: Counter[str]) -> Judge:
    """Removes what holds an item of a benchmark (`contaminated`), and counts it by benchmark."""

    def judge(samples: Sequence[Sample]) -> Iterator[Verdict]:
        for sample in samples:
            hit = benchmarks.find(text_by(sample, by))
            if hit is None:
                yield ""
            else:
                hits[hit.item.benchmark] += 1
                yield Removal("contaminated", str(hit), hit.pair())

    return judge


def _sample(row: Fields, path: Path, number: int, by: str) -> Sample:
    name = f"{path}:{number}"
    sample = sample_of(row, name)
    if sample is not None and (by in PARTS or by in row):
        return sample
    if by in row:
        return Sample(id=name, seed_id=name, parent_id=name, stage="", draw=0, messages=(), fields=row)
    columns = ", ".join(row) or "none"
    if by not in PARTS:
        near = hint(by, (*PARTS, *row))
        raise RecipeError(Problem(f"there is no column {by!r}; its columns are {columns}{near}", str(path), number))
    message = (
        f"its columns are {columns}; one of these shapes is expected: {SHAPES} (commands with --by take a column too)"
    )
    raise RecipeError(Problem(message, str(path), number))


class _Place:
    """The folder that is written to, each file under its own name, in its split's folder when there are splits."""

    def __init__(self, files: Sequence[Path], out: Path, stack: ExitStack) -> None:
        for name, count in Counter(path.name for path in files).items():
            if count > 1:
                raise RecipeError(
                    f"{count} of the files are called {name}, and would take each other's place in {out}."
                )
        for path in files:
            ending(path)
            if path.resolve() == (out / path.name).resolve():
                raise RecipeError(f"{path} would be written over; choose another folder with --out.")
        self._out = out
        self._stack = stack
        self._removed = stack.enter_context(whole_file(out / REMOVED))

    def kept(self, path: Path, split: str) -> Write:
        """What writes rows of a file."""
        file = self._stack.enter_context(whole_file(self._out / split / path.name))
        return writer(path, file, self._stack)

    def remove(self, path: Path, number: int, row: Fields, removal: Removal) -> None:
        """Write down a row that was removed."""
        told: Fields = {"file": str(path), "row": number, **removal._asdict(), "columns": row}
        self._removed.write(line(told, other=str) + b"\n")
