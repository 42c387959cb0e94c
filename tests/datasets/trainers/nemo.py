"""NeMo AutoModel: what its chat dataset reads of a file, and what of it counts in the loss."""

import json
import sys

from nemo_automodel.components.datasets.llm.chat_dataset import ChatDataset
from transformers import AutoTokenizer

words = AutoTokenizer.from_pretrained(sys.argv[2])
rows = ChatDataset(sys.argv[1], tokenizer=words)
told = [[words.decode([*row["input_ids"]]), words.decode([one for one in row["labels"] if one >= 0])] for row in rows]
print(json.dumps(told))
