"""What TRL's trainers are given: an exported dataset as it is, what was converted, and each view, and what is trained on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import synth
from synth.datasets.export import write_dataset
from synth.formats.convert import Wanted, convert
from synth.formats.views import write_views
from synth.types import Sample
from tests.datasets.conftest import packed
from tests.datasets.run_folder import QUESTION, answer, asking_for, write_run

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


OF_TOOLS = (
    "{% if tools %}<tools>{% for tool in tools %}{{ tool.function.name }} {% endfor %}</tools>{% endif %}"
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}"
    "{% for call in message.tool_calls or [] %}<call>{{ call.function.name }} {{ call.function.arguments }}</call>"
    "{% endfor %}<|end|>{% endfor %}"
)


@pytest.mark.filterwarnings("ignore")
def test_sft_trainer_sees_the_tools_their_calls_and_their_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets
    from trl import SFTConfig, SFTTrainer

    recipe = Path(__file__).parents[2] / "prompts" / "tool-calling-ja"
    assert synth.run(recipe, folder=tmp_path / "run", limit=2).exit_code == 0
    rows = datasets.load_dataset(str(tmp_path / "run" / "dataset"), split="train", cache_dir=str(tmp_path / "cache"))
    called = next(row for row in rows if row["messages"][1]["tool_calls"])
    words = tokenizer([message["content"] for row in rows for message in row["messages"]])
    words.chat_template = OF_TOOLS
    trainer = SFTTrainer(
        model=student(words), args=SFTConfig(**settings(tmp_path)), train_dataset=rows, processing_class=words
    )
    assert trainer.train().global_step == 2
    texts = [words.decode(row["input_ids"]) for row in trainer.train_dataset]
    call = called["messages"][1]["tool_calls"][0]["function"]
    shown = next(text for text in texts if called["messages"][0]["content"] in text)
    assert "<tools>get_weather find_trains book_seats </tools>" in shown
    assert f"<call>{call['name']} " in shown
    assert all(value in shown for value in map(str, json.loads(call["arguments"]).values()))
    assert called["messages"][-2]["content"] in shown
    assert "None" not in shown


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


CHAT = TEMPLATE + "{% if add_generation_prompt %}<|assistant|>{% endif %}"
KEPT, REFUSED = "<think>足し算</think>{} 個です。<|end|>", "お答えできません。<|end|>"
ASKED = "<|user|>" + QUESTION + "<|end|><|assistant|>"


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A run of eight questions, of each a kept draw and a refused one."""
    draws = [
        one
        for number in range(8)
        for one in (
            answer(number, 0, f"{number + 3} 個です。", reasoning="足し算"),
            answer(number, 1, "お答えできません。", None, reason="refusal"),
        )
    ]
    return write_run(tmp_path / "run", draws)


