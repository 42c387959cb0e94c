"""The traps by name: how bad each is, what happens, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

Severity = Literal["error", "warning"]


class Trap(NamedTuple):
    """One kind of trap."""

    severity: Severity
    """An error fails, or spoils what is learned; a warning hits some trainers, or some readers."""
    says: str
    """What happens, and what to do."""


TRAPS: Mapping[str, Trap] = {
    "unknown_format": Trap(
        "error", "no trainer knows these columns; write messages, or prompt and completion, or chosen and rejected"
    ),
    "mixed_formats": Trap(
        "error", "one file holds rows of several formats, and readers fill the columns that others have with null; "
        "write one file for each"
    ),
    "two_formats": Trap(
        "warning", "a row can be read in two ways: Together rejects the file, and TRL's GKD fails; leave one of them"
    ),
    "reserved_name": Trap(
        "error", "a column beside the conversation has a name that TRL gives a meaning of its own; rename it"
    ),
    "sharegpt": Trap(
        "error", "TRL trains on roles that are literally called human and gpt, or on nothing; rename conversations, "
        "from and value to messages, role and content, and the roles to user and assistant, or say with --for who "
        "reads these files"
    ),
    "conversations_column": Trap("error", "TRL looks for messages and fails; rename the column"),
    "alpaca": Trap("error", "TRL fails on instruction and output; LLaMA-Factory alone reads them as they are"),
    "unknown_role": Trap("error", "chat templates render roles other than system, user, assistant and tool wrongly"),
    "system_not_first": Trap("error", "many chat templates refuse a system turn that is not the first"),
    "no_user_turn": Trap("warning", "the conversation asks nothing: many chat templates refuse it"),
    "no_alternation": Trap("warning", "LLaMA-Factory skips rows whose user and assistant turns do not take turns"),
    "no_answer": Trap("error", "the last turn is not the assistant's, so there is nothing to learn"),
    "empty_completion": Trap("error", "the answer is empty: the student learns to say nothing"),
    "empty_turn": Trap("warning", "a turn before the answer has no text"),
    "content_parts": Trap(
        "error", "a chat template for text renders content that is a list of parts as nothing; write a text"
    ),
    "chosen_equals_rejected": Trap("error", "chosen is rejected: DPO trains on it with a loss that never moves"),
    "mixed_pair": Trap("error", "prompt is a text and chosen a list of messages: TRL's DPO fails; write both alike"),
    "no_pair": Trap("error", "one of chosen and rejected is missing or empty"),
    "label_not_bool": Trap("warning", "TRL's KTO wants label to be true or false"),
    "run_together": Trap(
        "warning", "prompt ends and completion begins with a letter: the two become one word; put a space or line end "
        "between them"
    ),
    "lost_reasoning": Trap(
        "warning", "reasoning before the last answer: the usual templates of Qwen3 and others drop it without a word"
    ),
    "reasoning_key": Trap(
        "warning", "reasoning is called reasoning or thinking: transformers before 5.23 drop it without a word; "
        "write reasoning_content"
    ),
    "reasoning_column": Trap(
        "warning", "reasoning stands in a column of its own, which every trainer ignores; put it into the answer's turn"
    ),
    "reasoning_twice": Trap("error", "reasoning stands in the text as well as in reasoning_content"),
    "open_think": Trap("error", "a think tag is not closed, or was not opened: the answer is learned as reasoning"),
    "null_polluted": Trap(
        "error", "arguments or tool schemas hold nulls, as where readers united the fields of all rows: the student "
        "learns to write them; write both as JSON strings"
    ),
    "arguments_object": Trap(
        "warning", "arguments, or tools, are objects: readers unite their fields over all rows and fill in nulls; "
        "write JSON strings"
    ),
    "broken_tool_call": Trap("error", "a tool call has no name, no arguments, or arguments that are not JSON"),
    "broken_tools": Trap("error", "tools is not a list of functions with names, or not JSON"),
    "undeclared_tool": Trap("warning", "a tool is called that the row's tools do not name"),
    "stray_tool_result": Trap("error", "a tool's result follows no call that it could belong to"),
    "damaged_text": Trap("warning", "a text holds U+FFFD, which stands where characters were lost"),
    "huge_row": Trap("warning", "the Hub's viewer shows no row of more than 2 MB"),
    "newer_parquet": Trap(
        "warning", "the file's metadata names types that older versions of datasets do not know (Json before 4.7, List "
        "before 4.0): LLaMA-Factory and others fail; write Parquet without that metadata"
    ),
    "other_column": Trap("error", "a column beside those of the format: these hosts refuse the file; leave it out"),
    "over_length": Trap("error", "the row is longer than --max-length: what is beyond it is cut, or the row left out"),
    "template_refuses": Trap("error", "the tokenizer's chat template raises an error for the row"),
}  # fmt: skip

OF_TEMPLATES = frozenset({"trl", "axolotl", "unsloth", "nemo", "ms-swift", "llama-factory", "others"})
"""Those that write a conversation with the student's chat template; hosts that train do it themselves."""
HITS: Mapping[str, frozenset[str]] = {
    "two_formats": frozenset({"trl", "unsloth", "hosts"}),
    "reserved_name": frozenset({"trl", "unsloth"}),
    "conversations_column": frozenset({"trl"}),
    "alpaca": frozenset({"trl", "unsloth"}),
    "sharegpt": frozenset({"trl"}),
    "no_alternation": frozenset({"llama-factory"}),
    "content_parts": OF_TEMPLATES,
    "mixed_pair": frozenset({"trl", "unsloth"}),
    "label_not_bool": frozenset({"trl", "unsloth"}),
    "run_together": frozenset({"trl", "unsloth"}),
    "lost_reasoning": OF_TEMPLATES,
    "reasoning_key": frozenset({"trl", "axolotl", "unsloth", "nemo"}),
    "arguments_object": OF_TEMPLATES - {"nemo"},
}
"""Whom a trap hits, where that is not everybody; `hosts` are those that train what is sent to them."""
