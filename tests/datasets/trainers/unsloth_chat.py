"""Unsloth: what it makes of a file, rendered as its notebooks do, and what it then trains on."""

import json
import sys

import unsloth  # noqa: F401 (it has to come first)
from datasets import load_dataset
from transformers import AutoTokenizer
from unsloth.chat_templates import standardize_data_formats, train_on_responses_only

words = AutoTokenizer.from_pretrained(sys.argv[2])
rows = standardize_data_formats(load_dataset("parquet", data_files=sys.argv[1], split="train"))
tools = [json.loads(row["tools"]) if row["tools"] else None for row in rows]
texts = [
    words.apply_chat_template(row["messages"], tools=offered, tokenize=False)
    for row, offered in zip(rows, tools, strict=True)
]
mask = train_on_responses_only(
    None, instruction_part="<|user|>", response_part="<|assistant|>", tokenizer=words, return_function=True
)
encoded = [words(text, add_special_tokens=False)["input_ids"] for text in texts]
labels = mask({"input_ids": encoded})["labels"]
told = [[text, words.decode([one for one in row if one >= 0])] for text, row in zip(texts, labels, strict=True)]
print(json.dumps(told))