@pytest.fixture
def view(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Any, Any]]:
    """The rows of a view as `datasets` loads them, and a student's tokenizer that knows its letters."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    def load(kind: str, **output: Any) -> tuple[Any, Any]:
        [record] = write_views(asking_for(finished, views=[kind], **output), finished)
        files = [str(finished / "dataset" / file) for file in record.files["train"]]
        rows = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
        words = tokenizer([json.dumps(row, ensure_ascii=False) for row in rows])
        words.chat_template = CHAT
        return rows, words

    return load


def learned(words: Any, batch: Any, place: int = 0) -> str:
    """What of a collated text counts in the loss, decoded."""
    if "labels" in batch:
        return words.decode([one for one in batch["labels"][place].tolist() if one >= 0])
    ids, mask = batch["input_ids"][place].tolist(), batch["completion_mask"][place].tolist()
    return words.decode([one for one, counts in zip(ids, mask, strict=True) if counts])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["messages", "reasoning"])
def test_sft_reads_whole_conversations(kind: str, view: Any, tmp_path: Path) -> None:
    from trl import SFTConfig, SFTTrainer

    rows, words = view(kind)
    trainer = SFTTrainer(
        model=student(words), args=SFTConfig(**settings(tmp_path)), train_dataset=rows, processing_class=words
    )
    assert trainer.train().global_step == 2
    batch = trainer.data_collator([trainer.train_dataset[1]])
    assert learned(words, batch) == (ASKED + KEPT).format(1, 4)


@pytest.mark.filterwarnings("ignore")
def test_sft_learns_the_answer_alone_of_the_view_prompt_completion(view: Any, tmp_path: Path) -> None:
    from trl import SFTConfig, SFTTrainer

    rows, words = view("prompt-completion")
    trainer = SFTTrainer(
        model=student(words), args=SFTConfig(**settings(tmp_path)), train_dataset=rows, processing_class=words
    )
    assert trainer.train().global_step == 2
    assert learned(words, trainer.data_collator([trainer.train_dataset[1]])) == KEPT.format(4)


@pytest.mark.filterwarnings("ignore")
def test_sft_learns_the_view_text_as_the_template_wrote_it(view: Any, finished: Path, tmp_path: Path) -> None:
    from trl import SFTConfig, SFTTrainer

    _, words = view("messages")
    words.save_pretrained(finished / "student")
    rows, _ = view("text", tokenizer="student")
    assert rows[1]["text"] == (ASKED + KEPT).format(1, 4)
    trainer = SFTTrainer(
        model=student(words), args=SFTConfig(**settings(tmp_path)), train_dataset=rows, processing_class=words
    )
    assert trainer.train().global_step == 2
    # TRL closes every text, and this one is closed already
    assert learned(words, trainer.data_collator([trainer.train_dataset[1]])).removesuffix("<|end|>") == (
        (ASKED + KEPT).format(1, 4).removesuffix("<|end|>")
    )


@pytest.mark.filterwarnings("ignore")
def test_dpo_weighs_the_two_answers_and_not_their_prompt(view: Any, tmp_path: Path) -> None:
    from trl import DPOConfig, DPOTrainer

    rows, words = view("preference")
    trainer = DPOTrainer(
        model=student(words),
        ref_model=student(words),
        args=DPOConfig(**settings(tmp_path)),
        train_dataset=rows,
        processing_class=words,
    )
    assert trainer.train().global_step == 2
    batch = trainer.data_collator([trainer.train_dataset[1]])
    assert learned(words, batch, 0) == KEPT.format(4)
    assert learned(words, batch, 1) == REFUSED
    assert words.decode(trainer.train_dataset[1]["prompt_ids"]) == ASKED.format(1)


@pytest.mark.filterwarnings("ignore")
def test_the_reward_trainer_reads_both_conversations(view: Any, tmp_path: Path) -> None:
    import torch
    from transformers import Qwen3ForSequenceClassification
    from trl import RewardConfig, RewardTrainer

    rows, words = view("preference")
    config = student(words).config
    config.num_labels = 1
    torch.manual_seed(0)
    trainer = RewardTrainer(
        model=Qwen3ForSequenceClassification(config),
        args=RewardConfig(**settings(tmp_path)),
        train_dataset=rows,
        processing_class=words,
    )
    assert trainer.train().global_step == 2
    seen = trainer.train_dataset[1]
    assert words.decode(seen["chosen_ids"]) == (ASKED + KEPT).format(1, 4)
    assert words.decode(seen["rejected_ids"]) == (ASKED + REFUSED).format(1)
    assert "margin" not in trainer.data_collator([seen])


@pytest.mark.filterwarnings("ignore")
def test_kto_learns_from_labelled_answers(view: Any, tmp_path: Path) -> None:
    from trl import KTOConfig, KTOTrainer

    rows, words = view("unpaired")
    trainer = KTOTrainer(
        model=student(words),
        ref_model=student(words),
        args=KTOConfig(**settings(tmp_path)),
        train_dataset=rows,
        processing_class=words,
    )
    assert trainer.train().global_step == 2
    batch = trainer.data_collator([trainer.train_dataset[place] for place in (2, 3)])
    assert batch["label"].tolist() == [True, False]
    assert [learned(words, batch, place) for place in (0, 1)] == [KEPT.format(4), REFUSED]


@pytest.mark.filterwarnings("ignore")
def test_gkd_learns_the_last_answer_of_messages(view: Any, tmp_path: Path) -> None:
    from trl.experimental.gkd import GKDConfig, GKDTrainer

    rows, words = view("messages")
    trainer = GKDTrainer(
        model=student(words),
        teacher_model=student(words),
        args=GKDConfig(**settings(tmp_path), lmbda=0.0, max_new_tokens=4),
        train_dataset=rows,
        processing_class=words,
    )
    assert trainer.train().global_step == 2
    batch = trainer.data_collator([trainer.train_dataset[1]])
    assert learned(words, batch) == KEPT.format(4)


@pytest.mark.filterwarnings("ignore")
def test_on_policy_distillation_asks_the_prompts(view: Any, tmp_path: Path) -> None:
    from trl import DistillationConfig, DistillationTrainer

    rows, words = view("prompt")
    asked: list[str] = []
    model = student(words)
    answering = model.generate

    def generate(*args: Any, **kwargs: Any) -> Any:
        asked.extend(words.decode(one).replace("<|pad|>", "") for one in kwargs["input_ids"])
        return answering(*args, **kwargs)

    model.generate = generate
    trainer = DistillationTrainer(
        model=model,
        teacher_model=student(words),
        args=DistillationConfig(**settings(tmp_path), max_completion_length=4),
        train_dataset=rows,
        processing_class=words,
    )
    assert trainer.train().global_step == 2
    assert len(asked) >= 8
    assert set(asked) <= {ASKED.format(number) for number in range(8)}
