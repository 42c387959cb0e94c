"""Files of rows, or a run's, written in a trainer's shape; what a shape cannot hold is left out and counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple, cast

import orjson

from synth.datasets.files import write_whole
from synth.datasets.tables import LINES, pieces
from synth.errors import Problem, RecipeError, Rejected
from synth.formats import FORMATS, Format, makers
from synth.formats.conversation import Conversation, conversation_of
from synth.formats.pairs import TOLD, both, in_words, rows_of, splits_of, unknown_score
from synth.formats.shape import Shape
from synth.formats.writing import Gathered, write
from synth.lint import Trapped, files_of
from synth.lint.table import TRAPS
from synth.lint.traps import ANSWERS, TRAINERS_OWN, traps_of
from synth.recipes.views import Rule
from synth.shapes import Style
from synth.types import Fields

ID = "id"
"""The column that is kept where there is one, so that a row can be traced."""
DATASET = "dataset"
"""What a run calls the folder of its dataset."""
REGISTRY, REGISTERED = "dataset_info.json", ("llama-factory", "llama-factory-preference")
"""Where LLaMA-Factory looks for its files, and the formats that are written for it."""
RESERVED = {"messages", "prompt", "completion", "chosen", "rejected", "text", "tools", "label", "conversations",
            "instruction", "input", "output", *TRAINERS_OWN, *ANSWERS}  # fmt: skip
UNASKED = {"no_answer", "empty_completion"}
"""What does not matter where the student answers."""
UNREAD = {"two_formats", "reasoning_column"}
"""What a row holds beside its conversation, and what is written lacks."""

Render = Callable[[Fields], str]
"""A row of messages as one text. Raises Rejected."""
Rows = Iterable[tuple[str, Fields]]
"""Rows, each with its place."""


class Wanted(NamedTuple):
    """How rows are to be written."""

    format: str
    style: Style | None = None
    """Where reasoning goes; None for where the format has it."""
    keep: Sequence[str] = ()
    """Further columns."""
    seed: int | None = None
    """Shuffles the rows; None keeps their order."""
    shards: int = 1
    parquet: bool = False
    """Whether files that `out` does not name are Parquet."""
    render: Render | None = None
    """Needed for `text`."""
    rule: Rule | None = None
    """How a run's draws become pairs or labelled answers; None where the files hold them already."""


@dataclass(slots=True)
class Converted:
    """What was written, what was left out, and what else is known of the rows."""

    files: dict[Path, int] = field(default_factory=dict[Path, int])
    """Rows by file."""
    left_out: dict[str, Trapped] = field(default_factory=dict[str, Trapped])
    """By reason."""
    warnings: dict[str, Trapped] = field(default_factory=dict[str, Trapped])
    """What `synth lint` warns of in the rows that were written, and of what in them is not a part of that."""
    thoughtless: int = 0
    """Rows whose reasoning was dropped."""

    def rows(self) -> int:
        """Rows written."""
        return sum(self.files.values())

    def leave_out(self, place: str, reason: str, detail: str) -> None:
        """Count a row that is not written."""
        self.left_out.setdefault(reason, Trapped()).note(place, detail)

    def warn(self, name: str, place: str, detail: str = "") -> None:
        """Count a row of which there is something to say."""
        self.warnings.setdefault(name, Trapped()).note(place, detail)


def convert(paths: Sequence[Path], out: Path, wanted: Wanted) -> Converted:
    """Write the rows of files, of folders of them, or of runs in a format, into the file `out` or the folder `out`.

    Raises RecipeError when a file cannot be read, or nothing in it can be written so; FolderError when the disk
    refuses.
    """
    form = FORMATS[wanted.format]
    _check_columns(form, wanted)
    targets = _targets(paths, out, form, wanted) if wanted.rule is None else _splits(paths, out, wanted)
    if wanted.format in REGISTERED:
        _check_register(targets)  # one that cannot be added to is found before anything is made
    converted = Converted()
    with ExitStack() as spools:
        gathered = {target: gather(rows, form, wanted, converted, spools) for target, rows in targets.items()}
        if not any(len(rows) for rows in gathered.values()):
            raise RecipeError(_nothing(converted, wanted, paths))
        with ExitStack() as files:
            for target, rows in gathered.items():
                converted.files |= write(rows, target, files, seed=wanted.seed, shards=wanted.shards)
        if wanted.format in REGISTERED:
            _register(gathered, form)
    return converted


