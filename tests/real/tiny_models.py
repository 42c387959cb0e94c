"""Builds two tiny random models, or measures texts with them: run by the Python that has torch and transformers.

`tiny_models.py build FOLDER` saves a language model as FOLDER/lm and a reward model as FOLDER/reward.
`tiny_models.py measure FOLDER` reads `[[prompt, answer], ...]` from stdin and writes for each the log-probabilities of
the answer's tokens and the reward of the whole text.
"""

import json
import sys
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


def build(folder: Path) -> None:
    """Random weights, large enough that texts differ, and a tokeniser of bytes that knows a little of two languages."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, special_tokens=special)
    tokenizer.train_from_iterator(TEXTS, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=special[2], pad_token=special[0])
    fast.chat_template = TALK
    torch.manual_seed(1)
    for name, kind, more in (
        ("lm", Qwen2ForCausalLM, {}),
        ("reward", Qwen2ForSequenceClassification, {"num_labels": 1}),
    ):
        config = Qwen2Config(
            vocab_size=len(fast),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=1024,
            initializer_range=0.2,
            tie_word_embeddings=False,
            bos_token_id=None,
            eos_token_id=fast.eos_token_id,
            pad_token_id=fast.pad_token_id,
            **more,
        )
        kind(config).float().save_pretrained(folder / name)
        fast.save_pretrained(folder / name)


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
    {"build": build, "measure": measure}[sys.argv[1]](Path(sys.argv[2]))
