"""Datasets in every trainer's shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from synth.formats import makers
from synth.lint import Aim
from synth.lint.table import HITS
from synth.lint.traps import Format as RowFormat
from synth.shapes import Style
from synth.types import Fields

Maker = Callable[..., Fields]
"""From a `Conversation`, or of a pair from both."""


class Format(NamedTuple):
    """One shape of rows."""

    make: Maker | None
    """None where the rows are made with a tokenizer's chat template."""
    styles: tuple[Style, ...]
    """Where reasoning may go; first where it goes unless something else is wanted."""
    is_answered: bool = True
    """Whether rows end with an answer."""
    is_strict: bool = False
    """Whether files are refused that hold any other column."""
    is_lines: bool = False
    """Whether files are lines of JSON: Parquet would unite the objects of all rows and fill them with nulls."""
    is_pair: bool = False
    """Whether a row is two answers to one prompt."""
    is_labelled: bool = False
    """Whether a row says of its answer whether it is a good one."""
    own_traps: frozenset[str] = frozenset()
    """What `synth lint` says of such files, as it knows trainers that fail on them."""
    rows: RowFormat = "messages"
    """What `synth lint` calls such rows."""
    reader: str = "trl"
    """Who reads them, by the word that the table of traps has for it."""
    columns: frozenset[str] = frozenset({"messages", "tools"})
    """Of a strict one those that it has."""


FIELD: tuple[Style, ...] = ("field", "inline", "drop")
INLINE: tuple[Style, ...] = ("inline", "drop")
DROP: tuple[Style, ...] = ("drop", "inline")
MESSAGES = Format(makers.messages, FIELD)
TURNS: RowFormat = "conversations"
FORMATS: Mapping[str, Format] = {
    "messages": MESSAGES,
    "prompt-completion": Format(makers.prompt_completion, FIELD, rows="prompt-completion"),
    "prompt": Format(makers.prompt, FIELD, is_answered=False, rows="prompt"),
    "text": Format(None, FIELD, rows="text"),
    "tools": Format(makers.tools, FIELD),
    "reasoning": Format(makers.reasoning, ("field", "inline")),
    "preference": Format(makers.preference, FIELD, is_pair=True, rows="preference"),
    "unpaired": Format(makers.prompt_completion, FIELD, is_labelled=True, rows="prompt-completion"),
    "axolotl": MESSAGES._replace(reader="axolotl"),
    "unsloth": MESSAGES._replace(reader="unsloth"),
    "nemo": Format(makers.openai, FIELD, is_lines=True, reader="nemo"),
    "ms-swift": Format(makers.ms_swift, INLINE, reader="ms-swift"),
    "llama-factory": Format(
        makers.llama_factory, INLINE, own_traps=frozenset({"sharegpt"}), rows=TURNS, reader="llama-factory"
    ),
    "sharegpt": Format(makers.sharegpt, INLINE, own_traps=frozenset({"sharegpt"}), rows=TURNS, reader="others"),
    "alpaca": Format(makers.alpaca, INLINE, own_traps=frozenset({"alpaca"}), rows="alpaca", reader="others"),
    "openai": Format(makers.openai, DROP, is_strict=True, is_lines=True, reader="hosts"),
    "llama-factory-preference": Format(
        makers.llama_factory_preference,
        INLINE,
        is_pair=True,
        rows="preference",
        reader="llama-factory",
    ),
    "ms-swift-preference": Format(makers.ms_swift_preference, INLINE, is_pair=True, reader="ms-swift"),
    "openai-preference": Format(
        makers.openai_preference,
        DROP,
        is_strict=True,
        is_lines=True,
        is_pair=True,
        own_traps=frozenset({"unknown_format"}),
        rows="unknown",
        reader="hosts",
        columns=frozenset({"input", "preferred_output", "non_preferred_output"}),
    ),
    "gemini": Format(
        makers.gemini,
        DROP,
        is_strict=True,
        is_lines=True,
        own_traps=frozenset({"unknown_format", "broken_tools"}),
        rows="unknown",
        reader="hosts",
        columns=frozenset({"contents", "systemInstruction", "tools"}),
    ),
}

TOKEN_FORMATS = ("distillation", "distillkit")
"""Shapes of what a teacher told of its tokens, in place of texts."""

REFUSALS: Mapping[str, str] = {
    "not_text": "a content holds something other than text, which these formats have no place for",
    "tools": "tools and their calls have no place in Alpaca; take messages or llama-factory",
    "system": "a system turn has no place in Alpaca; take messages or llama-factory",
    "several_turns": "Alpaca holds one question and its answer; take messages or llama-factory",
    "text_beside_calls": "the turn that calls a tool says something too, for which ShareGPT has no place",
    "no_tools": "it offers no tools and calls none",
    "no_reasoning": "its answer comes without reasoning",
    "other_prompt": "chosen and rejected answer different prompts",
    "no_label": "there is no label that says true or false of its answer",
    "no_token_ids": "its tokens are told without ids; vLLM tells them with `extra: {return_tokens_as_token_ids: true}`",
    "no_prompt_ids": "the ids of its prompt are not told; vLLM tells them with `extra: {return_token_ids: true}`",
    "no_top_ids": "the likeliest tokens in the place of its own are not told, or not by ids",
    "call_beside": "its bad answer calls a tool, for which ms-swift has no place beside the good one",
    "nameless_result": "a tool's result does not name its tool, as Gemini needs it",
}
"""Why a format has no place for a row, beside what `synth lint` calls an error."""


def aim_of(name: str) -> Aim:
    """What `synth lint` looks for in files of a format."""
    form = FORMATS[name]
    silent = {trap for trap, readers in HITS.items() if form.reader not in readers}
    columns = form.columns if form.is_strict else None
    return Aim(name, form.rows, form.is_labelled, columns, frozenset(silent) | form.own_traps)
