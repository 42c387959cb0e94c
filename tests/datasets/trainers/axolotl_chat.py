"""Axolotl, `type: chat_template`: what it makes of a file, and what of it counts in the loss."""

import json
import sys

from axolotl.prompt_strategies.chat_template import StrategyLoader
from axolotl.utils.dict import DictDefault
from datasets import load_dataset
from transformers import AutoTokenizer

words = AutoTokenizer.from_pretrained(sys.argv[2])
wanted = DictDefault({"type": "chat_template", "roles_to_train": ["assistant"], "train_on_eos": "turn"})
strategy = StrategyLoader()(words, DictDefault({"sequence_len": 2048}), ds_cfg=wanted)
told = []
for row in load_dataset("parquet", data_files=sys.argv[1], split="train"):
    made = strategy.tokenize_prompt(row)
    told.append([words.decode(made["input_ids"]), words.decode([one for one in made["labels"] if one >= 0])])
print(json.dumps(told))
