"""What a model says of itself: its name, its maker, its nature."""

from __future__ import annotations

import re

from synth.language.text import prose
from synth.patterns import lazy

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
NAMED = lazy(
    rf"\bas\s+{MODELS}\b[\w.-]{{0,6}},?\s+I\b|\b(?:in\s+my\s+role\s+as|we\s+at)\s+(?:an?\s+)?(?:{MAKERS}|{MODELS})\b"
    rf"|\b(?:I\s+am|I['’]m|my\s+name\s+is|(?:you\s+can\s+|just\s+)?call\s+me|(?:you(?:['’]re|\s+are)\s+)(?:talking|speaking|chatting)\s+(?:to|with))\s+(?:called\s+)?{MODELS}(?!['’]?\w|\s+(?:user|engineer|expert|developer))"
    rf"|\bAs\s+{MODELS},\s+I\b|(?:\A|[.!?\n][^\S\n]*)(?:this\s+is\s+{MODELS}\s*(?:[,.!]|from|by|here)|{MODELS}\s+here\s*[!,.])"
    rf"|\bI(?:\s+am|['’]m|\s+was|\s+have\s+been|['’]ve\s+been)\s+(?:an?\s+{MODEL}\s*,?\s+)?(?:\w+ly\s+)?{MADE}\s+(?:and\s+\w+\s+)?(?:by|at)\s+(?:the\s+(?:team|company|people|researchers)\s+(?:at\s+)?)?{MAKERS}\b"
    rf"|\b{MAKERS}\s+{MADE}\s+me\b|\bmy\s+(?:creators?|developers?|makers?)\b[\w\s,]{{0,12}}\b(?:at\s+)?{MAKERS}\b|\b(?:an?|the)\s+{MODEL}\s+(?:from|by|of)\s+{MAKERS}\b.{{0,20}}\bI\b"
    rf"|\bI(?:['’]m|\s+am)\s+(?:\w+,\s+)?an?\s+{MODEL}\s+(?:from|by|of)\b",
    re.IGNORECASE,
)
NAMED_JA = lazy(
    rf"{ME}は、?[^。\n]{{0,20}}{MAKERS}(?:社)?(?:が|に)[^。\n]{{0,10}}{MODELS}(?:なので|だから|です)"
    rf"|{ME}は、?[^。\n]{{0,20}}{MAKERS}(?:社)?{MADE_JA}[^。\n]{{0,16}}(?:モデル|AI|アシスタント|{ME}|です)|(?:\A|[。\n])[^\S\n]*{MAKERS}(?:社)?{MADE_JA}[^。\nがはも]{{0,20}}(?:モデル|AI|アシスタント|{MODELS})(?:として|です|と申|でござ|の{ME})"
    rf"|{ME}(?:の名前)?は、?(?:[^。\n]{{0,24}}(?:の|、))?{MODELS}(?:です|だ|と(?:申|い|言)|でござ|、)|{MODELS}(?:と申します|(?:として|が)(?:お答え|回答|説明|ご案内|お手伝い))|(?:\A|[、。\n！!][^\S\n]*){MODELS}です[。！!]"
    rf"|{ME}は、?[^。\n]{{0,12}}(?:{MAKERS}|{MODELS})[^。\n]{{0,12}}(?:もとに|基に|ベースに)[^。\n]{{0,4}}(?:作|開発|し)|{ME}は、?{MAKERS}社?の[^。\n]{{0,10}}(?:モデル|AI)",
    re.IGNORECASE,
)
ITSELF = lazy(
    rf"\bbeing\s+(?:just\s+|only\s+)?an?\s+{MODEL}\s*[,.]|"
    rf"\b(?:(?:speaking\s+|acting\s+)?as|being|because\s+I(?:\s+am|['’]m)|since\s+I(?:\s+am|['’]m))\s+(?:just\s+|only\s+|merely\s+)?an?\s+{MODEL}\b,?\s*(?:\w+ly,?\s+)?(?:{MADE}|I\b|my\b|it\b)"
    rf"|\bI(?:\s+am|['’]m)\s+(?:\w+ly\s+|just\s+|but\s+|also\s+)?an?\s+{MODEL}\b(?!\s+(?:engineer|researcher|expert|developer|enthusiast|student))|\bI,\s+an?\s+{MODEL}\b"
    r"|\b(?:my|our)\s+(?:training(?:\s+data)?|knowledge(?:\s+base)?)\s+(?:cut-?off|only|ends?|is\s+(?:limited|current|up)|includes|goes|was|up\s+to|stops?|extends|does)|\b(?:in|on|from)\s+my\s+training\s+data\b|\b(?:as\s+of\s+)?my\s+(?:last|latest|most\s+recent)\s+(?:knowledge\s+)?(?:update|training)\b|\bI\s+was\s+(?:last\s+)?(?:trained|updated)\s+(?:on|in|up)\b|\bmy\s+knowledge\s+cut-?off\b"
    r"|\bI\s+(?:(?:do\s+not|don['’]t)\s+(?:actually\s+|really\s+)?(?:have|possess)\s+(?:any\s+)?|have\s+no\s+)(?:personal\s+(?:experiences?|opinions?|feelings|beliefs|preferences|emotions|memories)|(?:a\s+)?physical\s+(?:body|form)|consciousness|real-time\s+(?:access|information|data))",
    re.IGNORECASE,
)
ITSELF_JA = lazy(
    rf"(?:\A|[。、\n(（※])[^\S\n]*(?:{ME}は、?)?{AI_JA}(?:として[、はの私お説回]|なので|ですので|であるため|であ[るり]|の{ME}|だから|ゆえ|なもの|です(?:が|から|けど))|(?:当|弊社の?)AI|{ME}のような{AI_JA}"
    rf"|{AI_JA}(?:の|である){ME}|{ME}は、?(?:[^。\n]{{0,24}}(?:された|した|れた|った|の|という|持たない|ない|ただの|単なる))?、?{AI_JA}(?:の[ァ-ヶーA-Za-z]{{2,12}})?(?:です|なので|であ[るり]|ですので|だから|に(?:過|す)ぎ|でしか|でござ|だ。)"
    rf"|{ME}(?:が|に|の)(?:は)?(?:学習|訓練)(?:した|された|データ)[^。\n]{{0,20}}(?:情報|データ|まで|年)|{ME}の(?:学習データ|知識|訓練データ|トレーニングデータ)(?:は|の(?:範囲|カットオフ|期限))|{ME}に?は、?(?:個人的な|自分の)?[^。\n]{{0,8}}(?:感情|意識|実体|肉体|意見や感情)(?:や[^。\n]{{1,6}})?(?:が|は)(?:ありません|ない)"
    r"|AIによる(?:回答|生成)(?:のため|です|なので|であ)",
    re.IGNORECASE,
)
VOICE = lazy(r"\b(?:I|my|me|we|our|you|this|here|being|as\s+(?:just|only|merely|an?))\b", re.IGNORECASE)
"""One of these words is in whatever English says of itself."""
ABOUT_AI = lazy(
    r"\bAI\b|artificial intelligence|language model|\bLLM|chat\s?bot|assistant|人工知能|言語モデル|アシスタント|チャットボット|(?<![A-Za-z])AI(?![A-Za-z])",
    re.IGNORECASE,
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
    *("llm", "karakuri", "rakuten", "model", "artificial", "assistant", "computer program", "software program"),
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
LETTERS = lazy(r"AI(?:(?![A-Za-z])|(?<=\bAI)s\b)|[Bb](?:ot|OT)(?![A-Za-z])", re.ASCII)
"""Marks too that are no part of another word, such as `both`."""


def find_self_identification(text: str, question: str = "") -> str | None:
    """The words with which a model names itself, its maker or its nature; None when it does not."""
    plain = prose(text)
    lower = plain.lower()
    if not (any(map(lower.__contains__, SELF_MARKS)) or LETTERS.search(plain)):
        return None
    english, japanese = VOICE.search(plain), not plain.isascii()
    if found := (NAMED.search(plain) if english else None) or (NAMED_JA.search(plain) if japanese else None):
        return found[0]
    found = (ITSELF.search(plain) if english else None) or (ITSELF_JA.search(plain) if japanese else None)
    return found[0].strip() if found and not ABOUT_AI.search(question) else None
