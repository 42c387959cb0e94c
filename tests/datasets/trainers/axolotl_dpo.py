"""Axolotl's DPO, `type: chat_template.default` with `field_messages: prompt`: prompt and both answers of each pair."""

import json
import sys

from axolotl.prompt_strategies.dpo.chat_template import default
from axolotl.utils.dict import DictDefault
from datasets import load_dataset
from transformers import AutoTokenizer

words = AutoTokenizer.from_pretrained(sys.argv[2])
wanted = DictDefault({"datasets": [{"type": "chat_template.default", "field_messages": "prompt"}]})
made = default(wanted)
transform = made[0] if isinstance(made, tuple) else made
rows = load_dataset("parquet", data_files=sys.argv[1], split="train")
print(json.dumps([transform(row, tokenizer=words) for row in rows]))
