"""The text speaks of nothing that is not there."""

from __future__ import annotations

import re
from typing import Literal

from synth.errors import Rejected
from synth.language.text import prose, subject
from synth.patterns import lazy
from synth.types import Sample, Value
from synth.validators.refusal import LETTER

SEEN = r"(?:image|picture|photo(?:graph)?|screenshot|figure(?!s)|diagram|chart|graph|map|illustration|drawing|infographic|sketch|scan)"
HEARD = r"(?:video|audio|recording|podcast|clip|slides?|slideshow|presentation|animation)"
FILE = r"(?:file|document|spreadsheet|pdf|attachment|resume|cv|report|sheet|form|excel|word document|zip|worksheet|solution|code|template|folder|paper|handout)"
THING = rf"(?:{SEEN}|{HEARD}|{FILE})"
SENT = r"(?:attached|uploaded|enclosed|sent|shared|provided|posted|pasted|linked|included|submitted)"
# what a match begins with stands before all of it: other places are passed by in a tenth of the time
REFERENCE = lazy(
    rf"""(?=\b|[\d(（QUおこごそアイグコスダチバフプボリ上下以先共写別前動右同図左提書概次添画第表記詳説貼資送])(?:\b(?:
        (?:attached|enclosed|accompanying|uploaded)\s+(?:\w+\s+)?{THING}s?\b
        | (?:please\s+)?(?:find|see)\s+(?:the\s+)?(?:attached|enclosed|attachment)\b|(?:\A|[.!?]\s+)attached\s+(?:is|are|you)\b
        | {THING}s?\s+(?:(?:that\s+|which\s+)?(?:you|I)(?:\s+have|['’]ve)?\s+(?:just\s+)?){SENT}\b|{THING}s?\s+(?:attached|uploaded|enclosed)\b
        | (?:thanks|thank\s+you)\s+for\s+(?:sending|sharing|uploading|attaching|providing)\s+(?:me\s+)?(?:the|your|this|that)\s+(?:\w+\s+)?{THING}
        | I(?:\s+have|['’]ve)?\s+(?:also\s+)?(?:attached|enclosed|uploaded|included|added|put|drawn|created)\s+(?:an?|the|some|my)\s+(?:\w+\s+)?{THING}s?\s*(?:below|above|here|for\s+you|to\s+this|with\s+this|\bof\b)
        | I(?:\s+have|['’]ve)\s+(?:also\s+)?(?:attached|enclosed|uploaded)\s+(?:an?|the|some|my)\b
        | (?:{SEEN}|{HEARD})s?\s+(?:shown\s+|provided\s+|given\s+|displayed\s+|included\s+|clip\s+)?(?:above|below|on\s+the\s+(?:right|left)|at\s+(?:right|left)|to\s+the\s+(?:right|left))\b
        | (?:the|this)\s+(?:above|following|next|adjacent|accompanying)\s+(?:{SEEN}|{HEARD})\b
        | (?:as\s+)?(?:shown|seen|see|depicted|illustrated|displayed|visible|look(?:ing)?|refer(?:ring)?|according)\s+(?:closely\s+)?(?:in|on|by|at|to)\s+(?:the|this|your)\s+(?:{SEEN}|{HEARD})\b(?!\s+of\b)
        | (?:from|in|on)\s+(?:the|this|your)\s+(?:{SEEN}|{HEARD}),?\s+(?:we|you|I|one|it)\s+(?:can|could|may|might|see|notice|will)\b
        | (?:the|this|your)\s+(?:{SEEN})\s+(?:clearly\s+)?(?:shows?|depicts?|illustrates?|displays?)\b
        | (?:see|refer\s+to|shown\s+in|in|from|as)\s+(?:Fig(?:ure|\.)|Appendix|Exhibit|Attachment|Table|Slide)\s*(?:\d+|[A-Z])\b
        | click(?:ing)?\s+(?:on\s+)?(?:here\b|below\b|(?:the|this)\s+(?:following\s+)?(?:link|button\s+below)\b)|scan\s+(?:the|this)\s+(?:QR\s+)?code
        | (?:follow|visit|see|use|open|through|via|using|at|from|with)\s+(?:this|the)\s+(?:following\s+)?(?:link|URL)\b(?!\s+(?:tag|element|between|to\s+\w+\s+is))
        | (?:the|this|following)\s+link\s+(?:above|below|provided|in\s+(?:the\s+)?(?:description|bio|comments))\b|link\s+in\s+(?:the\s+)?(?:bio|description|comments)|here(?:['’]s|\s+is)\s+(?:the|a)\s+(?:download\s+)?link\b
        | (?:watch|view|listen\s+to|check\s+out)\s+(?:this|the)\s+(?:\w+\s+)?(?:video|clip|recording|tutorial|podcast)\s+(?:to|for|above|below|here|and\s+learn)
        | (?:watch|view|download|find|see|listen\s+to)\s+(?:\w+\s+){{1,4}}(?:here\s*[.!:)]|via\s+this\s+link|at\s+this\s+link)|(?:download|read\s+more|learn\s+more)\s+(?:\w+\s+)?here\b
        | as\s+(?:I|we)\s+(?:\w+\s+)?(?:mentioned|said|discussed|explained|described|covered|went\s+over)\s+(?:\w+\s+)?(?:earlier|before|previously|last\s+time)|(?:my|our|the)\s+(?:previous|last|earlier)\s+(?:message|conversation|e-?mail|reply|chat|session)|(?:we|I)\s+(?:went\s+over|gave\s+you|discussed|talked\s+about)\s+(?:before|last\s+time|earlier)
        | (?:according\s+to|based\s+on)\s+the\s+(?:passage|document|article|text|excerpt)\b|\bin\s+(?:paragraph|lines?)\s+\d+
    )|(?:先ほど|前回|以前|先日)(?:も)?(?:ご説明|お伝え|申し上げ|お話し|説明し|述べ|お送り)|資料[A-ZＡ-Ｚ１-９1-9]の|第?\d段落|先に示した|上記のコマンド|前回の(?:会話|メッセージ|質問|回答)|添付(?:の|した|された|している|して(?:い|お)り?ます|いたし|しまし|しています|ファイル|資料|画像|写真|書類|文書|をご(?:覧|確認|参照))(?!方法|できる)
    |(?:ファイル|資料|画像|写真|書類)を添付(?:し(?:て|ま)|いた)|(?:別紙|別添)(?:の|を|に|参照)|QRコードを(?:読|スキャン)
    |(?:同封|アップロード|お送り|共有|ご提供|貼っ|貼り付け|送っ|提出|ご提示)(?:の|した|しました|された|いただいた|いただきました|くださった|て(?:いただい|くださっ|もらっ|くれ)た|た)(?:\w{{0,4}}の)?(?:資料|ファイル|画像|写真|書類|文書|図|動画|音声|データ|PDF|スクリーンショット|スクショ|リンク|URL)
    |(?:上|下|右|左|次|以下|上記|下記|前掲|この|こちら|そちら|ご覧)の(?:画像|写真|図|グラフ|動画|音声|地図|イラスト|スクリーンショット|リンク|URL|サイト|スライド|チャート|ビデオ)(?:[をはがにで、]|の(?:よう|とおり|通り)|から|では|にも|も)
    |(?:画像|写真|図|グラフ|動画|イラスト|スクリーンショット|スクショ|チャート|表)(?:に(?:示|写|描か|表示|ある|映)(?:されて|って|れて|され|した)?(?:いる)?(?:とおり|通り|ように|よう)|のとおり|の通り|(?<![地意])のように|を(?:見る(?:と|限り)|拝見|ご覧|ご参照|参照し|見て(?:ください|の)|見れば)|(?:から|で)(?:も)?(?:わか|分か|読み取|見て取)|によ(?:ると|れば)|を確認(?:し(?:まし|たと)|すると)|では[^。\n]{{0,16}}(?:見|写|示)|に(?:は|も)[^。\n]{{0,24}}(?:写って|映って|示されて|描かれて|表示されて))
    |(?:[上下左右]図|図示)(?:[をはがにで]|の(?:よう|とおり|通り))|(?:図|表|写真|グラフ|資料)(?:\d|[０-９]){{1,2}}[にはをのでが]|[(（]?[図表](?:\d|[０-９]){{1,2}}(?:を参照|参照|のよう|の通り|のとおり|をご覧|を見)
    |(?:こちら|リンク|ここ|URL|バナー|ボタン|下記|以下)(?:の(?:リンク|URL|サイト|ページ|動画|記事|ボタン|フォーム))?(?:を|から|より|に|で)(?:クリック|ダウンロード|タップ|ご覧|視聴|アクセス|登録|お申し込み|ご確認|移動)
    |(?:リンク|URL|動画|ダウンロード|詳細|記事)は(?:こちら|ここ|下記|以下|概要欄)|(?:概要欄|プロフィール|コメント欄|説明欄)の?(?:リンク|URL)|動画で(?:詳し|解説|説明|紹介)(?:[^。\n]{{0,8}})(?:ています|ご覧|のでご覧)|お送りした(?:資料|ファイル|メール|画像|動画))""",
    re.IGNORECASE | re.VERBOSE,
)
THERE = lazy(
    r"!\[|<(?:img|svg|figure|video|audio)\b|https?://|```|~~~|<a\s|\]\(\S|^\|.*\|", re.IGNORECASE | re.MULTILINE
)
"""A picture, a drawing in code, a table, or an address: what is spoken of may be there."""
WRITTEN_FOR = lazy(
    r"\b(?:e-?mail|memo|newsletter|blog|web\s?(?:page|site)|html)\b|\b(?:write|draft|compose|reply|respond)\b[^.?!]{0,40}\b(?:letter|message)\b"
    r"|メール|手紙|文面|返信|案内文|お知らせ|礼状|ウェブ|サイト|ブログ",
    re.IGNORECASE,
)
"""What the question wants written may enclose something, or have links and pictures where it is put."""
MARKS = (
    *(
        "attach",
        "enclosed",
        "accompanying",
        "upload",
        "image",
        "picture",
        "photo",
        "screenshot",
        "figure",
        "fig.",
        "diagram",
    ),
    *("chart", "graph", "map", "illustration", "drawing", "video", "audio", "recording", "podcast", "clip", "slide"),
    *(
        "presentation",
        "appendix",
        "exhibit",
        "link",
        "click",
        " here",
        "sketch",
        "table",
        "file",
        "document",
        "qr",
        "url",
    ),
    *(
        "添付",
        "同封",
        "アップロード",
        "お送り",
        "送って",
        "画像",
        "写真",
        "図",
        "表",
        "グラフ",
        "動画",
        "音声",
        "地図",
        "共有",
        "資料",
    ),
    *(
        "イラスト",
        "スクリーンショット",
        "スクショ",
        "リンク",
        "クリック",
        "こちら",
        "ここ",
        "別紙",
        "別添",
        "ファイル",
        "概要欄",
        "ダウンロード",
        "貼",
    ),
)
"""Of which a text holds one if it is to be searched at all."""


class References(Value):
    """Refuse a text that points to an attachment, a picture, a recording or a link that it does not hold.

    Letters may enclose something. An answer may speak of what its question speaks of; in an instruction without an
    answer such words are refused, as its reader has nothing to look at. Tables and texts can be written and are not judged.
    """

    kind: Literal["references"] = "references"

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`missing_reference`)."""
        detail = find_missing_reference(subject(sample), sample.question() if sample.answer() else "")
        if detail is not None:
            raise Rejected("missing_reference", detail)


def find_missing_reference(text: str, question: str = "") -> str | None:
    """The words that point to something outside a text; None when there are none."""
    lower = text.lower()
    if not any(mark in lower for mark in MARKS):
        return None
    if THERE.search(text) or WRITTEN_FOR.search(question) or LETTER.match(text):
        return None
    found = REFERENCE.search(prose(text))
    if found is None:
        return None
    spoken, asked = found[0].lower(), question.lower()
    return None if any(mark in spoken and mark in asked for mark in MARKS) else found[0]
