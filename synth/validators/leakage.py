"""The text holds nothing of how it was made: no template, no prompt, no word of the model about itself."""

from __future__ import annotations

import re
from typing import Literal

from synth.errors import Rejected
from synth.text import fold, prose, subject
from synth.types import Sample, Value

TEMPLATE = re.compile(
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
TURN = re.compile(
    r"\n[ \t]*(?:\*\*)?(?:User|Human|USER|ユーザー?|利用者|人間)(?:\*\*)?\s?[:：]|\n(?:Q|Question|質問|問)\s?[:：][^\n]*\n+(?:A|Answer|回答|答え|答)\s?[:：][^\n]*\s*\Z"
)
"""A turn that nobody took: the model goes on with the conversation alone."""
DIALOGUE = re.compile(
    r"dialog|conversation|chat|quiz|\\bQ&A|FAQ|exercise|questions\\b|\bbot\b|\bscript\b|role.?play|prompt|interview|transcript|user|human|会話|対話|台本|チャット|ボット|ロールプレイ|プロンプト|インタビュー|クイズ|問答|よくある質問|質問を|ユーザ|利用者|人間",
    re.IGNORECASE,
)
GIVEN = r"(?:instructions?|guidelines?|prompt|rules|constraints|configuration|system\s+(?:prompt|message)|developer\s+message|persona)"
TOLD = r"(?:instructed|told|programmed|prompted|configured|asked|directed|designed)"
PROMPT = re.compile(
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
OPENER = re.compile(
    r"\A\W{0,4}You\s+are\s+an?\s+[\w\s,-]{3,60}?\s(?:who|that|and\s+(?:must|never|always))\s|\A\[(?:Persona|Role|Tone|Audience|Style|System|Task)\s?:|\ATask\s?:[^\n]+(?:Constraints|Output|Format)\s?:|\AYou\s+(?:have\s+)?asked\s+me\s+to\s+act\b|\A[(（\[](?:内部メモ|メモ|思考|下書き|internal|note\s+to\s+self)"
    r"|\A\W{0,4}あなたは、?[^。\n]{2,40}です。[^\n]{0,120}(?:ください|なさい|こと。)|\A[^。\n]{0,60}(?:て|で)ください。[^\n]{0,80}(?:不要です|のみ|こと。|含めない|以内)"
    r"|\A\W{0,4}(?:You\s+are|You['’]re|Act\s+as|Assume\s+the\s+role\s+of)\s+(?:an?|the)\s+(?:\w+[\s-]+){0,3}?(?:assistant|AI|chatbot|tutor|teacher|expert|translator|writer|bot|agent|model)\b"
    r"|\A\W{0,4}(?:Your\s+(?:task|job|role|goal)\s+is\s+to|(?:Answer|Respond\s+to)\s+the\s+(?:following\s+)?(?:user['’]s\s+)?(?:question|query|request)|Output\s+format\s*:|(?:Constraints?|Rules|Instructions?)\s*:\s)|^(?:Output\s+format|System\s+prompt)\s*:"
    r"|\A\W{0,4}あなたは、?[^。\n]{0,40}(?:アシスタント|AI|教師|先生|専門家|プロ|チューター|エージェント|翻訳者|ライター|ボット|モデル)[^。\n]{0,12}です"
    r"|\A\W{0,4}(?:以下|次|下記)の(?:質問|問題|指示|文章|依頼)に[^。\n]{0,24}(?:答え|回答し|従っ)[^。\n]{0,8}(?:ください|下さい|なさい|せよ)"
    r"|^\W{0,4}(?:制約条件|出力形式|出力フォーマット|命令書|システムプロンプト|入力文)\s*(?:[:：】]|$)",
    re.IGNORECASE | re.MULTILINE,
)
"""With which a prompt begins, and an answer does not."""
MAKERS = (
    r"(?:Open\s?AI|Anthropic|Google(?:\s+DeepMind)?|DeepMind|Meta(?:\s+AI)?|Microsoft|Alibaba(?:\s+Cloud)?|Mistral(?:\s+AI)?|DeepSeek|xAI|Cohere|Baidu|Moonshot(?:\s+AI)?|Zhipu(?:\s?AI)?|Tencent|ByteDance|MiniMax|01\.AI|Amazon|Apple|IBM|NVIDIA"
    r"|AI21(?:\s+Labs)?|Upstage|LG(?:\s+AI\s+Research)?|Naver|Kakao|Perplexity|Inflection|LMSYS|Hugging\s?Face|Stability\s?AI|Databricks|Salesforce|Samsung|Yandex|Technology\s+Innovation\s+Institute|TII|Nous\s+Research|Reka|rinna|ELYZA|Preferred\s+Networks|PFN|NTT|CyberAgent|LINE|LY\s?Corporation|Sakana\s?AI|Rakuten|NEC|SB\s+Intuitions|Stockmark|ABEJA|KARAKURI|Fujitsu"
    r"|オープン\s?AI|アンソロピック|グーグル|マイクロソフト|メタ社|アリババ(?:クラウド)?|バイドゥ|百度|テンセント|アマゾン|アップル|サイバーエージェント|ソフトバンク|楽天|富士通|国立情報学研究所|東京工業大学|東京科学大学|プリファード(?:ネットワークス)?|ストックマーク|リンナ|イライザ|サカナAI)"
)
MODELS = (
    r"(?:Chat-?\s?GPT|GPT-?\s?[345][\w.]*|Claude|Gemini|Gemma|PaLM|LaMDA|Llama|Qwen|Tongyi|Mistral|Mixtral|Ministral|DeepSeek|Grok|Bard|Kimi|Copilot|Command[\s-]R\+?|ERNIE(?:\s?Bot)?|Hunyuan|Doubao|Chat\s?GLM|GLM-?\d|Yi-\d|MiniMax|Phi(?:-?\d[\w.]*)?|Falcon|Nova|Alexa|Siri|Cortana|Bixby|Granite|Watson"
    r"|Nemotron|Jamba|Solar|EXAONE|HyperCLOVA(?:\s?X)?|Sonar|Vicuna|Alpaca|Zephyr|OLMo|T[uü]lu|Nous\s?Hermes|BLOOM|DBRX|InternLM|Baichuan|StableLM|ELYZA|PLaMo|tsuzumi|CALM\d?|Sarashina|Swallow|cotomi|Takane|rinna|LLM-jp|Karakuri|RakutenAI"
    r"|チャット\s?GPT|クロード|ジェミニ|コパイロット|グロック|文心一言|通義千問)"
)
MODEL = (
    r"(?:(?:\w+\s+)?(?:large\s+|small\s+|trained\s+|neural\s+|generative\s+|intelligence\s+)*language\s+model|(?:\w+\s+)?AI(?:[\s-]+(?:powered\s+)?(?:language\s+)?(?:model|assistant|system|program|chatbot|bot|tool))?|artificial\s+(?:intelligence(?:\s+(?:language\s+)?model)?|assistant)|(?:virtual|digital|automated)\s+assistant"
    r"|chat\s?bot|bot|LLM|(?:computer|software)\s+program|machine\s+learning\s+model)"
)
MADE = r"(?:created|developed|made|trained|built|designed|programmed|fine-?tuned|released|deployed)"
MADE_JA = r"(?:が|によって|により|に|の|社の|の手で)、?(?:独自に)?(?:開発|作成|訓練|作[らりっ]|トレーニング|学習|提供|設計|公開|生み出)"
ME = r"(?:私|わたし|わたくし|僕|ぼく|俺|当方)"
AI_JA = r"(?:(?:生成|対話型)?AI(?!エンジニア|研究|企業|業界|技術)|人工知能|(?:大規模|日本語)?言語モデル|チャットボット|(?:バーチャル|仮想|デジタル)アシスタント|プログラム)(?:言語モデル|モデル|アシスタント|チャットボット|プログラム)?"
NAMED = re.compile(
    rf"\bas\s+{MODELS}\b[\w.-]{{0,6}},?\s+I\b|\b(?:in\s+my\s+role\s+as|we\s+at)\s+(?:an?\s+)?(?:{MAKERS}|{MODELS})\b|{ME}は、?[^。\n]{{0,20}}{MAKERS}(?:社)?(?:が|に)[^。\n]{{0,10}}{MODELS}(?:なので|だから|です)|"
    rf"\b(?:I\s+am|I['’]m|my\s+name\s+is|(?:you\s+can\s+|just\s+)?call\s+me|(?:you(?:['’]re|\s+are)\s+)(?:talking|speaking|chatting)\s+(?:to|with))\s+(?:called\s+)?{MODELS}(?!['’]?\w|\s+(?:user|engineer|expert|developer))"
    rf"|\bAs\s+{MODELS},\s+I\b|(?:\A|[.!?\n]\s*)(?:this\s+is\s+{MODELS}\s*(?:[,.!]|from|by|here)|{MODELS}\s+here\s*[!,.])"
    rf"|\bI(?:\s+am|['’]m|\s+was|\s+have\s+been|['’]ve\s+been)\s+(?:an?\s+{MODEL}\s*,?\s+)?(?:\w+ly\s+)?{MADE}\s+(?:and\s+\w+\s+)?(?:by|at)\s+(?:the\s+(?:team|company|people|researchers)\s+(?:at\s+)?)?{MAKERS}\b"
    rf"|\b{MAKERS}\s+{MADE}\s+me\b|\bmy\s+(?:creators?|developers?|makers?)\b[\w\s,]{{0,12}}\b(?:at\s+)?{MAKERS}\b|\b(?:an?|the)\s+{MODEL}\s+(?:from|by|of)\s+{MAKERS}\b.{{0,20}}\bI\b"
    rf"|\bI(?:['’]m|\s+am)\s+(?:\w+,\s+)?an?\s+{MODEL}\s+(?:from|by|of)\b"
    rf"|{ME}は、?[^。\n]{{0,20}}{MAKERS}(?:社)?{MADE_JA}[^。\n]{{0,16}}(?:モデル|AI|アシスタント|{ME}|です)|(?:\A|[。\n])\s*{MAKERS}(?:社)?{MADE_JA}[^。\nがはも]{{0,20}}(?:モデル|AI|アシスタント|{MODELS})(?:として|です|と申|でござ|の{ME})"
    rf"|{ME}(?:の名前)?は、?(?:[^。\n]{{0,24}}(?:の|、))?{MODELS}(?:です|だ|と(?:申|い|言)|でござ|、)|{MODELS}(?:と申します|(?:として|が)(?:お答え|回答|説明|ご案内|お手伝い))|(?:\A|[、。\n！!]\s*){MODELS}です[。！!]"
    rf"|{ME}は、?[^。\n]{{0,12}}(?:{MAKERS}|{MODELS})[^。\n]{{0,12}}(?:もとに|基に|ベースに)[^。\n]{{0,4}}(?:作|開発|し)|{ME}は、?{MAKERS}社?の[^。\n]{{0,10}}(?:モデル|AI)",
    re.IGNORECASE,
)
ITSELF = re.compile(
    rf"\bbeing\s+(?:just\s+|only\s+)?an?\s+{MODEL}\s*[,.]|"
    rf"\b(?:(?:speaking\s+|acting\s+)?as|being|because\s+I(?:\s+am|['’]m)|since\s+I(?:\s+am|['’]m))\s+(?:just\s+|only\s+|merely\s+)?an?\s+{MODEL}\b,?\s*(?:\w+ly,?\s+)?(?:{MADE}|I\b|my\b|it\b)"
    rf"|\bI(?:\s+am|['’]m)\s+(?:\w+ly\s+|just\s+|but\s+|also\s+)?an?\s+{MODEL}\b(?!\s+(?:engineer|researcher|expert|developer|enthusiast|student))|\bI,\s+an?\s+{MODEL}\b"
    r"|\b(?:my|our)\s+(?:training(?:\s+data)?|knowledge(?:\s+base)?)\s+(?:cut-?off|only|ends?|is\s+(?:limited|current|up)|includes|goes|was|up\s+to|stops?|extends|does)|\b(?:in|on|from)\s+my\s+training\s+data\b|\b(?:as\s+of\s+)?my\s+(?:last|latest|most\s+recent)\s+(?:knowledge\s+)?(?:update|training)\b|\bI\s+was\s+(?:last\s+)?(?:trained|updated)\s+(?:on|in|up)\b|\bmy\s+knowledge\s+cut-?off\b"
    r"|\bI\s+(?:(?:do\s+not|don['’]t)\s+(?:actually\s+|really\s+)?(?:have|possess)\s+(?:any\s+)?|have\s+no\s+)(?:personal\s+(?:experiences?|opinions?|feelings|beliefs|preferences|emotions|memories)|(?:a\s+)?physical\s+(?:body|form)|consciousness|real-time\s+(?:access|information|data))"
    rf"|(?:\A|[。、\n(（※])\s*(?:{ME}は、?)?{AI_JA}(?:として[、はの私お説回]|なので|ですので|であるため|であ[るり]|の{ME}|だから|ゆえ|なもの|です(?:が|から|けど))|(?:当|弊社の?)AI|{ME}のような{AI_JA}"
    rf"|{AI_JA}(?:の|である){ME}|{ME}は、?(?:[^。\n]{{0,24}}(?:された|した|れた|った|の|という|持たない|ない|ただの|単なる))?、?{AI_JA}(?:の[ァ-ヶーA-Za-z]{{2,12}})?(?:です|なので|であ[るり]|ですので|だから|に(?:過|す)ぎ|でしか|でござ|だ。)"
    rf"|{ME}(?:が|に|の)(?:は)?(?:学習|訓練)(?:した|された|データ)[^。\n]{{0,20}}(?:情報|データ|まで|年)|{ME}の(?:学習データ|知識|訓練データ|トレーニングデータ)(?:は|の(?:範囲|カットオフ|期限))|{ME}に?は、?(?:個人的な|自分の)?[^。\n]{{0,8}}(?:感情|意識|実体|肉体|意見や感情)(?:や[^。\n]{{1,6}})?(?:が|は)(?:ありません|ない)"
    r"|AIによる(?:回答|生成)(?:のため|です|なので|であ)",
    re.IGNORECASE,
)
ABOUT_AI = re.compile(
    r"\bAI\b|artificial intelligence|language model|\bLLM|chat\s?bot|assistant|人工知能|言語モデル|アシスタント|チャットボット|(?<![A-Za-z])AI(?![A-Za-z])",
    re.IGNORECASE,
)
ABOUT_PROMPTS = re.compile(r"prompt|system message|instruction|プロンプト|システムメッセージ|指示", re.IGNORECASE)
TEMPLATE_MARKS = (
    "<",
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
SELF_MARKS = (
    *(
        "created by",
        "developed by",
        "made by",
        "built by",
        "trained by",
        "designed by",
        "trained me",
        "made me",
        "created me",
    ),
    *("openai", "anthropic", "google", "meta", "microsoft", "開発", "作られ", "作った"),
    *(
        "gpt",
        "claude",
        "gemini",
        "gemma",
        "palm",
        "lamda",
        "llama",
        "qwen",
        "tongyi",
        "mistral",
        "mixtral",
        "ministral",
    ),
    *(
        "deepseek",
        "grok",
        "bard",
        "kimi",
        "copilot",
        "command",
        "ernie",
        "hunyuan",
        "doubao",
        "glm",
        "yi-",
        "minimax",
        "phi",
    ),
    *(
        "falcon",
        "nova",
        "alexa",
        "siri",
        "cortana",
        "bixby",
        "granite",
        "watson",
        "nemotron",
        "jamba",
        "solar",
        "exaone",
    ),
    *(
        "hyperclova",
        "sonar",
        "vicuna",
        "alpaca",
        "zephyr",
        "olmo",
        "tulu",
        "tülu",
        "hermes",
        "bloom",
        "dbrx",
        "internlm",
    ),
    *("baichuan", "stablelm", "elyza", "plamo", "tsuzumi", "calm", "sarashina", "swallow", "cotomi", "takane", "rinna"),
    *("llm", "karakuri", "rakuten", "model", "artificial", "assistant", "bot", "computer program", "software program"),
    *(
        "my training",
        "my knowledge",
        "i was trained",
        "i was last",
        "my last",
        "my latest",
        "my most recent",
        "personal ",
    ),
    *(
        "physical",
        "consciousness",
        "real-time",
        "クロード",
        "ジェミニ",
        "コパイロット",
        "グロック",
        "文心",
        "通義",
        "人工知能",
    ),
    *(
        "モデル",
        "アシスタント",
        "チャットボット",
        "学習",
        "訓練",
        "トレーニング",
        "知識",
        "感情",
        "意識",
        "実体",
        "肉体",
        "プログラム",
    ),
)
"""Of which a text holds one if the patterns are to be looked for at all: they cost a hundred times as much."""
AI = re.compile(r"\bAIs?\b|AI(?![A-Za-z])", re.ASCII)
CODE = re.compile(r"^\s*(?:def|import|from|class|#include|public|function)\b|[{};]\s*$", re.MULTILINE)
"""Code is completed by saying it again."""
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
    lower, start = plain.lower(), plain[:30]
    marked = ":" in start or "：" in start or any(mark in lower for mark in TEMPLATE_MARKS)
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
    found = PROMPT.search(plain) if any(mark in lower for mark in PROMPT_MARKS) else None
    if found is None and question and (opener := OPENER.search(plain)) and fold(opener[0]) not in fold(question):
        found = opener
    if found and not ABOUT_PROMPTS.search(question):
        return found[0]
    long = LONG_CHARS if question.isascii() else LONG_CHARS_JA
    echoed = len(question) >= long and len(text) > len(question) and fold(text).startswith(fold(question))
    return f"the question itself: {question[:80]!r}" if echoed and not CODE.search(question) else None


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
