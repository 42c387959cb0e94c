"""Builds tiny models, or measures texts with them: run by the Python that has torch and transformers.

`tiny_models.py build FOLDER` saves a random language model as FOLDER/lm and a random reward model as FOLDER/reward.
`tiny_models.py train FOLDER` saves one as FOLDER/teacher that writes dates as ISO 8601 and sentences as JSON, and is right;
it learns from exercises made on the spot, in English and Japanese, for about 40 CPU seconds.
`tiny_models.py exercises COUNT SEED` writes such exercises as JSON lines of `q`, `thought` and `expected`.
`tiny_models.py measure FOLDER` reads `[[prompt, answer], ...]` from stdin and writes for each the log-probabilities of
the answer's tokens and the reward of the whole text.
"""

import json
import random
import sys
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM, Qwen2ForSequenceClassification

TEXTS = [
    "The train leaves the station at seven and arrives before noon.",
    "She bought three apples and two pears at the market.",
    "To solve this, multiply the price by the number of things.",
    "電車は七時に駅を出て、正午の前に着きます。",
    "彼女は市場でりんごを三つと梨を二つ買いました。",
    "値段に個数を掛けると答えが出ます。",
]
TALK = (
    "{% for one in messages %}<|im_start|>{{ one.role }}\n{{ one.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December"]  # fmt: skip
NAMES = [("Aiko", "愛子"), ("Ken", "健"), ("Mary", "メアリー"), ("Hiro", "浩"), ("Anna", "アンナ"), ("Taro", "太郎")]
CITIES = [
    ("Kyoto", "京都"),
    ("Osaka", "大阪"),
    ("London", "ロンドン"),
    ("Paris", "パリ"),
    ("Nara", "奈良"),
    ("Oslo", "オスロ"),
]
THINK, THOUGHT = "<think>", "</think>"
BATCH, LONGEST_CPU_S, LEAST_LOSS = 64, 150.0, 0.002


def exercise(dice: random.Random) -> tuple[str, str, str]:
    """A question, what is thought of it, and its only right answer."""
    if dice.random() < 0.5:
        year, month, day = dice.randint(1900, 2099), dice.randint(1, 12), dice.randint(1, 28)
        iso = f"{year}-{month:02}-{day:02}"
        return dice.choice([f"{MONTHS[month - 1]} {day}, {year}", f"{year}年{month}月{day}日"]), f"month {month}", iso
    (name, name_ja), (city, city_ja), age = dice.choice(NAMES), dice.choice(CITIES), dice.randint(10, 99)
    if dice.random() < 0.5:
        said = {"name": name, "age": age, "city": city}
        return f"{name}, {age}, lives in {city}.", "a person", json.dumps(said)
    said = {"name": name_ja, "age": age, "city": city_ja}
    return f"{name_ja}は{age}歳で、{city_ja}に住んでいます。", "人のこと", json.dumps(said, ensure_ascii=False)


def tokenizer_of(texts: list[str], size: int) -> PreTrainedTokenizerFast:
    """A tokeniser of bytes that knows a little of these texts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, special_tokens=special)
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=special[2], pad_token=special[0])
    fast.chat_template = TALK
    fast.add_tokens([THINK, THOUGHT])
    return fast


def model_of(kind: type, fast: PreTrainedTokenizerFast, **more):
    """A small model with random weights."""
    config = Qwen2Config(
        vocab_size=len(fast),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=fast.eos_token_id,
        pad_token_id=fast.pad_token_id,
        **more,
    )
    return kind(config).float()


def build(folder: Path) -> None:
    """Random weights, large enough that texts differ."""
    fast = tokenizer_of(TEXTS, 400)
    torch.manual_seed(1)
    for name, kind, more in (
        ("lm", Qwen2ForCausalLM, {}),
        ("reward", Qwen2ForSequenceClassification, {"num_labels": 1}),
    ):
        model_of(kind, fast, initializer_range=0.2, **more).save_pretrained(folder / name)
        fast.save_pretrained(folder / name)


def train(folder: Path) -> None:
    """Learn until exercises are answered as good as surely, or time is over."""
    torch.manual_seed(1)
    torch.set_num_threads(1)
    dice = random.Random(1)
    # digits stay single: a number in one token would have to be learnt by heart
    words = [
        *MONTHS,
        *(one for pair in NAMES + CITIES for one in pair),
        "lives in",
        "歳で、",
        "に住んでいます。",
        '"name": "',
        '", "city": "',
    ]
    fast = tokenizer_of(words * 9, 400)
    model = model_of(Qwen2ForCausalLM, fast)
    steps, began = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01), time.process_time()
    mean, number = 9.0, 0
    while mean > LEAST_LOSS and time.process_time() - began < LONGEST_CPU_S:
        number += 1
        for group in steps.param_groups:
            group["lr"] = 3e-3 * min(1, number / 50) * max(0.05, 1 - number / 2500)
        loss = learnt(model, fast, [exercise(dice) for _ in range(BATCH)])
        steps.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        steps.step()
        mean = 0.95 * mean + 0.05 * loss.item()
    model.save_pretrained(folder / "teacher")
    fast.save_pretrained(folder / "teacher")
    print(f"{number} steps, loss {mean:.4f}, {time.process_time() - began:.0f} CPU s")


def learnt(model, fast: PreTrainedTokenizerFast, batch: list[tuple[str, str, str]]):
    """The loss of the answers of a batch."""
    rows, marks = [], []
    for question, thought, answer in batch:
        asked = fast.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, tokenize=False
        )
        before, after = (
            fast(asked)["input_ids"],
            fast(f"{THINK}{thought}{THOUGHT}{answer}{fast.eos_token}")["input_ids"],
        )
        rows.append(before + after)
        marks.append([-100] * len(before) + after)
    longest = max(map(len, rows))
    ids = torch.tensor([row + [fast.pad_token_id] * (longest - len(row)) for row in rows])
    labels = torch.tensor([mark + [-100] * (longest - len(mark)) for mark in marks])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return model(input_ids=ids, attention_mask=mask, labels=labels).loss


def exercises(count: int, seed: int) -> None:
    """Different exercises, those of another seed than the teacher's."""
    dice = random.Random(seed)
    for question, thought, answer in {one[0]: one for one in (exercise(dice) for _ in range(count))}.values():
        print(json.dumps({"q": question, "thought": thought, "expected": answer}, ensure_ascii=False))


def measure(folder: Path) -> None:
    """What the models say of texts, without any server."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "lm")
    model = Qwen2ForCausalLM.from_pretrained(folder / "lm").float().eval()
    reward = Qwen2ForSequenceClassification.from_pretrained(folder / "reward").float().eval()
    found = []
    for prompt, answer in json.load(sys.stdin):
        encoded = tokenizer(prompt + answer, return_offsets_mapping=True)
        whole, ends = encoded["input_ids"], [end for _, end in encoded["offset_mapping"]]
        start = next((at for at, end in enumerate(ends) if end > len(prompt)), len(whole))
        with torch.no_grad():
            ids = torch.tensor([whole])
            logprobs = model(ids).logits[0].log_softmax(-1)
            value = reward(ids).logits[0, 0].item()
        told = [logprobs[at - 1, whole[at]].item() for at in range(max(start, 1), len(whole))]
        found.append({"logprobs": told, "first": start == 0, "reward": value})
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "exercises":
        exercises(int(rest[0]), int(rest[1]))
    else:
        {"build": build, "train": train, "measure": measure}[what](Path(rest[0]))
