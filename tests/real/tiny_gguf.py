"""Writes a tiny GGUF model, and serves it by llama.cpp's own server: run by the Python that has gguf and xllamacpp.

`tiny_gguf.py write FILE` writes a model of one layer that says `SAID` after a line's end and then stops; what else may
follow what is chance, so that a grammar finds something to choose from.
`tiny_gguf.py serve FILE PORT` serves it under the name `tiny` until it is ended.
"""

import signal
import sys
from itertools import pairwise

import gguf
import numpy as np

SAID = ["答えは", "四十二", "です。"]
WHOLE = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TALK = (
    "{% for one in messages %}<|im_start|>{{ one.role }}\n{{ one.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WIDTH, CONTEXT, SLOTS = 320, 2048, 4
SURE = 14.0
"""How much likelier than chance the right token is, as a logit."""


def letters() -> list[str]:
    """What GPT-2's vocabulary calls each byte: itself where it can be seen, else a letter beyond them."""
    seen = {*range(33, 127), *range(161, 173), *range(174, 256)}
    rest = iter(range(256, 512))
    return [chr(byte if byte in seen else next(rest)) for byte in range(256)]


def write(path: str) -> None:
    """Embeddings that are apart from each other, a layer that adds nothing, and an output that knows what follows."""
    byte = letters()
    words = ["".join(byte[one] for one in text.encode()) for text in SAID]
    tokens = [*byte, "he", *words, *WHOLE]  # a vocabulary without any merge is refused
    place = {token: number for number, token in enumerate(tokens)}
    control = gguf.TokenType.CONTROL
    model = gguf.GGUFWriter(path, "llama")
    model.add_context_length(CONTEXT)
    model.add_embedding_length(WIDTH)
    model.add_block_count(1)
    model.add_feed_forward_length(WIDTH)
    model.add_head_count(5)
    model.add_head_count_kv(5)
    model.add_layer_norm_rms_eps(1e-6)
    model.add_vocab_size(len(tokens))
    model.add_tokenizer_model("gpt2")
    model.add_tokenizer_pre("gpt-2")
    model.add_token_list(tokens)
    model.add_token_types([control if token in WHOLE else gguf.TokenType.NORMAL for token in tokens])
    model.add_token_merges(["h e"])
    model.add_bos_token_id(place[WHOLE[0]])
    model.add_eos_token_id(place[WHOLE[2]])
    model.add_pad_token_id(place[WHOLE[0]])
    model.add_add_bos_token(False)
    model.add_chat_template(TALK)
    unit = WIDTH**-0.5  # the norm before the output makes the one member of an embedding so large
    output = np.random.default_rng(1).standard_normal((len(tokens), WIDTH)).astype(np.float32) * unit
    said = [byte[ord("\n")], *words, WHOLE[2]]
    for before, after in pairwise(said):
        output[place[after], place[before]] = SURE * unit
    nothing, ones = np.zeros((WIDTH, WIDTH), np.float32), np.ones(WIDTH, np.float32)
    model.add_tensor("token_embd.weight", np.eye(len(tokens), WIDTH, dtype=np.float32))
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        model.add_tensor(f"blk.0.{name}.weight", nothing)
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        model.add_tensor(f"{name}.weight", ones)
    model.add_tensor("output.weight", output)
    model.write_header_to_file()
    model.write_kv_data_to_file()
    model.write_tensors_to_file()
    model.close()


def serve(path: str, port: str) -> None:
    """llama.cpp's server as `llama-server` starts it, with its figures at /metrics."""
    import xllamacpp

    options = xllamacpp.CommonParams()
    options.model.path = path
    options.model_alias = {"tiny"}
    options.n_ctx = SLOTS * CONTEXT
    options.n_parallel = SLOTS
    options.cpuparams.n_threads = 1
    options.hostnames = ["127.0.0.1"]
    options.port = int(port)
    options.endpoint_metrics = True
    options.warmup = False
    server = xllamacpp.Server(options)
    print(server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    {"write": write, "serve": serve}[what](*rest)