def gather(
    rows: Rows,
    form: Format,
    wanted: Wanted,
    converted: Converted,
    stack: ExitStack,
    shape: Shape | None = None,
    see: Callable[[Fields, str], None] | None = None,
) -> Gathered:
    """The rows in a format, and what is to be kept beside; what does not fit is counted, and `see` is shown the others.

    Files that are read as one have the same `shape`.
    """
    gathered = Gathered(stack.enter_context(TemporaryFile()), shape)  # noqa: SIM115 (the stack closes it)
    for place, row in rows:
        try:
            made = made_of(row, form, wanted, converted, place)
        except Rejected as refused:
            converted.leave_out(place, refused.reason, refused.detail)
            continue
        if see is not None:
            see(made, place)
        gathered.add(made | _kept(row, form, wanted, place))
    return gathered


def _rows(sources: Sequence[Path]) -> Rows:
    for path in sources:
        for piece in pieces(path):
            for row, number in zip(piece.rows, piece.numbers, strict=True):
                yield f"{path}:{number}", row


def made_of(row: Fields, form: Format, wanted: Wanted, converted: Converted, place: str) -> Fields:
    """A row in a format. Raises Rejected when it has no place for it, or the row would spoil a training."""
    told = [conversation_of(one) for one in (both(row) if form.is_pair else [row])]
    style = wanted.style or form.styles[0]
    styled = [one.styled(style) for one in told]
    found = {name for one in styled for name in traps_of(makers.messages(one))}
    found = (found - (set() if form.is_answered else UNASKED)) | (traps_of(row) & UNREAD)
    if form.is_pair and styled[0] == styled[1]:
        found.add("chosen_equals_rejected")
    errors = sorted(name for name in found if TRAPS[name].severity == "error")
    if errors:
        raise Rejected(errors[0])
    made: Fields = form.make(*styled) if form.make else {"text": _rendered(styled[0], wanted)}
    for name in sorted(found):
        converted.warn(name, place)
    converted.thoughtless += style == "drop" and any(turn.reasoning for one in told for turn in one.turns)
    return made | ({"label": _label(row)} if form.is_labelled else {})


def _label(row: Fields) -> bool:
    label = row.get("label")
    if not isinstance(label, bool):
        raise Rejected("no_label", f"{label!r:.40}")
    return label


def _rendered(told: Conversation, wanted: Wanted) -> str:
    if wanted.render is None:
        raise RecipeError("The format text is written with a chat template; name the student's --tokenizer.")
    return wanted.render(makers.openai(told))


def _kept(row: Fields, form: Format, wanted: Wanted, place: str) -> Fields:
    if form.is_strict:
        return {}
    absent = [name for name in wanted.keep if name not in row]
    if absent:
        raise RecipeError(Problem(f"there is no column {absent[0]!r}; its columns are {', '.join(row)}", place))
    for name in wanted.keep:
        try:
            orjson.dumps(row[name])
        except TypeError:
            kind = type(row[name]).__name__
            raise RecipeError(Problem(f"the column {name!r} holds {kind}, for which JSON has no word", place)) from None
    told = () if wanted.rule is None else TOLD
    own = {ID: row[ID]} if isinstance(row.get(ID), str) else {}
    return own | {name: row[name] for name in (*wanted.keep, *told) if name in row}


def _targets(paths: Sequence[Path], out: Path, form: Format, wanted: Wanted) -> dict[Path, Rows]:
    """What goes into which file. Raises RecipeError where that cannot be told."""
    is_file = bool(out.suffix) and not out.is_dir()
    sources = [(path, one) for path in paths for one in files_of([_rows_of_run(path)])]
    if not is_file:
        suffix = ".parquet" if wanted.parquet else ".jsonl"
        targets: dict[Path, list[Path]] = {}
        for path, source in sources:
            stem = source.name.split(".")[0]
            stem = _dataset_name(path, stem, form) if path.is_dir() and wanted.format in REGISTERED else stem
            targets.setdefault(out / f"{stem}{suffix}", []).append(source)
        double = next((target for target, of in targets.items() if len(of) > 1), None)
        if double is not None:
            raise RecipeError(f"{len(targets[double])} of the files would become {double}; convert them one by one.")
    else:
        if out.suffix not in (*LINES, ".parquet"):
            raise RecipeError(f"{out} should end in .jsonl or .parquet, or be a folder.")
        names = [one.name for path, one in sources if path.is_dir()]
        if len(names) > 1:
            raise RecipeError(
                f"There are several files in {paths[0]} ({', '.join(names[:4])}), and one file would mix them: name a "
                f"folder with --out, or one of the files in place of the folder."
            )
        targets = {out: [source for _, source in sources]}
    for target, of in targets.items():
        if form.is_lines and target.suffix == ".parquet":
            raise RecipeError(f"The format {wanted.format} is written as lines of JSON; let --out end in .jsonl.")
        if any(target.resolve() == source.resolve() for source in of):
            raise RecipeError(f"{target} would be written over; choose another --out.")
    return {target: _rows(of) for target, of in targets.items()}


