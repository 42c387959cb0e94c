"""An exported dataset is what TRL's SFTTrainer trains on, as it is, and so is one that was converted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synth.datasets.export import write_dataset
from synth.formats.convert import Wanted, convert
from synth.types import Sample
from tests.datasets.conftest import packed

pytest.importorskip("trl", reason="trl is not installed: pip install trl (it brings torch)")

TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>"
    "{% if message.reasoning_content %}<think>{{ message.reasoning_content }}</think>{% endif %}"
    "{{ message.content }}<|end|>{% endfor %}"
)


def tokenizer(texts: list[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    special = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator(texts, trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<|pad|>", eos_token="<|end|>")
    made.chat_template = TEMPLATE
    return made


def student(words: Any) -> Any:
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(words),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=16,
            max_position_embeddings=512,
            pad_token_id=words.pad_token_id,
            eos_token_id=words.eos_token_id,
        )
    )


def settings(folder: Path) -> dict[str, Any]:
    return {
        "output_dir": str(folder / "student"),
        "max_steps": 2,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-2,
        "report_to": "none",
        "save_strategy": "no",
        "use_cpu": True,
        "bf16": False,
        "disable_tqdm": True,
    }


@pytest.mark.filterwarnings("ignore")  # those of torch and transformers are not ours to mend
def test_sft_trainer_takes_an_export_as_it_is(
    tmp_path: Path, make_sample: Callable[..., Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets
    import torch
    from trl import SFTConfig, SFTTrainer

    pairs = [
        (
            "train",
            packed(
                make_sample(
                    i, f"りんごが {i} 個と 3 個で何個ですか。", f"{i + 3} 個です。", "足し算" if i % 2 else None
                )
            ),
        )
        for i in range(8)
    ]
    write_dataset(pairs, tmp_path)
    rows = datasets.load_dataset(str(tmp_path / "dataset"), split="train", cache_dir=str(tmp_path / "cache"))
    words = tokenizer([message["content"] for row in rows for message in row["messages"]])
    model = student(words)
    before = model.lm_head.weight.detach().clone()
    trainer = SFTTrainer(model=model, args=SFTConfig(**settings(tmp_path)), train_dataset=rows, processing_class=words)
    result = trainer.train()
    assert result.global_step == 2
    assert not torch.equal(before, model.lm_head.weight)
    seen = words.decode(trainer.train_dataset[1]["input_ids"])
    assert seen.startswith(
        "<|user|>りんごが 1 個と 3 個で何個ですか。<|end|><|assistant|><think>足し算</think>4 個です。<|end|>"
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("ending", "reader"), [("jsonl", "json"), ("parquet", "parquet")])
def test_sft_trains_on_the_last_answer_alone_of_prompt_and_completion(
    ending: str, reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets
    from trl import SFTConfig, SFTTrainer

    def turns(i: int) -> list[dict[str, str]]:
        answer = {"role": "assistant", "content": f"{i + 3} 個です。", "reasoning_content": "足し算"}
        return [{"role": "user", "content": f"りんごが {i} 個と 3 個で何個ですか。"}, answer]

    source, out = tmp_path / "a.jsonl", tmp_path / f"out.{ending}"
    source.write_text("\n".join(json.dumps({"messages": turns(i)}) for i in range(8)), encoding="utf-8")
    convert([source], out, Wanted("prompt-completion"))
    rows = datasets.load_dataset(reader, data_files=str(out), split="train", cache_dir=str(tmp_path / "cache"))
    words = tokenizer([turn["content"] for row in rows for turn in row["prompt"] + row["completion"]])
    words.chat_template = TEMPLATE + "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    trainer = SFTTrainer(
        model=student(words), args=SFTConfig(**settings(tmp_path)), train_dataset=rows, processing_class=words
    )
    assert trainer.train().global_step == 2
    labels = trainer.data_collator([trainer.train_dataset[1]])["labels"][0].tolist()
    assert words.decode([one for one in labels if one >= 0]) == "<think>足し算</think>4 個です。<|end|>"
