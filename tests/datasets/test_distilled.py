"""A student is trained, without its teacher, on what the teacher told of its tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import synth
from synth.formats.distillation import convert_tokens
from tests.datasets.test_trl import settings, student, tokenizer

pytest.importorskip("trl", reason="trl is not installed: pip install trl (it brings torch)")
SAID = ["森は深いです。", "林は浅いです。", "木は一本です。", "葉は緑です。"]
MOST = 5
RECIPE = """\
name: told
language: ja
license: cc0-1.0
seeds: {kind: jsonl, path: seeds.jsonl}
teachers: {main: {model: small, base_url: "replay:replies.jsonl", sampling: {max_tokens: 100, logprobs: 5}}}
stages: [{name: answer, generator: {kind: answer, prompt: ask.md.j2, question: q}, validators: []}]
split: {fractions: {train: 1.0}}
"""


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Any, Any]:
    """Rows with what a teacher, whose tokens are `words`, finds of them: the file to learn from, the words, the teacher."""
    import torch

    words = tokenizer(SAID)
    teacher = student(words)
    with torch.no_grad():
        teacher.lm_head.weight.mul_(40)  # so that it is sure of something
    lines = []
    for number, said in enumerate(SAID):
        prompt = words(f"<|user|>問い{number}<|end|><|assistant|>")["input_ids"]
        ids = words(f"{said}<|end|>")["input_ids"]
        with torch.no_grad():
            logprobs = teacher(torch.tensor([prompt + ids])).logits[0].log_softmax(-1)[len(prompt) - 1 : -1]
        values, tops = logprobs.topk(MOST)
        content = [
            {"token": f"token_id:{one}", "bytes": None, "logprob": logprobs[place, one].item(), "top_logprobs": [
                {"token": f"token_id:{top}", "bytes": None, "logprob": value}
                for top, value in zip(tops[place].tolist(), values[place].tolist(), strict=True)]}
            for place, one in enumerate(ids)
        ]  # fmt: skip
        choice = {"message": {"role": "assistant", "content": said}, "finish_reason": "stop",
                  "logprobs": {"content": content}, "token_ids": ids}  # fmt: skip
        reply = {"model": "small", "choices": [choice], "prompt_token_ids": prompt}
        lines.append(json.dumps({"prompt": f"問い{number}", "response": reply}))
    (tmp_path / "replies.jsonl").write_text("\n".join(lines), encoding="utf-8")
    seeds = "".join(json.dumps({"q": f"問い{number}"}) + "\n" for number in range(len(SAID)))
    (tmp_path / "seeds.jsonl").write_text(seeds, encoding="utf-8")
    (tmp_path / "ask.md.j2").write_text("{{ q }}", encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    monkeypatch.setattr(
        "synth.results.manifest.version", lambda _: "0"
    )  # the Python that has TRL need not have synth installed
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    run = synth.run(tmp_path, folder=tmp_path / "run")
    convert_tokens([run.folder], tmp_path / "learn.parquet", "distillation")
    return tmp_path / "learn.parquet", words, teacher


def collated(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch: ids and labels, and the teacher's likeliest tokens at the place before each labelled one."""
    import torch

    longest = max(len(row["input_ids"]) for row in rows)
    batch: dict[str, Any] = {
        "input_ids": torch.zeros(len(rows), longest, dtype=torch.long),
        "attention_mask": torch.zeros(len(rows), longest, dtype=torch.long),
        "labels": torch.full((len(rows), longest), -100),
        "top_ids": torch.zeros(len(rows), longest, MOST, dtype=torch.long),
        "top_logprobs": torch.full((len(rows), longest, MOST), -1e4),
    }
    for place, row in enumerate(rows):
        size, known = len(row["input_ids"]), len(row["top_ids"])
        batch["input_ids"][place, :size] = torch.tensor(row["input_ids"])
        batch["attention_mask"][place, :size] = 1
        batch["labels"][place, :size] = torch.tensor(row["labels"])
        batch["top_ids"][place, size - known - 1 : size - 1] = torch.tensor(row["top_ids"])
        batch["top_logprobs"][place, size - known - 1 : size - 1] = torch.tensor(row["top_logprobs"])
    return batch


@pytest.mark.filterwarnings("ignore")  # those of torch and transformers are not ours to mend
def test_sft_trainer_with_a_loss_of_its_own_brings_a_student_near_the_recorded_teacher(
    told: Any, tmp_path: Path
) -> None:
    import datasets
    import torch
    from trl import SFTConfig, SFTTrainer

    file, words, teacher = told
    rows = datasets.load_dataset("parquet", data_files=str(file), split="train", cache_dir=str(tmp_path / "cache"))
    assert [words.decode([one for one in row["labels"] if one >= 0]) for row in rows] == [
        f"{said}<|end|>" for said in SAID
    ]

    class Distilled(SFTTrainer):
        """Forward KL over the recorded tokens, what is left of the probability taken together."""

        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
            outputs = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
            said = outputs.logits.log_softmax(-1).gather(-1, inputs["top_ids"])
            known = inputs["top_logprobs"][..., 0] > -1e3
            both = [torch.cat([one, torch.log1p(-one.exp().sum(-1, keepdim=True).clamp(max=1 - 1e-6))], -1)
                    for one in (inputs["top_logprobs"], said)]  # fmt: skip
            apart = (both[0].exp() * (both[0] - both[1])).sum(-1)
            loss = apart[known].mean()
            return (loss, outputs) if return_outputs else loss

    torch.manual_seed(7)
    model = student(words)
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(0.05 * torch.randn_like(weights))

    def apart() -> float:
        """How far the student is from the teacher itself, over all tokens, at the labelled places."""
        batch = collated([*rows])
        with torch.no_grad():
            found, wanted = (one(batch["input_ids"], attention_mask=batch["attention_mask"]).logits.log_softmax(-1)
                             for one in (model, teacher))  # fmt: skip
        known = batch["top_logprobs"][..., 0] > -1e3
        return (wanted.exp() * (wanted - found)).sum(-1)[known].mean().item()

    before = apart()
    options = {**settings(tmp_path), "max_steps": 25, "remove_unused_columns": False}
    trainer = Distilled(
        model=model,
        args=SFTConfig(**options, dataset_kwargs={"skip_prepare_dataset": True}),
        train_dataset=rows,
        processing_class=words,
        data_collator=collated,
    )
    assert trainer.train().global_step == 25
    model.eval()
    assert apart() < before / 3


@pytest.mark.filterwarnings("ignore")
def test_the_file_of_a_distillation_is_one_that_sft_trains_on_as_it_is(told: Any, tmp_path: Path) -> None:
    import datasets
    from trl import SFTConfig, SFTTrainer

    file, words, _ = told
    rows = datasets.load_dataset("parquet", data_files=str(file), split="train", cache_dir=str(tmp_path / "cache"))
    trainer = SFTTrainer(
        model=student(words), args=SFTConfig(**settings(tmp_path)), train_dataset=rows, processing_class=words
    )
    assert trainer.train().global_step == 2
    labels = trainer.data_collator([trainer.train_dataset[0]])["labels"][0].tolist()
    assert words.decode([one for one in labels if one >= 0]) == f"{SAID[0]}<|end|>"
