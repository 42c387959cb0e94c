"""The teacher answered instead of declining."""

from __future__ import annotations

import re
from typing import Literal

from synth.errors import Rejected
from synth.text import prose
from synth.types import Sample, Value

OPENING_CHARS = 260
LONG_CHARS = 900

ENGLISH = re.compile(
    r"""\b(?:
        (?:i|we)(?:\s+am|'m|\s+are|'re)?\s+(?:really\s+|very\s+|so\s+|truly\s+)?sorry,?\s+(?:but\s+)?(?:i|we|that|this)\b
            .{0,40}?\b(?:can(?:no|')t|unable|not\s+able|won't|not\s+allowed|not\s+comfortable)
        | (?:i|we)\s+(?:can(?:no|')?t|can\s+not|could\s+not|couldn't|won't|will\s+not|must|have\s+to)\s+
            (?:be\s+able\s+to\s+|in\s+good\s+conscience\s+|really\s+)?
            (?:help|assist|answer|comply|fulfill?|provide|support|do\s+that|do\s+this|respond|discuss|decline|refuse
              |complete|engage|continue|take\s+part|give|share|create|generate|write|solve|process)
        | (?:i'm|i\s+am|we're|we\s+are)\s+(?:unable|not\s+able|not\s+comfortable|not\s+permitted|not\s+allowed
            |not\s+in\s+a\s+position|not\s+going)\s+
        | as\s+an?\s+(?:ai|artificial\s+intelligence|language)\b.{0,60}?\b(?:can(?:no|')?t|unable|not|don't)\b
        | (?:i|we)\s+(?:have\s+to|must|would\s+rather|'d\s+rather|need\s+to)\s+(?:respectfully\s+)?(?:decline|refuse|pass)
        | (?:this|that|your)\s+(?:request|question|topic)\s+(?:is\s+not\s+something|falls\s+outside|goes\s+against
            |violates|is\s+beyond)
        | (?:against|violates?)\s+(?:my|our)\s+(?:guidelines|policy|policies|principles)
        | (?:not|isn't)\s+something\s+(?:i|we)\s+can\s+(?:help|assist|do|answer)
        | (?:i|we)\s+(?:respectfully\s+)?(?:decline|refuse)\s+to\b
    )""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
CANNOT = (
    r"(?:お答え|回答|お手伝い|お力添え|ご協力|対応|ご対応|支援|ご支援|提供|ご提供|作成|お伝え|応じ|お応え|お受け|ご案内|説明|ご説明)"
    r"(?:を?(?:する|いたす)?(?:こと|事)(?:は|が|も)?(?:できません|出来ません|できない|いたしかねます|難しい|叶いません)"
    r"|(?:は|が|を)?(?:できません|出来ません|できかねます|出来かねます|いたしかねます|しかねます|致しかねます|できない"
    r"|差し控え|控えさせ|お断り|ご遠慮|遠慮させ|辞退|難しい状況)"
    r"|(?:する|いたす)わけにはいきません|(?:られ|え)?ません|かねます)"
)
JAPANESE = re.compile(
    rf"{CANNOT}|(?:AI|人工知能|言語モデル)(?:アシスタント)?(?:として|ですので|なので|であるため).{{0,40}}(?:ません|かねます)"
    r"|(?:ご要望|ご質問|ご依頼|リクエスト)(?:に|には|について)(?:は)?.{0,16}(?:ません|かねます|控え)"
    r"|(?:お断り|辞退|遠慮)(?:いた|させて|し|申し上げ)"
)
QUOTED = re.compile(r"「[^」]{0,400}」|『[^』]{0,400}』|\"[^\"\n]{0,400}\"|“[^”]{0,400}”|^>.*$", re.MULTILINE)
ANSWERED = re.compile(r"^\s*(?:\*\*)?(?:A|Answer|答え|答|回答)\s*(?:\*\*)?\s*[:\uff1a].*\d", re.MULTILINE)


class Refusal(Value):
    """Refuse an answer in which the teacher declines, in English or Japanese, whatever the recipe's language.

    Only the opening counts, quoted words do not, and a long text or one with a final answer has answered.
    """

    kind: Literal["refusal"] = "refusal"

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`refusal`)."""
        words = refusing_words(sample.answer())
        if words:
            raise Rejected("refusal", words)


def refusing_words(text: str) -> str:
    """The words with which a text declines; empty when it does not."""
    if len(text) > LONG_CHARS or ANSWERED.search(text):
        return ""
    opening = QUOTED.sub(" ", prose(text)).replace("’", "'")[:OPENING_CHARS]
    found = ENGLISH.search(opening) or JAPANESE.search(opening)
    return found[0] if found else ""
