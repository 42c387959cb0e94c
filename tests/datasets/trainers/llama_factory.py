"""LLaMA-Factory: what of a registered file counts in the loss with its template qwen3, of pairs in both answers."""

import json
import sys

from llamafactory.data.loader import get_dataset
from llamafactory.data.template import get_template_and_fix_tokenizer
from llamafactory.hparams import DataArguments, ModelArguments
from transformers import AutoTokenizer, Seq2SeqTrainingArguments

words = AutoTokenizer.from_pretrained(sys.argv[2])
wanted = DataArguments(dataset_dir=sys.argv[1], dataset="rows", template="qwen3", cutoff_len=4096, overwrite_cache=True)
template = get_template_and_fix_tokenizer(words, wanted)
model = ModelArguments(model_name_or_path=sys.argv[2])
training = Seq2SeqTrainingArguments(output_dir=f"{sys.argv[1]}/out", use_cpu=True)
stage, kinds = sys.argv[3], {"sft": [""], "rm": ["chosen_", "rejected_"]}
rows = get_dataset(template, model, wanted, training, stage=stage, tokenizer=words)["train_dataset"]
told = [[words.decode([one for one in row[f"{kind}labels"] if one >= 0]) for kind in kinds[stage]] for row in rows]
print(json.dumps(told))
