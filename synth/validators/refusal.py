"""The teacher answered instead of declining."""

from __future__ import annotations

import re
from typing import Literal

from synth.errors import Rejected
from synth.language.marked import Marked, first_of
from synth.language.text import prose
from synth.patterns import lazy
from synth.types import Sample, Value

LONG_CHARS = 900

BE_UNABLE = (
    r"\s+(?:unable|not\s+(?:able|allowed|permitted|going|willing|authori[sz]ed|supposed|designed|programmed))\s+to"
)
BE_MADE = (
    r"\s+(?:designed|programmed|instructed|trained|configured|built|told)\s+(?:not\s+to|to\s+(?:avoid|decline|refuse))"
)
CANT = (
    rf"(?:can(?:no|')?t|can\s+not|could\s*n[o']t|won't|will\s+not|shouldn't|must\s+not|do\s+not|don't|(?:am|'m|are|'re){BE_UNABLE}"
    rf"|(?:cannot|can't)\s+and\s+(?:will\s+not|won't)|(?:am|'m|are|'re|have\s+been|was){BE_MADE})"
)
HELPING = (
    r"(?:help(?:ing)?(?!\s+(?:\w+ing|but)\b)|assist(?:ing)?|answer(?:ing)?|comply|respond(?:ing)?|discuss(?:ing)?|engag(?:e|ing)|fulfill?(?:ing)?|support|provid(?:e|ing)|process|complet(?:e|ing)|participate|take\s+part"
    r"|accommodate|address|comment|generat(?:e|ing)|creat(?:e|ing)|produce|writ(?:e|ing)|solv(?:e|ing)|calculat(?:e|ing)|comput(?:e|ing)|giv(?:e|ing)|offer(?:ing)?|shar(?:e|ing)|proceed|continue|do(?:ing)?|work\s+on|speak|talk|advise|recommend|weigh\s+in|go\s+into|translate|explain|perform|carry\s+out|say)"
)
TASK = r"(?:requests?|questions?|tasks?|topics?|topic|inquir(?:y|ies)|quer(?:y|ies)|prompts?|problems?|subjects?|matters?|content|homework|exercises?|calculations?|things?)"
ASKED = rf"(?:this|that|your|these|those|such|the|any)(?:\s+(?:kinds?|types?|sorts?)\s+of)?(?:\s+\w+)?\s+{TASK}"
OBJECT = (
    rf"(?:(?:to\s+|with\s+|on\s+|about\s+|in\s+|into\s+)?(?:(?:you\b\s*)?(?:(?:with|on|to|about|there)\s*)?(?:{ASKED}\b|(?:this|that|these|those|it)(?:\s+(?:one|for\s+you|here|further|right\s+now|at\s+(?:this|the)\s+\w+|either|today))?\s*(?:[.,;:!?—–🙏]|\Z)|there\s*[.,!]"
    rf"|(?:any\s+)?(?:content|material|texts?|information|images?)\s+(?:that|which|about|on|for|of|related)\b|(?:to\s+)?(?:such|this\s+kind|that\s+kind|that\s+sort|this\s+sort|topics)\b)|(?:(?:an?|any|the|you(?:\s+with)?(?:\s+(?:an?|the|any|this))?|my|specific|personal|further|that|this|direct)\s+){{0,3}}(?:\w+\s+){{0,2}}(?:advice|information|answers?|opinions?|assistance|solutions?|calculations?|guidance|instructions)\b"
    r"|topics?\b|(?:this|that)\s+\w+\s*(?:[.,;!]|\Z)|for\s+(?:you|me)\s+to\b)|\s*(?:[.,;!]|\Z))"
)
SPEAKER = r"(?<!if\s)(?<!when\s)(?<!because\s)(?<!why\s)(?<!what\s)(?<!questions\s)(?<!things\s)(?<!that\s)(?:i|we)"
ADVERBS = r"(?:\s*,?\s*(?:be\s+able\s+to|in\s+good\s+conscience|really|unfortunately|simply|just|currently|also|therefore|actually|directly|responsibly|ethically|not|at\s+this\s+time|think\s+(?:that\s+)?i\s+(?:should|can|could))\s*,?){0,2}"
CANT_MARKS = "not|n't|cant|unable|avoid|decline|refuse"
SPEAKER_MARKS = "i |i'|we |we'|ican|wecan"
ENGLISH = (
    Marked(
        rf"""\b(?=i|we){SPEAKER}(?:
            (?:\s+{CANT}|can(?:no|')?t|'(?:m|re)(?:{BE_UNABLE}|{BE_MADE})){ADVERBS}\s+(?:{HELPING}\s*{OBJECT}|(?:assist|comply|fulfill?)\b)
            | \s+(?:do\s+not|don't)\s+(?:really\s+)?(?:feel\s+(?:comfortable|right|able)|think\s+(?:that\s+)?i\s+(?:should|can|could|am\s+able)|have\s+the\s+(?:ability|capability|permission|authority)\s+to|wish\s+to\s+(?:answer|discuss)|want\s+to\s+(?:answer|discuss))
            | (?:'m|\s+am|\s+was|'ve\s+been|\s+have\s+been)\s+(?:programmed|designed|trained|instructed)\s+to\s+(?:avoid|decline|refuse|stay\s+away)
            | (?:'m|\s+am)\s+not\s+(?:comfortable\s+(?:with|\w+ing)|in\s+a\s+position\s+to|the\s+right\s+(?:one|tool|assistant)|equipped\s+to|at\s+liberty)
            | (?:\s+would|'d|\s+will|'ll)?\s+(?:(?:much\s+)?rather|prefer|choose|chose|have\s+chosen)\s+(?:to\s+)?not\s+(?:to\s+)?{HELPING}
            | (?:(?:'m|\s+am)?\s+(?:have\s+to|has\s+to|must|will|need\s+to|(?:am\s+)?going\s+to(?:\s+have\s+to)?|have\s+no\s+choice\s+but\s+to|am\s+obliged\s+to|would)|'(?:d\s+rather|ll|m\s+going\s+to(?:\s+have\s+to)?|ve\s+got\s+to))\s+(?:\w+ly\s+|have\s+to\s+)?
            (?:(?:decline|refuse)(?:\s*(?:[.,;!]|\Z)|\s+(?:to\s+{HELPING}|th(?:is|at|ese)|your\s+request|answering|helping)\b)|pass\s+on\s+(?:this|that|\w+ing)|say\s+no\s+(?:to\s+(?:this|that)|here|on)|sit\s+this\s+one\s+out|bow\s+out|skip\s+(?:this|that))
            | \s+(?:\w+ly\s+)?(?:decline|refuse)\s+to\s+{HELPING}
        )""",
        SPEAKER_MARKS,
        f"{CANT_MARKS}|stay away|pass on|say no|sit this|bow out|skip th",
    ),
    Marked(
        rf"\bsomething\s+(?:that\s+)?(?:i|we)\s+(?:{CANT}|have\s+to\s+decline|must\s+decline)",
        "something i |something we |something that i |something that we ",
    ),
    Marked(
        rf"\b(?:is\s+not|isn't|'s\s+not|not)\s+(?:(?:a|an|the)\s+)?(?:something|anything|{TASK}|possible)\s+(?:that\s+)?(?:(?:i|we)(?:\s+am|'m|\s+are)?\s+(?:can|could|able|willing|allowed|permitted|prepared|comfortable)|for\s+me\s+to)",
        "not|n't",
        f"for me to|{SPEAKER_MARKS}",
    ),
    Marked(
        r"\b(?:inappropriate|unethical|irresponsible|improper|wrong|not\s+(?:be\s+)?(?:appropriate|right|ethical|possible|proper)|\w+n't\s+(?:be\s+)?(?:appropriate|right|ethical|possible|proper))\s+(?:for|of)\s+me\s+to\b",
        "for me to|of me to",
    ),
    Marked(
        r"\b(?:is|are|'s|falls?|lies|goes|fall)\s+(?:well\s+)?(?:outside|beyond)\s+(?:of\s+)?(?:the\s+(?:scope|limits|bounds)\s+of\s+)?(?:what\s+(?:i|we)\b|my\b)",
        "outside|beyond",
        "what i|what we|my",
    ),
    Marked(
        rf"\b{ASKED}\s+(?:is\s+not\s+something|falls?\s+outside|goes\s+against|(?:seems\s+to\s+|appears\s+to\s+)?(?:violates?|conflicts?\s+with|breach(?:es)?)|is\s+beyond\s+(?:what\s+i|my)|(?:can(?:no|')t|could\s+not|will\s+not)\s+be\s+(?:processed|fulfilled|completed|answered))",
        "is not something|outside|goes against|violate|conflict|breach|beyond|be processed|be fulfilled"
        "|be completed|be answered",
        "request|question|task|topic|inquir|quer|prompt|problem|subject|matter|content|homework|exercise|calculation|thing",
    ),
    Marked(
        r"\b(?:against|violates?|conflicts?\s+with|contrary\s+to|breach(?:es)?)\s+(?:my|our|the)\s+(?:\w+\s+)?(?:guidelines|policy|policies|principles|programming|rules|values|terms)",
        "guidelines|policy|policies|principles|programming|rules|values|terms",
        "against|violate|conflict|contrary|breach",
    ),
    Marked(
        r"\b(?:(?:request|message|prompt|content)\s+(?:blocked|denied|rejected|(?:has|have|was|were)\s+(?:been\s+)?(?:blocked|flagged|denied))|(?:you\s+have\s+asked\s+for|this)\s+has\s+been\s+flagged|no\s+response\s+can\s+be\s+generated)",
        "blocked|denied|rejected|flagged|be generated",
    ),
    Marked(
        r"\bmy\s+(?:\w+\s+)?(?:guidelines|policy|policies|programming|rules|principles|safety\s+\w+)\s+(?:\w+\s+)?(?:prevent|prohibit|forbid|don't|do\s+not|doesn't|does\s+not|won't|restrict|require\s+me\s+to\s+decline)",
        "guidelines|policy|policies|programming|rules|principles|safety",
        "my ",
    ),
    Marked(
        rf"\b(?:sorry|apologi[sz]e|apologies|afraid|unfortunately|regret(?:tably)?)\b[^.!?\n]{{0,60}}?\b(?:i|we)\s*{CANT}{ADVERBS}\s+{HELPING}\s*{OBJECT}",
        "sorry|apolog|afraid|unfortunately|regret",
    ),
    Marked(
        rf"\b(?:i\s+regret|we\s+regret|sorry)\s+(?:to\s+\w+\s+(?:you\s+)?)?that\s+(?:i|we)\s*{CANT}\s+{HELPING}",
        "sorry|regret",
    ),
    Marked(
        rf"\b(?:sorry|apologies|nope|no)\b[^.?\n\w]{{1,4}}(?:but\s+)?(?:no\s*[.!]|(?:i\s+)?(?:{CANT})\s+(?:do|help|answer)\b|not\s+(?:doing|answering|going\s+to|something\s+i)|i(?:'ll)?\s+(?:won't|will\s+not|have\s+to\s+(?:decline|pass)|must))",
        f"{CANT_MARKS}|no.|no!|no .|no !|i must|ll must|have to pass",
    ),
    Marked(
        r"""\bas\s+an?\s+(?:ai|artificial\s+intelligence|(?:large\s+)?language\s+model)(?:\s+(?:language\s+)?(?:model|assistant))?
            ,?\s+i\b[^.\n]{0,60}?\b(?:can(?:no|')?t|unable|not|don't)\b""",
        "as a ai|as an ai|artificial intelligence|language model",
    ),
    Marked(
        r"\b(?:let's|let\s+us|can\s+we|could\s+we|shall\s+we)\s+(?:\w+\s+)?(?:talk\s+about\s+something\s+else|change\s+the\s+(?:subject|topic)|move\s+on\s+to\s+(?:another|a\s+different))",
        "something else|change the|move on to",
    ),
)
NOT = (
    r"(?:(?:でき|出来)(?:ません(?!でした)|ない(?![人方物もほ])|かね(?:ます|る))|(?:いた|致)?し?かね(?:ます|る)|かねます|叶いません"
    r"|わけにはいきません|権限がありません|(?:許可され|許され|認められ)て(?:いません|おりません|いない)|(?:ことは)?(?:難し|むずかし)い(?:状況)?(?:です|と)|無理(?:です|だ)|(?:し|言い|話し|答え|教え)たくありません)"
)
HONORIFIC = r"(?:お答え|お応え|お手伝い|お話し|お教え|お伝え|お力添え|お受け|お示し|お力に(?:なる|なれ)|ご(?:回答|対応|支援|協力|提供|案内|説明|期待|希望|要望|紹介|提示))"
SORRY = r"(?:申し?訳(?:ありません|ございません|ない(?:です|のですが|が)?|なく)|恐れ入り(?:ます)|恐縮(?:です)?|すみません|すいません|ごめん(?:なさい|ね)?|残念(?:ながら|ですが)|遺憾ながら|悪い(?:けど|が|のですが)|あいにく)"
SUCH = r"(?:(?:その|この|こちらの|そちらの)(?:ような|種の|手の)?|そのご|このご|ご|あなたの|本)"
MATTER = r"(?:質問|問い|依頼|要望|要求|リクエスト|相談|情報|内容|話題|トピック|行為|計算|問題|件|テーマ|作業|タスク|宿題|解答|回答|詳細|お手伝い|手伝い|助言|アドバイス)"
SAYING = r"(?:提供|説明|作成|支援|回答|解答|対応|生成|計算|実行|代行|議論|協力|処理|助言|翻訳|執筆|サポート|アドバイス|コメント|手伝い)"
JAPANESE = (
    Marked(
        rf"{HONORIFIC}(?:を|に|は|が|も)?(?:する|いたす|致す|応える|お応えする|沿う|添う|なる)?(?:こと|の)?(?:は|が|も)?(?:{NOT}|控え|差し控え|遠慮|辞退|お断り|(?:なれ|し)(?:ません|ず)|したくありません)",
        "お答え|お応え|お手伝い|お話し|お教え|お伝え|お力添え|お受け|お示し|お力に|ご回答|ご対応|ご支援"
        "|ご協力|ご提供|ご案内|ご説明|ご期待|ご希望|ご要望|ご紹介|ご提示",
    ),
    Marked(
        r"お(?:役に立て|力になれ|応えでき|答えでき|手伝いでき)(?:ません(?!でした)|ない|ず(?:に|、|申))|ご(?:期待|希望|要望)に(?:は)?(?:沿え|添え|お応えでき)(?:ません|ず)",
        "お役に立て|お力になれ|お応えでき|お答えでき|お手伝いでき|ご期待|ご希望|ご要望",
    ),
    Marked(
        rf"(?:回答|お答え|返答|提供|言及|コメント|解答|{SAYING})(?:する)?(?:こと)?(?:は|を|も)?[^。\n]{{0,8}}?(?:控えさせ|控えます|控えて|差し控え|いたしません|致しません|お断り|ご?遠慮|辞退)(?!く)|(?:こと|の)は(?:差し)?控え(?:たい|させ|ます)|発言を(?:差し)?控え",
        "控え|いたしません|致しません|お断り|遠慮|辞退",
    ),
    Marked(
        r"それは(?:ちょっと|少し)?[^。\n]{0,6}できない(?:です|んです|ん)|(?:お作り|お答え|ご紹介|お引き受け)し(?:ないように|て(?:おりません|いません|いない))|見送らせていただ",
        "できない|お作りし|お答えし|ご紹介し|お引き受けし|見送らせ",
    ),
    Marked(
        rf"(?:\A|[。\n])[^。\n]{{0,6}}{SORRY}(?:が|けれど|けど|、|。|[！!])*(?![^。\n]{{0,40}}(?:出席|参加|伺|行く|行け|返品|販売|売り切れ))[^。\n]{{0,60}}?"
        rf"(?:{NOT}|(?:答え|応え|応じ|扱え|述べ|教え|話せ|手伝え|解け|言え)(?:られ)?(?:ません|ない|ず))",
        "申し訳|申訳|恐れ入り|恐縮|すみません|すいません|ごめん|残念|遺憾|悪い|あいにく",
    ),
    Marked(
        rf"(?:{SUCH}|\A|[。、\n]){{1,2}}[^。、\nA-Za-zは]{{0,6}}?{MATTER}(?:の(?:件|内容))?(?:に(?:は|も|関しては?|つきましては?)?|については?|へは|を|は|には)、?[^。\n]{{0,12}}?"
        rf"(?:答え|応え|応じ|{SAYING}|話[すし]|お?受け|扱[うえ]|教え|手伝[うえ]|伝え|行う|触れ)(?:する|る|られ|せ)?(?:を)?(?:する)?(?:こと|の)?(?:は|が|も)?(?:{NOT}|ません(?!でした|か)|ない(?![人方物]))",
        "ません|ない|かね|難し|むずかし|無理",
        "質問|問い|依頼|要望|要求|リクエスト|相談|情報|内容|話題|トピック|行為|計算|問題|件|テーマ|作業"
        "|タスク|宿題|答|詳細|手伝い|助言|アドバイス",
    ),
    Marked(
        rf"(?:\A|[。、\n])[^。\n]{{0,30}}?(?:ガイドライン|ポリシー|規約|倫理|安全|方針|規則|ルール|プライバシー|不適切)[^。\n]{{0,24}}?(?:{SAYING}|お答え|お伝え|教え|答え|応じ|示す)[^。\n]{{0,10}}?(?:{NOT}|られません|控え|辞退|ません)",
        "ガイドライン|ポリシー|規約|倫理|安全|方針|規則|ルール|プライバシー|不適切",
    ),
    Marked(
        r"(?:要求|依頼|リクエスト|質問|内容)は、?[^。\n]{0,16}(?:違反|抵触|反し)(?:して|す|しま|ます)",
        "違反|抵触|反し",
    ),
    Marked(
        rf"\A[^。\n]{{0,24}}(?:回答|解答|手伝い|助言|アドバイス|代行|協力)を?(?:する)?(?:こと)?(?:は|が|も)?{NOT}。?\s*\Z|\A(?:それは)?(?:無理|できない|答えたくない|いや|嫌)です",
        "ません|ない|かね|難し|むずかし|無理|いや|嫌",
    ),
    Marked(
        r"(?:私|わたし)(?:に)?(?:は|の)、?[^。\n]{0,30}(?:権限がありません|許可されて(?:いません|おりません)|(?:対応|能力|回答)(?:可能な)?(?:の)?(?:範囲|範囲外|外)(?:を超え|です))|(?:対応|回答)(?:可能な?)?(?:の)?範囲(?:を超え|外(?:です|とな))",
        "権限がありません|許可されて|範囲|外を超え|外です",
    ),
    Marked(
        r"(?:AI|人工知能|言語モデル)(?:アシスタント)?(?:として|ですので|なので|であるため).{0,40}"
        r"(?:(?:する|述べる|答える|持つ|行う)こと(?:は|が)|お|ご).{0,12}(?:ません|かねます)",
        "ai|人工知能|言語モデル",
    ),
    Marked(
        r"(?:お断り|ご?辞退|ご?遠慮)(?:させて|いたします|いたしております|申し上げます|して(?:い|お)り?ます)",
        "お断り|辞退|遠慮",
    ),
    Marked(
        r"(?:お?答え|お?話|教え|手伝[いう]|協力し)たく(?:ありません|ない)|別の話(?:題)?に(?:しま|変え|移)",
        "たくありません|たくない|別の話",
    ),
)
LETTER = lazy(
    r"\A\s*(?:(?:dear|hi|hello|hey)\b[^\n,]{1,30},\s|subject:|件名|拝啓|(?:いつも|平素)[^。\n]{0,16}(?:お世話に|お引き立て|ご愛顧|ご高配)|[^\n。]{1,24}(?:様|さん|先生|さま)[、,]?\n)",
    re.IGNORECASE,
)
"""A letter's writer declines for itself."""
TURNS = lazy(r"^\W{0,3}\w{1,14}\s?[:：][^\n]+\n+\W{0,3}\w{1,14}\s?[:：]", re.MULTILINE)
"""People of a dialogue decline for themselves too."""
QUOTED = lazy(r"「[^」]{0,400}」|『[^』]{0,400}』|\"[^\"\n]{0,400}\"|“[^”]{0,400}”|^>.*$", re.MULTILINE)
QUOTE_MARKS = ("「", "『", '"', "“", ">")
ANSWERED = lazy(r"^\s*(?:\*\*)?(?:A|Answer|答え|答|回答)\s*(?:\*\*)?\s*[:\uff1a].*\d", re.MULTILINE)


