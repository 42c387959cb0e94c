"""The teacher answered instead of declining."""

from __future__ import annotations

import re
from typing import Literal

from synth.errors import Rejected
from synth.text import NOT_PROSE
from synth.types import Sample, Value

OPENING_CHARS = 260
LONG_CHARS = 900

CANT = r"(?:can(?:no|')?t|can\s+not|could\s*n[o']t|won't|will\s+not|(?:am|'m|are|'re)\s+(?:unable|not\s+able)\s+to)"
HELPING = r"(?:help(?!\s+(?:\w+ing|but)\b)|assist|answer|comply|respond|discuss|engage|fulfill?|support|provide|process|complete|take\s+part)"
ASKED = r"(?:this|that|your|these|those|such)(?:\s+\w+)?\s+(?:requests?|questions?|tasks?|topics?|inquiry)"
SPEAKER = r"(?<!if\s)(?<!when\s)(?<!because\s)(?<!why\s)(?<!what\s)i"
OBJECT = (
    r"(?:(?:\w+\s+)?(?:with\s+)?(?:(?:you|that|this|these|those|such|any|your|questions?|requests?)\b(?!\s+up)|(?:\w+\s+)?"
    r"(?:advice|information|content|answers?|opinions?|assistance|help|instructions)\b)|[.,;!]|\Z)"
)
ENGLISH = re.compile(
    rf"""\b(?:
        i(?:\s+am|'m)?\s+(?:\w+\s+)?(?:sorry|afraid),?\s+(?:but\s+)?(?:i|we|that|this|it)\b.{{0,40}}?
            (?:\b{CANT}|\bnot\s+(?:allowed|comfortable|possible))(?!\s+(?:come|attend|join|make\s+it|be\s+there|go\b))
        | (?:i|we)\s+{CANT}\s+(?:be\s+able\s+to\s+|in\s+good\s+conscience\s+|really\s+)?(?:{HELPING}|do|give|share|create
            |generate|write|solve|work\s+on)\s+(?:you\b|an?\s+answer|(?:with\s+)?(?:{ASKED}|(?:this|that)\s*(?:[.,;!]|\Z)))
        | {SPEAKER}\s+{CANT}\s+(?:be\s+able\s+to\s+|in\s+good\s+conscience\s+|really\s+)?(?:(?:assist|comply|engage|respond)\b
            |(?:{HELPING}|continue|create|generate|write|give|share|solve|do)\s*{OBJECT})
        | (?:i'm|i\s+am)\s+(?:unable\s+to|not\s+able\s+to|not\s+permitted\s+to|not\s+allowed\s+to|not\s+going\s+to
            |not\s+in\s+a\s+position\s+to)\s+(?:{HELPING}|do|give|share|work\s+on|write|create)\b
        | (?:i'm|i\s+am)\s+not\s+comfortable\s+(?:with|\w+ing)
        | (?:inappropriate|not\s+appropriate)\s+for\s+me\s+to\b
        | i\s+(?:do\s+not|don't)\s+(?:feel\s+comfortable|have\s+the\s+ability\s+to\s+(?:answer|help|assist|respond))
        | (?:i|we)(?:\s+would|'d)?\s+(?:rather|prefer)\s+(?:to\s+)?not\s+(?:to\s+)?(?:answer|respond|say|discuss|help)
        | as\s+an?\s+(?:ai|artificial\s+intelligence|(?:large\s+)?language\s+model)(?:\s+(?:language\s+)?(?:model|assistant))?
            ,?\s+i\b.{{0,60}}?\b(?:can(?:no|')?t|unable|not|don't)\b
        | (?:i|we)\s+(?:have\s+to|must|would\s+rather|'d\s+rather|need\s+to)\s+(?:\w+ly\s+)?(?:decline|refuse)
            (?:\s*(?:[.,;!]|\Z)|\s+(?:to\s+(?:{HELPING}|do)|th(?:is|at|ese)|your)\b)
        | {ASKED}\s+(?:is\s+not\s+something|falls\s+outside|goes\s+against|violates|is\s+beyond\s+(?:what\s+i|my))
        | (?:against|violates?)\s+(?:my|our)\s+(?:usage\s+)?(?:guidelines|policy|policies|principles)
        | (?:not|isn't)\s+(?:something|possible\s+for\s+me)\s+(?:i\s+can\s+|i'm\s+able\s+|we\s+can\s+)?(?:to\s+)?
            (?:help|assist|do|answer)
        | (?:i|we)\s+(?:\w+ly\s+)?(?:decline|refuse)\s+to\s+(?:{HELPING}|do)
    )|\A\s*sorry,?\s+(?:but\s+)?no\s*[.!]""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
NOT = (
    r"(?:(?:でき|出来)(?:ません(?!でした)|ない(?![人方物])|かねます)|(?:いた|致)?しかねます|かねます|叶いません"
    r"|わけにはいきません|権限がありません)"
)
HONORIFIC = r"(?:お答え|お応え|お手伝い|お話し|お教え|お伝え|お力添え|お受け|ご(?:回答|対応|支援|協力|提供|案内|説明|期待|希望|要望))"
SORRY = r"(?:申し訳(?:ありません|ございません|ない(?:です|のですが))|恐れ入り(?:ます)|恐縮です|すみません|ごめんなさい)"
SUCH = r"(?:(?:その|この)(?:ような)?|そのご|このご|ご|あなたの)"
JAPANESE = re.compile(
    rf"{HONORIFIC}(?:を|に|は|が|も)?(?:する|いたす|致す|お応えする|沿う|添う)?(?:こと)?(?:は|が|も)?(?:{NOT}|控え|差し控え|難しい状況)"
    r"|お役に立て(?:ません(?!でした)|ない)|ご(?:期待|希望|要望)に(?:は)?(?:沿え|添え)ません"
    r"|(?:回答|お答え|返答|提供|言及|コメント)(?:は|を)?(?:控えさせ|控えます|差し控え|お断り|ご遠慮|遠慮させ|辞退させ)"
    rf"|(?:\A|[。\n])[^。\n]{{0,4}}{SORRY}(?:が|けれど|けど|、|。)(?![^。\n]{{0,40}}(?:出席|参加|伺|行く|行け))[^。\n]{{0,60}}?"
    rf"(?:{NOT}|(?:答え|応え|応じ|扱え|述べ)(?:られ)?(?:ません|ない))"
    rf"|{SUCH}[^。\nA-Za-z]{{0,6}}?(?:質問|問い|依頼|要望|要求|リクエスト|相談)(?:の件)?(?:に(?:は|も)?|については?|へは)[^。\n]{{0,8}}?"
    rf"(?:答え|応え|応じ|回答)(?:する|る|られ)?(?:こと)?(?:は|が)?(?:{NOT}|ません(?!でした)|ない(?![人方物]))"
    rf"|(?:\A|[。、\n]){SUCH}(?:情報|内容|話題|要求|行為)[^。\n]{{0,12}}(?:提供|説明|作成|支援|回答)(?:する)?(?:こと)?(?:は|が)?{NOT}"
    rf"|\A[^。\n]{{0,20}}(?:回答|手伝い|助言|アドバイス)を?(?:する)?(?:こと)?(?:は|が|も)?{NOT}。?\s*\Z"
    r"|私には?[^。\n]{0,30}権限がありません"
    r"|(?:AI|人工知能|言語モデル)(?:アシスタント)?(?:として|ですので|なので|であるため).{0,40}"
    r"(?:(?:する|述べる|答える|持つ|行う)こと(?:は|が)|お|ご).{0,12}(?:ません|かねます)"
    r"|(?:お断り|ご?辞退|ご?遠慮)(?:させて|いたします|いたしております|申し上げます)"
)
LETTER = re.compile(
    r"\A\s*(?:(?:dear|hi|hello|hey)\b[^\n,]{1,30},\s|subject:|件名|拝啓|[^\n。]{1,24}(?:様|さん|先生|さま)[、,]?\n)",
    re.IGNORECASE,
)
"""A letter's writer declines for itself."""
QUOTED = re.compile(r"「[^」]{0,400}」|『[^』]{0,400}』|\"[^\"\n]{0,400}\"|“[^”]{0,400}”|^>.*$", re.MULTILINE)
ANSWERED = re.compile(r"^\s*(?:\*\*)?(?:A|Answer|答え|答|回答)\s*(?:\*\*)?\s*[:\uff1a].*\d", re.MULTILINE)


REFERRAL = re.compile(
    r"\b(?:consult|speak|seek|contact|reach(?:ing)? out|ask|talk|discuss|turn to|advice from|answered by|question for|refer|check|look it up|visit)\w*\b"
    r".{0,60}?\b(?:professional|expert|specialist|doctor|physician|lawyer|attorney|advis[eo]r|qualified|licensed|official|reliable|trusted"
    r"|therapist|counsell?or|pharmacist|authorit)|\b(?:consult|contact|ask)(?:ing)? (?:one|them|someone)\b"
    r"|(?:専門家|医師|医療機関|弁護士|税理士|専門機関|有資格者|資格を持|担当|窓口|公式|信頼できる|専門の方|カウンセラー|薬剤師).{0,24}?"
    r"(?:相談|確認|問い合わせ|尋ね|調べ|求め|参照|ご覧|意見を(?:聞|伺))",
    re.IGNORECASE,
)
"""Somebody else is to be asked."""
HEDGE = re.compile(
    r"\b(?:depends? on|many factors|sensitive (?:matter|topic|issue)|complex (?:matter|topic|issue|question)|(?:no|isn['’]t an?) (?:simple|single|easy) answer|situation is (?:different|unique))\b"
    r"|一概に|(?:状況|場合|事情|人|条件)によ(?:って|り)|専門的な(?:内容|問題|質問)|個人差",
    re.IGNORECASE,
)
UNABLE = re.compile(
    r"\bI(?:['’]m|\s+am)?\s+(?:do\s+not|don['’]t|cannot|can['’]?t|not|can\s+only|only\s+able)\b.{0,24}?\b(?:access|information|real-time|opinions?"
    r"|verify|confirm|predict|general|qualified|licensed|a\s+(?:doctor|lawyer))\b|(?:情報|データ)(?:が(?:ない|足り|不足)|にアクセスでき)|判断(?:でき|しかね|致しかね)"
    r"|分かりかね|わかりかね|一般的な(?:情報|助言|説明)しか",
    re.IGNORECASE,
)
EVASIVE = re.compile(f"{REFERRAL.pattern}|{HEDGE.pattern}|{UNABLE.pattern}", re.IGNORECASE)
ASKS_WHOM = re.compile(
    r"\b(?:who|whom|where|contact|consult|see an?|expert|doctor|lawyer)\b|誰|どこ|相談|窓口|問い合わせ|医師|病院|弁護士|専門家",
    re.IGNORECASE,
)
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")
SHORT_CHARS = 320


class Refusal(Value):
    """Refuse an answer in which the teacher declines, in English or Japanese, whatever the recipe's language.

    Only the opening counts, quoted words do not, and a long text or one with a final answer has answered. A soft
    refusal is a short text whose every sentence sends the reader elsewhere or says why nothing can be said; an answer
    that also mentions limits is kept.
    """

    kind: Literal["refusal"] = "refusal"

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`refusal`) or Rejected(`soft_refusal`)."""
        text = sample.answer()
        if detail := find_refusal(text):
            raise Rejected("refusal", detail)
        if len(text) <= SHORT_CHARS and EVASIVE.search(text) and (detail := find_soft_refusal(text, sample.question())):
            raise Rejected("soft_refusal", detail)


def find_refusal(text: str) -> str | None:
    """The words with which a text declines; None when it does not."""
    if len(text) > LONG_CHARS or ANSWERED.search(text) or LETTER.match(text):
        return None
    opening = QUOTED.sub(" ", NOT_PROSE.sub(" ", text)).replace("’", "'")[:OPENING_CHARS]
    found = ENGLISH.search(opening) or JAPANESE.search(opening)
    return found[0] if found else None


def find_soft_refusal(text: str, question: str = "") -> str | None:
    """The words that put a reader off in place of an answer; None when something is answered, or asked is whom to ask."""
    if len(text) > SHORT_CHARS or ASKS_WHOM.search(question):
        return None
    sentences = [part for part in SENTENCE_END.split(text.strip()) if part]
    if any(re.search(r"\d", part) or not EVASIVE.search(part) for part in sentences):
        return None
    found = next((hit for part in sentences if (hit := REFERRAL.search(part) or UNABLE.search(part))), None)
    return found[0] if found else None
