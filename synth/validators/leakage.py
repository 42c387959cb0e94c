"""The text holds nothing of how it was made: no template, no prompt, no word of the model about itself."""

from __future__ import annotations

import re
from typing import Literal

from synth.errors import Rejected
from synth.text import fold, prose, subject
from synth.types import Sample, Value

TEMPLATE = re.compile(
    r"<\|[a-z][\w ]{1,30}\|>|</?(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>|</s>|<(?:bos|eos|pad|unk)>|\[(?:PAD|UNK|CLS|SEP)\]"
    r"|</?think(?:ing)?>|^\#{3} ?(?:Instruction|Response|Human|Assistant|指示|応答)\s*(?:[:：]|$)"
    r"|\{\{ ?[\w.]+ ?\}\}|\{%-? (?:if|for|set|end\w+)\b",
    re.MULTILINE,
)
"""Control tokens of chat templates (ChatML, Llama, Mistral, Gemma), headings of Alpaca's, fields of Jinja's."""
TURN = re.compile(
    r"\n\s*(?:\*\*)?(?:(?:User|Human|ユーザー?|利用者|人間)(?:\*\*)?\s*[:：]|(?:Assistant|AI|Bot|Model|アシスタント)(?:\*\*)?\s*[:：](?=[^\n]*\n[\s\S]*^(?:User|Human|ユーザー?|利用者)\s*[:：]))",
    re.MULTILINE,
)
DIALOGUE = re.compile(
    r"dialog|conversation|chat|\bbot\b|script|role.?play|prompt|interview|transcript|user|human|会話|対話|台本|チャット|ボット|ロールプレイ|プロンプト|インタビュー|ユーザ|利用者|人間",
    re.IGNORECASE,
)
PROMPT = re.compile(
    r"\b(?:the|my)\s+system\s+(?:prompt|message|instructions?)\b|\bmy\s+(?:initial\s+)?instructions\s+(?:say|state|tell|are|were)\b"
    r"|\bI\s+(?:was|am|have\s+been)\s+(?:instructed|told|programmed|prompted|asked)\s+(?:by\s+(?:the|my)\s+(?:developers?|system|operator|creators?)|in\s+my\s+(?:instructions|prompt))"
    r"|私(?:への|に与えられた)指示|システム(?:プロンプト|メッセージ|の?指示)|(?:開発者|運営者?|管理者)から(?:の指示|.{0,6}指示され)",
    re.IGNORECASE,
)
MAKERS = r"(?:Open\s?AI|Anthropic|Google(?:\s+DeepMind)?|DeepMind|Meta(?:\s+AI)?|Microsoft|Alibaba(?:\s+Cloud)?|Mistral(?:\s+AI)?|DeepSeek|xAI|Cohere|Baidu|Moonshot\s+AI|Zhipu)"
MODELS = r"(?:Chat-?GPT|GPT-?[345][\w.]*|Claude|Gemini|Llama|Qwen|Mistral|DeepSeek|Grok|Bard|Kimi|Copilot)"
MODEL = r"(?:(?:large\s+|trained\s+)?language\s+model|AI(?:\s+(?:language\s+)?(?:model|assistant|system|program|chatbot))?|artificial\s+intelligence|(?:virtual|digital)\s+assistant|chat\s?bot|LLM)"
NAMED = re.compile(
    rf"\b(?:I\s+am|I['’]m|my\s+name\s+is|you\s+can\s+call\s+me)\s+(?:called\s+)?{MODELS}\b"
    rf"|\bI(?:\s+am|['’]m|\s+was|\s+have\s+been)\s+(?:an?\s+{MODEL},?\s+)?(?:created|developed|made|trained|built|designed)\s+(?:and\s+\w+\s+)?by\s+{MAKERS}"
    rf"|(?:私|わたし|僕)は、?[^。\n]{{0,20}}{MAKERS}(?:社)?(?:が|によって|により|に)(?:開発|作成|訓練|作ら|トレーニング|学習)[^。\n]{{0,16}}(?:モデル|AI|アシスタント|私|わたし|です)"
    rf"|(?:私|わたし|僕)(?:の名前)?は、?(?:[^。\n]{{0,24}}の)?{MODELS}(?:です|と(?:申|い|言)|、)|{MODELS}(?:と申します|として(?:お答え|回答|説明))",
    re.IGNORECASE,
)
ITSELF = re.compile(
    rf"\b(?:as|being)\s+an?\s+{MODEL}\b,?\s*(?:\w+ly,?\s+)?(?:created|developed|trained|made|I\b|my\b)|\bI(?:\s+am|['’]m)\s+(?:just\s+|only\s+)?an?\s+{MODEL}\b"
    r"|\bmy\s+(?:training(?:\s+data)?|knowledge)\s+(?:cut-?off|only|ends?|is\s+(?:limited|current)|includes|goes|was|up\s+to)|\bmy\s+(?:last\s+)?knowledge\s+update\b|\bI\s+was\s+trained\s+on\b"
    r"|(?:\A|[。、\n(（])\s*(?:私は?、?)?(?:AI|人工知能|(?:大規模)?言語モデル)(?:言語モデル|モデル|アシスタント)?(?:として[、はの私]|なので|ですので|であるため|である私|の私)"
    r"|(?:私|わたし|僕)は、?(?:[^。\n]{0,20}(?:された|した|れた))?、?(?:AI|人工知能|(?:大規模)?言語モデル|チャットボット)(?:アシスタント|言語モデル|モデル)?(?:です|なので|であり|ですので|であるため)"
    r"|(?:私|わたし)の(?:学習データ|知識|訓練データ|トレーニングデータ)(?:は|の(?:範囲|カットオフ|期限))",
    re.IGNORECASE,
)
ABOUT_AI = re.compile(
    r"\bAI\b|artificial intelligence|language model|\bLLM|chat\s?bot|assistant|人工知能|言語モデル|アシスタント|チャットボット|(?<![A-Za-z])AI(?![A-Za-z])",
    re.IGNORECASE,
)
ABOUT_PROMPTS = re.compile(r"prompt|system message|instruction|プロンプト|システムメッセージ|指示", re.IGNORECASE)
TEMPLATE_MARKS = ("<", "[", "#", "{")
PROMPT_MARKS = ("system", "instruct", "i was ", "i am ", "i have been ", "システム", "指示")
SELF_MARKS = (
    *("chat", "gpt", "claude", "gemini", "llama", "qwen", "mistral", "deepseek", "grok", "bard", "kimi", "copilot"),
    *("openai", "open ai", "anthropic", "google", "meta", "microsoft", "alibaba", "xai", "cohere", "baidu", "moonshot"),
    *("zhipu", "model", "artificial", "assistant", "llm", "my training", "my knowledge", "i was trained"),
    *(
        "人工知能",
        "言語モデル",
        "アシスタント",
        "チャットボット",
        "学習データ",
        "訓練データ",
        "トレーニングデータ",
        "知識",
    ),
)
"""Of which a text holds one if the patterns are to be looked for at all: they cost a hundred times as much."""
AI = re.compile(r"\bAIs?\b|AI(?![A-Za-z])", re.ASCII)
SENTENCE = re.compile(r"(?<=[.!?。！？])\s*|\n+")
LONG_CHARS, LONG_CHARS_JA = 40, 20


