"""Finished runs made one dataset: what a later run repeats of an earlier one goes, the first run wins.

Rows keep what they are; only their ids get the name of their run in front. What a run had let through by itself stays
together: its draws of one prompt are no twins here. The record unites those of the runs.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import orjson

from synth.datasets.card import write_card
from synth.datasets.export import load_parquet, write_dataset, write_rejected
from synth.dedupe import TWIN_REASONS, Dedupe, Twins
from synth.dedupe.decontaminate import Benchmarks
from synth.errors import FolderError, RecipeError
from synth.files.parts import text_by
from synth.language.diversity import MOST_CHARACTERS, MOST_ROWS
from synth.language.text import several
from synth.merging.record import Came, How, Part, united
from synth.results.manifest import Manifest, read_manifest, write_manifest
from synth.results.split import deal
from synth.rights.licences import Source, conflicts, known, told
from synth.shapes import sample_of
from synth.types import Fields, Rejection, Sample

AT_ONCE = 1000
ROWS = "rows.jsonl"
STAGE = "merge"


def merge(folders: Sequence[Path], out: Path, how: How) -> Manifest:
    """Write the dataset of several finished runs, with its record and card, into the folder `out`.

    Raises RecipeError where their licences do not go together, FolderError for what is no finished run.
    """
    parts = _parts(folders, out)
    licence = _licence(parts, how)
    benchmarks = how.benchmarks
    load_parquet()
    came = Came()
    splits = None if how.split is None else deal(_seeds(parts, how, Came()), how.split)
    only = "train" if how.split is None else next(iter(how.split.fractions))

    def rows() -> Iterator[tuple[str, bytes]]:
        for row, split, sample in _kept(parts, how, came):
            _count(came, row, sample)
            where = split if splits is None else splits.splits.get(str(row["seed_id"]), only)
            yield where, orjson.dumps(row)

    written = write_dataset(rows(), out, tools=any(_has_tools(part.folder) for part in parts))
    write_rejected(came.rejections, out / "rejected.jsonl", {})
    found = () if benchmarks is None else benchmarks.record(came.hits)
    notice = ("", "") if splits is None else (splits.notice, splits.notice_ja)
    manifest = united(parts, how, licence, came, written, found, notice)
    write_manifest(out / "manifest.json", manifest)
    write_card(out, manifest, written, came.example)
    return manifest


def _parts(folders: Sequence[Path], out: Path) -> list[Part]:
    names = [folder.resolve().name for folder in folders]
    parts: list[Part] = []
    for folder, label in zip(folders, _labels(names), strict=True):
        if folder.resolve() == out.resolve():
            raise FolderError(f"{out} is one of the runs to be merged; choose another folder with --out.")
        manifest = read_manifest(folder / "manifest.json")
        if not (folder / ROWS).is_file():
            raise FolderError(f"There is no {ROWS} in {folder}; run or export the recipe first.")
        digest = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
        parts.append(Part(label, folder, manifest, digest))
    if (out / "run.db").exists():
        raise FolderError(f"{out} holds a run, which a merged dataset would take the place of; choose another folder.")
    return parts


def _labels(names: Sequence[str]) -> list[str]:
    """The names, each with a number behind it that a name before it has already; none is given twice."""
    labels: list[str] = []
    for name in names:
        others = (f"{name}-{number}" for number in itertools.count(2))
        free = (one for one in others if one not in names and one not in labels)
        labels.append(next(free) if name in labels else name)
    return labels


def _licence(parts: Sequence[Part], how: How) -> str | None:
    """The licence of the whole. Raises RecipeError where the runs' own do not let it stand."""
    own = dict.fromkeys(part.manifest.recipe.license for part in parts)
    if how.license is None and len(own) > 1:
        told_of = ", ".join(f"{part.label} {part.manifest.recipe.license or 'none'}" for part in parts)
        raise RecipeError(f"The runs have different licences ({told_of}); choose one for the whole with --license.")
    chosen = how.license or next(iter(own))
    sources: list[Source] = []
    for part in parts:
        licence = part.manifest.recipe.license
        asks = None if licence is None else known(licence)
        if licence is not None and asks is not None:
            sources.append(Source(f"the run {part.label} ({licence})", licence, tuple(asks.asks), told(asks)))
    if chosen is not None and (found := list(conflicts(chosen, sources))):
        raise RecipeError("\n".join(found))
    return chosen


