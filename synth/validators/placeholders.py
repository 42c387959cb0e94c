"""Nothing was left to be filled in."""

from __future__ import annotations

import re
from typing import Literal

from synth.errors import Rejected
from synth.language.text import prose, subject
from synth.patterns import lazy
from synth.types import Sample, Value

FILLED = (
    r"(?:your|insert|enter|add|fill|put|replace|describe|specify|provide|include|mention|state|list|details?|my|his|her|their|first|last|full|sender|recipient|company|employer|business|client|customer|manager|"
    r"recruiter|student|teacher|school|university|organi[sz]ation|department|job|position|event|product|project|team|city|town|state|brand|service|item|author|candidate|user|patient|landlord|tenant|doctor|"
    r"country|street|phone|telephone|contact|email|e-mail|mailing|home|website|date|time|day|month|year|name|names|nickname|address|title|role|number|amount|signature|link|url|industry|field|skills?|hobby|age|deadline|duration|"
    r"location|venue|price|placeholder|blank|specific|relevant|topic|subject|answer|question|text|content|example|source|reference|citation|explanation|reason|value|result|summary|introduction|conclusion|description|choose|select|pick|attach|write|tbd|xx+)"
)
FILLED_JA = (
    r"(?:ご?住所|お?名前|ご?氏名|姓|苗字|会社名?|貴社名|御社名|日付|日時|年月日|時間|電話番号|メールアドレス|URL|リンク|部署名?|役職|商品名?|サービス名|担当者名?|相手の名前|あなたの名前|学校名|大学名|件名|タイトル|題名|金額|価格|場所|地名|都市名|国名|署名|宛名|宛先|年齢|生年月日|"
    r"具体例|理由|数値|数字|数量|期間|期限|イベント名|店名|製品名|ブランド名|趣味|職業|本文|内容|要約|出典|説明|補足|番号|名称|団体名|チーム名|プロジェクト名)"
)
OPEN_JA, SHUT_JA = r"[\[［【〔《(（<＜{｛]", r"[\]］】〕》)）>＞}｝]"
# what a match begins with stands before all of it: other places are passed by in a tenth of the time
PLACEHOLDER = lazy(
    r"(?=[$%(0<FTXx\[_lL{×✕※□△○●◯〇《【〔合有株（＜Ｘ［＿｛])(?:"
    rf"(?<![\w)\]])\[(?:(?:the|a|an)\s+)?(?i:{FILLED})(?:['’]s)?(?:(?=[ _/,:-])(?:[ ,:]*+[\w'’./$-]++){{1,8}}+)?\](?!\()|(?<![\w)\]])\[(?:[\w'’]++[ /-]){{0,3}}[\w'’]+[ _/-](?i:{FILLED})\](?!\()|(?<![\w)\]])\[[A-Z]{{2,}}(?:[ _][A-Z]+){{0,4}}\](?!\()"
    rf"|<(?i:{FILLED})(?:['’]s)?(?=[ _-])(?:[ -]?\w++){{1,4}}+>|<(?i:names?|insert\w*|date|company|city|email)>|<[A-Z]{{3,}}(?:_[A-Z]+)*>|\((?i:insert|your|add|fill\s+in|enter)\s+(?:[\w'’]++[ ]?){{1,5}}+\)"
    r"|(?<![\\\w}$^_{])\{[a-z][a-z_]{2,30}\}(?!\})|(?<![\\\w{])\{\{ ?#?\w+(?: \w+)? ?\}\}|(?<![\w$])\$[A-Z]{3,}(?:_[A-Z]+)*\b|%[A-Za-z_]{3,20}%|(?<![#/*] )\b(?:TODO|FIXME|TBD|TBA)\b|(?<!\w)[Xx]{3,}(?![\w])(?!\s*(?:[lL](?:arge)?\b|-?rated))|\$\s?X{2,}|\bXX?[/-]XX?\b|(?i:\blorem ipsum\b)|(?<![\w_])_{4,}(?![\w_])|__/__|＿{3,}"
    rf"|{OPEN_JA}(?:あなたの|ご?自身の|相手の|貴社の|お客様の|御社の)?{FILLED_JA}(?:など|を?(?:追加|記入|入力|記載|挿入|入れる|書く))?{SHUT_JA}"
    r"|[\[［【〔(（※＜<][^\]］】〕)）＞>\n]{0,14}(?:ここに|(?:を|は)?(?:記入|入力|記載|挿入|差し替え|追記|追加)(?:して|する|予定|\]|］|】|〕|\)|）)|要差し替え|こちらに|未定稿)[^\]］】〕)）＞>\n]{0,20}[\]］】〕)）＞>]?"
    r"|(?:(?<![〇○◯△□●])[〇○◯△□●]{2,}+|(?<![×✕])[×✕]{2,}+|(?<![A-Za-zＸ])[XＸ]{2,}+(?=株式|様|さん|の|月|日|年))(?:様|さん|さま|先生|殿|君|ちゃん|氏|株式会社|会社|大学|高校|中学|小学|病院|商事|駅|市役所|[（(]|[県市区町村年月日円個人])|(?:[〇○◯△]{1,2}[年月日]){2}"
    r"|(?:株式|有限|合同)会社(?:[〇○◯△□●×]{2,}|[XＸ]{2,})|(?<!\d)0{3,4}-0{4}-0{4})"
)
ASKED_FOR = lazy(
    r"template|dummy|sample data|fictional|架空|サンプル|ダミー|placeholder|form letter|fill[ -]?in|blank|format|boilerplate|\{\w+\}|\[[A-Z][\w ]*\]|_{3,}|[〇○◯]|テンプレ|雛形|ひな形|ひな型|書式|フォーマット|定型|空欄|穴埋め|プレースホルダ|伏せ字",
    re.IGNORECASE,
)

MARKS = lazy(r"[\[<{_$%(［【〔《＜（｛〇○◯△□●×✕ＸX＿※]|TODO|FIXME|TBD|TBA|xxx|orem ipsum|00-0000")
"""One of these is in a text if it is to be searched at all."""


class Placeholders(Value):
    """Refuse a text with blanks that somebody was to fill in, such as `[Your Name]`, `{name}`, TODO or 〇〇様.

    Code is not looked at, and a question that asks for a template or holds a blank itself may be answered with one.
    """

    kind: Literal["placeholders"] = "placeholders"

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`placeholder`)."""
        detail = find_placeholder(subject(sample), sample.question() if sample.answer() else "")
        if detail is not None:
            raise Rejected("placeholder", detail)


def find_placeholder(text: str, question: str = "") -> str | None:
    """The first blank left in a text; None when there is none, or the question calls for it."""
    if MARKS.search(text) is None:
        return None
    found = PLACEHOLDER.search(prose(text))
    return None if found is None or found[0] in question or ASKED_FOR.search(question) else found[0]
