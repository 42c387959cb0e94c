"""Files in a trainer's shape, read by that trainer's own loader: each stands in an environment of its own.

No two of them can share one with each other or with synth, so each test runs a small script with the Python that a
variable names, such as `SYNTH_NEMO=/envs/nemo/bin/python`, and compares what it says. Without the variable it skips.
How they were installed is told in docs/formats.md.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from synth.formats.convert import Wanted, convert
from tests.formats.test_formats import ROWS, fit_for, made, saved

SCRIPTS = Path(__file__).parent / "trainers"
TEMPLATE = (
    # Axolotl looks for what a template reads of a variable of this name
    "{% for message in messages %}<|{{ message.role }}|>{% if message.role == 'assistant' %}{% generation %}"
    "{% if message.reasoning_content %}<think>{{ message.reasoning_content }}</think>{% endif %}"
    "{{ message.content or '' }}{% if message.tool_calls %}{% for call in message.tool_calls %}<call>"
    "{{ call.function.name }} {{ call.function.arguments if call.function.arguments is string else "
    "call.function.arguments | tojson }}</call>{% endfor %}{% endif %}<|end|>{% endgeneration %}{% else %}"
    "{{ message.content or '' }}<|end|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def spoken(turn: dict[str, Any]) -> str:
    """What the template writes of an assistant's turn, all of which is learned."""
    thought = f"<think>{turn['reasoning_content']}</think>" if turn.get("reasoning_content") else ""
    calls = [call["function"] for call in turn.get("tool_calls") or []]
    called = "".join(f"<call>{call['name']} {call['arguments']}</call>" for call in calls)
    return f"{thought}{turn['content'] or ''}{called}<|end|>"


def rendered(turns: list[dict[str, Any]]) -> str:
    return "".join(
        f"<|{turn['role']}|>" + (spoken(turn) if turn["role"] == "assistant" else f"{turn['content']}<|end|>")
        for turn in turns
    )


def _object(text: Any) -> Any:
    """An object, or the one that a text holds."""
    return json.loads(text) if isinstance(text, str) else text


def learned(turns: list[dict[str, Any]]) -> str:
    return "".join(spoken(turn) for turn in turns if turn["role"] == "assistant")


@pytest.fixture
def student(tmp_path: Path) -> Path:
    """A tokenizer of bytes with a chat template that marks what is learned."""
    tokenizers = pytest.importorskip("tokenizers")
    one = tokenizers.Tokenizer(tokenizers.models.BPE())
    one.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    one.decoder = tokenizers.decoders.ByteLevel()
    special = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>", "<|tool|>"]
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    one.train_from_iterator(["x"], trainer)
    folder = tmp_path / "student"
    folder.mkdir()
    one.save(str(folder / "tokenizer.json"))
    config = {"chat_template": TEMPLATE, "pad_token": "<|pad|>", "eos_token": "<|end|>"}
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    (folder / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    return folder


def said_by(variable: str, script: str, file: Path, *more: Path | str) -> Any:
    """What a script says when the Python runs it that a variable of the environment names."""
    python = os.environ.get(variable)
    if python is None:
        pytest.skip(f"set {variable} to the Python of an environment that holds the trainer")
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(file.parent / "cache"), "PYTHONPATH": "",
           "DISABLE_VERSION_CHECK": "1"}  # fmt: skip
    done = subprocess.run(
        [python, SCRIPTS / script, file, *more], capture_output=True, text=True, timeout=300, check=False, env=env
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("variable", "script", "name", "ending"),
    [
        ("SYNTH_NEMO", "nemo.py", "nemo", "jsonl"),
        ("SYNTH_AXOLOTL", "axolotl_chat.py", "axolotl", "parquet"),
        ("SYNTH_UNSLOTH", "unsloth_chat.py", "unsloth", "parquet"),
    ],
)
def test_a_trainer_learns_every_assistant_turn_and_nothing_else(
    variable: str, script: str, name: str, ending: str, student: Path, tmp_path: Path
) -> None:
    file = tmp_path / f"rows.{ending}"
    convert([saved(tmp_path / "a.jsonl", ROWS)], file, Wanted(name))
    told = said_by(variable, script, file, student)
    turns: list[list[dict[str, Any]]] = [row["messages"] for row in ROWS]
    assert [what for _, what in told] == [learned(one) for one in turns]
    # NeMo takes the last token off what goes in, as it is only ever predicted
    assert [text.removesuffix("<|end|>") for text, _ in told] == [
        rendered(one).removesuffix("<|end|>") for one in turns
    ]


