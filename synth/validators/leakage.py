"""The text holds nothing of how it was made: no template, no prompt, no word of the model about itself."""

from __future__ import annotations

import re
from typing import Literal

from synth.errors import Rejected
from synth.language.text import fold, prose, subject
from synth.patterns import lazy
from synth.types import Sample, Value
from synth.validators.identity import find_self_identification

TEMPLATE = lazy(
    r"<[|｜](?!\s)[^<>\n|｜]{1,40}(?<!\s)[|｜]>|\[\|\w{1,20}\|\]|<[|｜]?[a-z_]{2,20}[|｜]>|(?<!\w)[a-z]{2,8}_(?:start|end|id|sep)\|>|◁/?\w{1,20}▷"
    r"|</?(?:start|end)_of_(?:turn|text|image|utterance)>|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS|THINK|ASSISTANT|USER)\]|<</?[A-Z_]{3,40}>>"
    r"|</s>|^[ \t]*<s>|<(?:bos|eos|eod|eop|sop|pad|unk|sep|mask|NL|BOS|EOS|PAD|UNK)>|<(?:extra_id_|unused|reserved_|0x)\w{1,6}>|\[(?:PAD|UNK|CLS|SEP|gMASK|EOS|BOS)\]"
    r"|</?(?:think(?:ing)?|reasoning|scratchpad|reflection|thought|tool_response|final_answer|response|human|bot|assistant|回答|思考|応答|答え)>|^[ \t]*<answer>|</answer>\s*\Z"
    r"|^\#{2,4} ?(?:Instructions?|Response|Human|Assistant|System|指示|応答)\s*(?:[:：]|$)|^\#{3,4} ?(?:User|Input|Output|Answer|Question|入力|出力|回答|質問)\s?[:：]"
    r"|\A\s*(?:\*\*)?(?:GPT4 Correct )?(?:Assistant|ASSISTANT|AI|Bot|Model|System|SYSTEM|アシスタント|システム)(?:\*\*)?\s?[:：]|\A(?:USER|User|Human|ユーザー)\s?[:：]|\bASSISTANT:|\A(?:assistant|model|user|system)\s*\n"
    r"|\n(?:user|assistant|model|system)[ \t]*\n|\Aanalysis(?=[A-Z\u3040-\u9fff])|assistant(?:final|analysis|commentary)"
    r"|Below is an instruction that describes a task|以下は、?タスクを説明する指示"
    r"|\{\{ ?[#/>]?[\w. ]{1,40} ?\}\}|\{%-? ?(?:if|for|set|else|end\w+)\b",
    re.MULTILINE,
)
"""Control tokens of chat templates (ChatML, Llama, Mistral, Gemma, DeepSeek, GLM, EXAONE, Harmony, with their brackets
or what is left without them), headings of Alpaca's and Vicuna's, fields of Jinja's and Handlebars'."""
TURN = lazy(
    r"\n[ \t]*(?:\*\*)?(?:User|Human|USER|ユーザー?|利用者|人間)(?:\*\*)?\s?[:：]|\n(?:Q|Question|質問|問)\s?[:：][^\n]*\n+(?:A|Answer|回答|答え|答)\s?[:：][^\n]*\s*\Z"
)
"""A turn that nobody took: the model goes on with the conversation alone."""
DIALOGUE = lazy(
    r"dialog|conversation|chat|quiz|\bQ&A|FAQ|exercise|questions\b|\bbot\b|\bscript\b|role.?play|prompt|interview|transcript|user|human|会話|対話|台本|チャット|ボット|ロールプレイ|プロンプト|インタビュー|クイズ|問答|よくある質問|質問を|ユーザ|利用者|人間",
    re.IGNORECASE,
)
GIVEN = r"(?:instructions?|guidelines?|prompt|rules|constraints|configuration|system\s+(?:prompt|message)|developer\s+message|persona)"
TOLD = r"(?:instructed|told|programmed|prompted|configured|asked|directed|designed)"
PROMPT = lazy(
    rf"\b(?:the|my|this)\s+(?:system|developer)\s+(?:prompt|message|instructions?)\b|\bmy\s+(?:\w+\s+)?{GIVEN}\s+(?:say|state|tell|are|were|is|require|ask|forbid|prohibit|want|specif)"
    rf"|\bI(?:['’]ve|['’]m)?\s+(?:was|am|have\s+been|been|were)\s+{TOLD}\s+(?:by\s+(?:the|my)\s+(?:developers?|system|operator|creators?)|in\s+my\s+(?:instructions|prompt)|(?:not\s+)?to\s+(?:act|behave|answer|respond|reply|reveal|keep|speak|be|follow|avoid|use|never|always|pretend|play)\b)"
    rf"|\b(?:as\s+(?:instructed|requested|specified|required|stated|per)|according\s+to|per|following|based\s+on|in\s+line\s+with|given)\s+(?:(?:in|by)\s+)?(?:the|my|your)\s+(?:\w+\s+)?{GIVEN}(?:\s+(?:above|I\s+(?:was|have\s+been)\s+given|provided)|\s*,|\s+I\b)"
    rf"|\b{GIVEN}\s+I\s+(?:was|have\s+been|am)\s+given\b|\bthe\s+prompt\s+(?:says|asks|states|tells|requires|wants|specifies|instructs)\b|\b(?:satisf|follow|meet|fulfil|adher|compl)\w*\s+(?:\w+\s+)?(?:all\s+)?(?:of\s+)?the\s+(?:\w+\s+)?(?:constraints|instructions|requirements)\s+(?:in|of|from|given\s+in)\s+the\s+(?:prompt|instructions?)"
    r"|\bthe\s+user(?:['’]s\s+(?:asking|request\s+is|question\s+is)|\s+(?:is\s+asking|asks|asked|wants|wanted|would\s+like|is\s+requesting|has\s+asked|is\s+looking|needs\s+me|said))\b"
    r"|私(?:への|に与えられた)指示|システム(?:プロンプト|メッセージ|の?指示|設定)|(?:開発者|運営者?|管理者)から(?:の指示|.{0,6}指示され)|ユーザー?は[^。\n]{0,50}(?:尋ねて|求めて|聞いて|知りた|質問して|望んで|依頼して|要求して|ほし|欲し)"
    r"|(?:プロンプト|与えられた指示|上記の指示|事前の指示|指定された(?:条件|形式|ルール)|ご?要件)[^。\n]{0,4}(?:に(?:よ[るれり]|従|沿|基づ|は|ある)|では|どおり|通り|の(?:とおり|通り|指示))|指示(?:された|されている|の)(?:とおり|通り)(?:に|、|、?簡潔)|(?:よう|こと)に?(?:と)?指示(?:されて|を受けて)|(?:と|よう)(?:設定|プログラム)されて(?:いま|おり)"
    r"|(?:\A|[。\n])(?:設定上|ルール(?:では|上)|指示により|仕様上)[、^。\n]{0,1}[^。\n]{0,30}(?:ことになって|決まりで|禁じられ|許され|ません)",
    re.IGNORECASE | re.MULTILINE,
)
OPENER = lazy(
    r"\A\W{0,4}You\s+are\s+an?\s+[\w\s,-]{3,60}?\s(?:who|that|and\s+(?:must|never|always))\s|\A\[(?:Persona|Role|Tone|Audience|Style|System|Task)\s?:|\ATask\s?:[^\n]+(?:Constraints|Output|Format)\s?:|\AYou\s+(?:have\s+)?asked\s+me\s+to\s+act\b|\A[(（\[](?:内部メモ|メモ|思考|下書き|internal|note\s+to\s+self)"
    r"|\A\W{0,4}あなたは、?[^。\n]{2,40}です。[^\n]{0,120}(?:ください|なさい|こと。)|\A[^。\n]{0,60}(?:て|で)ください。[^\n]{0,80}(?:不要です|のみ|こと。|含めない|以内)"
    r"|\A\W{0,4}(?:You\s+are|You['’]re|Act\s+as|Assume\s+the\s+role\s+of)\s+(?:an?|the)\s+(?:\w+[\s-]+){0,3}?(?:assistant|AI|chatbot|tutor|teacher|expert|translator|writer|bot|agent|model)\b"
    r"|\A\W{0,4}(?:Your\s+(?:task|job|role|goal)\s+is\s+to|(?:Answer|Respond\s+to)\s+the\s+(?:following\s+)?(?:user['’]s\s+)?(?:question|query|request)|Output\s+format\s*:|(?:Constraints?|Rules|Instructions?)\s*:\s)"
    r"|\A\W{0,4}あなたは、?[^。\n]{0,40}(?:アシスタント|AI|教師|先生|専門家|プロ|チューター|エージェント|翻訳者|ライター|ボット|モデル)[^。\n]{0,12}です"
    r"|\A\W{0,4}(?:以下|次|下記)の(?:質問|問題|指示|文章|依頼)に[^。\n]{0,24}(?:答え|回答し|従っ)[^。\n]{0,8}(?:ください|下さい|なさい|せよ)",
    re.IGNORECASE,
)
"""With which a prompt begins, and an answer does not."""
HEADING = lazy(
    r"^(?:Output\s+format|System\s+prompt)\s*:|^\W{0,4}(?:制約条件|出力形式|出力フォーマット|命令書|システムプロンプト|入力文)\s*(?:[:：】]|$)",
    re.IGNORECASE | re.MULTILINE,
)
HEADING_MARKS = ("output", "system", "制約条件", "出力", "命令書", "システム", "入力文")
"""And with which a line of one begins."""
ABOUT_PROMPTS = lazy(r"prompt|system message|instruction|プロンプト|システムメッセージ|指示", re.IGNORECASE)
TEMPLATE_MARKS = (
    "[",
    "#",
    "{",
    "◁",
    "|>",
    "assistant",
    "user",
    "model\n",
    "system",
    "analysis",
    "below is",
    "以下は",
)
ANGLE = lazy(r"<(?:<?/?[A-Za-z_|｜回思応答]|0x)")
"""How tags begin, and neither comparisons nor the notes `<<2*3=6>>` of a calculation."""
PROMPT_MARKS = (
    *(
        "system",
        "instruct",
        "prompt",
        "guideline",
        "rules",
        "constraint",
        "requirement",
        "configur",
        "persona",
        "the user",
    ),
    *(
        "i was",
        "i am",
        "i've been",
        "i have been",
        "i'm ",
        "developer",
        "指示",
        "プロンプト",
        "システム",
        "ユーザ",
        "条件",
        "形式",
    ),
    *("設定", "プログラム", "ルール", "仕様", "開発者", "運営", "管理者", "要件"),
)
CODE = lazy(r"^\s*(?:def|import|from|class|#include|public|function)\b|[{};]\s*$", re.MULTILINE)
"""Code is completed by saying it again."""
SENTENCE = lazy(r"(?<=[.!?。！？])\s*|\n+")
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
    lower, start = plain.lower(), plain[:30]
    marked = ":" in start or "：" in start or any(map(lower.__contains__, TEMPLATE_MARKS))
    marked = marked or ("<" in plain and ANGLE.search(plain) is not None)
    for found in TEMPLATE.finditer(plain) if marked else ():
        if found[0].strip("# :：\n") not in question and not (found[0][-1] in ":：" and DIALOGUE.search(question)):
            return found[0].strip()
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
    found = PROMPT.search(plain) if any(map(lower.__contains__, PROMPT_MARKS)) else None
    if found is None and question:
        headed = any(map(lower.__contains__, HEADING_MARKS))
        opener = OPENER.match(plain) or (HEADING.search(plain) if headed else None)
        found = opener if opener and fold(opener[0]) not in fold(question) else None
    if found and not ABOUT_PROMPTS.search(question):
        return found[0]
    long = LONG_CHARS if question.isascii() else LONG_CHARS_JA
    echoed = len(question) >= long and len(text) > len(question) and fold(text).startswith(fold(question))
    return f"the question itself: {question[:80]!r}" if echoed and not CODE.search(question) else None