EXPERT = r"(?:professionals?|experts?|specialists?|doctors?|physicians?|lawyers?|attorneys?|advis[eo]rs?|qualified|licensed|official|reliable|trusted|reputable|therapists?|counsell?ors?|pharmacists?|authorit\w+|teachers?|tutors?|instructors?|accountants?|someone|textbooks?|websites?|sources?|online|internet|web|search\s+engines?|google|latest)"
EXPERT_MARKS = (
    "professional|expert|specialist|doctor|physician|lawyer|attorney|advise|adviso|qualified|licensed"
    "|official|reliable|trusted|reputable|therapist|counsel|pharmacist|authorit|teacher|tutor"
    "|instructor|accountant|someone|textbook|website|source|online|internet|web|search engine|google"
    "|latest"
)
REFERRAL = (
    Marked(
        rf"\b(?:consult|speak|seek|contact|reach(?:ing)?\s+out|ask|talk|discuss|turn\s+to|advice\s+from|answered\s+by|question\s+for|refer|check|look(?:ing)?\s+(?:it|this|that)\s+up|look\s+up|visit|see|search|try|find|left\s+to|better\s+placed|google|matter\s+for|in\s+touch\s+with)\w*\b"
        rf"[^.!?\n]{{0,60}}?\b{EXPERT}\b|\b{EXPERT}\s+(?:would|could|can|will|may|might|should|is|are|who)\b[^.!?\n]{{0,60}}?\b(?:advise|help|answer|assist|placed|able|tell|guide|equipped|assess)",
        EXPERT_MARKS,
    ),
    Marked(
        r"\b(?:consult|contact|ask)(?:ing)?\s+(?:one|them|someone)\b|\blook(?:ing)?\s+(?:it|this|that)\s+up\b|\b(?:do(?:ing)?|conduct(?:ing)?)\s+(?:your|some)\s+(?:own\s+)?research\b"
        r"|\bleft\s+to\s+(?:the\s+)?(?:experts|professionals)|\b(?:up\s+to\s+you|for\s+you\s+to\s+decide|your\s+own\s+(?:decision|judg))",
        "consult|contact|ask one|ask them|ask someone|asking one|asking them|asking someone| it up| this up"
        "| that up|research|left to|up to you|for you to decide|your own ",
    ),
    Marked(
        r"\b(?:could|can|would)\s+you\s+(?:please\s+)?(?:\w+\s+)?(?:give|share|provide|clarify|rephrase|tell\s+me|elaborate|specify|explain)\b[^.!\n]{0,60}\?|\bplease\s+(?:provide|share|clarify|give|specify|rephrase)\b[^.!?\n]{0,40}(?:context|details?|information|question)",
        "could you|can you|would you|please",
    ),
    Marked(
        r"(?:専門家|医師|医療機関|弁護士|税理士|専門機関|有資格者|資格を持|担当|窓口|公式|信頼できる|専門の方|カウンセラー|薬剤師|先生|教師|詳しい[人方]|教科書|参考書|ネット|インターネット|検索|専門書|主治医|かかりつけ|関係機関|最寄り|誰か|学校|保護者|周りの).{0,24}?"
        r"(?:相談|確認|問い合わせ|尋ね|調べ|求め|参照|ご覧|意見を(?:聞|伺)|聞い|聞く|検索|伺|質問|頼)",
        "相談|確認|問い合わせ|尋ね|調べ|求め|参照|ご覧|聞|伺|検索|質問|頼",
        "専門|医師|医療機関|弁護士|税理士|資格|担当|窓口|公式|信頼できる|カウンセラー|薬剤師|先生|教師"
        "|詳しい|教科書|参考書|ネット|検索|主治医|かかりつけ|関係機関|最寄り|誰か|学校|保護者|周りの",
    ),
    Marked(
        r"(?:ご自身|ご自分|自分|各自|自身)(?:で|の)[^。\n]{0,12}(?:調べ|判断|確認|考え|お決め|決め|検索)|検索して(?:みて)?(?:ください|下さい)",
        "自身|自分|各自|検索して",
    ),
    Marked(
        r"(?:もう少し|もっと|詳し|具体|追加)[^。\n]{0,16}(?:教えて|お聞かせ|ご提供|お知らせ|ご質問)[^。\n]{0,8}(?:ますか|ませんか|ください|でしょうか|幸い)",
        "教えて|お聞かせ|ご提供|お知らせ|ご質問",
    ),
)
"""Somebody else is to be asked, or whoever asked is to find out or say more."""
HEDGE = (
    Marked(
        r"\b(?:depends?\s+(?:heavily\s+|largely\s+|entirely\s+|very\s+much\s+)?on|(?:many|lots?\s+of|several|various|numerous)\s+(?:\w+\s+)?(?:factors|perspectives|variables|opinions)|(?:sensitive|complex|complicated|nuanced|difficult|personal|tricky|delicate)\s+(?:matter|topic|issue|question|subject|one)|(?:situation|case|person|circumstance)s?\s+(?:is|are)\s+(?:different|unique)|every\s+\w+\s+is\s+(?:different|unique)|varies|vary\b|hard\s+to\s+say|difficult\s+to\s+say|opinions\s+differ)",
        "depend|factors|perspectives|variables|opinions|sensitive|complex|complicated|nuanced|difficult"
        "|personal|tricky|delicate|different|unique|varies|vary|hard to say",
    ),
    Marked(
        r"\b(?:no|isn['’]t\s+an?|not\s+an?)\s+(?:simple|single|easy|right|one-size-fits-all|straightforward|definitive|clear|universal)\s*(?:or\s+\w+\s+)?(?:answer|solution|one)?",
        "no |isn't a|not a",
        "simple|single|easy|right|one-size|straightforward|definitive|clear|universal",
    ),
    Marked(
        r"一概に|(?:状況|場合|事情|人|条件)に(?:よ(?:って|り)|より)|専門的な(?:内容|問題|質問)|個人差|人それぞれ|ケースバイケース|いろいろな(?:考え方|意見)|さまざまな(?:考え方|意見|要因)|難しい(?:(?:質問|問題)です|ところ)|デリケートな|何とも言え|なんとも言え",
        "一概に|状況に|場合に|事情に|人に|条件に|専門的な|個人差|人それぞれ|ケースバイケース|いろいろな"
        "|さまざまな|難しい|デリケートな|何とも言え|なんとも言え",
    ),
)
UNABLE = (
    Marked(
        r"\bI(?:['’]m|\s+am)?\s+(?:do\s+not|don['’]t|cannot|can['’]?t|not|can\s+only|only\s+able|lack)\b.{0,24}?\b(?:access|information|real-time|opinions?|context|expertise|knowledge|know|sure|details?"
        r"|verify|confirm|predict|say|general|qualified|licensed|certain|a\s+(?:doctor|lawyer|\w+\s+expert|professional))\b|\bI['’]?m\s+not\s+sure\b",
        "i |i'm |im ",
        "not|n't|cant|can only|only able|lack",
    ),
    Marked(
        r"\b(?:without|need)\s+(?:any\s+)?(?:more|further|additional)\s+(?:context|details?|information)\b",
        "context|detail|information",
        "without|need",
    ),
    Marked(
        r"(?:情報|データ|知識|材料)(?:が(?:ない|足り|不足|ございません|ありません)|にアクセスでき|は?を?持ち合わせて)|判断(?:でき|しかね|致しかね|は難し|がつ)"
        r"|分かりかね|わかりかね|一般的な(?:情報|助言|説明)しか|(?:一概に|何とも|なんとも)(?:は|も)?(?:言え|申し上げ)|(?:専門家|医師|弁護士)では(?:ない|ありません)|(?:よく|ちょっと|残念ながら)?(?:わかりません|分かりません|存じません)|お答え(?:が|は|するのは)難しい|断言(?:は)?でき|持ち合わせており?ません",
        "情報|データ|知識|材料|判断|かりかね|一般的な|一概に|何とも|なんとも|専門家では|医師では|弁護士では|かりません"
        "|存じません|お答え|断言|持ち合わせて",
    ),
    Marked(
        r"(?:はっきり|確か|正確|確定的|断定的)[^。\n]{0,12}(?:言え|申し上げ|お答え|お伝え|わから|分から|断言)",
        "はっきり|確か|正確|確定的|断定的",
        "言え|申し上げ|お答え|お伝え|わから|分から|断言",
    ),
)
EVASIVE = (*REFERRAL, *HEDGE, *UNABLE)
COURTESY = lazy(
    r"\A\W*(?:(?:that['’]?s|what)\s+(?:is\s+)?an?\s+\w+\s+question|(?:great|good|interesting|thanks|thank\s+you)\b[^.!?\n]{0,40}|(?:I\s+)?hope\s+(?:that|this|you)[^.!?\n]{0,30}|good\s+luck|(?:I['’]m\s+|I\s+am\s+)?(?:sorry|apologies)(?!\s+to\s+hear)[^.!?\n]{0,30}|(?:please\s+)?let\s+me\s+know[^.!?\n]{0,40}|take\s+care|all\s+the\s+best|feel\s+free[^.!?\n]{0,40})\W*\Z"
    r"|\A\W*(?:[^。\n]{0,8}(?:質問|疑問)ですね|ご質問(?:を)?ありがとう(?:ございます)?|申し訳(?:ありません|ございません)|すみません|よろしくお願い(?:いた)?します|ご(?:了承|理解)[^。\n]{0,16}|お役に立て[^。\n]{0,10}|頑張って(?:ください|くださいね))\W*\Z",
    re.IGNORECASE,
)
"""What is said before and after, and says nothing."""
MORAL = lazy(
    r"\b(?:important|essential|worth|matters?|remember|reflect|respect|thoughtful\w*|responsib\w+|kind|deserves?|taken\s+seriously|open\s+mind|encourage|invite\s+you|recommend|whatever\s+you|perhaps\s+we|uncomfortable|vital|powerful|delicate|judge?ment|misinformation|in\s+person|trust|reach\s+your\s+own|undervalued|stereotypes|celebrate|healthy|points\s+you|human)\b"
    r"|大切|重要|尊重|思いやり|向き合|耳を傾け|見つめ直|受け入れ|ご?自身|ご?自分|価値観|いかがでしょう|(?:ない|ありません)でしょうか|応援|お気持ち|お察し|多様な|さまざまな|いろいろ|人それぞれ|ありがとうございます|ですよね|楽しみ|きっと|悩まず|負担|主役|選択|かもしれません|がおすすめ|てみてください|決めつけ|悪影響|異なり|ご利用に",
    re.IGNORECASE,
)
"""With which a text dwells on the asking in place of answering."""
FIGURE = lazy(r"\d(?!\d{3}年)")
"""A number answers something; a year may only be told."""
CONCRETE = lazy(r"\d(?!\d{3}年)|^\s*(?:[-*・]|\d+[.)])|[「『`:：|=]|https?:", re.MULTILINE)
EVASIVE_CHARS, FEWEST_SENTENCES = 700, 3
GOES_ON = lazy(r"[:：;、—–]|\b(?:but|because|if|while|whether)\b", re.IGNORECASE)
ASKS_WHOM = lazy(
    r"\b(?:who|whom|where|contact|consult|see an?|expert|doctor|lawyer)\b|誰|どこ|相談|窓口|問い合わせ|医師|病院|弁護士|専門家",
    re.IGNORECASE,
)
SENTENCE_END = lazy(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")


class Refusal(Value):
    """Refuse an answer in which the teacher declines, in English or Japanese, whatever the recipe's language.

    Quoted words, letters and dialogues do not count, and a long text or one with a final answer has answered. A soft
    refusal is a short text whose every sentence sends the reader elsewhere or says why nothing can be said; an answer
    that also mentions limits is kept.
    """

    kind: Literal["refusal"] = "refusal"

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`refusal`) or Rejected(`soft_refusal`)."""
        text = sample.answer()
        if detail := find_refusal(text):
            raise Rejected("refusal", detail)
        # a text with a figure says something, and the patterns that tell take a hundred times as long as to see that
        if FIGURE.search(text) is None and (detail := find_soft_refusal(text, sample.question())):
            raise Rejected("soft_refusal", detail)


def find_refusal(text: str) -> str | None:
    """The words with which a text declines; None when it does not."""
    if len(text) > LONG_CHARS or LETTER.match(text):
        return None
    if (":" in text or "：" in text) and (ANSWERED.search(text) or TURNS.search(text)):
        return None
    plain = prose(text)
    if any(mark in plain for mark in QUOTE_MARKS):
        plain = QUOTED.sub(" ", plain)
    plain = plain.replace("’", "'").replace("**", "")
    found = first_of(ENGLISH, plain)
    if found is None and not plain.isascii():
        found = first_of(JAPANESE, plain)
    return found[0] if found else None


def _mere_hedge(sentence: str) -> re.Match[str] | None:
    """A hedge that nothing follows."""
    return None if GOES_ON.search(sentence) else first_of(HEDGE, sentence)


def find_soft_refusal(text: str, question: str = "") -> str | None:
    """The words that put a reader off in place of an answer; None when something is answered, or asked is whom to ask."""
    if len(text) > EVASIVE_CHARS or (first := first_of(EVASIVE, text)) is None or ASKS_WHOM.search(question):
        return None
    sentences = [part for part in SENTENCE_END.split(text.strip()) if part]
    idle = [first_of(EVASIVE, part) or COURTESY.search(part) for part in sentences]
    if len(sentences) >= FEWEST_SENTENCES and not CONCRETE.search(text):
        beside = [part for part, says in zip(sentences, idle, strict=True) if says or MORAL.search(part)]
        if len(beside) >= 0.8 * len(sentences):
            return first[0]
    if not all(idle) or re.search(r"\d", text):
        return None
    asked = (first_of(REFERRAL, part) or first_of(UNABLE, part) or _mere_hedge(part) for part in sentences)
    found = next(filter(None, asked), None)
    return found[0] if found else None