def test_axolotl_reads_both_answers_of_a_pair_with_reasoning_inline(student: Path, tmp_path: Path) -> None:
    """Its loader for DPO reads `content` alone, so reasoning belongs into it."""
    pairs = fit_for("preference")[:3]
    convert([saved(tmp_path / "a.jsonl", pairs)], tmp_path / "rows.parquet", Wanted("preference", "inline"))
    told = said_by("SYNTH_AXOLOTL", "axolotl_dpo.py", tmp_path / "rows.parquet", student)
    for pair, row in zip(pairs, told, strict=True):
        thought = pair["chosen"][0].get("reasoning_content")
        before = f"<think>\n{thought}\n</think>\n\n" if thought else ""
        assert row["prompt"] == f"{rendered(pair['prompt'])}<|assistant|>"
        assert row["chosen"] == f"{before}{pair['chosen'][0]['content']}<|end|>"
        assert row["rejected"] == f"{pair['rejected'][0]['content']}<|end|>"


def test_llama_factory_learns_every_answer_with_its_reasoning_and_calls(student: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    convert([saved(tmp_path / "rows.jsonl", ROWS)], folder, Wanted("llama-factory"))
    plain, reasoned, longer, tools = (
        what for [what] in said_by("SYNTH_LLAMA_FACTORY", "llama_factory.py", folder, student, "sft")
    )
    no_thought, end = "<think>\n\n</think>\n\n", "<|im_end|>\n"
    thought = "<think>\n標準税率は10％。\n食品は8％。\n</think>\n\n10％です。"
    assert plain == f"{no_thought}10％です。{end}"
    assert reasoned == f"{thought}{end}"
    assert longer == f"{no_thought}10％です。{end}{thought}{end}"
    call = '<tool_call>\n{"name": "lamp", "arguments": {"room": "居間", "on": null}}\n</tool_call>'
    assert tools == f"{no_thought}{call}{end}{no_thought}10％です。{end}"


def test_ms_swift_tells_the_format_by_itself_and_reads_every_turn(tmp_path: Path) -> None:
    convert([saved(tmp_path / "a.jsonl", ROWS)], tmp_path / "rows.jsonl", Wanted("ms-swift"))
    told = said_by("SYNTH_MS_SWIFT", "ms_swift.py", tmp_path / "rows.jsonl")
    for row, (turns, _) in zip(ROWS[:3], told[:3], strict=True):
        assert [(turn["role"], turn["content"]) for turn in turns] == [
            (turn["role"], turn["content"]) for turn in made(row, "ms-swift")["messages"]
        ]
    assert [turn["role"] for turn in told[3][0]] == ["user", "tool_call", "tool", "assistant"]
    assert _object(told[3][0][1]["content"]) == {"name": "lamp", "arguments": {"room": "居間", "on": None}}


def test_llama_factory_weighs_both_answers_of_a_pair(student: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    pairs = fit_for("preference")
    convert([saved(tmp_path / "rows.jsonl", pairs)], folder, Wanted("llama-factory-preference"))
    told = said_by("SYNTH_LLAMA_FACTORY", "llama_factory.py", folder, student, "rm")
    no_thought, end = "<think>\n\n</think>\n\n", "<|im_end|>\n"
    thought = "<think>\n標準税率は10％。\n食品は8％。\n</think>\n\n"
    good = [f"{thought if pair['chosen'][0].get('reasoning_content') else no_thought}10％です。{end}" for pair in pairs]
    assert [one for one, _ in told] == good
    assert [one for _, one in told] == [f"{no_thought}{pair['rejected'][0]['content']}{end}" for pair in pairs]


def test_ms_swift_reads_the_answer_that_is_rejected(tmp_path: Path) -> None:
    pairs = fit_for("preference")
    convert([saved(tmp_path / "a.jsonl", pairs)], tmp_path / "rows.jsonl", Wanted("ms-swift-preference"))
    told = said_by("SYNTH_MS_SWIFT", "ms_swift.py", tmp_path / "rows.jsonl")
    assert [bad for _, bad in told] == [pair["rejected"][0]["content"] for pair in pairs]
    assert told[0][0][-1] == {"role": "assistant", "content": "10％です。"}