def _read(part: Part) -> Iterator[tuple[Fields, str, Sample]]:
    """The rows of a run with their splits, under ids that begin with the run's name."""
    path, count = part.folder / ROWS, 0
    with path.open("rb") as file:
        for count, line in enumerate(file, 1):
            try:
                row: dict[str, Any] = orjson.loads(line)
                split = str(row.pop("split"))
                row["id"], row["seed_id"] = f"{part.label}/{row['id']}", f"{part.label}/{row['seed_id']}"
                sample = sample_of(row, row["id"])
            except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
                sample, split, row = None, "", {}
            if sample is None:
                raise FolderError(f"{path}:{count}: not a row that synth wrote; export the recipe again.")
            yield row, split, replace(sample, model=str(row.get("teacher", "")))
    if count != part.manifest.row_count:
        raise FolderError(
            f"{path} has {several(count, 'row')}, and its record {part.manifest.row_count:,}; export it again."
        )


def _kept(parts: Sequence[Part], how: How, came: Came) -> Iterator[tuple[Fields, str, Sample]]:
    """The rows that stay, in order; what goes is noted with its reason."""
    twins, owner = Twins(Dedupe(by=how.by, near=how.near)), ""
    for part in parts:
        came.removed[part.label] = Counter()
        every, owner = _read(part), f"{part.label}/"
        while batch := [one for _, one in zip(range(AT_ONCE), every, strict=False)]:
            texts = [text_by(sample, how.by) for _, _, sample in batch]
            matches = twins.add_batch([sample.id for _, _, sample in batch], texts)
            for (row, split, sample), match in zip(batch, matches, strict=True):
                refused = _contaminated(sample, how.benchmarks, came)
                if refused is None and match is not None and not match.twin_id.startswith(owner):
                    reason = TWIN_REASONS[match.kind]
                    refused = _refused(sample, reason, f"of {match.twin_id}", match.twin_id, match.similarity)
                if refused is not None:
                    came.removed[part.label][refused.reason] += 1
                    came.rejections.append(refused)
                    continue
                came.kept[part.label] += 1
                yield row, split, sample


def _contaminated(sample: Sample, benchmarks: Benchmarks | None, came: Came) -> Rejection | None:
    hit = None if benchmarks is None else benchmarks.find(text_by(sample, "messages"))
    if hit is None:
        return None
    came.hits[hit.item.benchmark] += 1
    return _refused(sample, "contaminated", str(hit))


def _refused(
    sample: Sample, reason: str, detail: str, twin: str | None = None, similarity: float | None = None
) -> Rejection:
    seed_id = str(sample.fields["seed_id"])
    return Rejection(
        id=sample.id,
        seed_id=seed_id,
        stage=STAGE,
        reason=reason,
        detail=detail,
        sample=sample,
        twin_id=twin,
        similarity=similarity,
    )


def _seeds(parts: Sequence[Part], how: How, came: Came) -> Iterator[tuple[str, str]]:
    return ((str(row["seed_id"]), sample.question() or sample.answer()) for row, _, sample in _kept(parts, how, came))


def _count(came: Came, row: Fields, sample: Sample) -> None:
    made = came.kept.total()
    for score in cast("list[dict[str, Any]]", row.get("scores") or []):
        came.scores[score["name"], float(f"{score['value']:.3g}")] += 1
    came.models[str(row.get("teacher", ""))] += 1
    if not came.example:
        came.example.append(sample)
    if len(came.texts) < MOST_ROWS or made % MOST_ROWS == 0:
        came.texts.append((sample.question()[:MOST_CHARACTERS], sample.answer()[:MOST_CHARACTERS]))


def _has_tools(folder: Path) -> bool:
    with (folder / ROWS).open("rb") as file:
        first = file.readline()
    return b'"tools":' in first