def _splits(paths: Sequence[Path], out: Path, wanted: Wanted) -> dict[Path, Rows]:
    """What a run's draws become in each of its splits. Raises RecipeError where that cannot be told."""
    if len(paths) != 1:
        raise RecipeError("Draws belong together in one run; name its folder alone.")
    run, splits = paths[0], splits_of(paths[0])
    if out.suffix and not out.is_dir():
        if out.suffix not in (*LINES, ".parquet"):
            raise RecipeError(f"{out} should end in .jsonl or .parquet, or be a folder.")
        if len(splits) > 1:
            raise RecipeError(f"{run} has the splits {', '.join(splits)}; let --out be a folder for one of each.")
        return {out: rows_of(run, "", wanted.rule)}
    suffix, form = ".parquet" if wanted.parquet else ".jsonl", FORMATS[wanted.format]
    names = {split: _dataset_name(run, split, form) if wanted.format in REGISTERED else split for split in splits}
    return {out / f"{names[split]}{suffix}": rows_of(run, split, wanted.rule) for split in splits}


def _dataset_name(folder: Path, split: str, form: Format) -> str:
    """What a split of a run, or a file of a folder, is called beside those of others, as LLaMA-Factory has them in one
    list: `mine-train`, and `mine-train-preference` where it is pairs."""
    own = folder.resolve()
    name = own.parent.name if own.name == DATASET and (own.parent / "run.db").exists() else own.name
    return f"{name}-{split}{'-preference' if form.is_pair else ''}"


def _check_columns(form: Format, wanted: Wanted) -> None:
    if wanted.style is not None and wanted.style not in form.styles:
        raise RecipeError(
            f"The format {wanted.format} has no field for reasoning; give --reasoning {' or '.join(form.styles)}."
        )
    if wanted.shards > 1 and wanted.format in REGISTERED:
        raise RecipeError(f"LLaMA-Factory's {REGISTRY} names one file for each dataset; leave --shards out.")
    if wanted.keep and form.is_strict:
        raise RecipeError(f"Files in the format {wanted.format} are refused with other columns; leave --keep out.")
    taken = RESERVED & {*wanted.keep}
    if taken:
        raise RecipeError(f"Trainers give a column {min(taken)!r} a meaning of its own; it cannot be kept beside.")


def _rows_of_run(path: Path) -> Path:
    """Of a run, or a dataset with its card, the rows alone, without the views that stand beside them."""
    inner = path / "dataset" if (path / "run.db").exists() else path
    return inner / "data" if (inner / "README.md").exists() and (inner / "data").is_dir() else inner


def _nothing(converted: Converted, wanted: Wanted, paths: Sequence[Path]) -> str:
    if not converted.left_out:
        rule = in_words(wanted.rule)
        if not rule:
            return "There are no rows to convert."
        why = unknown_score(paths[0], wanted.rule)
        return f"No draws of the run can be told apart so ({rule}){f'; {why}' if why else '.'}"
    told = ", ".join(
        f"{reason} {trapped.rows:,} ({trapped.places[0]})" for reason, trapped in converted.left_out.items()
    )
    return f"No row can be written as {wanted.format}, so nothing was: {told}."


def _register(gathered: dict[Path, Gathered], form: Format) -> None:
    """Tell LLaMA-Factory of the files, beside what its register holds already. Raises RecipeError if it is none."""
    path = next(iter(gathered)).parent / REGISTRY
    known = _object(path)
    for target, rows in gathered.items():
        columns: Fields = {"messages": "conversations"}
        if "tools" in rows.shape.fields:
            columns["tools"] = "tools"
        if form.is_pair:
            columns |= {"chosen": "chosen", "rejected": "rejected"}
        tags: Fields = {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt",
                        "observation_tag": "observation", "function_tag": "function_call",
                        "system_tag": "system"}  # fmt: skip
        entry: Fields = {"file_name": target.name, "formatting": "sharegpt", "columns": columns, "tags": tags}
        known[target.stem] = {"ranking": True, **entry} if form.is_pair else entry
    write_whole(path, orjson.dumps(known, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def _check_register(targets: Iterable[Path]) -> None:
    """Raise RecipeError where the register is none, or calls something else what these files would be called."""
    for target in targets:
        path = target.parent / REGISTRY
        known = _object(path).get(target.stem)
        named = cast("Fields", known).get("file_name") if isinstance(known, dict) else known
        if known is not None and named != target.name:
            message = f"it has a dataset {target.stem!r} already, of {named}; name another --out, or rename that one"
            raise RecipeError(Problem(message, str(path)))


def _object(path: Path) -> Fields:
    known: Any = {}
    try:
        known = orjson.loads(path.read_bytes()) if path.exists() else known
    except orjson.JSONDecodeError:
        known = None
    if not isinstance(known, dict):
        raise RecipeError(Problem("it is no JSON object, so nothing can be added; mend or remove it", str(path)))
    return cast("Fields", known)