class Leakage(Value):
    """Refuse a text that shows its making: control tokens and invented turns, the prompt, the model's name and nature.

    Code is not looked at, nor is what the question itself is about. The system turn is known only to samples that
    carry one; of other prompts only talk about them is seen.
    """

    kind: Literal["leakage"] = "leakage"

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`template_leak`), Rejected(`prompt_leak`) or Rejected(`self_identification`)."""
        text = subject(sample)
        question = sample.question() if sample.answer() else ""
        system = next((turn.content for turn in sample.messages if turn.role == "system"), "")
        if detail := find_template_leak(text, question):
            raise Rejected("template_leak", detail)
        if detail := find_prompt_leak(text, system, question):
            raise Rejected("prompt_leak", detail)
        if detail := find_self_identification(text, question):
            raise Rejected("self_identification", detail)


def find_template_leak(text: str, question: str = "") -> str | None:
    """A control token, heading or turn of a chat template in a text; None when there is none that it may not hold."""
    plain = prose(text)
    for found in TEMPLATE.finditer(plain) if any(mark in plain for mark in TEMPLATE_MARKS) else ():
        if found[0].strip("# :：") not in question:
            return found[0]
    turn = TURN.search(plain) if "\n" in plain and (":" in plain or "：" in plain) else None
    return turn[0].strip() if turn and not DIALOGUE.search(question) else None


def find_prompt_leak(text: str, system: str = "", question: str = "") -> str | None:
    """A long sentence of the system turn, or words about the prompt; None when there are none."""
    if system:
        folded, asked = fold(text), fold(question)
        for sentence in SENTENCE.split(system):
            long = LONG_CHARS if sentence.isascii() else LONG_CHARS_JA
            if len(sentence) >= long and (one := fold(sentence)) in folded and one not in asked:
                return f"a sentence of the system turn: {sentence[:80]!r}"
    plain = prose(text)
    lower = plain.lower()
    found = PROMPT.search(plain) if any(mark in lower for mark in PROMPT_MARKS) else None
    return found[0] if found and not ABOUT_PROMPTS.search(question) else None


def find_self_identification(text: str, question: str = "") -> str | None:
    """The words with which a model names itself, its maker or its nature; None when it does not."""
    plain = prose(text)
    lower = plain.lower()
    if not (AI.search(plain) or any(mark in lower for mark in SELF_MARKS)):
        return None
    if found := NAMED.search(plain):
        return found[0]
    found = ITSELF.search(plain)
    return found[0].strip() if found and not ABOUT_AI.search(question) else None
